package adaptertest

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"strings"
	"testing"

	"github.com/gorilla/securecookie"
	"github.com/gorilla/sessions"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/core/audittest"
)

// sessionCases: what is read from a session, and what is not.
var sessionCases = []adapterCase{
	{name: "default paths", run: defaultPaths},
	{name: "named paths", run: namedPaths},
	{name: "user's number kept as JSON", run: numberAsJSON},
	{name: "nothing in the session is nobody", run: nothingIsNobody},
	{name: "session value that names nobody", run: unreadableValues},
	{name: "user of ten megabytes", run: hugeUser},
	{name: "session value that panics", run: panickingValue},
	{name: "tampered, oversized and expired cookies are nobody", run: badCookies},
	{name: "sign-in over a bad cookie", run: signInOverBadCookie},
	{name: "session file that is gone is nobody", run: sessionFileGone},
	{name: "folder of the session files is gone", run: sessionFolderGone},
	{name: "session file that is damaged", run: sessionFileDamaged},
	{name: "session that the store has forgotten is nobody", run: forgottenSession},
	{name: "session store that cannot be reached", run: unreachableStore},
	{name: "cookie of our own that cannot be decoded", run: undecodableCookie},
	{name: "session store is down", run: storeDown},
	{name: "session store panics", run: storePanics},
	{name: "cookie store without a key", run: storeWithoutKey},
	{name: "session name that no cookie can have", run: badSessionName},
	{name: "nil session store", run: nilStore},
	{name: "the framework's session by default", run: contribDefault, contrib: true},
	{name: "the framework's session by name", run: contribByName, contrib: true},
	{name: "the framework's session store is down", run: contribDown, contrib: true},
	{name: "the framework's session without a middleware of ours", run: contribAlone, contrib: true},
}

// sessionAudit is one audit by a visitor whose session has those values.
func sessionAudit(t *testing.T, a Adapter, values map[any]any, paths ...string) (*audittest.Recording, error) {
	t.Helper()
	rec, store := audittest.New(t), newServerStore()
	s := newSite(t, a, Setup{Recorder: rec.Recorder(), SessionUsers: []SessionUser{{Store: store, Name: sessionName, Paths: paths}}})
	s.get("/login", func(c *Call) {
		c.change(t, store, func(session map[any]any) { maps.Copy(session, values) })
	})
	return rec, s.audited("/x", "refund")
}

func defaultPaths(t *testing.T, a Adapter) {
	for _, c := range []struct {
		values map[any]any
		user   string
	}{
		{map[any]any{"userinfo": map[string]any{"preferred_username": "alice"}}, "alice"},
		{map[any]any{"username": "bob"}, "bob"},
		{map[any]any{"user": "carol"}, "carol"},
		{map[any]any{"user": "carol", "username": "bob", "userinfo": map[string]any{"preferred_username": "alice"}}, "alice"},
		{map[any]any{"user": "carol", "username": "bob", "userinfo": map[string]any{"name": "alice"}}, "bob"},
		{map[any]any{"user": 42}, "42"},
		{map[any]any{"userinfo": "text", "user": "carol"}, "carol"},
	} {
		rec, err := sessionAudit(t, a, c.values)
		wantNil(t, err)
		wantUser(t, rec, "refund", c.user)
	}
}

func namedPaths(t *testing.T, a Adapter) {
	values := map[any]any{
		"username": "not this one",
		"account":  map[any]any{"id": int64(7)},
		"a.b":      "dotted",
		"a":        map[string]string{"b": "nested"},
	}
	for path, user := range map[string]string{"account.id": "7", "a.b": "dotted"} {
		rec, err := sessionAudit(t, a, values, path)
		wantNil(t, err)
		wantUser(t, rec, "refund", user)
	}
	rec, err := sessionAudit(t, a, values, "nowhere", "account.nowhere", "a.c")
	wantNil(t, err)
	wantNothing(t, rec)
}

// badCookie visits with value as the session's cookie.
func badCookie(s *site, value string, handle func(*Call)) {
	r := s.request("/x")
	r.AddCookie(&http.Cookie{Name: sessionName, Value: value})
	s.send(s.client, r, handle)
}

func badCookies(t *testing.T, a Adapter) {
	store := cookieStore()
	encoded, err := securecookie.EncodeMulti(sessionName, map[any]any{"username": "mallory"}, store.Codecs...)
	if err != nil {
		t.Fatal(err)
	}
	foreign := sessions.NewCookieStore([]byte("another key of thirty-two bytes!"))
	forged, err := securecookie.EncodeMulti(sessionName, map[any]any{"username": "mallory"}, foreign.Codecs...)
	if err != nil {
		t.Fatal(err)
	}
	expired := cookieStore()
	expired.MaxAge(-1)
	long := strings.Repeat("x", 10<<10)
	for _, c := range []struct {
		name, value string
		store       *sessions.CookieStore
	}{
		{"tampered", encoded[:len(encoded)-4] + "AAAA", store},
		{"cut", encoded[:len(encoded)/2], store},
		{"foreign key", forged, store},
		{"oversized", long, store},
		{"not base64", "!!", store},
		{"empty", "", store},
		{"expired", encoded, expired},
	} {
		t.Run(c.name, func(t *testing.T) {
			rec := audittest.New(t)
			s := newSite(t, a, bySession(rec, c.store))
			badCookie(s, c.value, func(c *Call) { wantNil(t, c.Audit("refund", nil)) })
			wantNothing(t, rec)
		})
	}
	// The cookie that all this was made from is good.
	rec := audittest.New(t)
	s := newSite(t, a, bySession(rec, store))
	badCookie(s, encoded, func(c *Call) { wantNil(t, c.Audit("refund", nil)) })
	wantUser(t, rec, "refund", "mallory")
}

