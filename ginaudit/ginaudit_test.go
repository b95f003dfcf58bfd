package ginaudit_test

import (
	"bytes"
	"context"
	"errors"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	contrib "github.com/gin-contrib/sessions"
	"github.com/gin-contrib/sessions/cookie"
	"github.com/gin-gonic/gin"
	"github.com/gorilla/sessions"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/core/audittest"
	"github.com/auditing-go/auditing/ginaudit"
	"github.com/auditing-go/auditing/nethttpaudit"
)

// serve runs handlers on an engine, without a network.
func serve(r *http.Request, handlers ...gin.HandlerFunc) *httptest.ResponseRecorder {
	engine := gin.New()
	engine.Use(handlers...)
	engine.Any("/*path", func(*gin.Context) {})
	w := httptest.NewRecorder()
	engine.ServeHTTP(w, r)
	return w
}

func get() *http.Request { return httptest.NewRequest(http.MethodGet, "/x", nil) }

func TestNilContext(t *testing.T) {
	audittest.New(t)
	for name, c := range map[string]*gin.Context{"nil": nil, "no request": {}} {
		err := ginaudit.Audit(c, "refund", nil, core.As("alice"))
		var audit *core.AuditError
		if !errors.As(err, &audit) || !strings.Contains(err.Error(), "ginaudit") {
			t.Errorf("%s: Audit returned %v", name, err)
		}
		if err := core.Audit(ginaudit.Detach(c), "refund", nil); err == nil {
			t.Errorf("%s: an audit after Detach returned nil", name)
		}
	}
	ginaudit.Middleware(nil)(&gin.Context{})
	core.SetDefault(audittest.New(t).Recorder())
	t.Cleanup(func() { core.SetDefault(nil) })
	var none *gin.Context
	for what, err := range map[string]error{
		"Audit":  core.Audit(none, "refund", nil, core.As("alice")),
		"Detach": core.Audit(core.Detach(none), "refund", nil),
	} {
		if err == nil || !strings.Contains(err.Error(), "*gin.Context") {
			t.Errorf("core's %s of a nil *gin.Context: %v", what, err)
		}
	}
}

func TestOrderOfInstallation(t *testing.T) {
	rec := audittest.New(t)
	var before, after error
	serve(get(), func(c *gin.Context) {
		before = ginaudit.Audit(c, "refund", nil)
		c.Next()
		after = ginaudit.Audit(c, "refund", nil)
	}, ginaudit.Middleware(rec.Recorder()))
	for when, err := range map[string]error{"before": before, "after": after} {
		if err == nil || !strings.Contains(err.Error(), "outside of") || !strings.Contains(err.Error(), "install") || strings.Contains(err.Error(), "nil recorder") {
			t.Errorf("an audit outside of the middleware, %s it ran: %v", when, err)
		}
	}
}

func TestUserOption(t *testing.T) {
	rec := audittest.New(t)
	serve(get(),
		ginaudit.Middleware(rec.Recorder(), ginaudit.User(func(c *gin.Context) (string, error) { return c.GetString("user"), nil })),
		func(c *gin.Context) { c.Set("user", "alice") },
		func(c *gin.Context) {
			if err := errors.Join(ginaudit.Audit(c, "refund", nil), core.Audit(c, "refund", nil)); err != nil {
				t.Error(err)
			}
		})
	if events := rec.ByTag("refund"); len(events) != 2 || events[0].User != "alice" || events[1].User != "alice" {
		t.Errorf("%+v", events)
	}
	if err := serveAudit(t, nethttpaudit.User(func(r *http.Request) (string, error) { return r.URL.Path, nil })); err != nil {
		t.Errorf("the option of net/http: %v", err)
	}
	if err := serveAudit(t, ginaudit.User(nil)); err == nil {
		t.Error("User(nil): no error")
	}
}

// serveAudit makes one audit behind a middleware with opts.
func serveAudit(t *testing.T, opts ...ginaudit.Option) (err error) {
	rec := audittest.New(t)
	serve(get(), ginaudit.Middleware(rec.Recorder(), opts...), func(c *gin.Context) { err = ginaudit.Audit(c, "refund", nil) })
	return err
}

// TestConsole runs in a process of its own: the console is used only while no
// recorder was ever made.
func TestConsole(t *testing.T) {
	if os.Getenv("GINAUDIT_TEST_CONSOLE") == "" {
		again := exec.Command(os.Args[0], "-test.run=^TestConsole$")
		again.Env = append(os.Environ(), "GINAUDIT_TEST_CONSOLE=1")
		out, err := again.CombinedOutput()
		if err != nil || !strings.Contains(string(out), "refund: alice") || !strings.Contains(string(out), "order: 42") {
			t.Errorf("%v, %s", err, out)
		}
		return
	}
	store := cookie.NewStore([]byte("0123456789abcdef0123456789abcdef"))
	serve(get(), contrib.Sessions("mysession", store), func(c *gin.Context) {
		contrib.Default(c).Set("username", "alice")
		if err := ginaudit.Audit(c, "refund", ginaudit.Fields{"order": 42}); err != nil {
			t.Error(err)
		}
	})
}

