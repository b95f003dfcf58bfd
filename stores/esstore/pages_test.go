package esstore_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/stores/esstore"
	"github.com/auditing-go/auditing/stores/esstore/estest"
)

// TestPagesLookOnceForIndices, and again when one was closed, opened or made since.
func TestPagesLookOnceForIndices(t *testing.T) {
	esstore.KeepForALongTime(t)
	estest.Each(t, func(t *testing.T, url string) {
		index := estest.Index(t, url)
		p := newProxy(t, url)
		var looks atomic.Int64
		p.check = func(_ http.ResponseWriter, r *http.Request) bool {
			if strings.HasSuffix(r.URL.Path, "/_field_caps") || strings.Contains(r.URL.Path, "/_settings") {
				looks.Add(1)
			}
			return true
		}
		s := openOn(t, p.URL, index, esstore.Config{Route: func(e core.Event) string { return index + "-" + e.Tag }})
		events := sample(20)
		for i := range events {
			events[i].Tag = []string{"a", "b"}[i%2]
		}
		if err := s.Save(t.Context(), events); err != nil {
			t.Fatal(err)
		}
		if err := s.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		looks.Store(0)
		wantBeside(t, s, events)
		if n := looks.Load(); n != 2 {
			t.Errorf("10 pages look for indices with %d requests, want 2", n)
		}
		var a []core.Event
		for i := 0; i < len(events); i += 2 {
			a = append(a, events[i])
		}
		succeed(t, http.MethodPost, url+"/"+index+"-b/_close", "")
		wantBeside(t, s, a, "closed", index+"-b")
		succeed(t, http.MethodPost, url+"/"+index+"-b/_open?wait_for_active_shards=1", "")
		estest.Do(t, http.MethodGet, url+"/_cluster/health/"+index+"-b?wait_for_status=yellow", "")
		wantBeside(t, s, events)
		succeed(t, http.MethodPut, url+"/"+index+"-c", `{"mappings":{"properties":{"event":{"properties":{"id":{"type":"text"}}}}}}`)
		wantBeside(t, s, events, "event.id is text", index+"-c")
	})
}

// TestIndexOpenedWhileReading: a page whose first events were searched for without an
// index says so.
func TestIndexOpenedWhileReading(t *testing.T) {
	estest.Each(t, func(t *testing.T, url string) {
		index := estest.Index(t, url)
		p := newProxy(t, url)
		s := openOn(t, p.URL, index, esstore.Config{Route: func(e core.Event) string { return index + "-" + e.Tag }})
		events := sample(1100) // more than one search finds
		for i := range events {
			events[i].Tag = "a"
		}
		late := &events[len(events)-1]
		late.Tag = "b"
		if err := s.Save(t.Context(), events); err != nil {
			t.Fatal(err)
		}
		if err := s.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		succeed(t, http.MethodPost, url+"/"+index+"-b/_close", "")
		searches := 0
		p.check = func(_ http.ResponseWriter, r *http.Request) bool {
			if strings.HasSuffix(r.URL.Path, "/_search") {
				if searches++; searches == 2 {
					estest.Do(t, http.MethodPost, url+"/"+index+"-b/_open?wait_for_active_shards=1", "")
					estest.Do(t, http.MethodGet, url+"/_cluster/health/"+index+"-b?wait_for_status=yellow", "")
				}
			}
			return true
		}
		page, err := s.Read(t.Context(), core.Query{Fields: core.Fields{"what": "a book"}, Limit: 1050})
		if len(page.Events) != 1050 || err == nil || strings.Count(err.Error(), index+"-b") != 1 {
			t.Errorf("Read gives %d events, %v; want 1050, and an error that names the index", len(page.Events), err)
		}
		if page, err = s.Read(t.Context(), core.Query{Limit: 1}); err != nil || len(page.Events) != 1 || page.Events[0].ID != late.ID {
			t.Errorf("the next Read gives %d events, %v; want the one in the index that was opened", len(page.Events), err)
		}
	})
}

// TestManyEventsThatTheServerCannotGive end a page, and the next one begins behind them.
func TestManyEventsThatTheServerCannotGive(t *testing.T) {
	estest.Each(t, func(t *testing.T, url string) {
		p := newProxy(t, url)
		s := openOn(t, p.URL, estest.Index(t, url), esstore.Config{})
		const lost = 1500
		events := sample(lost + 4) // later ones come first
		if err := s.Save(t.Context(), events); err != nil {
			t.Fatal(err)
		}
		if err := s.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		given := map[string]bool{}
		for _, e := range append(events[:2:2], events[lost+2:]...) {
			given[e.ID.String()] = true
		}
		asked := 0
		p.check = func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path != "/_mget" {
				return true
			}
			data, err := io.ReadAll(r.Body)
			if err != nil {
				return false
			}
			_, answer := estest.Do(t, http.MethodPost, url+r.URL.RequestURI(), string(data))
			var body struct {
				Docs []struct {
					ID string `json:"_id"`
				}
			}
			var found struct {
				Docs []json.RawMessage `json:"docs"`
			}
			if err := errors.Join(json.Unmarshal(data, &body), json.Unmarshal([]byte(answer), &found)); err != nil {
				t.Error(err)
			}
			asked += len(body.Docs)
			for i, d := range body.Docs {
				if !given[d.ID] {
					found.Docs[i] = json.RawMessage(`{"error":{"type":"exception","reason":"the shard is broken"}}`)
				}
			}
			spoilt, err := json.Marshal(found)
			if err != nil {
				t.Error(err)
			}
			return !refuse(w, http.StatusOK, string(spoilt))
		}
		page, err := s.Read(t.Context(), core.Query{Limit: 100})
		if len(page.Events) != 2 || page.Events[0].ID != events[lost+3].ID || page.Next == "" {
			t.Fatalf("the first page has %d events, next %q, %v; want the two newest and another page", len(page.Events), page.Next, err)
		}
		if err == nil || strings.Count(err.Error(), "the shard is broken") != 10 || !strings.Contains(err.Error(), "events more") {
			t.Errorf("beside the first page: %v; want an error that names ten events and counts the others", err)
		}
		if asked > 1200 {
			t.Errorf("the first page asked for %d events: it does not stop", asked)
		}
		var got []core.Event
		for pages := 1; page.Next != ""; pages++ {
			if page, err = s.Read(t.Context(), core.Query{Limit: 100, After: page.Next}); pages > 3 {
				t.Fatalf("page %d is not the last: %v", pages, err)
			}
			got = append(got, page.Events...)
		}
		if err == nil || len(got) != 2 || got[0].ID != events[1].ID || got[1].ID != events[0].ID {
			t.Errorf("the pages behind have %d events, %v; want the two oldest, and an error", len(got), err)
		}
	})
}
