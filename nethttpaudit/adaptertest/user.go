package adaptertest

import (
	"errors"
	"fmt"
	"net/http"
	"sync"
	"testing"

	"github.com/gorilla/sessions"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/core/audittest"
)

// userCases: who acts.
var userCases = []adapterCase{
	{name: "signed in by the session", run: signedIn},
	{name: "sign-in and sign-out within one request", run: signInAndOut},
	{name: "sign-in with a new session", run: signInWithNewSession},
	{name: "As beats the session", run: asBeatsSession},
	{name: "nobody is cancelled", run: nobody},
	{name: "nobody is an error with RequireUser", run: requireUser},
	{name: "user set by an inner middleware", run: innerUser},
	{name: "user function fails", run: userFails},
	{name: "user function panics", run: userPanics},
	{name: "options are asked in their order", run: optionsInOrder},
	{name: "every context leads to the audit", run: everyContext},
	{name: "the audit's own store fails", run: auditStoreFails},
	{name: "many users at once", run: manyUsers},
	{name: "several goroutines of one request", run: severalGoroutines},
}

func bySession(rec *audittest.Recording, store sessions.Store) Setup {
	return Setup{Recorder: rec.Recorder(), SessionUsers: []SessionUser{{Store: store, Name: sessionName}}}
}

func byContrib(rec *audittest.Recording, store sessions.Store) Setup {
	return Setup{Recorder: rec.Recorder(), Contrib: &SessionUser{Store: store, Name: sessionName}}
}

func signedIn(t *testing.T, a Adapter) {
	rec, store := audittest.New(t), cookieStore()
	s := newSite(t, a, bySession(rec, store))
	s.signIn(store, "alice")
	s.get("/refund", func(c *Call) {
		wantNil(t, c.Audit("refund", core.Fields{"order": 42, "amount": 9.5}))
	})
	wantUser(t, rec, "refund", "alice")
	e := rec.Last("refund")
	if e.Fields["order"] != int64(42) || e.Fields["amount"] != 9.5 {
		t.Errorf("fields %v", e.Fields)
	}
	if e.Request == nil || e.Request.Path != "/refund" {
		t.Errorf("request %+v", e.Request)
	}
}

func signInAndOut(t *testing.T, a Adapter) {
	rec, store := audittest.New(t), newServerStore()
	setup := bySession(rec, store)
	// The copy keeps what the handler reads first from reaching the outer request.
	setup.Inner = func(r *http.Request) *http.Request { return withUser(r, "") }
	s := newSite(t, a, setup)
	name := func(user any) func(map[any]any) {
		return func(values map[any]any) { values["username"] = user }
	}
	s.get("/both", func(c *Call) {
		wantNil(t, c.Audit("before", nil))
		c.change(t, store, name("alice"))
		wantNil(t, c.Audit("in", nil))
		c.change(t, store, name("bob"))
		wantNil(t, c.Audit("switched", nil))
		c.change(t, store, func(values map[any]any) { clear(values) })
		wantNil(t, c.Audit("after", nil))
	})
	if reads := store.reads.Load(); reads != 1 {
		t.Errorf("the session was read %d times, want once for all layers", reads)
	}
	wantUser(t, rec, "in", "alice")
	wantUser(t, rec, "switched", "bob")
	wantEvents(t, rec, 2)
}

func asBeatsSession(t *testing.T, a Adapter) {
	rec, store := audittest.New(t), newServerStore()
	s := newSite(t, a, bySession(rec, store))
	s.signIn(store, "alice")
	store.failWith(func(*http.Request) error { return errors.New("must not be asked") })
	wantNil(t, s.audited("/x", "job", core.As("cron")))
	wantUser(t, rec, "job", "cron")
}

func nobody(t *testing.T, a Adapter) {
	rec := audittest.New(t)
	s := newSite(t, a, bySession(rec, newServerStore()))
	wantNil(t, s.audited("/x", "refund"))
	s.get("/again", func(c *Call) {
		for _, ctx := range c.Contexts {
			wantNil(t, core.Audit(ctx, "refund", nil))
		}
	})
	wantNothing(t, rec)

	s = newSite(t, a, Setup{Recorder: rec.Recorder(), User: func(*http.Request) (string, error) { return "", nil }})
	wantNil(t, s.audited("/x", "refund"))
	wantNothing(t, rec)

	s = newSite(t, a, Setup{Recorder: rec.Recorder()})
	wantNil(t, s.audited("/x", "refund"))
	wantNothing(t, rec)
}

func requireUser(t *testing.T, a Adapter) {
	rec := audittest.NewConfig(t, core.Config{RequireUser: true})
	s := newSite(t, a, bySession(rec, newServerStore()))
	wantError(t, s.audited("/x", "refund"), core.ErrNoUser)
	wantNothing(t, rec)
	wantNil(t, s.audited("/x", "refund", core.As("alice")))
	wantUser(t, rec, "refund", "alice")
}

func innerUser(t *testing.T, a Adapter) {
	rec := audittest.New(t)
	s := newSite(t, a, Setup{
		Recorder: rec.Recorder(),
		User:     userOf,
		Inner:    func(r *http.Request) *http.Request { return withUser(r, "inner") },
	})
	wantNil(t, s.audited("/x", "refund"))
	wantUser(t, rec, "refund", "inner")
	s.get("/y", func(c *Call) {
		wantNil(t, core.Audit(c.Request.Context(), "by the context", nil))
	})
	wantUser(t, rec, "by the context", "inner")
}

