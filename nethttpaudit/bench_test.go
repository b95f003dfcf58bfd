package nethttpaudit_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/gorilla/sessions"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/core/audittest"
	"github.com/auditing-go/auditing/nethttpaudit"
)

// unread is a session store whose first use panics.
type unread struct{ sessions.Store }

func nothing(http.ResponseWriter, *http.Request) {}

// audited is a middleware with a session around nothing.
func audited(tb testing.TB) http.Handler {
	rec := audittest.New(tb).Recorder()
	return nethttpaudit.Middleware(rec, nethttpaudit.SessionUser(unread{}, "session"))(http.HandlerFunc(nothing))
}

func newRequest() *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/some/path?q=1", nil)
	r.Header.Set("X-Forwarded-For", "203.0.113.7")
	r.Header.Set("Cookie", "session=abc")
	return r
}

func TestRequestThatAuditsNothing(t *testing.T) {
	const allowed = 3
	handler := audited(t)
	w, r := httptest.NewRecorder(), newRequest()
	bare := testing.AllocsPerRun(1000, func() { http.HandlerFunc(nothing).ServeHTTP(w, r) })
	n := testing.AllocsPerRun(1000, func() { handler.ServeHTTP(w, r) })
	if n-bare > allowed {
		t.Errorf("%v allocations over the bare handler's %v, want at most %d", n-bare, bare, allowed)
	}
}

func BenchmarkRequestThatAuditsNothing(b *testing.B) {
	for _, c := range []struct {
		name    string
		handler http.Handler
	}{{"bare", http.HandlerFunc(nothing)}, {"middleware", audited(b)}} {
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
