package auditpage_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gin-gonic/gin"
	"github.com/labstack/echo/v4"
	echov5 "github.com/labstack/echo/v5"
	"golang.org/x/net/html"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/core/audittest"
	"github.com/auditing-go/auditing/echoaudit"
	"github.com/auditing-go/auditing/ginaudit"
	"github.com/auditing-go/auditing/nethttpaudit"
	"github.com/auditing-go/auditing/nethttpaudit/auditpage"
)

func TestNew(t *testing.T) {
	rec := newRecorder(t, core.Config{})
	if _, err := auditpage.New(rec, auditpage.Config{}); err == nil || !strings.Contains(err.Error(), "Config.User") {
		t.Errorf("without User: %v", err)
	}
	if _, err := auditpage.New(nil, auditpage.Config{User: alice}); err == nil || !strings.Contains(err.Error(), "recorder") {
		t.Errorf("without a recorder: %v", err)
	}
}

// TestMounted: the page works where the frameworks mount it in one line, and what it audits
// has the request as their middleware sees it.
func TestMounted(t *testing.T) {
	rec := newRecorder(t, core.Config{})
	newSite(t, rec, auditpage.Config{}).event("refund", nil, core.On("order", 1))
	page, err := auditpage.New(rec, auditpage.Config{User: alice})
	if err != nil {
		t.Fatal(err)
	}
	gin.SetMode(gin.TestMode)
	nobody := func(*http.Request) (string, error) { return "", nil }
	for name, mount := range map[string]func() http.Handler{
		"net/http": func() http.Handler {
			mux := http.NewServeMux()
			mux.Handle("/audit/", page)
			return nethttpaudit.Middleware(rec, nethttpaudit.User(nobody))(mux)
		},
		"net/http without a middleware": func() http.Handler {
			mux := http.NewServeMux()
			mux.Handle("/audit/", page)
			return mux
		},
		"net/http below a prefix": func() http.Handler { return http.StripPrefix("/audit", page) },
		"gin": func() http.Handler {
			r := gin.New()
			r.Use(ginaudit.Middleware(rec))
			r.Group("/audit").Any("/*any", gin.WrapH(page))
			return r
		},
		"echo": func() http.Handler {
			e := echo.New()
			e.Use(echoaudit.Middleware(rec))
			e.Any("/audit/*", echo.WrapHandler(page))
			return e
		},
		"echo v5": func() http.Handler {
			e := echov5.New()
			e.Any("/audit/*", echov5.WrapHandler(page))
			return e
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := site{t, rec, mount()}
			a := s.get("tag", "refund").wantStatus(http.StatusOK)
			if a.orders() != "order/1" {
				t.Errorf("it shows %q", a.orders())
			}
			s.open(a.link("order/1")).wantStatus(http.StatusOK).wantSays("What was done to order/1")
			r := httptest.NewRequest(http.MethodGet, "/audit/?tag=refund", nil)
			r.Header.Set("X-Request-ID", name)
			s.do(r)
			looks := s.events(core.Query{Tag: core.TagRead, RequestID: name})
			if len(looks) != 1 || looks[0].User != "alice" || looks[0].Request.IP != "192.0.2.1" || !strings.HasSuffix(looks[0].Request.Path, "/") {
				t.Errorf("looking was audited as %+v", looks)
			}
		})
	}
}

