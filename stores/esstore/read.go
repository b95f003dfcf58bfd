package esstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/core/ecs"
)

const (
	// readSize is how many events one search asks for.
	readSize = 1000
	// readBytes is how many bytes of events are asked for at once, unless one alone has
	// more: the server holds several times as much meanwhile.
	readBytes = 4 << 20
	// maxUnread is how many events that cannot be read end a page: where there are so many,
	// hardly any other can be.
	maxUnread = 1000
	// usualSize stands for the size of a document that does not say it, in bytes.
	usualSize = 1 << 20
)

// Flush makes what was written visible to Read and to every other search. Without it
// the servers do so by themselves about once a second.
func (s *Store) Flush(ctx context.Context) error {
	ctx, leave, err := s.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	a, err := s.ask(ctx, request{
		method: http.MethodPost, path: "/" + s.everywhere() + "/_refresh", query: "ignore_unavailable=true&allow_no_indices=true",
	})
	if err == nil && a.status != http.StatusOK && a.status != http.StatusNotFound {
		err = a.failure()
	}
	if err == nil && a.status == http.StatusOK {
		_, err = shardsOf(a.body)
	}
	if err != nil {
		return fmt.Errorf("auditing: refreshing %s: %w", s.cfg.Index, err)
	}
	return nil
}

// Read returns one page of events, those of the dead-letter index among them. What
// was written in the last second may be missing until [Store.Flush]. Fields are looked
// up by their labels where name and value allow it, and in the events themselves else:
// such a search reads every event that matches the rest of the query.
//
// An index that is closed, has another mapping or keeps no _source is left out, and so is
// an event that the server cannot give; the error beside the page names them, on every
// page. A thousand such events end a page, and the next one begins behind them. A
// document that is no event of this package's is skipped with a warning.
func (s *Store) Read(ctx context.Context, q core.Query) (core.Page, error) {
	ctx, leave, err := s.enter(ctx)
	if err != nil {
		return core.Page{}, err
	}
	defer leave()
	cursor, paged, err := q.Cursor()
	if err != nil {
		return core.Page{}, err
	}
	q = q.Normalize()
	fail := func(err error) (core.Page, error) {
		return core.Page{}, fmt.Errorf("auditing: reading from %s: %w", s.cfg.Index, err)
	}
	in, err := s.toSearch(ctx, q)
	if err != nil {
		return fail(err)
	}
	var after []json.RawMessage
	if paged {
		after = []json.RawMessage{strconv.AppendInt(nil, cursor.Time.UnixMicro(), 10), strconv.AppendQuote(nil, cursor.ID.String())}
	}
	r := reading{Store: s, searched: in, limit: q.Limit}
	// One search may find several of one id and none that match: the rest of q is
	// asked of the events themselves.
	r.q, r.q.After, r.q.Limit = q, "", core.MaxLimit
	labels := len(q.Fields) > 0
	for more := true; more; {
		n := readSize
		if len(q.Fields) == 0 {
			n = min(n, r.limit+1-len(r.found))
		}
		hits, asked, err := s.search(ctx, r.names(), filterOf(q, labels), after, n)
		if r.changed(asked, err) {
			if err := r.lookAgain(ctx, q); err != nil {
				return fail(err)
			}
			continue
		}
		var failure *statusError
		if errors.As(err, &failure) && failure.status == http.StatusBadRequest && labels {
			labels = false // an index with a mapping of somebody else's may have them of any type
			continue
		}
		if err == nil {
			r.shards = asked
			err = r.take(ctx, hits)
		}
		if err != nil {
			return fail(errors.Join(err, r.err()))
		}
		if more = len(hits) == n && !r.full(); more {
			after = hits[len(hits)-1].Sort
		}
	}
	s.keep(q, r.searched)
	r.warnForeign()
	return r.page()
}

// reading is one Read.
type reading struct {
	*Store
	searched
	q       core.Query
	limit   int
	found   []core.Event
	unread  []string    // the events that the server could not give
	last    core.Cursor // how far it has come
	foreign []hit       // what was not written by this package
}

// full says that there is enough for a page, and that the next one has where to begin.
func (r *reading) full() bool {
	return len(r.found) > r.limit || len(r.unread) >= maxUnread && r.last != core.Cursor{}
}

func (r *reading) page() (core.Page, error) {
	page := core.Page{Events: r.found}
	if len(r.found) > r.limit {
		page.Events = r.found[:r.limit:r.limit]
		last := page.Events[r.limit-1]
		r.last = core.Cursor{Time: last.Time, ID: last.ID}
	}
	if r.full() {
		page.Next = r.last.String()
	}
	if err := r.err(); err != nil {
		return page, fmt.Errorf("auditing: reading from %s: not all could be read: %w", r.cfg.Index, err)
	}
	return page, nil
}

