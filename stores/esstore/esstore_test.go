package esstore_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	neturl "net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/core/auditjson"
	"github.com/auditing-go/auditing/stores"
	"github.com/auditing-go/auditing/stores/esstore"
	"github.com/auditing-go/auditing/stores/esstore/estest"
	"github.com/auditing-go/auditing/stores/storetest"
)

func TestMain(m *testing.M) { estest.Main(m) }

// openOn opens a store on url under a name of the test's own.
func openOn(t testing.TB, url, index string, cfg esstore.Config) *esstore.Store {
	t.Helper()
	s, err := esstore.Open(t.Context(), url+"/"+index, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestContract(t *testing.T) {
	estest.Each(t, func(t *testing.T, url string) {
		names := map[core.Store]string{}
		p := newProxy(t, url)
		outage := func(name string, status int, body string) storetest.Option {
			return storetest.Outage(name, func(*testing.T, core.Store) func() {
				p.check = func(w http.ResponseWriter, _ *http.Request) bool { return !refuse(w, status, body) }
				return func() { p.check = nil }
			})
		}
		open := func(t *testing.T) core.Store {
			index := estest.Index(t, url)
			s := openOn(t, p.URL, index, esstore.Config{})
			names[s] = index
			return s
		}
		// Either driver opens either server.
		reopen := func(t *testing.T, first core.Store) core.Store {
			s, err := stores.Open(t.Context(), "opensearch", url+"/"+names[first])
			if err != nil {
				t.Fatal(err)
			}
			return s.(*esstore.Store)
		}
		storetest.Run(t, open, storetest.Reopen(reopen),
			outage("no rights", http.StatusForbidden, `{"error":{"type":"security_exception","reason":"no"}}`),
			outage("a proxy without a server", http.StatusNotFound, `<html>default backend</html>`))
	})
}

// sample makes n events.
func sample(n int) []core.Event {
	events := make([]core.Event, n)
	for i := range events {
		events[i] = core.Event{
			Tag: "refund", User: "alice", Time: time.Date(2026, 11, 23, 10, 0, 0, i*1000, time.UTC),
			Request: &core.Request{Path: "/refund", Host: "shop.example", IP: "203.0.113.9", Method: "POST", UserAgent: "curl/8"},
			Fields:  core.Fields{"order": i, "amount": 9.5, "what": "a book"},
		}.Normalize(0)
	}
	return events
}

// readAll flushes and returns every event that matches q.
func readAll(t *testing.T, s *esstore.Store, q core.Query) []core.Event {
	t.Helper()
	if err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	q.Limit = core.MaxLimit
	var all []core.Event
	for {
		page, err := s.Read(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, page.Events...)
		if q.After = page.Next; q.After == "" {
			return all
		}
	}
}

// wantAll checks that the store holds exactly events.
func wantAll(t *testing.T, s *esstore.Store, events []core.Event) {
	t.Helper()
	got := readAll(t, s, core.Query{})
	if len(got) != len(events) {
		t.Fatalf("%d events are there, want %d", len(got), len(events))
	}
	want := slices.SortedFunc(slices.Values(events), core.Event.Compare)
	for i := range got {
		if got[i].ID != want[i].ID || !auditjson.Equal(map[string]any(got[i].Fields), map[string]any(want[i].Fields)) {
			t.Fatalf("event %d is %s %v, want %s %v", i, got[i].ID, got[i].Fields, want[i].ID, want[i].Fields)
		}
	}
}

// count asks the server itself how many documents of an index match a query string.
func count(t *testing.T, url, index, query string) int {
	t.Helper()
	path := url + "/" + index + "/_count?ignore_unavailable=true&q=" + neturl.QueryEscape(query)
	status, body := estest.Do(t, http.MethodGet, path, "")
	var answer struct{ Count int }
	if err := json.Unmarshal([]byte(body), &answer); err != nil || status != http.StatusOK {
		t.Fatalf("GET %s: %d %s", path, status, body)
	}
	return answer.Count
}

func TestNamesToSearchBy(t *testing.T) {
	estest.Each(t, func(t *testing.T, url string) {
		index := estest.Index(t, url)
		s := openOn(t, url, index, esstore.Config{})
		events := sample(3)
		events[1].User, events[1].Tag = "bob", "login"
		events[2].Request = nil
		if err := s.Save(t.Context(), events); err != nil {
			t.Fatal(err)
		}
		wantAll(t, s, events)
		for query, want := range map[string]int{
			`tag:refund`:         2,
			`event.action:login`: 1,
			`event.id:"` + events[0].ID.String() + `"`: 1,
			`user.name:bob`:                         1,
			`source.ip:"203.0.113.0/24"`:            2,
			`url.path:"/refund"`:                    2,
			`url.domain:shop.example`:               2,
			`http.request.method:POST`:              2,
			`user_agent.original:"curl/8"`:          2,
			`labels.order:1`:                        1,
			`labels.amount:9.5`:                     3,
			`labels.what:"a book"`:                  3,
			`@timestamp:[2026-11-23 TO 2026-11-24]`: 3,
			// The names of the Python library's documents.
			`username:alice`:                      2,
			`host:shop.example`:                   2,
			`path:"/refund"`:                      2,
			`ip:"203.0.113.9"`:                    2,
			`datetime:[2026-11-23 TO 2026-11-24]`: 3,
		} {
			if got := count(t, url, index, query); got != want {
				t.Errorf("%s finds %d documents, want %d", query, got, want)
			}
		}
	})
}

func TestMonthly(t *testing.T) {
	estest.Each(t, func(t *testing.T, url string) {
		index := estest.Index(t, url)
		s := openOn(t, url, index+"?monthly=true", esstore.Config{})
		events := sample(4)
		events[0].Time = time.Date(2025, 1, 31, 23, 59, 59, 0, time.UTC)
		events[1].Time = time.Date(2025, 2, 1, 0, 0, 0, 0, time.UTC)
		for range 2 {
			if err := s.Save(t.Context(), events); err != nil {
				t.Fatal(err)
			}
		}
		wantAll(t, s, events)
		for month, want := range map[string]int{"2025.01": 1, "2025.02": 1, "2026.11": 2} {
			if got := count(t, url, index+"-"+month, "labels.order:*"); got != want {
				t.Errorf("%s has %d events, want %d: the template does not cover it, or they went elsewhere", month, got, want)
			}
		}
	})
}

// TestRoute: an event is never lost to a name that the template does not cover.
func TestRoute(t *testing.T) {
	estest.Each(t, func(t *testing.T, url string) {
		index := estest.Index(t, url)
		names := []string{index + "-eu", index, "others", index + "-Upper", index + "-*", index + "-dead-letter", ""}
		s := openOn(t, url, index, esstore.Config{Route: func(e core.Event) string {
			return names[e.Fields["order"].(int64)]
		}})
		events := sample(len(names))
		for range 2 {
			if err := s.Save(t.Context(), events); err != nil {
				t.Fatal(err)
			}
		}
		wantAll(t, s, events)
		for name, want := range map[string]int{index + "-eu": 1, index: len(names) - 1, index + "-dead-letter": 0} {
			if got := count(t, url, name, "*"); got != want {
				t.Errorf("%s has %d events, want %d", name, got, want)
			}
		}
	})
}

func TestAliasWithAWriteIndex(t *testing.T) {
	estest.Each(t, func(t *testing.T, url string) {
		index := estest.Index(t, url)
		s := openOn(t, url, index, esstore.Config{})
		point := func(to string, writing bool) {
			t.Helper()
			body := fmt.Sprintf(`{"aliases":{%q:{"is_write_index":%t}}}`, index, writing)
			if status, answer := estest.Do(t, http.MethodPut, url+"/"+to, body); status != http.StatusOK {
				t.Fatalf("creating %s: %d %s", to, status, answer)
			}
		}
		point(index+"-000001", true)
		events := sample(5)
		if err := s.Save(t.Context(), events); err != nil {
			t.Fatal(err)
		}
		if status, answer := estest.Do(t, http.MethodPost, url+"/_aliases", fmt.Sprintf(
			`{"actions":[{"add":{"index":%q,"alias":%q,"is_write_index":false}}]}`, index+"-000001", index)); status != http.StatusOK {
			t.Fatalf("%d %s", status, answer)
		}
		point(index+"-000002", true)
		// After a rollover an event that is written again stands there twice, and is read once.
		if err := s.Save(t.Context(), events); err != nil {
			t.Fatal(err)
		}
		wantAll(t, s, events)
		if got := count(t, url, index, "tag:refund"); got != 10 {
			t.Errorf("%d documents behind the alias, want 10: the comment on duplicates is wrong", got)
		}
	})
}

func TestOpenAtOnceAndWithOtherNeeds(t *testing.T) {
	estest.Each(t, func(t *testing.T, url string) {
		index := estest.Index(t, url)
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				s, err := esstore.Open(t.Context(), url+"/"+index, esstore.Config{})
				if err != nil {
					t.Errorf("Open number %d at once: %v", i, err)
					return
				}
				defer s.Close(t.Context())
				if err := s.Save(t.Context(), sample(1)); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		openOn(t, url, index+"?monthly=true", esstore.Config{})
		openOn(t, url, index, esstore.Config{})
		_, body := estest.Do(t, http.MethodGet, url+"/_index_template/auditing-"+index, "")
		if !strings.Contains(body, `"`+index+`-*"`) || !strings.Contains(body, `"version":3`) {
			t.Errorf("the template is %s; want it to cover the months, and its version", body)
		}
	})
}

// TestTemplateOfAnother: what a newer program or a person has installed stays.
func TestTemplateOfAnother(t *testing.T) {
	estest.Each(t, func(t *testing.T, url string) {
		index := estest.Index(t, url)
		path := url + "/_index_template/auditing-" + index
		theirs := fmt.Sprintf(`{"index_patterns":[%q],"priority":600,"version":99,"template":{"settings":{"index.number_of_replicas":0}}}`, index)
		if status, body := estest.Do(t, http.MethodPut, path, theirs); status != http.StatusOK {
			t.Fatal(body)
		}
		_, before := estest.Do(t, http.MethodGet, path, "")
		s := openOn(t, url, index, esstore.Config{})
		if _, after := estest.Do(t, http.MethodGet, path, ""); after != before {
			t.Errorf("the template is now %s; want it to stay %s", after, before)
		}
		if err := s.Save(t.Context(), sample(3)); err != nil {
			t.Fatal(err)
		}
	})
}

func TestWarnings(t *testing.T) {
	estest.Each(t, func(t *testing.T, url string) {
		var log bytes.Buffer
		logger := slog.New(slog.NewTextHandler(&log, nil))
		index := estest.Index(t, url)
		openOn(t, url, index+"?template=false", esstore.Config{Logger: logger})
		if !strings.Contains(log.String(), "is not there") {
			t.Errorf("without a template Open logs %q", log.String())
		}
		if status, _ := estest.Do(t, http.MethodGet, url+"/_index_template/auditing-"+index, ""); status != http.StatusNotFound {
			t.Errorf("with template=false the template has status %d, want 404", status)
		}
		log.Reset()
		openOn(t, url, index, esstore.Config{Logger: logger})
		openOn(t, url, index+"?template=false", esstore.Config{Logger: logger})
		if log.Len() > 0 {
			t.Errorf("with nothing to warn about Open logs %q", log.String())
		}
		if status, body := estest.Do(t, http.MethodPut, url+"/"+index, `{"settings":{"index.translog.durability":"async"}}`); status != http.StatusOK {
			t.Fatal(body)
		}
		openOn(t, url, index, esstore.Config{Logger: logger})
		if !strings.Contains(log.String(), "index.translog.durability") || !strings.Contains(log.String(), index) {
			t.Errorf("on an index with an asynchronous translog Open logs %q", log.String())
		}
	})
}
