package adaptertest

import (
	"errors"
	"net/http"
	"testing"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/core/audittest"
)

// impersonatorCases: for whom.
var impersonatorCases = []adapterCase{
	{name: "an administrator in another's account", run: impersonation},
	{name: "an impersonator that cannot be told", run: brokenImpersonator},
	{name: "an impersonator that a middleware outside knows", run: outerImpersonator},
}

const adminHeader = "X-Test-Admin"

func adminOf(r *http.Request) (string, error) { return r.Header.Get(adminHeader), nil }

func impersonation(t *testing.T, a Adapter) {
	rec := audittest.New(t)
	signedIn := "alice"
	s := newSite(t, a, Setup{
		Recorder: rec.Recorder(), Impersonator: adminOf,
		User: func(*http.Request) (string, error) { return signedIn, nil },
	})
	visit := func(admin string, handle func(c *Call)) {
		t.Helper()
		rec.Reset()
		r := s.request("/x")
		if admin != "" {
			r.Header.Set(adminHeader, admin)
		}
		s.send(s.client, r, handle)
	}
	for _, c := range []struct {
		admin          string
		opts           []core.Option
		user, onBehalf string
	}{
		{"root", nil, "root", "alice"},
		{"", nil, "alice", ""},
		{"root", []core.Option{core.As("bob")}, "bob", ""},
		{"root", []core.Option{core.OnBehalfOf("carol")}, "root", "carol"},
		{"", []core.Option{core.OnBehalfOf("carol")}, "alice", "carol"},
	} {
		visit(c.admin, func(call *Call) {
			wantNil(t, call.Audit("x", nil, c.opts...))
			for _, ctx := range call.Contexts {
				wantNil(t, core.Audit(ctx, "x", nil, c.opts...))
			}
			wantNil(t, core.Audit(call.Detach(), "x", nil, c.opts...))
		})
		for _, e := range rec.Events() {
			if e.User != c.user || e.OnBehalfOf != c.onBehalf {
				t.Errorf("with the administrator %q: %q for %q, want %q for %q", c.admin, e.User, e.OnBehalfOf, c.user, c.onBehalf)
			}
		}
	}
	signedIn = ""
	visit("", func(c *Call) { wantNil(t, c.Audit("x", nil)) })
	wantNothing(t, rec)
}

func brokenImpersonator(t *testing.T, a Adapter) {
	errNot := errors.New("it cannot be told")
	for name, f := range map[string]func(*http.Request) (string, error){
		"an error": func(*http.Request) (string, error) { return "", errNot },
		"a panic":  func(*http.Request) (string, error) { panic(errNot) },
	} {
		rec := audittest.New(t)
		s := newSite(t, a, Setup{Recorder: rec.Recorder(), Impersonator: f, User: func(*http.Request) (string, error) { return "alice", nil }})
		if err := s.audited("/x", "x"); err == nil {
			t.Errorf("%s: the audit succeeded", name)
		}
		wantNothing(t, rec)
	}
}

func outerImpersonator(t *testing.T, a Adapter) {
	rec := audittest.New(t)
	alice := func(*http.Request) (string, error) { return "alice", nil }
	around := &Setup{User: alice, Impersonator: func(*http.Request) (string, error) { return "root", nil }}
	s := newSite(t, a, Setup{Recorder: rec.Recorder(), Around: around})
	wantNil(t, s.audited("/x", "of the outer user"))
	if e := rec.Last("of the outer user"); e.User != "root" || e.OnBehalfOf != "alice" {
		t.Errorf("%q for %q, want root for alice", e.User, e.OnBehalfOf)
	}
	s = newSite(t, a, Setup{Recorder: rec.Recorder(), Around: around, User: func(*http.Request) (string, error) { return "machine", nil }})
	wantNil(t, s.audited("/x", "of a user of its own"))
	if e := rec.Last("of a user of its own"); e.User != "machine" || e.OnBehalfOf != "" {
		t.Errorf("%q for %q, want machine alone", e.User, e.OnBehalfOf)
	}
}
