package esstore_test

import (
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/stores/esstore"
	"github.com/auditing-go/auditing/stores/esstore/estest"
)

// succeed sends a request that has to succeed.
func succeed(t *testing.T, method, url, body string) {
	t.Helper()
	if status, answer := estest.Do(t, method, url, body); status != http.StatusOK && status != http.StatusCreated {
		t.Fatalf("%s %s: %d %s", method, url, status, answer)
	}
}

// wantBeside walks all pages of two events, which have to give events, and beside them on
// every page an error that holds words, or none where there are no words.
func wantBeside(t *testing.T, s *esstore.Store, events []core.Event, words ...string) {
	t.Helper()
	var got []core.Event
	q := core.Query{Limit: 2}
	for pages := 1; ; pages++ {
		page, err := s.Read(t.Context(), q)
		if (err != nil) != (len(words) > 0) {
			t.Errorf("page %d: %v, want an error with %q", pages, err, words)
		}
		for _, w := range words {
			if err != nil && strings.Count(err.Error(), w) != 1 {
				t.Errorf("page %d: %v; want it to say %q once", pages, err, w)
			}
		}
		got = append(got, page.Events...)
		if q.After = page.Next; q.After == "" || pages > len(events) {
			break
		}
	}
	same := func(a, b core.Event) bool { return a.ID == b.ID }
	if want := slices.SortedFunc(slices.Values(events), core.Event.Compare); !slices.EqualFunc(got, want, same) {
		t.Errorf("%d events are read, want those %d that can be, newest first", len(got), len(want))
	}
}

// TestWhatCannotBeRead: of two indices one cannot be read; the other is, on every page.
func TestWhatCannotBeRead(t *testing.T) {
	for _, test := range []struct {
		name, before, after string // the body that makes the index, the request that spoils it
		words               []string
	}{
		{"closed", "", "/_close", []string{"closed"}},
		{"without its mapping", `{"mappings":{"properties":{"event":{"properties":{"id":{"type":"text"}}}}}}`, "", []string{"event.id is text"}},
		{"without _source", `{"mappings":{"_source":{"enabled":false}}}`, "", []string{"_source,"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			estest.Each(t, func(t *testing.T, url string) {
				for _, kind := range []string{"routed", "alias"} {
					t.Run(kind, func(t *testing.T) {
						index := estest.Index(t, url)
						good, bad := index+"-000001", index+"-000002"
						cfg := esstore.Config{}
						if kind == "routed" {
							cfg.Route = func(e core.Event) string { return index + "-00000" + e.Tag }
						}
						s := openOn(t, url, index, cfg)
						events := sample(10)
						var there, lost []core.Event
						for i, e := range events {
							if i%2 == 0 {
								e.Tag = "1"
								there = append(there, e)
							} else {
								e.Tag = "2"
								lost = append(lost, e)
							}
						}
						succeed(t, http.MethodPut, url+"/"+good, "")
						succeed(t, http.MethodPut, url+"/"+bad, test.before)
						for name, its := range map[string][]core.Event{good: there, bad: lost} {
							if kind == "alias" {
								succeed(t, http.MethodPost, url+"/_aliases", `{"actions":[{"add":{"indices":["`+good+`","`+bad+`"],"alias":"`+index+`","is_write_index":false}},{"add":{"index":"`+name+`","alias":"`+index+`","is_write_index":true}}]}`)
							}
							if err := s.Save(t.Context(), its); err != nil {
								t.Fatal(err)
							}
						}
						if err := s.Flush(t.Context()); err != nil {
							t.Fatal(err)
						}
						if test.after != "" {
							succeed(t, http.MethodPost, url+"/"+bad+test.after, "")
						}
						wantBeside(t, s, there, append(test.words, bad)...)
						if test.after == "/_close" {
							succeed(t, http.MethodPost, url+"/"+bad+"/_open?wait_for_active_shards=1", "")
							estest.Do(t, http.MethodGet, url+"/_cluster/health/"+bad+"?wait_for_status=yellow", "")
							wantBeside(t, s, append(lost, there...))
							succeed(t, http.MethodPost, url+"/"+good+","+bad+"/_close", "")
							wantBeside(t, s, nil, "closed", good, bad)
						}
					})
				}
			})
		})
	}
}

// TestAnEventThatTheServerCannotGive: its neighbours are read.
func TestAnEventThatTheServerCannotGive(t *testing.T) {
	estest.Each(t, func(t *testing.T, url string) {
		index := estest.Index(t, url)
		p := newProxy(t, url)
		s := openOn(t, p.URL, index, esstore.Config{})
		events := sample(4)
		if err := s.Save(t.Context(), events); err != nil {
			t.Fatal(err)
		}
		if err := s.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		succeed(t, http.MethodPut, url+"/"+index+"-more", "")
		succeed(t, http.MethodPost, url+"/_aliases", `{"actions":[{"add":{"indices":["`+index+`","`+index+`-more"],"alias":"`+index+`-two"}}]}`)
		lost := events[3].ID.String()
		p.check = func(_ http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path == "/_mget" {
				body, err := io.ReadAll(r.Body)
				if err != nil {
					return false
				}
				// No server gives a document of a name that stands for two indices.
				body = bytes.Replace(body, []byte(`"`+index+`","_id":"`+lost), []byte(`"`+index+`-two","_id":"`+lost), 1)
				r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
				r.Header.Del("Content-Length")
			}
			return true
		}
		page, err := s.Read(t.Context(), core.Query{})
		if err == nil || !strings.Contains(err.Error(), lost) || len(page.Events) != 3 {
			t.Errorf("beside an event that cannot be given Read gives %d events, %v; want 3 and an error that names it", len(page.Events), err)
		}
		page, err = s.Read(t.Context(), core.Query{Limit: 2})
		if err == nil || len(page.Events) != 2 || page.Next == "" {
			t.Errorf("the first page has %d events, next %q, %v; want 2, another page and an error", len(page.Events), page.Next, err)
		}
		page, err = s.Read(t.Context(), core.Query{Limit: 2, After: page.Next})
		if err != nil || len(page.Events) != 1 || page.Events[0].ID != events[0].ID {
			t.Errorf("the page behind has %d events, %v; want the oldest alone", len(page.Events), err)
		}
	})
}

// TestWhoMayNotSeeIndices reads all the same, with a warning.
func TestWhoMayNotSeeIndices(t *testing.T) {
	estest.Each(t, func(t *testing.T, url string) {
		p := newProxy(t, url)
		var log bytes.Buffer
		s := openOn(t, p.URL, estest.Index(t, url), esstore.Config{Logger: slog.New(slog.NewTextHandler(&log, nil))})
		events := sample(4)
		if err := s.Save(t.Context(), events); err != nil {
			t.Fatal(err)
		}
		p.check = func(w http.ResponseWriter, r *http.Request) bool {
			return !strings.Contains(r.URL.Path, "/_settings") || !refuse(w, http.StatusForbidden, `{"error":{"type":"security_exception","reason":"no"}}`)
		}
		if err := s.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		wantBeside(t, s, events)
		if n := strings.Count(log.String(), "view_index_metadata"); n != 1 {
			t.Errorf("the log is %q; want it to say once which right is missing", log.String())
		}
	})
}
