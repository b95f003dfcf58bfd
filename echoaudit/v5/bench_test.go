package echoaudit_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/gorilla/sessions"
	"github.com/labstack/echo/v5"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/core/audittest"
	"github.com/auditing-go/auditing/echoaudit/v5"
)

// unread is a session store whose first use panics.
type unread struct{ sessions.Store }

func audited(tb testing.TB) echo.MiddlewareFunc {
	return echoaudit.Middleware(audittest.New(tb).Recorder(), echoaudit.SessionUser(unread{}, "session"))
}

func newRequest() *http.Request {
	r := get()
	r.Header.Set("X-Forwarded-For", "203.0.113.7")
	r.Header.Set("Cookie", "session=abc")
	return r
}

func nothing(*echo.Context) error { return nil }

// TestRequestThatAuditsNothing calls the middleware itself: echo's pool of
// contexts would blur the count.
func TestRequestThatAuditsNothing(t *testing.T) {
	const allowed = 3
	handler, r := audited(t)(nothing), newRequest()
	c := echo.New().NewContext(r, httptest.NewRecorder())
	n := testing.AllocsPerRun(1000, func() {
		c.SetRequest(r)
		if err := handler(c); err != nil {
			t.Error(err)
		}
	})
	if n > allowed {
		t.Errorf("%v allocations, want at most %d", n, allowed)
	}
}

// serveAgain gives e a request that no handler has changed yet.
func serveAgain(b *testing.B, e *echo.Echo) {
	w, arrived, r := httptest.NewRecorder(), newRequest(), new(http.Request)
	b.ReportAllocs()
	for b.Loop() {
		*r = *arrived
		e.ServeHTTP(w, r)
	}
}

func BenchmarkRequestThatAuditsNothing(b *testing.B) {
	for _, c := range []struct {
		name       string
		middleware []echo.MiddlewareFunc
	}{{"bare", nil}, {"middleware", []echo.MiddlewareFunc{audited(b)}}} {
		b.Run(c.name, func(b *testing.B) {
			e := echo.New()
			e.Use(c.middleware...)
			e.GET("/x", nothing)
			serveAgain(b, e)
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
	e := echo.New()
	e.Use(echoaudit.Middleware(newRecorder(b), echoaudit.User(func(*echo.Context) (string, error) { return "alice", nil })))
	e.GET("/x", func(c *echo.Context) error {
		return echoaudit.Audit(c, "refund", echoaudit.Fields{"order": 42})
	})
	serveAgain(b, e)
}
