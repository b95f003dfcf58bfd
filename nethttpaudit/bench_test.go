package nethttpaudit_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"github.com/gorilla/sessions"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/core/audittest"
	"github.com/auditing-go/auditing/nethttpaudit"
)

// countingStore proves that no session is read.
type countingStore struct{ reads atomic.Int64 }

func (s *countingStore) Get(*http.Request, string) (*sessions.Session, error) {
	s.reads.Add(1)
	return nil, errors.New("read")
}

func (s *countingStore) New(r *http.Request, name string) (*sessions.Session, error) {
	return s.Get(r, name)
}

func (s *countingStore) Save(*http.Request, http.ResponseWriter, *sessions.Session) error { return nil }

func nothing(http.ResponseWriter, *http.Request) {}

// audited is a middleware with a session around nothing.
func audited(tb testing.TB) (http.Handler, *countingStore) {
	store := &countingStore{}
	rec := audittest.New(tb).Recorder()
	return nethttpaudit.Middleware(rec, nethttpaudit.SessionUser(store, "session"))(http.HandlerFunc(nothing)), store
}

func newRequest() *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/some/path?q=1", nil)
	r.Header.Set("X-Forwarded-For", "203.0.113.7")
	r.Header.Set("Cookie", "session=abc")
	return r
}

func TestRequestThatAuditsNothing(t *testing.T) {
	const allowed = 3
	handler, store := audited(t)
	w, r := httptest.NewRecorder(), newRequest()
	bare := testing.AllocsPerRun(1000, func() { http.HandlerFunc(nothing).ServeHTTP(w, r) })
	n := testing.AllocsPerRun(1000, func() { handler.ServeHTTP(w, r) })
	if n-bare > allowed {
		t.Errorf("%v allocations over the bare handler's %v, want at most %d", n-bare, bare, allowed)
	}
	if reads := store.reads.Load(); reads != 0 {
		t.Errorf("the session was read %d times", reads)
	}
}

func BenchmarkRequestThatAuditsNothing(b *testing.B) {
	handler, _ := audited(b)
	for _, c := range []struct {
		name    string
		handler http.Handler
	}{{"bare", http.HandlerFunc(nothing)}, {"middleware", handler}} {
		b.Run(c.name, func(b *testing.B) {
			w, r := httptest.NewRecorder(), newRequest()
			b.ReportAllocs()
			for b.Loop() {
				c.handler.ServeHTTP(w, r)
			}
		})
	}
}

// forgetful is a store that does nothing.
type forgetful struct{}

func (forgetful) Save(context.Context, []core.Event) error { return nil }

func newRecorder(b *testing.B) *core.Recorder {
	rec, err := core.New(forgetful{}, core.Config{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { rec.Close(context.Background()) })
	return rec
}

// BenchmarkRequestThatAudits is a request with one audit of a field, to a store that does nothing.
func BenchmarkRequestThatAudits(b *testing.B) {
	alice := nethttpaudit.User(func(*http.Request) (string, error) { return "alice", nil })
	handler := nethttpaudit.Middleware(newRecorder(b), alice)(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if err := nethttpaudit.Audit(r, "refund", nethttpaudit.Fields{"order": 42}); err != nil {
			b.Error(err)
		}
	}))
	w, r := httptest.NewRecorder(), newRequest()
	b.ReportAllocs()
	for b.Loop() {
		handler.ServeHTTP(w, r)
	}
}
