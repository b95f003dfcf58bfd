package proof_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/gin-gonic/gin"
	"github.com/gorilla/securecookie"
	"github.com/gorilla/sessions"
	"github.com/labstack/echo/v4"
	echov5 "github.com/labstack/echo/v5"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/echoaudit"
	echoauditv5 "github.com/auditing-go/auditing/echoaudit/v5"
	"github.com/auditing-go/auditing/ginaudit"
	"github.com/auditing-go/auditing/nethttpaudit"
)

// service is what the handlers of all frameworks do.
type service struct {
	hangUp sync.Map // by key: has the client of this request hang up

	n     atomic.Int64   // handlers that ran
	later sync.WaitGroup // audits that outlive their handlers
	mu    sync.Mutex
	ran   map[string]error // by key: what Audit returned
}

const keyHeader = "Key"

// cookies are the sessions of all: each request is signed in under its key.
var cookies = sessions.NewCookieStore([]byte("a key that only this test has .."))

// audited is how a framework audits one request.
type audited struct {
	audit  func(tag string, fields core.Fields) error
	detach func() context.Context
}

// handle audits for the client that its key names. A client that is to hang up has
// done so before. One audit in four goes on when the handler is through and the
// framework has used its context again, while its session is changed.
func (s *service) handle(r *http.Request, a audited) (status int) {
	key := r.Header.Get(keyHeader)
	if hangUp, ok := s.hangUp.Load(key); ok {
		hangUp.(context.CancelFunc)()
		<-r.Context().Done()
	}
	fields := core.Fields{"key": key}
	if s.n.Add(1)%4 == 0 {
		ctx := a.detach()
		s.later.Go(func() { s.done(key, core.Audit(ctx, "request", fields)) })
		session, _ := cookies.Get(r, "session")
		session.Values["username"] = "somebody else"
		return http.StatusNoContent
	}
	err := a.audit("request", fields)
	s.done(key, err)
	if err != nil {
		return http.StatusServiceUnavailable
	}
	return http.StatusNoContent
}

func (s *service) done(key string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ran[key] = err
}

var frameworks = []struct {
	name    string
	handler func(*service, *core.Recorder) http.Handler
}{
	{"net-http", func(s *service, rec *core.Recorder) http.Handler {
		return nethttpaudit.Middleware(rec, nethttpaudit.SessionUser(cookies, "session"))(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(s.handle(r, audited{
				func(tag string, fields core.Fields) error { return nethttpaudit.Audit(r, tag, fields) },
				func() context.Context { return nethttpaudit.Detach(r) },
			}))
		}))
	}},
	{"gin", func(s *service, rec *core.Recorder) http.Handler {
		gin.SetMode(gin.ReleaseMode)
		e := gin.New()
		e.Use(ginaudit.Middleware(rec, ginaudit.SessionUser(cookies, "session")))
		e.GET("/", func(c *gin.Context) {
			c.Status(s.handle(c.Request, audited{
				func(tag string, fields core.Fields) error { return ginaudit.Audit(c, tag, fields) },
				func() context.Context { return ginaudit.Detach(c) },
			}))
		})
		return e
	}},
	{"echo-v4", func(s *service, rec *core.Recorder) http.Handler {
		e := echo.New()
		e.Use(echoaudit.Middleware(rec, echoaudit.SessionUser(cookies, "session")))
		e.GET("/", func(c echo.Context) error {
			return c.NoContent(s.handle(c.Request(), audited{
				func(tag string, fields core.Fields) error { return echoaudit.Audit(c, tag, fields) },
				func() context.Context { return echoaudit.Detach(c) },
			}))
		})
		return e
	}},
	{"echo-v5", func(s *service, rec *core.Recorder) http.Handler {
		e := echov5.New()
		e.Use(echoauditv5.Middleware(rec, echoauditv5.SessionUser(cookies, "session")))
		e.GET("/", func(c *echov5.Context) error {
			return c.NoContent(s.handle(c.Request(), audited{
				func(tag string, fields core.Fields) error { return echoauditv5.Audit(c, tag, fields) },
				func() context.Context { return echoauditv5.Detach(c) },
			}))
		})
		return e
	}},
}

