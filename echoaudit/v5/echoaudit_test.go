package echoaudit_test

import (
	"bytes"
	"errors"
	"log/slog"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"reflect"
	"strings"
	"testing"

	echov4 "github.com/labstack/echo/v4"
	"github.com/labstack/echo/v5"
	"github.com/labstack/echo/v5/middleware"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/core/audittest"
	v4 "github.com/auditing-go/auditing/echoaudit"
	"github.com/auditing-go/auditing/echoaudit/v5"
)

func get() *http.Request { return httptest.NewRequest(http.MethodGet, "/x", nil) }

// serve runs handle behind middleware, without a network.
func serve(e *echo.Echo, r *http.Request, handle echo.HandlerFunc, middleware ...echo.MiddlewareFunc) {
	e.Use(middleware...)
	e.Any("/*", handle)
	e.ServeHTTP(httptest.NewRecorder(), r)
}

func TestNilContext(t *testing.T) {
	audittest.New(t)
	for name, c := range map[string]*echo.Context{
		"nil": nil, "no request": echo.New().NewContext(nil, nil), "nothing in it": {},
	} {
		err := echoaudit.Audit(c, "refund", nil, core.As("alice"))
		var audit *core.AuditError
		if !errors.As(err, &audit) || !strings.Contains(err.Error(), "echoaudit") {
			t.Errorf("%s: Audit returned %v", name, err)
		}
		if err := core.Audit(echoaudit.Detach(c), "refund", nil); err == nil {
			t.Errorf("%s: an audit after Detach returned nil", name)
		}
	}
	done := func(*echo.Context) error { return nil }
	for _, r := range []*http.Request{nil, get()} {
		if err := echoaudit.Middleware(nil)(done)(echo.NewContext(r, nil)); err != nil {
			t.Error(err)
		}
	}
}

func TestOrderOfInstallation(t *testing.T) {
	rec := audittest.New(t)
	var before, after error
	outside := func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c *echo.Context) error {
			before = echoaudit.Audit(c, "refund", nil)
			err := next(c)
			after = echoaudit.Audit(c, "refund", nil)
			return err
		}
	}
	serve(echo.New(), get(), func(*echo.Context) error { return nil }, outside, echoaudit.Middleware(rec.Recorder()))
	for when, err := range map[string]error{"before": before, "after": after} {
		if err == nil || !strings.Contains(err.Error(), "outside of") || !strings.Contains(err.Error(), "install") || strings.Contains(err.Error(), "nil recorder") {
			t.Errorf("an audit outside of the middleware, %s it ran: %v", when, err)
		}
	}
}

func TestUserOption(t *testing.T) {
	rec := audittest.New(t)
	logger := slog.New(slog.DiscardHandler)
	var real, seen *echo.Context
	user := echoaudit.User(func(c *echo.Context) (string, error) {
		seen = c
		user, err := echo.ContextGet[string](c, "user")
		c.Set("user", "mallory")
		return user + "@" + c.Param("tenant"), err
	})
	set := func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c *echo.Context) error {
			c.Set("user", "alice")
			c.SetLogger(logger)
			c.SetPath("/renamed")
			return next(c)
		}
	}
	e := echo.New()
	e.Use(echoaudit.Middleware(rec.Recorder(), user), set)
	e.GET("/:tenant", func(c *echo.Context) error {
		real = c
		if err := echoaudit.Audit(c, "by adapter", nil); err != nil {
			t.Error(err)
		}
		return core.Audit(c.Request().Context(), "by context", nil)
	})
	e.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/acme", nil))
	for _, tag := range []string{"by adapter", "by context"} {
		if u := rec.Last(tag).User; u != "alice@acme" {
			t.Errorf("%s: %s", tag, u)
		}
	}
	if seen == real || seen.Request() == real.Request() {
		t.Error("the function was not given a copy")
	}
	if seen.Path() != "/renamed" || !reflect.DeepEqual(seen.RouteInfo(), real.RouteInfo()) || seen.Logger() != logger || seen.Echo() != e {
		t.Errorf("the copy differs: %+v", seen)
	}
}

// Options have one type, so that the compiler does not tell v4's from v5's.
func TestOptionOfEchoV4(t *testing.T) {
	user := v4.User(func(echov4.Context) (string, error) { return "alice", nil })
	serve(echo.New(), get(), func(c *echo.Context) error {
		if err := echoaudit.Audit(c, "refund", nil); err == nil || !strings.Contains(err.Error(), "echoaudit/v5.User") {
			t.Errorf("the audit returned %v", err)
		}
		return nil
	}, echoaudit.Middleware(audittest.New(t).Recorder(), user))
}

func TestNoContribSession(t *testing.T) {
	rec := audittest.New(t)
	serve(echo.New(), get(), func(c *echo.Context) error {
		if err := echoaudit.Audit(c, "refund", nil); err == nil || !strings.Contains(err.Error(), "install") {
			t.Errorf("SessionUser(nil) without a session middleware: %v", err)
		}
		return nil
	}, echoaudit.Middleware(rec.Recorder(), echoaudit.SessionUser(nil, "session")))
}

