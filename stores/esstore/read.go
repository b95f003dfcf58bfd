package esstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/core/auditjson"
)

// readSize is how many events one search asks for.
const readSize = 1000

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
		err = shardsFailed(a.body)
	}
	if err != nil {
		return fmt.Errorf("auditing: refreshing %s: %w", s.cfg.Index, err)
	}
	return nil
}

// shardsFailed is an error when an answer comes from a part of the shards only.
func shardsFailed(body []byte) error {
	var counts struct {
		Shards struct {
			Failed int `json:"failed"`
		} `json:"_shards"`
	}
	if err := json.Unmarshal(body, &counts); err != nil {
		return errUnreadable
	}
	if counts.Shards.Failed > 0 {
		return fmt.Errorf("%d shards failed", counts.Shards.Failed)
	}
	return nil
}

// Read returns one page of events, those of the dead-letter index among them. What
// was written in the last second may be missing until [Store.Flush]. Fields are looked
// up by their labels where name and value allow it, and in the events themselves else:
// such a search reads every event that matches the rest of the query.
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
	limit := q.Limit
	filter := filterOf(q, true)
	// One search may find several of one id and none that match: the rest of q is
	// asked of the events themselves.
	q.After, q.Limit = "", core.MaxLimit
	var found []core.Event
	for {
		events, full, err := s.search(ctx, filter, cursor, paged, min(readSize, limit+1-len(found)), len(q.Fields) > 0)
		var failure *statusError
		if errors.As(err, &failure) && failure.status == http.StatusBadRequest && len(q.Fields) > 0 {
			// An index with a mapping of somebody else's may have labels of any type.
			filter = filterOf(q, false)
			events, full, err = s.search(ctx, filter, cursor, paged, readSize, true)
		}
		if err != nil {
			return core.Page{}, fmt.Errorf("auditing: reading from %s: %w", s.cfg.Index, err)
		}
		page, err := q.Page(events)
		if err != nil {
			return core.Page{}, err
		}
		for _, e := range page.Events {
			if n := len(found); n == 0 || core.Event.Compare(found[n-1], e) != 0 {
				found = append(found, e)
			}
		}
		if len(found) > limit {
			last := found[limit-1]
			return core.Page{Events: found[:limit:limit], Next: core.Cursor{Time: last.Time, ID: last.ID}.String()}, nil
		}
		if !full {
			return core.Page{Events: found}, nil
		}
		last := events[len(events)-1]
		cursor, paged = core.Cursor{Time: last.Time, ID: last.ID}, true
	}
}