func userFails(t *testing.T, a Adapter) {
	rec, down := audittest.New(t), errors.New("directory is down")
	s := newSite(t, a, Setup{Recorder: rec.Recorder(), User: func(*http.Request) (string, error) { return "ignored", down }})
	wantError(t, s.audited("/x", "refund"), down)
	wantNothing(t, rec)
}

func userPanics(t *testing.T, a Adapter) {
	rec := audittest.New(t)
	s := newSite(t, a, Setup{Recorder: rec.Recorder(), User: func(*http.Request) (string, error) { panic("no directory") }})
	wantText(t, s.audited("/x", "refund"), "panicked", "no directory")
	wantNothing(t, rec)
	// The panic must leave nothing locked.
	wantText(t, s.audited("/x", "refund"), "panicked")
	wantNil(t, s.audited("/x", "refund", core.As("alice")))
	wantUser(t, rec, "refund", "alice")
}

func optionsInOrder(t *testing.T, a Adapter) {
	rec, first, second := audittest.New(t), newServerStore(), newServerStore()
	s := newSite(t, a, Setup{
		Recorder:     rec.Recorder(),
		SessionUsers: []SessionUser{{Store: first, Name: sessionName}, {Store: second, Name: "other"}},
		User:         func(*http.Request) (string, error) { return "function", nil },
	})
	wantNil(t, s.audited("/x", "by function"))
	wantUser(t, rec, "by function", "function")
	s.signIn(first, "alice")
	wantNil(t, s.audited("/x", "by session"))
	wantUser(t, rec, "by session", "alice")

	down := errors.New("the second store is down")
	second.failWith(func(*http.Request) error { return down })
	wantNil(t, s.audited("/x", "still by session"))
	wantUser(t, rec, "still by session", "alice")
	s.client = s.browser()
	wantError(t, s.audited("/x", "by nobody"), down)
}

func everyContext(t *testing.T, a Adapter) {
	rec, store := audittest.New(t), newServerStore()
	s := newSite(t, a, bySession(rec, store))
	s.signIn(store, "alice")
	want := 0
	s.get("/x", func(c *Call) {
		for i, ctx := range c.Contexts {
			if err := core.Audit(ctx, "refund", nil); err != nil {
				t.Errorf("context %d: %v", i, err)
			}
			if !core.HasOrigin(ctx) {
				t.Errorf("context %d has no origin", i)
			}
		}
		want = len(c.Contexts)
	})
	events := rec.ByTag("refund")
	if want == 0 || len(events) != want {
		t.Fatalf("%d events of %d contexts", len(events), want)
	}
	for i, e := range events {
		if e.User != "alice" || e.Request == nil || e.Request.Path != "/x" {
			t.Errorf("context %d: %+v %+v", i, e, e.Request)
		}
	}
}

func auditStoreFails(t *testing.T, a Adapter) {
	rec, full := audittest.New(t), errors.New("disk full")
	s := newSite(t, a, Setup{Recorder: rec.Recorder()})
	rec.Fail(full)
	wantError(t, s.audited("/x", "refund", core.As("alice")), full)
	rec.Fail(nil)
	wantNil(t, s.audited("/x", "refund", core.As("alice")))
	wantEvents(t, rec, 1)
}

// manyUsers also audits when requests are over and their contexts are in use for
// others: no event may ever name somebody else.
func manyUsers(t *testing.T, a Adapter) {
	const users, requests = 8, 25
	rec, store := audittest.New(t), newServerStore()
	s := newSite(t, a, bySession(rec, store))
	var wg sync.WaitGroup
	for u := range users {
		user := fmt.Sprintf("user%d", u)
		wg.Go(func() {
			client := s.browser()
			s.send(client, s.request("/login"), func(c *Call) {
				c.change(t, store, func(values map[any]any) { values["username"] = user })
			})
			for range requests {
				expect := core.Fields{"expect": user}
				var late, detached = make([]func() error, 0, 2), func() error { return nil }
				s.send(client, s.request("/x"), func(c *Call) {
					wantNil(t, c.Audit("now", expect))
					ctx := c.Request.Context()
					late = append(late, func() error { return core.Audit(ctx, "late", expect) })
					d := c.Detach()
					detached = func() error { return core.Audit(d, "detached", expect) }
				})
				for _, audit := range late {
					wantError(t, audit(), core.ErrRequestOver)
				}
				wantNil(t, detached())
			}
		})
	}
	wg.Wait()
	for _, e := range rec.Events() {
		if e.User != e.Fields["expect"] {
			t.Errorf("%s has the user %s for what %s did", e.Tag, e.User, e.Fields["expect"])
		}
	}
	if now, detached := len(rec.ByTag("now")), len(rec.ByTag("detached")); now != users*requests || detached != now {
		t.Errorf("%d and %d events, want %d each", now, detached, users*requests)
	}
}

func severalGoroutines(t *testing.T, a Adapter) {
	rec, store := audittest.New(t), newServerStore()
	s := newSite(t, a, bySession(rec, store))
	s.signIn(store, "alice")
	const n = 8
	s.get("/x", func(c *Call) {
		ctx := c.Request.Context()
		var wg sync.WaitGroup
		for range n {
			wg.Go(func() { wantNil(t, core.Audit(ctx, "refund", nil)) })
		}
		wg.Wait()
	})
	events := rec.ByTag("refund")
	if len(events) != n {
		t.Fatalf("%d events, want %d", len(events), n)
	}
	for _, e := range events {
		if e.User != "alice" || e.Request.Path != "/x" {
			t.Errorf("%+v", e)
		}
	}
}
