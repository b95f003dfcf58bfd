package esstore

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/auditing-go/auditing/core"
)

// hit is a document that was found.
type hit struct {
	Index   string            `json:"_index"`
	ID      string            `json:"_id"`
	Routing string            `json:"_routing,omitempty"`
	Sort    []json.RawMessage `json:"sort,omitempty"`
	Fields  *struct {
		Size []int `json:"audit.size"`
	} `json:"fields,omitempty"`
}

// size is how many bytes the document has.
func (h hit) size() int {
	if h.Fields == nil || len(h.Fields.Size) == 0 {
		return usualSize
	}
	return h.Fields.Size[0]
}

// place is where the document stands among the events; false for one that is no event.
func (h hit) place() (core.Cursor, bool) {
	var micros int64
	var id uuid.UUID
	if len(h.Sort) != 2 || json.Unmarshal(h.Sort[0], &micros) != nil || json.Unmarshal(h.Sort[1], &id) != nil {
		return core.Cursor{}, false
	}
	return core.Cursor{Time: time.UnixMicro(micros).UTC(), ID: id}, true
}

// search finds at most n documents in indices behind after, newest first. asked is how
// many shards these have.
func (s *Store) search(ctx context.Context, indices string, filter []any, after []json.RawMessage, n int) (hits []hit, asked int, err error) {
	if indices == "" {
		return nil, 0, nil
	}
	body := object{
		"size":             n,
		"track_total_hits": false,
		"query":            object{"bool": object{"filter": filter}},
		"_source":          false,
		"docvalue_fields":  []any{"audit.size"},
		"sort": []any{
			object{"audit.micros": object{"order": "desc", "unmapped_type": "long", "missing": "_last"}},
			object{"event.id": object{"order": "desc", "unmapped_type": "keyword", "missing": "_last"}},
		},
	}
	if after != nil {
		body["search_after"] = after
	}
	var found struct {
		TimedOut bool `json:"timed_out"`
		Hits     struct {
			Hits []hit `json:"hits"`
		} `json:"hits"`
	}
	answer, err := s.query(ctx, "/"+indices+"/_search",
		"ignore_unavailable=true&allow_no_indices=true&allow_partial_search_results=false&filter_path=error,timed_out,_shards,hits.hits._index,hits.hits._id,hits.hits._routing,hits.hits.sort,hits.hits.fields", body, &found)
	if err == nil {
		asked, err = shardsOf(answer)
	}
	if err == nil && found.TimedOut {
		err = errUnreadable
	}
	return found.Hits.Hits, asked, err
}

// source is a document that was found. Without data and err it is no longer there.
type source struct {
	data json.RawMessage
	err  error
}

var errNoSource = errors.New("its index keeps no _source")

// sources gets the documents of hits.
func (s *Store) sources(ctx context.Context, hits []hit) ([]source, error) {
	wanted := make([]hit, len(hits))
	for i, h := range hits {
		wanted[i] = hit{Index: h.Index, ID: h.ID, Routing: h.Routing}
	}
	var got struct {
		Docs []struct {
			Found  bool            `json:"found"`
			Error  *serverError    `json:"error"`
			Source json.RawMessage `json:"_source"`
		} `json:"docs"`
	}
	if _, err := s.query(ctx, "/_mget", "realtime=false&filter_path=error,docs.found,docs.error,docs._source", object{"docs": wanted}, &got); err != nil {
		return nil, err
	}
	if len(got.Docs) != len(hits) {
		return nil, errUnreadable
	}
	sources := make([]source, len(hits))
	for i, d := range got.Docs {
		switch {
		case d.Error != nil && d.Error.Type != "index_not_found_exception":
			sources[i].err = errors.New(d.Error.public())
		case d.Found && d.Source == nil:
			sources[i].err = errNoSource
		}
		sources[i].data = d.Source
	}
	return sources, nil
}

// query asks with a body and reads the answer into to.
func (s *Store) query(ctx context.Context, path, params string, body object, to any) ([]byte, error) {
	data, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	a, err := s.ask(ctx, request{method: http.MethodPost, path: path, contentType: jsonType, body: data, query: params})
	switch {
	case err != nil:
		return nil, err
	case a.status != http.StatusOK:
		return nil, a.failure()
	case json.Unmarshal(a.body, to) != nil:
		return nil, errUnreadable
	}
	return a.body, nil
}
