package esstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/auditing-go/auditing/core"
)

// searched is what one Read looks into, and what it has to leave out.
type searched struct {
	all     string   // names all of it to the server
	indices []string // those that can answer
	cut     bool     // all names more than those
	missing []string // what cannot be read, and why
}

// names is where to search; "" is nowhere.
func (l *searched) names() string {
	if l.cut {
		return strings.Join(l.indices, ",")
	}
	return l.all
}

// skip leaves out index from now on, without a word.
func (l *searched) skip(index string) {
	l.indices, l.cut = slices.DeleteFunc(l.indices, func(name string) bool { return name == index }), true
}

// without leaves out index from now on, and names it as missing.
func (l *searched) without(index, why string) {
	l.skip(index)
	if !slices.Contains(l.missing, why) {
		l.missing = append(l.missing, why)
	}
}

// err names what is missing; nil when nothing is.
func (l *searched) err() error {
	if len(l.missing) == 0 {
		return nil
	}
	return errors.New(strings.Join(l.missing, "; "))
}

// searchedFor finds out which indices can answer q. Behind the pattern of a Route may be
// what is not ours: there an index that knows nothing of audits is only warned of.
func (s *Store) searchedFor(ctx context.Context, q core.Query) (searched, error) {
	l := searched{all: s.everywhere()}
	existing, err := s.existingIndices(ctx) // first: one made meanwhile is then not taken for closed
	if err != nil {
		return l, err
	}
	open, unfit, err := s.unfitIndices(ctx, q)
	if err != nil {
		return l, err
	}
	s.warnUnfit(unfit)
	unseen := ""
	if len(existing) == 0 && len(open) > 0 {
		unseen = "unseen"
	}
	s.warn("closed", unseen, "auditing: Read cannot see whether an index is closed, and leaves out what is in one: give the user view_index_metadata", "index", s.cfg.Index)
	l.indices = open
	closed := slices.DeleteFunc(existing, func(index string) bool { return slices.Contains(open, index) })
	if len(closed) > 0 {
		l.missing = append(l.missing, "closed, so that nothing in it is read: "+strings.Join(closed, ", ")+": open the index")
	}
	for _, index := range slices.Sorted(maps.Keys(unfit)) {
		if s.cfg.Route != nil && strings.HasPrefix(unfit[index], "audit.micros is "+unmapped) {
			l.skip(index)
			continue
		}
		l.without(index, fmt.Sprintf("the index %s cannot be searched for audits, as %s: it was made without the index template %s: %s",
			index, unfit[index], templateName(s.cfg.Index), copyIt))
	}
	return l, nil
}

// existingIndices lists all indices, sorted, closed ones among them, of which a search
// says nothing: none to whoever may not see them.
func (s *Store) existingIndices(ctx context.Context) ([]string, error) {
	a, err := s.ask(ctx, request{
		method: http.MethodGet, path: "/" + s.everywhere() + "/_settings/index.uuid",
		query: "expand_wildcards=open,closed&ignore_unavailable=true&allow_no_indices=true",
	})
	var found map[string]json.RawMessage
	switch {
	case err != nil:
		return nil, err
	case a.status == http.StatusForbidden, a.status == http.StatusNotFound:
		return nil, nil
	case a.status != http.StatusOK:
		return nil, a.failure()
	case json.Unmarshal(a.body, &found) != nil:
		return nil, errUnreadable
	}
	return slices.Sorted(maps.Keys(found)), nil
}
