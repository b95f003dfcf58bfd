package adaptertest

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"testing"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/core/audittest"
)

// lookupCases: how the user is looked up, while the request goes on or ends.
var lookupCases = []adapterCase{
	{name: "values of the audit's own context", run: valuesOfAudit},
	{name: "the request ends during a lookup", run: endsDuringLookup},
	{name: "a user function hangs", run: userHangs},
	{name: "the session's load hangs", run: loadHangs},
	{name: "the framework's session's load hangs", run: contribHangs, contrib: true},
	{name: "lookups side by side", run: sideBySide},
	{name: "a user function reads the session", run: userReadsSession},
	{name: "a user function that audits", run: userAudits},
	{name: "the context is given to the next request", run: recycled},
	{name: "the framework's session when the context is given to the next request", run: recycledContrib, contrib: true},
	{name: "a layer outside sees what the handler did to the session", run: sessionOutside},
}

// short is what an audit gets that is to run out of time.
const short = 20_000_000 // 20 ms

func valuesOfAudit(t *testing.T, a Adapter) {
	rec := audittest.New(t)
	s := newSite(t, a, Setup{
		Recorder: rec.Recorder(), User: userOf,
		Inner: func(r *http.Request) *http.Request { return withUser(r, "of the request") },
	})
	s.get("/x", func(c *Call) {
		for i, ctx := range c.Contexts {
			tag := fmt.Sprintf("context %d", i)
			wantNil(t, core.Audit(ctx, tag, nil))
			wantUser(t, rec, tag, "of the request")
			tag += " with a value"
			ctx = context.WithValue(ctx, userKey{}, "of the audit")
			wantNil(t, core.Audit(ctx, tag, nil))
			wantUser(t, rec, tag, "of the audit")
			wantNil(t, core.Audit(core.Detach(ctx), tag+", detached", nil))
			wantUser(t, rec, tag+", detached", "of the audit")
		}
	})
}

// endsDuringLookup looks the user up in one request while that ends and another
// begins, for which a framework uses the same context again.
func endsDuringLookup(t *testing.T, a Adapter) {
	rec := audittest.New(t)
	entered, release := make(chan struct{}), make(chan struct{})
	s := newSite(t, a, Setup{Recorder: rec.Recorder(), User: func(r *http.Request) (string, error) {
		close(entered)
		<-release
		return r.URL.Path, nil
	}})
	audited := make(chan error, 1)
	s.get("/first", func(c *Call) {
		ctx := c.Request.Context()
		go func() { audited <- core.Audit(ctx, "refund", nil) }()
		<-entered
	})
	s.get("/second", func(*Call) { close(release); wantNil(t, <-audited) })
	wantUser(t, rec, "refund", "/first")
}

func userHangs(t *testing.T, a Adapter) {
	rec := audittest.NewConfig(t, core.Config{Durability: func(tag string) core.Durability {
		if tag == "best effort" {
			return core.BestEffort
		}
		return core.Durable
	}})
	release, seen := make(chan struct{}), make(chan string, 3)
	s := newSite(t, a, Setup{Recorder: rec.Recorder(), User: func(r *http.Request) (string, error) {
		<-release
		seen <- r.URL.Path + r.Header.Get("X-User")
		return "late", nil
	}})
	r := s.request("/first")
	r.Header.Set("X-User", "alice")
	s.send(s.client, r, func(c *Call) {
		wantError(t, c.Audit("durable", nil, core.Within(short)), core.ErrTimeout)
		wantError(t, c.Audit("best effort", nil, core.Within(short)), core.ErrTimeout)
		wantError(t, core.Audit(c.Request.Context(), "by context", nil, core.Within(short)), core.ErrTimeout)
		c.Request.Header.Set("X-User", "changed")
	})
	s.get("/second", func(*Call) {
		close(release)
		for range cap(seen) {
			if got := <-seen; got != "/firstalice" {
				t.Errorf("a late lookup saw %q", got)
			}
		}
	})
	wantNothing(t, rec)
}

// hangs makes the first load in store wait for release, and says when it goes on.
func hangs(store *serverStore) (release, gone chan struct{}) {
	release, gone = make(chan struct{}), make(chan struct{})
	var once sync.Once
	store.failWith(func(*http.Request) error {
		once.Do(func() {
			<-release
			close(gone)
		})
		return nil
	})
	return release, gone
}

// hangingLoad has the handler go on with its session while the audit's load hangs.
func hangingLoad(t *testing.T, a Adapter, rec *audittest.Recording, store *serverStore, setup Setup) {
	s := newSite(t, a, setup)
	s.signIn(store, "alice")
	release, gone := hangs(store)
	s.get("/x", func(c *Call) {
		wantError(t, c.Audit("refund", nil, core.Within(short)), core.ErrTimeout)
		store.failWith(nil)
		c.change(t, store, func(values map[any]any) {
			close(release)
			for i := range 1000 {
				values[i] = i
			}
			values["username"] = "bob"
		})
		<-gone
		wantNil(t, c.Audit("switched", nil))
	})
	wantUser(t, rec, "switched", "bob")
	wantEvents(t, rec, 1)
}

func loadHangs(t *testing.T, a Adapter) {
	rec, store := audittest.New(t), newServerStore()
	hangingLoad(t, a, rec, store, bySession(rec, store))
}

func contribHangs(t *testing.T, a Adapter) {
	rec, store := audittest.New(t), newServerStore()
	hangingLoad(t, a, rec, store, byContrib(rec, store))
}