// TestLookingIsAudited: who looked, for what, and what they saw.
func TestLookingIsAudited(t *testing.T) {
	rec := newRecorder(t, core.Config{Protect: []func(string, any) any{core.Secrets, core.Keyed([]byte("key"), "iban")}})
	s := newSite(t, rec, auditpage.Config{
		Scope: func(*http.Request) (core.Query, error) { return core.Query{Outcome: core.OutcomeSuccess}, nil },
	})
	for i := range 3 {
		s.event("refund", core.Fields{"iban": "DE7"}, core.On("iban", "DE7"), core.Succeeded(), core.At(noon.AddDate(0, 0, i)))
	}
	stored := s.events(core.Query{Tag: "refund"})
	if rows := s.get("resource", "iban/DE7", "field", "iban", "value", "DE7", "before", "2026-11-22").rows(); len(rows) != 2 {
		t.Fatalf("what is keyed is found %d times", len(rows))
	}
	look := s.events(core.Query{Tag: core.TagRead})[0]
	got := fmt.Sprint(look.User, " ", look.Outcome, " ", map[string]any(look.Fields))
	hashed := strings.TrimPrefix(stored[0].Target, "iban/")
	want := fmt.Sprintf("alice success map[events:2 first:%s last:%s query:map[fields:map[iban:%s] outcome:success target:map[iban:%[3]s] to:2026-11-22 00:00:00 +0000 UTC] view:list]",
		stored[1].ID, stored[2].ID, hashed)
	if got != want {
		t.Errorf("it was audited as\n%s, want\n%s", got, want)
	}
	if strings.Contains(got, "DE7") {
		t.Error("the trail has what it keeps of no event")
	}
	s.get("event", stored[0].ID.String()).wantStatus(http.StatusOK)
	if look := s.events(core.Query{Tag: core.TagRead})[0]; look.Fields["view"] != "event" || look.Fields["first"] != stored[0].ID.String() {
		t.Errorf("looking at an event was audited as %+v", look.Fields)
	}
}

// TestOwnLooks: who looked is not in the list, unless asked for.
func TestOwnLooks(t *testing.T) {
	s := newSite(t, newRecorder(t, core.Config{}), auditpage.Config{})
	s.event("refund", nil)
	for range 60 {
		if rows := s.get().rows(); len(rows) != 1 {
			t.Fatalf("%d events are listed", len(rows))
		}
	}
	if rows := s.get("looks", "1").rows(); len(rows) != 50 {
		t.Errorf("with looks there are %d events", len(rows))
	}
	if rows := s.get("tag", core.TagRead, "user", "alice").rows(); len(rows) != 50 {
		t.Errorf("of the tag there are %d events", len(rows))
	}
}

// TestUnavailable: nothing is shown, not even a page, when looking cannot be audited, the
// store cannot be read, or nobody can say who looks at what.
func TestUnavailable(t *testing.T) {
	down := errors.New("down")
	rec := audittest.New(t)
	working := newSite(t, rec.Recorder(), auditpage.Config{})
	working.event("refund", core.Fields{"note": "secret"})
	event := working.events(core.Query{})[0].ID.String()
	failing := func(*http.Request) (string, error) { return "alice", down }
	closed := newRecorder(t, core.Config{})
	if err := closed.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]site{
		"the store does not store": working,
		"the user cannot be told":  newSite(t, rec.Recorder(), auditpage.Config{User: failing}),
		"the store cannot be read": newSite(t, closed, auditpage.Config{}),
		"what is seen cannot be told": newSite(t, rec.Recorder(), auditpage.Config{
			Scope: func(*http.Request) (core.Query, error) { return core.Query{}, down },
		}),
	} {
		t.Run(name, func(t *testing.T) {
			rec.Fail(nil)
			if s == working {
				rec.Fail(down)
			}
			for _, params := range [][]string{nil, {"event", event}, {"user", "mallory"}, {"tag", "refund", "view", "timeline"}} {
				a := s.get(params...).wantStatus(http.StatusServiceUnavailable)
				if a.body != "" {
					t.Errorf("the body is %s", a.body)
				}
			}
		})
	}
}

