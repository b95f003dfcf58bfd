package esstore_test

import (
	"bytes"
	"errors"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/core/auditjson"
	"github.com/auditing-go/auditing/stores/esstore"
	"github.com/auditing-go/auditing/stores/esstore/estest"
)

// TestRejectedAsAWhole is about a filter in front of the server that looks into the
// events: the culprits wait, for the filter may change, and their neighbours are stored.
func TestRejectedAsAWhole(t *testing.T) {
	estest.Each(t, func(t *testing.T, url string) {
		p := newProxy(t, url)
		p.answer = func(w http.ResponseWriter, _ *http.Request, body []byte, _ func() *httptest.ResponseRecorder) bool {
			return bytes.Contains(body, []byte(`"what":"1 OR 1=1"`)) && refuse(w, http.StatusForbidden, `<html>Request blocked</html>`)
		}
		s := openOn(t, p.URL, estest.Index(t, url), esstore.Config{})
		events := sample(100)
		events[41].Fields["what"], events[42].Fields["what"] = "1 OR 1=1", "1 OR 1=1"
		var batch *core.BatchError
		if err := s.Save(t.Context(), events); !errors.As(err, &batch) || len(batch.Failures) != 2 {
			t.Fatalf("Save: %v; want 2 events to fail", err)
		}
		for i, f := range batch.Failures {
			if f.Index != 41+i || f.Refused() || f.Unknown || !strings.Contains(f.Err.Error(), "403") {
				t.Errorf("failure %+v; want event %d to wait", f, 41+i)
			}
		}
		wantAll(t, s, append(slices.Clone(events[:41]), events[43:]...))
		p.answer = nil
		saveAtLast(t, s, events)
		wantAll(t, s, events)
	})
}

// TestOutagesOfAnIndex: the server answers 400 also for what is no fault of an event.
func TestOutagesOfAnIndex(t *testing.T) {
	estest.Each(t, func(t *testing.T, url string) {
		do := func(method, path, body string) {
			t.Helper()
			if status, answer := estest.Do(t, method, url+path, body); status != http.StatusOK {
				t.Fatalf("%s %s: %d %s", method, path, status, answer)
			}
		}
		for name, test := range map[string]struct {
			begin, end func(index string)
			hint       string
		}{
			"closed": {
				func(index string) { do(http.MethodPut, "/"+index, ""); do(http.MethodPost, "/"+index+"/_close", "") },
				func(index string) { do(http.MethodPost, "/"+index+"/_open", "") }, "open the index",
			},
			"alias without a write index": {
				func(index string) {
					do(http.MethodPut, "/"+index+"-000001", `{"aliases":{"`+index+`":{}}}`)
					do(http.MethodPut, "/"+index+"-000002", `{"aliases":{"`+index+`":{}}}`)
				},
				func(index string) { do(http.MethodDelete, "/"+index+"-000001", "") }, "write index",
			},
			"no room for a shard": {
				func(index string) {
					// Others may use the server now: only this index needs many shards.
					do(http.MethodPut, "/_index_template/"+index+"-shards", `{"index_patterns":["`+index+`"],"priority":9000,"template":{"settings":{"index.number_of_shards":1001}}}`)
				},
				func(index string) { do(http.MethodDelete, "/_index_template/"+index+"-shards", "") }, "shards",
			},
			"pipeline that is gone": {
				func(index string) { do(http.MethodPut, "/"+index, `{"settings":{"index.default_pipeline":"gone"}}`) },
				func(index string) { do(http.MethodPut, "/"+index+"/_settings", `{"index.default_pipeline":null}`) }, "pipeline",
			},
		} {
			t.Run(name, func(t *testing.T) {
				index := estest.Index(t, url)
				s := openOn(t, url, index, esstore.Config{Logger: slog.New(slog.DiscardHandler)})
				test.begin(index)
				f := onlyFailure(t, s.Save(t.Context(), sample(1)))
				if f.Refused() || f.Unknown || !strings.Contains(f.Err.Error(), test.hint) {
					t.Errorf("failure %+v; want an outage that says %q", f, test.hint)
				}
				test.end(index)
				events := sample(3)
				saveAtLast(t, s, events)
				wantAll(t, s, events)
				if got := s.Stats(); got.DeadLettered > 0 {
					t.Errorf("%+v; want no event in the dead-letter index", got)
				}
			})
		}
	})
}