// maxNamed is how many events an error names that could not be read.
const maxNamed = 10

// miss notes that the event of h could not be read.
func (r *reading) miss(h hit, err error) {
	if errors.Is(err, errNoSource) {
		r.without(h.Index, fmt.Sprintf("the index %s keeps no _source, so that its events cannot be read: take that out of its mapping", h.Index))
		return
	}
	r.unread = append(r.unread, fmt.Sprintf("document %.64q of %s: %v", h.ID, h.Index, err))
}

// err names what is missing; nil when nothing is.
func (r *reading) err() error {
	missing := append(slices.Clone(r.missing), r.unread[:min(len(r.unread), maxNamed)]...)
	if extra := len(r.unread) - maxNamed; extra > 0 {
		missing = append(missing, fmt.Sprintf("and %d events more", extra))
	}
	if len(missing) == 0 {
		return nil
	}
	return errors.New(strings.Join(missing, "; "))
}

// take gets the events of hits, at most readBytes at once, until the page is full.
func (r *reading) take(ctx context.Context, hits []hit) error {
	for len(hits) > 0 && !r.full() {
		n := 0
		for size := 0; n < len(hits) && (n == 0 || size+hits[n].size() <= readBytes); n++ {
			// More than the page takes is needed only where some do not match.
			if len(r.q.Fields) == 0 && len(r.found)+n > r.limit {
				break
			}
			size += hits[n].size()
		}
		sources, err := r.sources(ctx, hits[:n])
		if err != nil {
			return err
		}
		var events []core.Event
		for i, source := range sources {
			if source.err != nil {
				r.miss(hits[i], source.err)
				continue
			}
			if source.data == nil {
				continue // deleted since it was found
			}
			e, err := parseDocument(source.data)
			if err != nil {
				r.foreign = append(r.foreign, hits[i])
				continue
			}
			events = append(events, e)
		}
		page, err := r.q.Page(events)
		if err != nil {
			return err
		}
		for _, e := range page.Events {
			if n := len(r.found); n == 0 || r.found[n-1].Compare(e) != 0 {
				r.found = append(r.found, e)
			}
		}
		if last, ok := hits[n-1].place(); ok {
			r.last = last
		}
		hits = hits[n:]
	}
	return nil
}

func (r *reading) warnForeign() {
	if len(r.foreign) > 0 {
		r.logger().Warn("auditing: documents were not written by this package and are not read",
			"documents", len(r.foreign), "index", r.foreign[0].Index, "first", r.foreign[0].ID)
	}
}

// filterOf is the part of q that the server can decide, with the help of the labels or
// without, as clauses that all hold.
func filterOf(q core.Query, labels bool) []any {
	// What others write beside us is no event.
	filter := []any{object{"exists": object{"field": "audit.micros"}}}
	for _, c := range conditions {
		if value, ok := c.of(q); ok {
			filter = append(filter, c.clause(value))
		}
	}
	for _, tag := range q.NotTags {
		filter = append(filter, object{"bool": object{"must_not": term("tag")(tag)}})
	}
	bounds := object{}
	if !q.From.IsZero() {
		bounds["gte"] = q.From.UnixMicro()
	}
	if !q.To.IsZero() {
		bounds["lt"] = q.To.UnixMicro()
	}
	if len(bounds) > 0 {
		filter = append(filter, object{"range": object{"audit.micros": bounds}})
	}
	if !labels {
		return filter
	}
	for name, value := range q.Fields {
		if clause := labelQuery(name, value); clause != nil {
			filter = append(filter, clause)
		}
	}
	return filter
}

// labelQuery selects, of all events, at least those whose field name has value; nil
// when the labels cannot tell.
func labelQuery(name string, value any) any {
	if !plainName(name) {
		return nil
	}
	text, ok := ecs.Label(value)
	if !ok || text == "" {
		return nil
	}
	return object{"bool": object{"should": []any{
		object{"term": object{"labels." + name: object{"value": text}}},
		object{"term": object{"audit.unsearchable": object{"value": true}}},
	}, "minimum_should_match": 1}}
}

// plainName reports whether every server takes name for one key below labels.
func plainName(name string) bool {
	if name == "" || len(name) > ecs.MaxName {
		return false
	}
	for i := range len(name) {
		switch c := name[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '_', c == '-':
		default:
			return false
		}
	}
	return true
}