func TestIPExtractor(t *testing.T) {
	says := func(ip string) echo.IPExtractor { return func(*http.Request) string { return ip } }
	none := echoaudit.TrustedProxies()
	loopback := echoaudit.TrustedProxies(netip.MustParsePrefix("127.0.0.0/8"))
	for name, c := range map[string]struct {
		extractor echo.IPExtractor
		opts      []echoaudit.Option
		remote    string
		ip        string
	}{
		"none":                {nil, nil, "198.51.100.7:1", "198.51.100.7"},
		"none, trusted peer":  {nil, nil, "127.0.0.1:1", "203.0.113.7"},
		"asked":               {says("192.0.2.9"), nil, "198.51.100.7:1", "192.0.2.9"},
		"normalised":          {says(" [::ffff:192.0.2.9]:80"), nil, "198.51.100.7:1", "192.0.2.9"},
		"zone":                {says("fe80::1%<script>"), nil, "198.51.100.7:1", "fe80::1"},
		"direct":              {echo.ExtractIPDirect(), nil, "127.0.0.1:1", "127.0.0.1"},
		"header":              {echo.ExtractIPFromXFFHeader(), nil, "127.0.0.1:1", "203.0.113.7"},
		"what v4 did":         {echo.LegacyIPExtractor(), nil, "198.51.100.7:1", "198.51.100.7"},
		"garbage":             {says("<script>"), nil, "198.51.100.7:1", "198.51.100.7"},
		"empty":               {says(""), nil, "127.0.0.1:1", "203.0.113.7"},
		"nobody is trusted":   {says("192.0.2.9"), []echoaudit.Option{none}, "127.0.0.1:1", "127.0.0.1"},
		"loopback is trusted": {says("192.0.2.9"), []echoaudit.Option{loopback}, "127.0.0.1:1", "203.0.113.7"},
	} {
		rec := audittest.New(t)
		e := echo.New()
		e.IPExtractor = c.extractor
		r := get()
		r.RemoteAddr = c.remote
		r.Header.Set("X-Forwarded-For", "203.0.113.7")
		r.Header.Set("X-Real-IP", "<script>")
		serve(e, r, func(c *echo.Context) error {
			return echoaudit.Audit(c, "refund", nil, core.As("alice"))
		}, echoaudit.Middleware(rec.Recorder(), c.opts...))
		if ip := rec.Last("refund").Request.IP; ip != c.ip {
			t.Errorf("%s: ip %q, want %q", name, ip, c.ip)
		}
	}
}

// What RealIP says without an IPExtractor is the proxy.
func TestClientIPIsNotRealIP(t *testing.T) {
	rec := audittest.New(t)
	r := get()
	r.RemoteAddr = "10.0.0.1:1"
	r.Header.Set("X-Forwarded-For", "203.0.113.7")
	serve(echo.New(), r, func(c *echo.Context) error {
		if ip := c.RealIP(); ip != "10.0.0.1" {
			t.Errorf("echo now says %s: the package's documentation says otherwise", ip)
		}
		return echoaudit.Audit(c, "refund", nil, core.As("alice"))
	}, echoaudit.Middleware(rec.Recorder()))
	if ip := rec.Last("refund").Request.IP; ip != "203.0.113.7" {
		t.Errorf("ip %q", ip)
	}
}

func TestIPExtractorPanics(t *testing.T) {
	rec := audittest.New(t)
	e := echo.New()
	e.IPExtractor = func(*http.Request) string { panic("no address") }
	serve(e, get(), func(c *echo.Context) error {
		if err := echoaudit.Audit(c, "refund", nil, core.As("alice")); err == nil || !strings.Contains(err.Error(), "no address") {
			t.Errorf("the audit returned %v", err)
		}
		return nil
	}, echoaudit.Middleware(rec.Recorder()))
}

// The application's rule for the client's address holds after the request, too.
func TestIPExtractorAfterTheRequest(t *testing.T) {
	rec := audittest.New(t)
	for ip, extractor := range map[string]echo.IPExtractor{"203.0.113.7": echo.ExtractIPFromXFFHeader(), "203.0.113.8": nil} {
		e := echo.New()
		e.IPExtractor = extractor
		r := get()
		r.RemoteAddr = "127.0.0.1:1"
		r.Header.Set("X-Forwarded-For", ip)
		e.HTTPErrorHandler = func(c *echo.Context, _ error) {
			if err := echoaudit.Audit(c, "late", nil, core.As("alice")); err != nil {
				t.Error(err)
			}
		}
		serve(e, r, func(*echo.Context) error { return errors.New("refused") }, echoaudit.Middleware(rec.Recorder()))
		if got := rec.Last("late").Request.IP; got != ip {
			t.Errorf("ip %s, want %s", got, ip)
		}
	}
}