func TestRefusedEvents(t *testing.T) {
	estest.Each(t, func(t *testing.T, url string) {
		index := estest.Index(t, url)
		var log bytes.Buffer
		// A mapping that was not made for audits: it takes no label "order" that is no
		// number, and no path at all.
		mapping := `{"mappings":{"properties":{"audit":{"properties":{"micros":{"type":"long"},"fields":{"type":"object","enabled":false}}},
			"event":{"properties":{"id":{"type":"keyword"}}},"tag":{"type":"keyword"},
			"labels":{"properties":{"order":{"type":"long"}}},"url":{"properties":{"path":{"type":"object"}}}}}}`
		if status, body := estest.Do(t, http.MethodPut, url+"/"+index, mapping); status != http.StatusOK {
			t.Fatal(body)
		}
		s := openOn(t, url, index, esstore.Config{Logger: slog.New(slog.NewTextHandler(&log, nil))})
		events := sample(4)
		for i := range events {
			events[i].Request = nil
		}
		events[1].Fields["order"] = "hunter2"
		events[2].Request = &core.Request{Path: "/hunter2", Host: "shop", UserAgent: "x"}
		events[2].Fields["big"] = uint64(math.MaxUint64)
		if err := s.Save(t.Context(), events); err != nil {
			t.Fatal(err)
		}
		wantAll(t, s, events)
		if got := s.Stats(); got.Stored != 4 || got.Unsearchable != 1 || got.DeadLettered != 1 || got.Failed != 0 {
			t.Errorf("%+v; want 4 stored, 1 without labels, 1 in the dead-letter index", got)
		}
		if got := count(t, url, index, "audit.unsearchable:true"); got != 1 {
			t.Errorf("%d documents are marked as not searchable, want 1", got)
		}
		_, found := estest.Do(t, http.MethodGet, url+"/"+index+"-dead-letter/_search", "")
		if !strings.Contains(found, `\"path\":\"/hunter2\"`) || !strings.Contains(found, `"reason":`) {
			t.Errorf("the dead letter is %s; want the event as one text, and the reason", found)
		}
		// Events without labels are found by their fields all the same.
		for _, q := range []core.Query{{Fields: core.Fields{"order": "hunter2"}}, {Fields: core.Fields{"order": 2}, Tag: "refund"}} {
			if got := readAll(t, s, q); len(got) != 1 {
				t.Errorf("%v finds %d events, want 1", q.Fields, len(got))
			}
		}
		for _, e := range readAll(t, s, core.Query{Fields: core.Fields{"order": 2}}) {
			if *e.Request != *events[2].Request || !auditjson.Equal(e.Fields["big"], uint64(math.MaxUint64)) {
				t.Errorf("the dead letter comes back as %+v", e)
			}
		}
		if strings.Contains(log.String(), "hunter2") || !strings.Contains(log.String(), events[2].ID.String()) {
			t.Errorf("the log is %q; want the event's id and none of its values", log.String())
		}

		// Where even the dead-letter index refuses, the caller learns it, of this event alone.
		if status, body := estest.Do(t, http.MethodPut, url+"/"+index+"-none", `{"mappings":{"properties":{"audit":{"type":"long"}}}}`); status != http.StatusOK {
			t.Fatal(body)
		}
		s = openOn(t, url, index+"?dead_letter="+index+"-none", esstore.Config{})
		again := sample(3)
		again[0].Request, again[2].Request = nil, nil
		again[1].Request.Path = "/hunter2"
		f := onlyFailure(t, s.Save(t.Context(), again))
		if f.Index != 1 || f.Retry || f.Unknown || strings.Contains(f.Err.Error(), "hunter2") {
			t.Errorf("failure %+v; want event 1 to fail for good, without its values", f)
		}
		if got := s.Stats(); got.Stored != 2 || got.Failed != 1 {
			t.Errorf("%+v; want 2 stored and 1 failed", got)
		}
	})
}
