package esstore

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/auditing-go/auditing/core"
)

// searched is what one Read looks into, and what it has to leave out.
type searched struct {
	all     string    // names all of it to the server
	indices []string  // those that can answer
	cut     bool      // all names more than those
	missing []string  // what cannot be read, and why
	at      time.Time // when somebody looked
	kept    bool      // that was an earlier Read
	shards  int       // that a search has found there; 0 when there was none yet
}

// whole is what a Read learnt a moment ago: all of it can be searched.
type whole struct {
	sync.Mutex
	searched
	asked questions
}

// wholeFor is how long that counts, unless the number of shards changes before: what a
// search sees may be as old.
var wholeFor = time.Second

// toSearch is what to search for q. Of the pages that are asked for one after the other
// only the first looks which indices there are.
func (s *Store) toSearch(ctx context.Context, q core.Query) (searched, error) {
	s.whole.Lock()
	kept, asked := s.whole.searched, s.whole.asked
	s.whole.Unlock()
	if time.Since(kept.at) < wholeFor && questionsOf(q)&^asked == 0 {
		kept.kept = true
		return kept, nil
	}
	return s.lookInto(ctx, q)
}

// keep has the next Read search as l was searched, unless something is missing there.
func (s *Store) keep(q core.Query, l searched) {
	if l.kept || l.shards == 0 || l.cut || len(l.missing) > 0 {
		return
	}
	s.whole.Lock()
	defer s.whole.Unlock()
	s.whole.searched, s.whole.asked = l, questionsOf(q)
}

// changed reports whether a search says that an index was closed, opened or made since
// somebody looked.
func (l *searched) changed(asked int, err error) bool {
	return l.kept && err != nil || err == nil && l.shards > 0 && l.shards != asked
}

// lookAgain keeps in mind what was missing until now: a part of the page lacks it.
func (r *reading) lookAgain(ctx context.Context, q core.Query) error {
	now, err := r.lookInto(ctx, q)
	for _, why := range now.missing {
		if !slices.Contains(r.missing, why) {
			r.missing = append(r.missing, why)
		}
	}
	now.missing = r.missing
	r.searched = now
	return err
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
	l.indices = slices.DeleteFunc(slices.Clone(l.indices), func(name string) bool { return name == index })
	l.cut, l.shards = true, 0
}

// without leaves out index from now on, and names it as missing.
func (l *searched) without(index, why string) {
	l.skip(index)
	if !slices.Contains(l.missing, why) {
		l.missing = append(l.missing, why)
	}
}

// lookInto finds out which indices can answer q. Behind the pattern of a Route may be
// what is not ours: there an index that knows nothing of audits is only warned of.
func (s *Store) lookInto(ctx context.Context, q core.Query) (searched, error) {
	l := searched{all: s.everywhere(), at: time.Now()}
	seen, err := s.seeIndices(ctx) // first: one made meanwhile is then not taken for closed
	if err != nil {
		return l, err
	}
	existing := slices.Sorted(maps.Keys(seen))
	open, unfit, err := s.unfitIndices(ctx, seen, questionsOf(q))
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

// seenIndex is what the settings of an index say.
type seenIndex struct {
	durability string // when its translog is synced
	closed     bool
}

// seeIndices looks at each index, closed ones among them, of which a search says nothing:
// at none for whoever may not see them.
func (s *Store) seeIndices(ctx context.Context) (map[string]seenIndex, error) {
	const durability, closed = "index.translog.durability", "index.verified_before_close"
	a, err := s.ask(ctx, request{
		method: http.MethodGet, path: "/" + s.everywhere() + "/_settings/index.uuid," + durability + "," + closed,
		query: "flat_settings=true&expand_wildcards=open,closed&ignore_unavailable=true&allow_no_indices=true",
	})
	var found map[string]struct {
		Settings map[string]string `json:"settings"`
	}
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
	seen := map[string]seenIndex{}
	for index, its := range found {
		seen[index] = seenIndex{durability: its.Settings[durability], closed: its.Settings[closed] == "true"}
	}
	return seen, nil
}

// openOf lists those of seen that are open.
func openOf(seen map[string]seenIndex) (open []string) {
	for _, index := range slices.Sorted(maps.Keys(seen)) {
		if !seen[index].closed {
			open = append(open, index)
		}
	}
	return open
}
