package esstore

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"

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
	seen, err := s.seeIndices(ctx)
	if err != nil {
		return nil, fmt.Errorf("auditing: looking at the indices of %s: %w", s.cfg.Index, err)
	}
	for _, index := range slices.Sorted(maps.Keys(seen)) {
		if seen[index].closed {
			findings = append(findings, stores.Finding{Gap: true, Text: "index " + index + " is closed: nothing in it is read"})
		}
	}
	clock, err := s.clock(ctx)
	if err != nil {
		return nil, fmt.Errorf("auditing: asking for the server's time: %w", err)
	}
	findings = append(findings, clock)
	n, err := s.deadLetters(ctx)
	if err != nil {
		return nil, fmt.Errorf("auditing: counting %s: %w", s.cfg.DeadLetter, err)
	}
	return append(findings, stores.Finding{Gap: n > 0, Text: fmt.Sprintf("%d events are in the index %s, as the server took them nowhere else", n, s.cfg.DeadLetter)}), nil
}

// maxSkew is how far the server's clock and this one may be apart.
const maxSkew = time.Second

// clock compares the times at which a node, or a proxy before it, says that it answered. It
// says whole seconds.
func (s *Store) clock(ctx context.Context) (stores.Finding, error) {
	before := time.Now()
	a, err := s.ask(ctx, request{method: http.MethodGet, path: "/"})
	after := time.Now()
	at, unsaid := http.ParseTime(a.header.Get("Date"))
	if err != nil || unsaid != nil {
		return stores.Finding{Text: "the server does not say its time"}, err
	}
	apart := max(before.Sub(at.Add(time.Second)), at.Sub(after), 0)
	text := "the server's clock is no more than a second from this one's"
	if apart > maxSkew {
		text = fmt.Sprintf("the server's clock is at least %v from this one's", apart.Round(time.Second))
	}
	return stores.Finding{Gap: apart > maxSkew, Text: text}, nil
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
