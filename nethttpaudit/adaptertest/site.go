package adaptertest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/gorilla/sessions"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/core/audittest"
)

// site is a server under test and a visitor's browser.
type site struct {
	t      *testing.T
	server *httptest.Server
	client *http.Client
	// remote replaces the peer's address when it is not "".
	remote string
	// before is a layer outside of the framework, when it is not nil.
	before func(w http.ResponseWriter)
	// after is called with the request when the application is through with it.
	after func(*http.Request)
	// entered is given to the requests in their contexts when it is not nil.
	entered chan struct{}

	mu     sync.Mutex
	visits map[string]*visit
	count  int
}

// visit is one request with the handler that it shall reach.
type visit struct {
	handle func(*Call)
	remote string
	done   chan struct{} // closed when the whole server's handler has returned
}

// visitHeader says which visit a request belongs to.
const visitHeader = "X-Audittest-Visit"

func newSite(t *testing.T, a Adapter, setup Setup) *site {
	t.Helper()
	s := &site{t: t, visits: map[string]*visit{}}
	setup.Handle = func(c *Call) { s.visit(c.Request).handle(c) }
	app := a.New(setup)
	s.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v := s.visit(r)
		defer close(v.done)
		defer func() {
			if p := recover(); p != nil {
				http.Error(w, fmt.Sprint(p), http.StatusInternalServerError)
			}
		}()
		if v.remote != "" {
			r.RemoteAddr = v.remote
		}
		if s.before != nil {
			s.before(w)
		}
		if s.entered != nil {
			r = r.WithContext(context.WithValue(r.Context(), enteredKey{}, s.entered))
		}
		app.ServeHTTP(w, r)
		if s.after != nil {
			s.after(r)
		}
	}))
	t.Cleanup(s.server.Close)
	s.client = s.browser()
	return s
}

// browser returns a client with its own cookies. All its requests use one
// connection, so that each begins when the server is through with the one before.
func (s *site) browser() *http.Client {
	jar, err := cookiejar.New(nil)
	if err != nil {
		s.t.Fatal(err)
	}
	transport := &http.Transport{MaxConnsPerHost: 1}
	s.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Jar: jar, Transport: transport}
}

func (s *site) visit(r *http.Request) *visit {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.visits[r.Header.Get(visitHeader)]
}

// get visits path, given in its escaped form.
func (s *site) get(path string, handle func(*Call)) {
	s.t.Helper()
	s.send(s.client, s.request(path), handle)
}

func (s *site) request(path string) *http.Request {
	s.t.Helper()
	r, err := http.NewRequest(http.MethodGet, s.server.URL+path, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	return r
}

// send makes one request and waits until the server's handler has returned. It
// may be called from several goroutines at once, with a client each.
func (s *site) send(client *http.Client, r *http.Request, handle func(*Call)) {
	s.t.Helper()
	v := s.expect(r, handle)
	response, err := client.Do(r)
	if err != nil {
		s.t.Errorf("visiting %s: %v", r.URL.Path, err)
		return
	}
	defer response.Body.Close()
	body, _ := io.ReadAll(response.Body)
	if response.StatusCode != http.StatusOK {
		s.t.Errorf("visiting %s: %s: %s", r.URL.Path, response.Status, body)
	}
	<-v.done
}

// expect makes r reach handle.
func (s *site) expect(r *http.Request, handle func(*Call)) *visit {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count++
	id := fmt.Sprint(s.count)
	r.Header.Set(visitHeader, id)
	v := &visit{handle: handle, remote: s.remote, done: make(chan struct{})}
	s.visits[id] = v
	return v
}

// audited visits path with a handler that makes one audit, and returns its error.
func (s *site) audited(path, tag string, opts ...core.Option) (err error) {
	s.t.Helper()
	s.get(path, func(c *Call) { err = c.Audit(tag, nil, opts...) })
	return err
}

// The tests' session has this name unless a case says otherwise.
const sessionName = "session"

// change changes the visitor's session in store and sends it with the response.
func (c *Call) change(t *testing.T, store sessions.Store, change func(values map[any]any)) {
	t.Helper()
	session, err := store.Get(c.Request, sessionName)
	if session == nil {
		t.Errorf("session: %v", err)
		return
	}
	change(session.Values)
	if err := session.Save(c.Request, c.Writer); err != nil {
		t.Errorf("saving the session: %v", err)
	}
}

// signIn signs the visitor in within a request of its own.
func (s *site) signIn(store sessions.Store, user any) {
	s.t.Helper()
	s.get("/login", func(c *Call) {
		c.change(s.t, store, func(values map[any]any) { values["username"] = user })
	})
}

func wantNil(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Errorf("the audit failed: %v", err)
	}
}

func wantError(t *testing.T, err, target error) {
	t.Helper()
	if !errors.Is(err, target) {
		t.Errorf("the audit returned %v, want %v", err, target)
	}
}

func wantText(t *testing.T, err error, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("the audit returned %v, want an error that says %q", err, text)
		}
	}
}

func wantUser(t *testing.T, rec *audittest.Recording, tag, user string) {
	t.Helper()
	if events := rec.ByTag(tag); len(events) != 1 || events[0].User != user {
		t.Errorf("audited as %q: %+v, want one event of %s", tag, events, user)
	}
}

func wantEvents(t *testing.T, rec *audittest.Recording, n int) {
	t.Helper()
	if events := rec.Events(); len(events) != n {
		t.Errorf("stored %+v, want %d events", events, n)
	}
}

func wantNothing(t *testing.T, rec *audittest.Recording) {
	t.Helper()
	wantEvents(t, rec, 0)
}

// setDefault sets the process's default recorder for one test.
func setDefault(t *testing.T, rec *core.Recorder) {
	core.SetDefault(rec)
	t.Cleanup(func() { core.SetDefault(nil) })
}

// userKey is what an inner middleware puts the user under.
type userKey struct{}

func withUser(r *http.Request, user string) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), userKey{}, user))
}

func userOf(r *http.Request) (string, error) {
	user, _ := r.Context().Value(userKey{}).(string)
	return user, nil
}