// filterOf is the part of q that the server can decide, with the help of the labels or
// without, as clauses that all hold.
func filterOf(q core.Query, labels bool) []any {
	// What others write beside us is no event.
	filter := []any{object{"exists": object{"field": "audit.micros"}}}
	term := func(field, value string) {
		filter = append(filter, object{"term": object{field: object{"value": value}}})
	}
	if q.Tag != "" {
		term("tag", q.Tag)
	}
	if q.User != "" {
		term("user.name", q.User)
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
	text, ok := labelText(value)
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
	if name == "" || len(name) > maxLabelName {
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

// search returns at most n events behind cursor, newest first, and whether there may
// be more.
func (s *Store) search(ctx context.Context, filter []any, cursor core.Cursor, paged bool, n int, picky bool) ([]core.Event, bool, error) {
	if picky {
		n = readSize // most of what is found may not match
	}
	body := object{
		"size":             n,
		"track_total_hits": false,
		"query":            object{"bool": object{"filter": filter}},
		"sort": []any{
			object{"audit.micros": object{"order": "desc", "unmapped_type": "long", "missing": "_last"}},
			object{"event.id": object{"order": "desc", "unmapped_type": "keyword", "missing": "_last"}},
		},
	}
	if paged {
		body["search_after"] = []any{cursor.Time.UnixMicro(), cursor.ID.String()}
	}
	data, err := json.Marshal(body)
	if err != nil {
		return nil, false, err
	}
	a, err := s.ask(ctx, request{
		method: http.MethodPost, path: "/" + s.everywhere() + "/_search", contentType: jsonType, body: data,
		query: "ignore_unavailable=true&allow_no_indices=true&allow_partial_search_results=false&filter_path=error,timed_out,_shards,hits.hits._id,hits.hits._source",
	})
	if err != nil {
		return nil, false, err
	}
	if a.status != http.StatusOK {
		return nil, false, a.failure()
	}
	var found struct {
		TimedOut bool `json:"timed_out"`
		Hits     struct {
			Hits []struct {
				ID     string          `json:"_id"`
				Source json.RawMessage `json:"_source"`
			} `json:"hits"`
		} `json:"hits"`
	}
	if json.Unmarshal(a.body, &found) != nil || found.TimedOut {
		return nil, false, errUnreadable
	}
	if err := shardsFailed(a.body); err != nil {
		return nil, false, err
	}
	events := make([]core.Event, 0, len(found.Hits.Hits))
	for _, hit := range found.Hits.Hits {
		e, err := parseDocument(hit.Source)
		if err != nil {
			return nil, false, fmt.Errorf("document %.64q: %w", hit.ID, err)
		}
		events = append(events, e)
	}
	return events, len(events) == n, nil
}

// document is what appendDocument and appendDeadLetter write.
type document struct {
	Timestamp string `json:"@timestamp"`
	Tag       string `json:"tag"`
	Event     struct {
		ID string `json:"id"`
	} `json:"event"`
	User struct {
		Name string `json:"name"`
	} `json:"user"`
	URL *struct {
		Path   string `json:"path"`
		Domain string `json:"domain"`
	} `json:"url"`
	Source struct {
		IP string `json:"ip"`
	} `json:"source"`
	HTTP struct {
		Request struct {
			Method string `json:"method"`
			ID     string `json:"id"`
		} `json:"request"`
	} `json:"http"`
	UserAgent struct {
		Original string `json:"original"`
	} `json:"user_agent"`
	Audit struct {
		Micros    *int64          `json:"micros"`
		Peer      string          `json:"peer"`
		Forwarded string          `json:"forwarded"`
		Fields    json.RawMessage `json:"fields"`
		Original  string          `json:"original"`
	} `json:"audit"`
}

var errForeign = errors.New("it was not written by this package")

// parseDocument returns the event of a document.
func parseDocument(source []byte) (core.Event, error) {
	var d document
	if err := json.Unmarshal(source, &d); err != nil {
		return core.Event{}, errForeign
	}
	if d.Audit.Original != "" {
		var e core.Event
		if err := e.UnmarshalJSON([]byte(d.Audit.Original)); err != nil || e.ID == uuid.Nil {
			return core.Event{}, errForeign
		}
		return e, nil
	}
	id, err := uuid.Parse(d.Event.ID)
	if err != nil || d.Audit.Micros == nil {
		return core.Event{}, errForeign
	}
	e := core.Event{ID: id, Tag: d.Tag, User: d.User.Name, Time: time.UnixMicro(*d.Audit.Micros).UTC(), Fields: core.Fields{}}
	if d.URL != nil {
		e.Request = &core.Request{
			Path: d.URL.Path, Host: d.URL.Domain, IP: d.Source.IP, Method: d.HTTP.Request.Method, Peer: d.Audit.Peer,
			Forwarded: d.Audit.Forwarded, UserAgent: d.UserAgent.Original, ID: d.HTTP.Request.ID,
		}
	}
	if len(d.Audit.Fields) > 0 {
		v, err := auditjson.Parse(d.Audit.Fields)
		if err != nil {
			return core.Event{}, err
		}
		fields, ok := v.(map[string]any)
		if !ok {
			return core.Event{}, errForeign
		}
		e.Fields = fields
	}
	return e, nil
}
