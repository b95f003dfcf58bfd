package adaptertest

import (
	"context"
	"net/http"
	"testing"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/core/audittest"
)

// madeRequestID: what a layer made is in the logs, so it beats what came in.
func madeRequestID(t *testing.T, a Adapter) {
	rec := audittest.New(t)
	s := newSite(t, a, Setup{Recorder: rec.Recorder()})
	for _, c := range []struct{ incoming, made, want string }{
		{"", "made-1", "made-1"}, {"client-1", "made-2", "made-2"}, {"client-2", "", "client-2"}, {"", "", ""},
	} {
		s.before = func(w http.ResponseWriter) {
			if c.made != "" {
				w.Header().Set("X-Request-ID", c.made)
			}
		}
		r := s.request("/x")
		if c.incoming != "" {
			r.Header.Set("X-Request-ID", c.incoming)
		}
		if got := s.asked(rec, r).ID; got != c.want {
			t.Errorf("incoming %q, made %q: ID %q, want %q", c.incoming, c.made, got, c.want)
		}
	}
	// It is known once the request is over, too.
	s.before = func(w http.ResponseWriter) { w.Header().Set("X-Request-ID", "made-3") }
	var ctx context.Context
	s.get("/x", func(c *Call) { ctx = c.Request.Context() })
	wantNil(t, core.Audit(ctx, "late", nil, core.As("alice")))
	if id := rec.Last("late").Request.ID; id != "made-3" {
		t.Errorf("after the request: ID %q", id)
	}
}

// requestIDInContext is how chi's middleware keeps it, which may stand inside.
func requestIDInContext(t *testing.T, a Adapter) {
	rec, inner := audittest.New(t), "inner-1"
	s := newSite(t, a, Setup{
		Recorder: rec.Recorder(),
		RequestID: func(r *http.Request) string {
			id, _ := r.Context().Value(userKey{}).(string)
			return id
		},
		Inner: func(r *http.Request) *http.Request { return withUser(r, inner) },
	})
	r := s.request("/x")
	r.Header.Set("X-Request-ID", "client-1")
	if got := s.asked(rec, r).ID; got != "inner-1" {
		t.Errorf("ID %q, want that of the context", got)
	}
	s.get("/y", func(c *Call) { wantNil(t, core.Audit(c.Request.Context(), "by the context", nil, core.As("alice"))) })
	if got := rec.Last("by the context").Request.ID; got != "inner-1" {
		t.Errorf("ID %q, want that of the context", got)
	}
	inner = ""
	if got := s.asked(rec, r).ID; got != "client-1" {
		t.Errorf("ID %q, want the header's where the context has none", got)
	}
}