func signInOverBadCookie(t *testing.T, a Adapter) {
	rec, store := audittest.New(t), cookieStore()
	s := newSite(t, a, bySession(rec, store))
	badCookie(s, "tampered", func(c *Call) {
		wantNil(t, c.Audit("before", nil))
		c.change(t, store, func(values map[any]any) { values["username"] = "alice" })
		wantNil(t, c.Audit("login", nil))
	})
	wantUser(t, rec, "login", "alice")
	wantEvents(t, rec, 1)
}

func storeDown(t *testing.T, a Adapter) {
	rec, store := audittest.New(t), newServerStore()
	s := newSite(t, a, bySession(rec, store))
	s.signIn(store, "alice")
	down := errors.New("connection refused")
	store.failWith(func(*http.Request) error { return down })
	s.get("/x", func(c *Call) {
		for range 2 {
			err := c.Audit("refund", nil)
			wantError(t, err, down)
			wantText(t, err, sessionName, "store")
		}
	})
	wantNothing(t, rec)
	store.failWith(nil)
	wantNil(t, s.audited("/x", "refund"))
	wantUser(t, rec, "refund", "alice")
}

func storePanics(t *testing.T, a Adapter) {
	rec, store := audittest.New(t), newServerStore()
	store.failWith(func(*http.Request) error { panic("pool is closed") })
	s := newSite(t, a, bySession(rec, store))
	wantText(t, s.audited("/x", "refund"), "panicked", "pool is closed")
	wantNothing(t, rec)
}

func storeWithoutKey(t *testing.T, a Adapter) {
	rec := audittest.New(t)
	s := newSite(t, a, bySession(rec, sessions.NewCookieStore()))
	badCookie(s, "anything", func(c *Call) {
		if err := c.Audit("refund", nil); err == nil {
			t.Error("a store that can never know anybody passed for nobody")
		}
	})
	wantNothing(t, rec)
}

func badSessionName(t *testing.T, a Adapter) {
	rec := audittest.New(t)
	s := newSite(t, a, Setup{Recorder: rec.Recorder(), SessionUsers: []SessionUser{{Store: cookieStore(), Name: "no name"}}})
	wantText(t, s.audited("/x", "refund"), "no name")
	wantNothing(t, rec)
}

func nilStore(t *testing.T, a Adapter) {
	rec := audittest.New(t)
	s := newSite(t, a, Setup{Recorder: rec.Recorder(), SessionUsers: []SessionUser{{Name: sessionName}}})
	wantText(t, s.audited("/x", "refund"), "SessionUser", "pass")
	wantNil(t, s.audited("/x", "refund", core.As("alice")))
	wantUser(t, rec, "refund", "alice")
}

func contribDefault(t *testing.T, a Adapter) {
	rec, store := audittest.New(t), newServerStore()
	s := newSite(t, a, byContrib(rec, store))
	s.get("/x", func(c *Call) {
		wantNil(t, c.Audit("before", nil))
		c.change(t, store, func(values map[any]any) { values["user"] = "alice" })
		wantNil(t, c.Audit("in", nil))
	})
	wantNil(t, s.audited("/y", "next"))
	wantUser(t, rec, "in", "alice")
	wantUser(t, rec, "next", "alice")
	wantEvents(t, rec, 2)
}

func contribByName(t *testing.T, a Adapter) {
	for _, name := range []string{sessionName, "second"} {
		rec, store := audittest.New(t), newServerStore()
		s := newSite(t, a, Setup{
			Recorder:     rec.Recorder(),
			Contrib:      &SessionUser{Store: store, Name: sessionName},
			SessionUsers: []SessionUser{{Name: name, Paths: []string{"login.id"}}},
		})
		s.get("/login", func(c *Call) {
			session, err := store.Get(c.Request, name)
			wantNil(t, err)
			session.Values["login"] = map[string]any{"id": 12}
			wantNil(t, session.Save(c.Request, c.Writer))
		})
		wantNil(t, s.audited("/x", "refund"))
		wantUser(t, rec, "refund", "12")
	}
}

func contribDown(t *testing.T, a Adapter) {
	rec, store := audittest.New(t), newServerStore()
	s := newSite(t, a, byContrib(rec, store))
	s.get("/login", func(c *Call) {
		c.change(t, store, func(values map[any]any) { values["user"] = "alice" })
	})
	down := errors.New("connection refused")
	store.failWith(func(*http.Request) error { return down })
	wantError(t, s.audited("/x", "refund"), down)
	store.failWith(func(*http.Request) error { panic("pool is closed") })
	wantText(t, s.audited("/x", "refund"), "pool is closed")
	wantNothing(t, rec)
}

func contribAlone(t *testing.T, a Adapter) {
	rec, store := audittest.New(t), newServerStore()
	setDefault(t, rec.Recorder())
	s := newSite(t, a, Setup{NoMiddleware: true, Contrib: &SessionUser{Store: store, Name: sessionName}})
	var detached context.Context
	s.get("/x", func(c *Call) {
		c.change(t, store, func(values map[any]any) { values["user"] = "alice" })
		wantNil(t, c.Audit("refund", nil))
		detached = c.Detach()
	})
	wantUser(t, rec, "refund", "alice")
	wantNil(t, core.Audit(detached, "later", nil))
	wantUser(t, rec, "later", "alice")
}