// TestUnreadable: a store that cannot be read says so.
func TestUnreadable(t *testing.T) {
	rec, err := core.New(onlyWriting{}, core.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer rec.Close(t.Context())
	newSite(t, rec, auditpage.Config{}).get().wantStatus(http.StatusNotImplemented).wantSays("cannot be read from here")
}

type onlyWriting struct{}

func (onlyWriting) Save(context.Context, []core.Event) error { return nil }

// TestPartlyUnreadable: what can be read is shown, with a word about what cannot.
func TestPartlyUnreadable(t *testing.T) {
	rec, err := core.New(partly{}, core.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer rec.Close(t.Context())
	a := newSite(t, rec, auditpage.Config{}).get().wantStatus(http.StatusOK)
	a.wantSays("Not all events could be read")
	if len(a.rows()) != 1 || a.says("other_tenants_table") {
		t.Errorf("it shows %s", text(a.tree))
	}
}

type partly struct{ onlyWriting }

func (partly) Read(context.Context, core.Query) (core.Page, error) {
	return core.Page{Events: []core.Event{{Tag: "refund", Time: noon}}}, errors.New("other_tenants_table is locked")
}

// TestForbidden: who may not look gets nothing, and whoever is signed in has been seen trying.
func TestForbidden(t *testing.T) {
	rec := audittest.New(t)
	s := newSite(t, rec.Recorder(), auditpage.Config{User: func(*http.Request) (string, error) { return "", nil }})
	s.event("refund", nil)
	s.get().wantStatus(http.StatusForbidden)
	if n := len(rec.ByTag(core.TagRead)); n != 0 {
		t.Errorf("nobody was audited %d times", n)
	}
	mallory := nethttpaudit.User(func(*http.Request) (string, error) { return "mallory", nil })
	s.handler = nethttpaudit.Middleware(rec.Recorder(), mallory)(s.handler)
	if a := s.get().wantStatus(http.StatusForbidden); a.says("refund") {
		t.Error("it shows events")
	}
	if e := rec.Last(core.TagRead); e.User != "mallory" || e.Outcome != core.OutcomeDenied {
		t.Errorf("it was audited as %+v", e)
	}
}

func TestHeaders(t *testing.T) {
	rec := audittest.New(t)
	s := newSite(t, rec.Recorder(), auditpage.Config{})
	s.event("refund", nil)
	answers := []answer{
		s.get().wantStatus(http.StatusOK),
		s.get("event", "x").wantStatus(http.StatusBadRequest),
		s.do(httptest.NewRequest(http.MethodDelete, "/audit/", nil)).wantStatus(http.StatusMethodNotAllowed),
	}
	rec.Fail(errors.New("down"))
	answers = append(answers, s.get().wantStatus(http.StatusServiceUnavailable))
	for _, a := range answers {
		for name, want := range map[string]string{
			"Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff", "Cross-Origin-Resource-Policy": "same-origin",
		} {
			if got := a.Header.Get(name); got != want {
				t.Errorf("%d: %s is %q, want %q", a.StatusCode, name, got, want)
			}
		}
		csp := a.Header.Get("Content-Security-Policy")
		for _, want := range []string{"default-src 'none'", "frame-ancestors 'none'", "form-action 'self'", "base-uri 'none'"} {
			if !strings.Contains(csp, want) {
				t.Errorf("%d: the policy is %q, without %s", a.StatusCode, csp, want)
			}
		}
		for _, style := range a.all(func(n *html.Node) bool { return n.Data == "style" }) {
			sum := sha256.Sum256([]byte(style.FirstChild.Data))
			if !strings.Contains(csp, "style-src 'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"'") {
				t.Errorf("the policy is %q, which does not allow the style sheet", csp)
			}
		}
	}
}

// TestOtherSites can lead here, but not have the page loaded for one of theirs.
func TestOtherSites(t *testing.T) {
	rec := audittest.New(t)
	s := newSite(t, rec.Recorder(), auditpage.Config{})
	for _, test := range []struct {
		site, mode, dest string
		want             int
	}{
		{"", "", "", http.StatusOK},
		{"none", "navigate", "document", http.StatusOK},
		{"cross-site", "navigate", "document", http.StatusOK},
		{"same-origin", "cors", "empty", http.StatusOK},
		{"cross-site", "no-cors", "image", http.StatusForbidden},
		{"cross-site", "navigate", "iframe", http.StatusForbidden},
		{"same-site", "cors", "empty", http.StatusForbidden},
	} {
		before := len(rec.ByTag(core.TagRead))
		r := httptest.NewRequest(http.MethodGet, "/audit/", nil)
		r.Header.Set("Sec-Fetch-Site", test.site)
		r.Header.Set("Sec-Fetch-Mode", test.mode)
		r.Header.Set("Sec-Fetch-Dest", test.dest)
		s.do(r).wantStatus(test.want)
		if looked := len(rec.ByTag(core.TagRead)) - before; looked != 0 != (test.want == http.StatusOK) {
			t.Errorf("%+v was audited %d times", test, looked)
		}
	}
}