// What a Pre middleware inside ours makes of the request is what echo routes by, and
// what a layer outside sees that keeps the request.
func TestPre(t *testing.T) {
	rec := audittest.New(t)
	e := echo.New()
	outside := func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c *echo.Context) error {
			r := c.Request()
			err := next(c)
			if r.Method != http.MethodDelete || r.URL.Path != "/new/7" {
				t.Errorf("a layer outside sees %s %s", r.Method, r.URL)
			}
			return err
		}
	}
	e.Pre(outside, echoaudit.Middleware(rec.Recorder()), middleware.Rewrite(map[string]string{"/old/*": "/new/$1"}), middleware.MethodOverride())
	e.DELETE("/new/:id", func(c *echo.Context) error {
		if err := echoaudit.Audit(c, "delete", nil, core.As("alice")); err != nil {
			t.Error(err)
		}
		return c.NoContent(http.StatusNoContent)
	})
	r := httptest.NewRequest(http.MethodPost, "/old/7", nil)
	r.Header.Set(echo.HeaderXHTTPMethodOverride, http.MethodDelete)
	w := httptest.NewRecorder()
	e.ServeHTTP(w, r)
	if w.Code != http.StatusNoContent {
		t.Errorf("status %d", w.Code)
	}
	if got := rec.Last("delete").Request; got.Path != "/old/7" || got.Method != http.MethodPost {
		t.Errorf("%+v, want what arrived", got)
	}
}

// Layers around the Echo find the route's path in the request that they handed on.
func TestPattern(t *testing.T) {
	replace := func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c *echo.Context) error {
			c.SetRequest(c.Request().Clone(c.Request().Context()))
			return next(c)
		}
	}
	ours := echoaudit.Middleware(audittest.New(t).Recorder())
	for name, install := range map[string]func(*echo.Echo){
		"Use":                          func(e *echo.Echo) { e.Use(ours) },
		"Pre":                          func(e *echo.Echo) { e.Pre(ours) },
		"Pre, inside a layer replaces": func(e *echo.Echo) { e.Pre(ours, replace) },
	} {
		e := echo.New()
		install(e)
		e.GET("/orders/:id", func(c *echo.Context) error {
			if c.Request().Pattern != "/orders/:id" {
				t.Errorf("%s: the handler finds %q", name, c.Request().Pattern)
			}
			return nil
		})
		r := httptest.NewRequest(http.MethodGet, "/orders/7", nil)
		e.ServeHTTP(httptest.NewRecorder(), r)
		if r.Pattern != "/orders/:id" {
			t.Errorf("%s: a layer outside finds %q", name, r.Pattern)
		}
	}
}

func TestRequestIDOfEcho(t *testing.T) {
	rec := audittest.New(t)
	var made string
	serve(echo.New(), get(), func(c *echo.Context) error {
		made = c.Response().Header().Get(echo.HeaderXRequestID)
		return echoaudit.Audit(c, "refund", nil, core.As("alice"))
	}, middleware.RequestID(), echoaudit.Middleware(rec.Recorder()))
	if id := rec.Last("refund").Request.ID; made == "" || id != made {
		t.Errorf("ID %q, want %q", id, made)
	}
}

// echo calls the error handler when all middleware has returned.
func TestErrorHandler(t *testing.T) {
	rec := audittest.New(t)
	e := echo.New()
	called := false
	e.HTTPErrorHandler = func(c *echo.Context, _ error) {
		called = true
		if err := echoaudit.Audit(c, "failed", nil); !errors.Is(err, core.ErrRequestOver) {
			t.Errorf("an audit in the error handler: %v", err)
		}
		if err := echoaudit.Audit(c, "failed", nil, core.As("alice")); err != nil {
			t.Error(err)
		}
	}
	serve(e, get(), func(*echo.Context) error { return errors.New("refused") },
		echoaudit.Middleware(rec.Recorder(), echoaudit.User(func(*echo.Context) (string, error) { return "alice", nil })))
	if !called || rec.Last("failed").Request.Path != "/x" || len(rec.Events()) != 1 {
		t.Errorf("%+v", rec.Events())
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
	replace := func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c *echo.Context) error {
			c.SetRequest(c.Request().Clone(c.Request().Context()))
			return next(c)
		}
	}
	serve(echo.New(), r, func(c *echo.Context) error {
		if c.FormValue("k") != "v" {
			t.Error("the form was not read")
		}
		return nil
	}, echoaudit.Middleware(nil), replace)
	if r.MultipartForm == nil {
		t.Error("the form did not reach the request that arrived")
	}
}

func TestHandlerErrorIsHandedOn(t *testing.T) {
	refused := errors.New("refused")
	next := func(*echo.Context) error { return refused }
	c := echo.New().NewContext(get(), httptest.NewRecorder())
	if err := echoaudit.Middleware(nil)(next)(c); err != refused {
		t.Errorf("the middleware returned %v", err)
	}
}