// browser is one client of many.
type browser struct {
	*http.Client
	service *service
	url     string
}

// get makes one request, and hangs up while it is handled if so asked. It returns
// whether it was answered as it ought to be.
func (b browser) get(key string, hangsUp bool) bool {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if hangsUp {
		b.service.hangUp.Store(key, cancel)
	}
	req, err := http.NewRequestWithContext(ctx, "GET", b.url, nil)
	if err != nil {
		return false
	}
	session, err := securecookie.EncodeMulti("session", map[any]any{"username": key}, cookies.Codecs...)
	if err != nil {
		return false
	}
	req.Header.Set(keyHeader, key)
	req.AddCookie(&http.Cookie{Name: "session", Value: session})
	res, err := b.Do(req)
	if err != nil {
		return hangsUp && ctx.Err() != nil
	}
	io.Copy(io.Discard, res.Body)
	res.Body.Close()
	return !hangsUp && res.StatusCode == http.StatusNoContent
}

// TestRequests: a third of many clients hang up while their request is handled. The
// audit of every handler that ran is stored, under its own user.
func TestRequests(t *testing.T) {
	for _, f := range frameworks {
		for _, shutdown := range []bool{false, true} {
			name := f.name + map[bool]string{false: "", true: " shut down under load"}[shutdown]
			t.Run(name, func(t *testing.T) {
				p := newPlace(t, "postgres_auto")
				// That many clients may keep a slow machine busy for long.
				rec := record(t, p.open(t), patient)
				s := &service{ran: map[string]error{}}
				server := httptest.NewServer(f.handler(s, rec))
				transport := &http.Transport{MaxIdleConnsPerHost: *clients}
				b := browser{&http.Client{Transport: transport}, s, server.URL}

				const each = 3
				enough := make(chan struct{})
				var once sync.Once
				var all sync.WaitGroup
				for c := range *clients {
					all.Go(func() {
						for n := 0; shutdown || n < each; n++ {
							key := fmt.Sprintf("%05d-%d", c, n)
							if !b.get(key, (c+n)%3 == 0) {
								if !shutdown {
									t.Errorf("%s was not answered as it ought to be", key)
								}
								return
							}
							if s.n.Load() > int64(*clients) {
								once.Do(func() { close(enough) })
							}
						}
					})
				}
				if shutdown {
					<-enough
					if err := server.Config.Shutdown(t.Context()); err != nil {
						t.Error(err)
					}
				}
				if !shutdown {
					all.Wait()
				}
				// Also waits for handlers whose clients have gone.
				server.Close()
				s.later.Wait()
				foreign(t, rec)
				if err := rec.Close(t.Context()); err != nil {
					t.Error(err)
				}
				all.Wait()
				transport.CloseIdleConnections()

				ran := map[string]bool{}
				for key, err := range s.ran {
					ran[key] = true
					if err != nil {
						t.Errorf("%s: %v", key, err)
					}
				}
				check(t, ran, ran, p.stored(t, ""))
				if !shutdown && len(ran) != *clients*each {
					t.Errorf("%d handlers ran for %d requests", len(ran), *clients*each)
				}
				t.Logf("%d clients, %d handlers ran", *clients, len(ran))
			})
		}
	}
}

// foreign fails the test if an event has the user of another request.
func foreign(t *testing.T, rec *core.Recorder) {
	t.Helper()
	for q := (core.Query{Limit: core.MaxLimit}); ; {
		page, err := rec.Read(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range page.Events {
			if e.Fields["key"] != e.User {
				t.Errorf("the audit of %v has the user %s", e.Fields["key"], e.User)
			}
		}
		if q.After = page.Next; q.After == "" {
			return
		}
	}
}
