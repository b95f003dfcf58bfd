package ginaudit_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/gin-gonic/gin"
	"github.com/gorilla/sessions"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/core/audittest"
	"github.com/auditing-go/auditing/ginaudit"
)

// unread is a session store whose first use panics.
type unread struct{ sessions.Store }

func audited(tb testing.TB) gin.HandlerFunc {
	return ginaudit.Middleware(audittest.New(tb).Recorder(), ginaudit.SessionUser(unread{}, "session"))
}

func newRequest() *http.Request {
	r := get()
	r.Header.Set("X-Forwarded-For", "203.0.113.7")
	r.Header.Set("Cookie", "session=abc")
	return r
}

// TestRequestThatAuditsNothing calls the middleware itself: the engine's pool of
// contexts would blur the count.
func TestRequestThatAuditsNothing(t *testing.T) {
	const allowed = 3
	middleware := audited(t)
	c, r := gin.CreateTestContextOnly(httptest.NewRecorder(), gin.New()), newRequest()
	n := testing.AllocsPerRun(1000, func() {
		c.Abort() // there is no chain to go on with
		c.Request = r
		middleware(c)
	})
	if n > allowed {
		t.Errorf("%v allocations, want at most %d", n, allowed)
	}
}

func BenchmarkRequestThatAuditsNothing(b *testing.B) {
	for _, c := range []struct {
		name     string
		handlers []gin.HandlerFunc
	}{{"bare", nil}, {"middleware", []gin.HandlerFunc{audited(b)}}} {
		b.Run(c.name, func(b *testing.B) {
			engine := gin.New()
			engine.Use(c.handlers...)
			engine.GET("/x", func(*gin.Context) {})
			w, r := httptest.NewRecorder(), newRequest()
			b.ReportAllocs()
			for b.Loop() {
				engine.ServeHTTP(w, r)
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
	engine := gin.New()
	engine.Use(ginaudit.Middleware(newRecorder(b), ginaudit.User(func(*gin.Context) (string, error) { return "alice", nil })))
	engine.GET("/x", func(c *gin.Context) {
		if err := ginaudit.Audit(c, "refund", ginaudit.Fields{"order": 42}); err != nil {
			b.Error(err)
		}
	})
	w, r := httptest.NewRecorder(), newRequest()
	b.ReportAllocs()
	for b.Loop() {
		engine.ServeHTTP(w, r)
	}
}
