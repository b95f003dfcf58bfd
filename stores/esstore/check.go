package esstore

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"

	"github.com/auditing-go/auditing/stores"
)

// Check implements [stores.Checker]. What is wrong with templates and mappings, or with when a
// server syncs, is said to the store's logger.
func (s *Store) Check(ctx context.Context) ([]stores.Finding, error) {
	ctx, leave, err := s.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	s.review(ctx)
	findings := s.rights(ctx)
	n, err := s.deadLetters(ctx)
	if err != nil {
		return nil, fmt.Errorf("auditing: counting %s: %w", s.cfg.DeadLetter, err)
	}
	return append(findings, stores.Finding{Gap: n > 0, Text: fmt.Sprintf("%d events are in the index %s, as the server took them nowhere else", n, s.cfg.DeadLetter)}), nil
}

// rights says what the user may do, as far as the server tells it.
func (s *Store) rights(ctx context.Context) []stores.Finding {
	unneeded := []string{"write", "delete", "delete_index", "manage"}
	body, _ := json.Marshal(object{"index": []any{object{ // it cannot fail
		"names": []string{s.cfg.Index}, "privileges": append([]string{"read", "create_doc"}, unneeded...),
	}}})
	a, err := s.ask(ctx, request{method: http.MethodPost, path: "/_security/user/_has_privileges", contentType: jsonType, body: body})
	var said struct {
		User  string                     `json:"username"`
		Index map[string]map[string]bool `json:"index"`
	}
	if err != nil || a.status != http.StatusOK || json.Unmarshal(a.body, &said) != nil {
		return []stores.Finding{{Text: "what the user may do cannot be seen: the server has no security, or does not tell"}}
	}
	may := said.Index[s.cfg.Index]
	var findings []stores.Finding
	for _, name := range slices.Concat([]string{"read", "create_doc"}, unneeded) {
		is, needed := "may", !slices.Contains(unneeded, name)
		if !may[name] {
			is = "may not"
		}
		findings = append(findings, stores.Finding{Gap: may[name] != needed, Text: fmt.Sprintf("user %s %s %s in %s", said.User, is, name, s.cfg.Index)})
	}
	return findings
}

func (s *Store) deadLetters(ctx context.Context) (n int, err error) {
	a, err := s.ask(ctx, request{method: http.MethodGet, path: "/" + s.cfg.DeadLetter + "/_count", query: "ignore_unavailable=true&allow_no_indices=true"})
	switch {
	case err != nil:
		return 0, err
	case a.status == http.StatusNotFound:
		return 0, nil
	case a.status != http.StatusOK:
		return 0, a.failure()
	}
	var said struct {
		Count int `json:"count"`
	}
	if json.Unmarshal(a.body, &said) != nil {
		return 0, errUnreadable
	}
	return said.Count, nil
}
