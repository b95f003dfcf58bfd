package esstore

import (
	"bytes"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/stores/esstore/estest"
)

// TestWhatOthersChange: what makes audits less durable or unreadable is said when a
// store meets it, once, and at the next start.
func TestWhatOthersChange(t *testing.T) {
	estest.Each(t, func(t *testing.T, url string) {
		do := func(method, path, body string) {
			t.Helper()
			if status, answer := estest.Do(t, method, url+path, body); status != http.StatusOK && status != http.StatusCreated && (method != http.MethodDelete || status != http.StatusNotFound) {
				t.Fatalf("%s %s: %d %s", method, path, status, answer)
			}
		}
		var log bytes.Buffer
		cfg := Config{Logger: slog.New(slog.NewTextHandler(&log, nil))}
		open := func(dsn string) *Store {
			t.Helper()
			s, err := Open(t.Context(), url+"/"+dsn, cfg)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { s.Close(t.Context()) })
			return s
		}
		says := func(when string, words ...string) {
			t.Helper()
			for _, w := range words {
				if strings.Count(log.String(), w) != 1 {
					t.Errorf("%s the log is %q; want it to say %q once", when, log.String(), w)
				}
			}
			if len(words) == 0 && log.Len() > 0 {
				t.Errorf("%s the log is %q, want nothing", when, log.String())
			}
			log.Reset()
		}
		event := core.Event{Tag: "Re-fund", User: "alice", Time: time.Now(), Fields: core.Fields{"n": 1}}.Normalize(0)

		index := estest.Index(t, url)
		s := open(index)
		if err := s.Save(t.Context(), []core.Event{event}); err != nil {
			t.Fatal(err)
		}
		do(http.MethodPut, "/"+index+"/_doc/foreign?refresh=true", `{"audit":{"micros":1},"event":{"id":"x"}}`)
		s.review(t.Context())
		says("with nothing to say")
		page, err := s.Read(t.Context(), core.Query{})
		if err != nil || len(page.Events) != 1 || page.Events[0].ID != event.ID {
			t.Errorf("beside a foreign document Read gives %d events, %v", len(page.Events), err)
		}
		says("after a Read beside a foreign document", "foreign")
		do(http.MethodPut, "/"+index+"/_settings", `{"index.translog.durability":"async"}`)
		for range 2 {
			s.review(t.Context())
		}
		says("while the translog is asynchronous", "index.translog.durability")
		do(http.MethodPut, "/"+index+"/_settings", `{"index.translog.durability":"request"}`)
		s.review(t.Context())
		says("when that is over")

		const theirs = `{"priority":9000,"template":{"mappings":{"dynamic":%},"settings":{"index.number_of_replicas":0}},"index_patterns":["`
		for _, dynamic := range []string{"true", "false"} {
			name := index + "-theirs"
			do(http.MethodPut, "/_index_template/"+name, strings.Replace(theirs, "%", dynamic, 1)+index+`"]}`)
			s.review(t.Context())
			says("with a template that goes before", "goes before auditing-"+index)
			do(http.MethodDelete, "/"+index, "")
			if err := s.Save(t.Context(), []core.Event{event}); err != nil {
				t.Fatal(err)
			}
			if err := s.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			s.whole.Lock()
			s.whole.at = time.Time{} // as a second later
			s.whole.Unlock()
			if _, err = s.Read(t.Context(), core.Query{}); err == nil || !strings.Contains(err.Error(), index) || !strings.Contains(err.Error(), "made without the index template") {
				t.Errorf("dynamic %s: Read: %v; want an error that names the index and what to do", dynamic, err)
			}
			s.review(t.Context())
			says("with an index without its mapping", "cannot be read")
			open(index)
			says("at a start", "cannot be read", "goes before")
			do(http.MethodDelete, "/_index_template/"+name, "")
			do(http.MethodDelete, "/"+index, "")
			s.review(t.Context())
			says("when that is over")
		}
		do(http.MethodDelete, "/_index_template/auditing-"+index, "")
		s.health.next.Store(1)
		if err := s.Save(t.Context(), []core.Event{event}); err != nil {
			t.Fatal(err)
		}
		if s.health.next.Load() < time.Now().UnixNano() {
			t.Error("a Save looks at nothing")
		}
		if err := s.Close(t.Context()); err != nil { // which may be before it looked
			t.Fatal(err)
		}
		log.Reset()
		open(index + "?template=false")
		says("at a start without a template", "is not there", "cannot be read")
	})
}