// sideBySide: no lookup ends before all have begun.
func sideBySide(t *testing.T, a Adapter) {
	const n = 20
	rec := audittest.New(t)
	var all sync.WaitGroup
	all.Add(n)
	s := newSite(t, a, Setup{Recorder: rec.Recorder(), User: func(*http.Request) (string, error) {
		all.Done()
		all.Wait()
		return "alice", nil
	}})
	s.get("/x", func(c *Call) {
		ctx := c.Request.Context()
		var wg sync.WaitGroup
		for range n {
			wg.Go(func() { wantNil(t, core.Audit(ctx, "refund", nil)) })
		}
		wg.Wait()
	})
	if got := len(rec.ByTag("refund")); got != n {
		t.Errorf("%d events, want %d", got, n)
	}
}

func userReadsSession(t *testing.T, a Adapter) {
	rec, store := audittest.New(t), newServerStore()
	s := newSite(t, a, Setup{Recorder: rec.Recorder(), User: func(r *http.Request) (string, error) {
		session, err := store.Get(r, sessionName)
		user, _ := session.Values["username"].(string)
		return user, err
	}})
	s.signIn(store, "alice")
	s.get("/x", func(c *Call) {
		wantNil(t, c.Audit("before", nil))
		c.change(t, store, func(values map[any]any) { values["username"] = "bob" })
		wantNil(t, c.Audit("after", nil))
		wantNil(t, core.Audit(c.Request.Context(), "by context", nil))
	})
	wantUser(t, rec, "before", "alice")
	wantUser(t, rec, "after", "bob")
	wantUser(t, rec, "by context", "bob")
}

func userAudits(t *testing.T, a Adapter) {
	rec := audittest.New(t)
	s := newSite(t, a, Setup{Recorder: rec.Recorder(), User: func(r *http.Request) (string, error) {
		wantText(t, core.Audit(r.Context(), "lookup", nil), "core.As")
		return "alice", core.Audit(r.Context(), "lookup", nil, core.As("system"))
	}})
	s.get("/x", func(c *Call) {
		wantNil(t, c.Audit("refund", nil))
	})
	wantUser(t, rec, "refund", "alice")
	wantUser(t, rec, "lookup", "system")
}

// outlived answers alice's requests while her handler goes on, and has it audit
// within bob's next one, to which the framework may have given her context.
func outlived(t *testing.T, a Adapter, setup Setup, signIn func(s *site, client *http.Client, user string)) {
	const rounds = 20
	ended := make(chan struct{}, 1)
	setup.Layer = func(c *Call, next func()) {
		if c.Request.URL.Path != "/alice" {
			next()
			return
		}
		entered := c.Request.Context().Value(enteredKey{}).(chan struct{})
		go func() {
			next()
			ended <- struct{}{}
		}()
		<-entered
	}
	s := newSite(t, a, setup)
	alice, bob := s.browser(), s.browser()
	signIn(s, alice, "alice")
	signIn(s, bob, "bob")
	for range rounds {
		entered, goOn, audited := make(chan struct{}), make(chan struct{}), make(chan error, 1)
		s.entered = entered
		s.send(alice, s.request("/alice"), func(c *Call) {
			ctx := c.Request.Context()
			close(entered)
			<-goOn
			audited <- core.Audit(ctx, "of alice", nil)
		})
		s.entered = nil
		s.send(bob, s.request("/bob"), func(c *Call) {
			close(goOn)
			if err := <-audited; err != nil {
				wantError(t, err, core.ErrRequestOver)
			}
			<-ended
		})
	}
	for _, e := range setup.rec.ByTag("of alice") {
		if e.User != "alice" || e.Request.Path != "/alice" {
			t.Fatalf("what alice did has the user %s at %s", e.User, e.Request.Path)
		}
	}
}

type enteredKey struct{}

func recycled(t *testing.T, a Adapter) {
	rec := audittest.New(t)
	outlived(t, a, Setup{rec: rec, Recorder: rec.Recorder(), User: func(r *http.Request) (string, error) {
		user, err := r.Cookie("user")
		if err != nil {
			return "", err
		}
		return user.Value, nil
	}}, func(s *site, client *http.Client, user string) {
		s.send(client, s.request("/login"), func(c *Call) {
			http.SetCookie(c.Writer, &http.Cookie{Name: "user", Value: user, Path: "/"})
		})
	})
}

func recycledContrib(t *testing.T, a Adapter) {
	rec, store := audittest.New(t), newServerStore()
	outlived(t, a, Setup{rec: rec, Recorder: rec.Recorder(), Contrib: &SessionUser{Store: store, Name: sessionName}},
		func(s *site, client *http.Client, user string) {
			s.send(client, s.request("/login"), func(c *Call) {
				c.change(t, store, func(values map[any]any) { values["username"] = user })
			})
		})
}

// sessionOutside: without auditing, all layers share the session.
func sessionOutside(t *testing.T, a Adapter) {
	rec, store := audittest.New(t), newServerStore()
	setup := bySession(rec, store)
	check := func(where string, r *http.Request) {
		session, err := store.Get(r, sessionName)
		if err != nil || session.Values["username"] != "alice" {
			t.Errorf("%s finds %v, %v", where, session.Values, err)
		}
	}
	setup.Layer = func(c *Call, next func()) {
		next()
		check("a layer of the framework", c.Request)
	}
	for _, audits := range []bool{false, true} {
		s := newSite(t, a, setup)
		s.after = func(r *http.Request) { check("a layer of net/http", r) }
		s.get("/login", func(c *Call) {
			if audits {
				wantNil(t, c.Audit("nobody", nil))
			}
			session, err := store.Get(c.Request, sessionName)
			wantNil(t, err)
			session.Values["username"] = "alice"
		})
	}
}