func TestNoContribSession(t *testing.T) {
	if err := serveAudit(t, ginaudit.SessionUser(nil, "session")); err == nil || !strings.Contains(err.Error(), "install") {
		t.Errorf("SessionUser(nil) without a session middleware: %v", err)
	}
}

// gin believes these headers from every peer unless it is told otherwise.
func TestClientIPIsNotGins(t *testing.T) {
	rec := audittest.New(t)
	r := get()
	r.RemoteAddr = "198.51.100.7:1"
	r.Header.Set("X-Forwarded-For", "203.0.113.7")
	r.Header.Set("X-Real-IP", "203.0.113.8")
	serve(r, ginaudit.Middleware(rec.Recorder()), func(c *gin.Context) {
		if c.ClientIP() != "203.0.113.7" {
			t.Errorf("gin now says %s: the adapter's own resolution can be reconsidered", c.ClientIP())
		}
		if err := ginaudit.Audit(c, "refund", nil, core.As("alice")); err != nil {
			t.Error(err)
		}
	})
	if request := rec.Last("refund").Request; request.IP != "198.51.100.7" || request.Forwarded != "203.0.113.7" {
		t.Errorf("%+v", request)
	}
}

func TestContribAPI(t *testing.T) {
	replace := func(c *gin.Context) {
		c.Request = c.Request.WithContext(context.WithValue(c.Request.Context(), testKey{}, "v"))
	}
	for name, order := range map[string]func(session, ours gin.HandlerFunc) []gin.HandlerFunc{
		"outside":                      func(s, o gin.HandlerFunc) []gin.HandlerFunc { return []gin.HandlerFunc{s, o} },
		"inside":                       func(s, o gin.HandlerFunc) []gin.HandlerFunc { return []gin.HandlerFunc{o, s} },
		"outside, request replaced":    func(s, o gin.HandlerFunc) []gin.HandlerFunc { return []gin.HandlerFunc{s, replace, o, replace} },
		"inside, request replaced":     func(s, o gin.HandlerFunc) []gin.HandlerFunc { return []gin.HandlerFunc{o, replace, s, replace} },
		"without a middleware of ours": func(s, _ gin.HandlerFunc) []gin.HandlerFunc { return []gin.HandlerFunc{s} },
	} {
		for _, auditFirst := range []bool{false, true} {
			rec := audittest.New(t)
			core.SetDefault(rec.Recorder())
			t.Cleanup(func() { core.SetDefault(nil) })
			audit := func(c *gin.Context, tag string) {
				if err := ginaudit.Audit(c, tag, nil); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
			stored := contrib.Sessions("mysession", cookie.NewStore([]byte("0123456789abcdef0123456789abcdef")))
			handlers := order(stored, ginaudit.Middleware(rec.Recorder()))
			w := serve(get(), append(handlers, func(c *gin.Context) {
				if auditFirst {
					audit(c, "nobody")
				}
				session := contrib.Default(c)
				session.Set("username", "alice")
				audit(c, "in")
				session.Clear()
				audit(c, "out")
				session.Set("username", "bob")
				if err := session.Save(); err != nil {
					t.Error(err)
				}
			})...)
			next := get()
			next.Header.Set("Cookie", w.Result().Header.Get("Set-Cookie"))
			serve(next, append(handlers, func(c *gin.Context) { audit(c, "next") })...)
			if n := len(rec.Events()); n != 2 || rec.Last("in").User != "alice" || rec.Last("next").User != "bob" {
				t.Errorf("%s: %+v", name, rec.Events())
			}
		}
	}
}

// gin-contrib/requestid does the same, and may stand inside, too.
func TestRequestIDOfGin(t *testing.T) {
	makeID := func(c *gin.Context) {
		c.Request.Header.Add("X-Request-ID", "made")
		c.Header("X-Request-ID", "made")
	}
	for _, outside := range []bool{true, false} {
		rec := audittest.New(t)
		handlers := []gin.HandlerFunc{makeID, ginaudit.Middleware(rec.Recorder())}
		if !outside {
			slices.Reverse(handlers)
		}
		serve(get(), append(handlers, func(c *gin.Context) {
			if err := ginaudit.Audit(c, "refund", nil, core.As("alice")); err != nil {
				t.Error(err)
			}
		})...)
		if id := rec.Last("refund").Request.ID; id != "made" {
			t.Errorf("outside %v: ID %q", outside, id)
		}
	}
}

func TestSessionsMany(t *testing.T) {
	store := cookie.NewStore([]byte("0123456789abcdef0123456789abcdef"))
	for _, c := range []struct {
		values map[string]string
		opts   []ginaudit.Option
		user   string
	}{
		{map[string]string{"b": "bob"}, nil, "bob"},
		{map[string]string{"c": "carol", "b": "bob"}, nil, "bob"},
		{map[string]string{"c": "carol", "b": "bob"}, []ginaudit.Option{ginaudit.SessionUser(nil, "c")}, "carol"},
	} {
		rec := audittest.New(t)
		serve(get(), contrib.SessionsMany([]string{"c", "b", "a"}, store), ginaudit.Middleware(rec.Recorder(), c.opts...), func(g *gin.Context) {
			for name, user := range c.values {
				contrib.DefaultMany(g, name).Set("user", user)
			}
			if err := ginaudit.Audit(g, "refund", nil); err != nil {
				t.Error(err)
			}
		})
		if user := rec.Last("refund").User; user != c.user {
			t.Errorf("%v: signed by %s, want %s", c.values, user, c.user)
		}
	}
}

// hiccup is a store that fails once.
type hiccup struct {
	contrib.Store
	failures int
	session  *sessions.Session
}

var errDown = errors.New("connection refused")

func (h *hiccup) Get(r *http.Request, name string) (*sessions.Session, error) {
	if h.session == nil {
		return nil, errDown
	}
	return sessions.GetRegistry(r).Get(h, name)
}

func (h *hiccup) New(r *http.Request, name string) (*sessions.Session, error) {
	if h.failures > 0 {
		h.failures--
		return h.session, errDown
	}
	session := sessions.NewSession(h, name)
	session.Values["username"] = "alice"
	return session, nil
}

// gin-contrib/sessions logs the store's error and goes on with an empty session.
func TestSwallowedError(t *testing.T) {
	replace := func(c *gin.Context) { c.Request = c.Request.Clone(c.Request.Context()) }
	for name, failed := range map[string]*sessions.Session{"empty session": {IsNew: true}, "no session": nil} {
		store := &hiccup{failures: 1, session: failed}
		rec := audittest.New(t)
		ours := ginaudit.Middleware(rec.Recorder())
		serve(get(), contrib.Sessions("session", store), replace, ours, func(c *gin.Context) {
			if failed != nil {
				contrib.Default(c).Get("username") // hides the error and keeps the session
			}
			if err := ginaudit.Audit(c, "refund", nil); err == nil {
				t.Errorf("%s: a session that could not be read passed for nobody", name)
			}
		})
		if n := len(rec.Events()); n != 0 {
			t.Errorf("%s: %d events", name, n)
		}
	}
}

func TestCopyAfterTheRequest(t *testing.T) {
	rec := audittest.New(t)
	var kept *gin.Context
	serve(get(),
		ginaudit.Middleware(rec.Recorder(), ginaudit.User(func(c *gin.Context) (string, error) { return c.GetString("user"), nil })),
		func(c *gin.Context) {
			c.Set("user", "alice")
			kept = c.Copy()
			if err := ginaudit.Audit(kept, "within", nil); err != nil {
				t.Error(err)
			}
		})
	if rec.Last("within").User != "alice" {
		t.Errorf("%+v", rec.Events())
	}
	for _, err := range []error{ginaudit.Audit(kept, "late", nil), core.Audit(kept, "late", nil)} {
		if !errors.Is(err, core.ErrRequestOver) {
			t.Errorf("an audit with a copy after the request: %v", err)
		}
	}
}

// The server removes the files of an upload by the request that it made.
func TestUploadReachesTheServer(t *testing.T) {
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	if err := errors.Join(form.WriteField("k", "v"), form.Close()); err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodPost, "/x", &body)
	r.Header.Set("Content-Type", form.FormDataContentType())
	serve(r, ginaudit.Middleware(nil),
		func(c *gin.Context) {
			c.Request = c.Request.WithContext(context.WithValue(c.Request.Context(), testKey{}, "v"))
		},
		func(c *gin.Context) {
			if c.PostForm("k") != "v" {
				t.Error("the form was not read")
			}
		})
	if r.MultipartForm == nil {
		t.Error("the form did not reach the request that arrived")
	}
}

func TestDetachHoldsNoContext(t *testing.T) {
	rec := audittest.New(t)
	var detached context.Context
	serve(get(),
		ginaudit.Middleware(rec.Recorder(), ginaudit.User(func(*gin.Context) (string, error) { return "alice", nil })),
		func(c *gin.Context) { detached = ginaudit.Detach(c) })
	if v := detached.Value(gin.ContextRequestKey); v != nil {
		t.Errorf("the detached context leads to %T", v)
	}
	if err := core.Audit(detached, "later", nil); err != nil || rec.Last("later").User != "alice" {
		t.Errorf("%v, %+v", err, rec.Events())
	}
}
