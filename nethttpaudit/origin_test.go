package nethttpaudit

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/gorilla/sessions"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/core/audittest"
)

// serve runs handle behind the middleware, without a network.
func serve(rec *core.Recorder, handle http.HandlerFunc, opts ...Option) {
	r := httptest.NewRequest(http.MethodGet, "/x", nil)
	Middleware(rec, opts...)(handle).ServeHTTP(httptest.NewRecorder(), r)
}

func TestRegistryIsShared(t *testing.T) {
	if registryKey == nil {
		t.Fatal("gorilla/sessions no longer asks the context for its registry")
	}
	serve(nil, func(_ http.ResponseWriter, r *http.Request) {
		var wg sync.WaitGroup
		found := make([]*sessions.Registry, 8)
		for i := range found {
			wg.Go(func() { found[i] = sessions.GetRegistry(r.WithContext(r.Context())) })
		}
		wg.Wait()
		for _, registry := range found {
			if registry == nil || registry != found[0] {
				t.Errorf("layers got registries %p and %p", registry, found[0])
			}
		}
	})
}

func TestRegistryOfOuterLayers(t *testing.T) {
	before := httptest.NewRequest(http.MethodGet, "/", nil)
	outer := sessions.GetRegistry(before)
	Middleware(nil)(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if sessions.GetRegistry(r.WithContext(r.Context())) != outer {
			t.Error("the registry made before the middleware is not the one inside")
		}
	})).ServeHTTP(nil, before)

	// A session wrapper outside may look first while the handler already runs.
	during := httptest.NewRequest(http.MethodGet, "/", nil)
	Middleware(nil)(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		outer := sessions.GetRegistry(during)
		if sessions.GetRegistry(r.WithContext(r.Context())) != outer {
			t.Error("the registry made outside during the request is not the one inside")
		}
	})).ServeHTTP(nil, during)
}

func TestNilRequest(t *testing.T) {
	rec := audittest.New(t)
	core.SetDefault(rec.Recorder())
	t.Cleanup(func() { core.SetDefault(nil) })
	var audit *core.AuditError
	if err := Audit(nil, "refund", nil, core.As("alice")); !errors.As(err, &audit) || !strings.Contains(err.Error(), "nethttpaudit") {
		t.Errorf("Audit(nil) = %v", err)
	}
	if err := core.Audit(Detach(nil), "refund", nil); !errors.Is(err, errNoRequest) {
		t.Errorf("an audit after Detach(nil): %v", err)
	}
	if err := Audit(&http.Request{}, "bare", nil, core.As("alice")); err != nil {
		t.Errorf("an audit of a request without anything: %v", err)
	}
	if n := len(rec.Events()); n != 1 {
		t.Errorf("%d events, want the one of the bare request", n)
	}
}

func TestOptionsThatCannotWork(t *testing.T) {
	rec := audittest.New(t).Recorder()
	for name, opt := range map[string]Option{
		"nil User":        User(nil),
		"nil ContextUser": ContextUser[*int](nil),
		"other adapter":   ContextUser(func(*int) (string, error) { return "mallory", nil }),
		"nil store":       SessionUser(nil, "session"),
		"typed nil store": SessionUser((*sessions.CookieStore)(nil), "session"),
	} {
		serve(rec, func(_ http.ResponseWriter, r *http.Request) {
			if err := Audit(r, "refund", nil); err == nil {
				t.Errorf("%s: no error", name)
			}
			if err := Audit(r, "refund", nil, core.As("alice")); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}, nil, opt)
	}
}

// TestUserThatAudits: a function that asks for itself must not hang the request.
func TestUserThatAudits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rec := audittest.New(t)
		var inner error
		serve(rec.Recorder(), func(_ http.ResponseWriter, r *http.Request) {
			if err := Audit(r, "refund", nil); err != nil {
				t.Error(err)
			}
		}, User(func(r *http.Request) (string, error) {
			inner = Audit(r, "lookup", nil)
			return "alice", Audit(r, "lookup", nil, core.As("system"))
		}))
		if inner == nil || !strings.Contains(inner.Error(), "core.As") {
			t.Errorf("the inner audit returned %v", inner)
		}
		if rec.Last("refund").User != "alice" || rec.Last("lookup").User != "system" {
			t.Errorf("%+v", rec.Events())
		}
	})
}

func TestLookupIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rec := audittest.New(t)
		serve(rec.Recorder(), func(_ http.ResponseWriter, r *http.Request) {
			if err := Audit(r, "refund", nil); !errors.Is(err, core.ErrTimeout) {
				t.Errorf("an audit whose lookup waits for its context: %v", err)
			}
		}, User(func(r *http.Request) (string, error) {
			<-r.Context().Done()
			return "", r.Context().Err()
		}))
	})
}

func TestNestedMiddleware(t *testing.T) {
	rec := audittest.New(t)
	as := func(user string) Option {
		return User(func(*http.Request) (string, error) { return user, nil })
	}
	serve(rec.Recorder(), func(w http.ResponseWriter, r *http.Request) {
		Middleware(nil, as("inner"))(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			if err := Audit(r, "inside", nil); err != nil {
				t.Error(err)
			}
		})).ServeHTTP(w, r)
		if err := Audit(r, "outside", nil); err != nil {
			t.Error(err)
		}
	}, as("outer"))
	if in, out := rec.Last("inside").User, rec.Last("outside").User; in != "inner" || out != "outer" {
		t.Errorf("the user is %s inside and %s outside", in, out)
	}
}

func TestPatternReachesLayersOutside(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /orders/{id}", func(_ http.ResponseWriter, r *http.Request) {
		if r.PathValue("id") != "7" {
			t.Errorf("path value %q", r.PathValue("id"))
		}
	})
	r := httptest.NewRequest(http.MethodGet, "/orders/7", nil)
	Middleware(nil)(mux).ServeHTTP(httptest.NewRecorder(), r)
	if r.Pattern != "GET /orders/{id}" {
		t.Errorf("pattern %q", r.Pattern)
	}
}

func TestUserFunctionSeesTheCurrentRequest(t *testing.T) {
	rec := audittest.New(t)
	mux := http.NewServeMux()
	mux.HandleFunc("/tenants/{tenant}", func(_ http.ResponseWriter, r *http.Request) {
		if err := Audit(r, "refund", nil); err != nil {
			t.Error(err)
		}
	})
	byTenant := User(func(r *http.Request) (string, error) { return r.PathValue("tenant"), nil })
	Middleware(rec.Recorder(), byTenant)(http.StripPrefix("/api", mux)).
		ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/api/tenants/acme", nil))
	if e := rec.Last("refund"); e.User != "acme" || e.Request.Path != "/api/tenants/acme" {
		t.Errorf("%s at %s", e.User, e.Request.Path)
	}
}

func TestNilHandler(t *testing.T) {
	w := httptest.NewRecorder()
	Middleware(nil)(nil).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/not/there", nil))
	if w.Code != http.StatusNotFound {
		t.Errorf("status %d", w.Code)
	}
}

func TestEndTwice(t *testing.T) {
	_, origin := framework.Adapter(nil).Begin(nil, httptest.NewRequest(http.MethodGet, "/x", nil))
	origin.End()
	origin.End()
	if _, err := origin.User(t.Context()); !errors.Is(err, core.ErrRequestOver) {
		t.Errorf("User after the end: %v", err)
	}
	first, err := origin.Request(t.Context())
	if err != nil || first.Path != "/x" {
		t.Fatalf("request %+v, %v", first, err)
	}
	if again, err := origin.Request(t.Context()); err != nil || again != first {
		t.Errorf("request %+v is not kept: %+v, %v", first, again, err)
	}
}

// A handler may be given one request several times, which then is what it was but for
// the sessions that were read.
func TestRequestAgain(t *testing.T) {
	r := httptest.NewRequest(http.MethodGet, "/x", nil)
	inPlace := &Framework{InPlace: true}
	var registry *sessions.Registry
	for i := range 3 {
		inner, origin := inPlace.Adapter(nil).Begin(nil, r)
		if inner != r || origin.outer() != nil || origin.entry.Context().Value(originKey{}) != nil {
			t.Errorf("time %d leads to the one before", i)
		}
		if before := registry; before != nil && sessions.GetRegistry(r) != before {
			t.Errorf("time %d reads the sessions anew", i)
		}
		registry = sessions.GetRegistry(r)
		origin.End()
	}
}

func TestBeginWithoutRequest(t *testing.T) {
	inner, origin := framework.Adapter(nil).Begin(nil, nil)
	origin.End()
	if inner != nil {
		t.Error("a request came from nowhere")
	}
}
