package esstore_test

import (
	"bytes"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/core/auditjson"
	"github.com/auditing-go/auditing/stores/esstore"
	"github.com/auditing-go/auditing/stores/esstore/estest"
)

// TestRefusedAsAWhole is about a request that the server does not take apart: the
// culprit is found and its neighbours are stored.
func TestRefusedAsAWhole(t *testing.T) {
	estest.Each(t, func(t *testing.T, url string) {
		p := newProxy(t, url)
		poison := func(body []byte) bool { return bytes.Contains(body, []byte(`"what":"poison"`)) }
		p.answer = func(w http.ResponseWriter, _ *http.Request, body []byte, _ func() *httptest.ResponseRecorder) bool {
			return poison(body) && refuse(w, http.StatusBadRequest, `{"error":{"type":"illegal_argument_exception","reason":"malformed line"},"status":400}`)
		}
		index := estest.Index(t, url)
		s := openOn(t, p.URL, index, esstore.Config{Logger: slog.New(slog.DiscardHandler)})
		events := sample(100)
		events[41].Fields["what"], events[42].Fields["what"] = "poison", "poison"
		if err := s.Save(t.Context(), events); err != nil {
			t.Fatal(err)
		}
		wantAll(t, s, events)
		if got := s.Stats(); got.DeadLettered != 2 || got.Stored != 100 {
			t.Errorf("%+v; want 100 stored, 2 of them in the dead-letter index", got)
		}
		if got := count(t, url, index+"-dead-letter", "*"); got != 2 {
			t.Errorf("%d documents in the dead-letter index, want 2", got)
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
