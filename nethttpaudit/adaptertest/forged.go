package adaptertest

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/core/audittest"
)

// forgedNames are what an event says, under every name that it has anywhere.
var forgedNames = []string{
	"username", "user", "user.name", "User", "datetime", "time", "at", "dt", "ip", "host", "path", "request", "method", "peer", "forwarded", "route", "trace",
	"tag", "id", "for", "on_behalf_of", "OnBehalfOf", "target", "Target", "outcome", "Outcome", "reason", "Reason", "tenant", "Tenant", "service", "Service",
	"anonymous", "audit", "audit_id", "audit_tag", "audit_request", "audit_extra", "audit_outcome", "audit_reason", "audit_for", "audit_target", "audit_tenant",
	"audit_service", "AUDIT_TARGET", "event.outcome", "organization.id", "@timestamp",
}

// forgedFacts: whoever sends such names, in whichever way, changes fields and nothing else.
func forgedFacts(t *testing.T, a Adapter) {
	rec := audittest.New(t)
	s := newSite(t, a, Setup{Recorder: rec.Recorder(), User: func(*http.Request) (string, error) { return "alice", nil }})
	form, object := url.Values{}, map[string]any{}
	for _, name := range forgedNames {
		form.Set(name, "forged/1")
		object[name] = "forged/1"
	}
	body, err := json.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	// fromForm is how applications take all that a form or a query has.
	fromForm := func(r *http.Request) core.Fields {
		fields := core.Fields{}
		if err := r.ParseForm(); err != nil {
			t.Error(err)
		}
		for name := range r.Form {
			fields[name] = r.Form.Get(name)
		}
		return fields
	}
	fromJSON := func(r *http.Request) core.Fields {
		fields := core.Fields{}
		if err := json.NewDecoder(r.Body).Decode(&fields); err != nil {
			t.Error(err)
		}
		return fields
	}
	for name, c := range map[string]struct {
		query, contentType, body string
		fields                   func(*http.Request) core.Fields
	}{
		"a form":  {"", "application/x-www-form-urlencoded", form.Encode(), fromForm},
		"a query": {"?" + form.Encode(), "", "", fromForm},
		"JSON":    {"", "application/json", string(body), fromJSON},
	} {
		t.Run(name, func(t *testing.T) {
			rec.Reset()
			r, err := http.NewRequest(http.MethodPost, s.server.URL+"/x"+c.query, strings.NewReader(c.body))
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Content-Type", c.contentType)
			s.send(s.client, r, func(call *Call) {
				fields := c.fields(call.Request)
				if len(fields) != len(forgedNames) {
					t.Errorf("%d fields have come, want %d", len(fields), len(forgedNames))
				}
				wantNil(t, call.Audit("plain", fields))
				wantNil(t, call.Audit("stated", maps.Clone(fields), core.On("order", 1), core.Denied("why"), core.OnBehalfOf("bob")))
			})
			wantEvents(t, rec, 2)
			for _, want := range []core.Event{
				{Tag: "plain", User: "alice"},
				{Tag: "stated", User: "alice", OnBehalfOf: "bob", Target: "order/1", Outcome: core.OutcomeDenied, Reason: "why"},
			} {
				got := rec.Last(want.Tag)
				if got.User != want.User || got.OnBehalfOf != want.OnBehalfOf || got.Target != want.Target || got.Outcome != want.Outcome ||
					got.Reason != want.Reason || got.Tenant != "" || got.Service != "" || got.Time.IsZero() || got.Request.Path != "/x" || got.Request.IP != "127.0.0.1" {
					t.Errorf("audited %+v of %+v, want %+v", got, got.Request, want)
				}
				if names := slices.Sorted(maps.Keys(got.Fields)); !slices.Equal(names, slices.Sorted(slices.Values(forgedNames))) {
					t.Errorf("its fields are %q", names)
				}
			}
		})
	}
}
