package adaptertest

import (
	"net/http"
	"testing"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/core/audittest"
)

// nestedCases: a Middleware inside another.
var nestedCases = []adapterCase{
	{name: "an inner middleware without users has the outer's", run: innerWithoutUsers},
	{name: "an inner middleware with users of its own", run: innerWithUsers},
	{name: "the framework's session with an inner middleware", run: innerContrib, contrib: true},
}

func as(user string) func(*http.Request) (string, error) {
	return func(*http.Request) (string, error) { return user, nil }
}

func innerWithoutUsers(t *testing.T, a Adapter) {
	outer, inner := audittest.New(t), audittest.New(t)
	for _, rec := range []*audittest.Recording{nil, inner} {
		setup := Setup{Around: &Setup{Recorder: outer.Recorder(), User: as("outer")}}
		got := outer
		if rec != nil {
			setup.Recorder, got = rec.Recorder(), rec
		}
		setup.Layer = func(c *Call, next func()) { next(); auditAll(t, c, "after") }
		outer.Reset()
		newSite(t, a, setup).get("/x", func(c *Call) { auditAll(t, c, "within") })
		wantAll(t, got, "within", "outer")
		wantAll(t, outer, "after", "outer")
	}
}

func innerWithUsers(t *testing.T, a Adapter) {
	outer, inner := audittest.New(t), audittest.New(t)
	setup := Setup{Recorder: inner.Recorder(), User: as("inner"), Around: &Setup{Recorder: outer.Recorder(), User: as("outer")}}
	setup.Layer = func(c *Call, next func()) {
		auditAll(t, c, "before")
		next()
		auditAll(t, c, "after")
	}
	newSite(t, a, setup).get("/x", func(c *Call) { auditAll(t, c, "within") })
	wantAll(t, outer, "before", "outer")
	wantAll(t, inner, "within", "inner")
	wantAll(t, outer, "after", "outer")
}

func innerContrib(t *testing.T, a Adapter) {
	rec, store := audittest.New(t), newServerStore()
	s := newSite(t, a, Setup{
		Contrib: &SessionUser{Store: store, Name: sessionName}, Around: &Setup{Recorder: rec.Recorder()},
		Layer: func(c *Call, next func()) { next(); auditAll(t, c, "after") },
	})
	s.get("/login", func(c *Call) {
		c.change(t, store, func(values map[any]any) { values["username"] = "alice" })
		auditAll(t, c, "within")
	})
	wantAll(t, rec, "within", "alice")
	wantAll(t, rec, "after", "alice")
}

// auditAll audits in each way that there is.
func auditAll(t *testing.T, c *Call, tag string) {
	t.Helper()
	wantNil(t, c.Audit(tag, nil))
	wantNil(t, core.Audit(c.Request.Context(), tag, nil))
	wantNil(t, core.Audit(c.Detach(), tag, nil))
}

func wantAll(t *testing.T, rec *audittest.Recording, tag, user string) {
	t.Helper()
	events := rec.ByTag(tag)
	if len(events) != 3 {
		t.Errorf("%s: %d events, want 3", tag, len(events))
	}
	for _, e := range events {
		if e.User != user {
			t.Errorf("%s: the user is %s, want %s", tag, e.User, user)
		}
	}
}
