package adaptertest

import (
	"errors"
	"net/http"
	"net/netip"
	"testing"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/core/audittest"
)

func route(t *testing.T, a Adapter) {
	rec := audittest.New(t)
	s := newSite(t, a, Setup{Recorder: rec.Recorder(), User: func(*http.Request) (string, error) { return "alice", nil }})
	s.get("/some/path", func(c *Call) {
		wantNil(t, c.Audit("x", nil))
		for _, ctx := range c.Contexts {
			wantNil(t, core.Audit(ctx, "x", nil))
		}
		wantNil(t, core.Audit(c.Detach(), "x", nil))
	})
	for _, e := range rec.Events() {
		if e.Request.Route != a.Route || e.Request.Path != "/some/path" {
			t.Errorf("the route of %s is %q, want %q", e.Request.Path, e.Request.Route, a.Route)
		}
	}
}

func trace(t *testing.T, a Adapter) {
	rec := audittest.New(t)
	s := newSite(t, a, Setup{Recorder: rec.Recorder()})
	const id = "4bf92f3577b34da6a3ce929d0e0e4736"
	for parent, want := range map[string]string{
		"00-" + id + "-00f067aa0ba902b7-01":                           id,
		"cc-" + id + "-00f067aa0ba902b7-01-what a later version adds": id,
		"":                                       "",
		"ff-" + id + "-00f067aa0ba902b7-01":      "",
		"00-" + id + "-00f067aa0ba902b7-01-more": "",
		"cc-" + id + "-00f067aa0ba902b7-01more":  "",
		"00-00000000000000000000000000000000-00f067aa0ba902b7-01":          "",
		"00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01":          "",
		"00-" + id + "-00f067aa0ba902b7":                                   "",
		"00-<script>alert(1)</script>....-00f067aa0ba902b7-01............": "",
	} {
		r := s.request("/x")
		if parent != "" {
			r.Header.Set("traceparent", parent)
		}
		if got := s.asked(rec, r).Trace; got != want {
			t.Errorf("traceparent %q: the trace is %q, want %q", parent, got, want)
		}
	}
}

func clientIPOption(t *testing.T, a Adapter) {
	rec := audittest.New(t)
	s := newSite(t, a, Setup{Recorder: rec.Recorder(), ClientIP: func(r *http.Request) (netip.Addr, error) {
		ip := r.Header.Get("CF-Connecting-IP")
		if ip == "" {
			return netip.Addr{}, nil
		}
		return netip.ParseAddr(ip)
	}})
	for _, c := range []struct{ header, forwarded, want string }{
		{"198.51.100.7", "203.0.113.7", "198.51.100.7"}, {"::ffff:198.51.100.7", "", "198.51.100.7"}, {"fe80::1%eth0", "", "fe80::1"},
		{"", "203.0.113.7", "203.0.113.7"},
	} {
		r := s.request("/x")
		if c.header != "" {
			r.Header.Set("CF-Connecting-IP", c.header)
		}
		if c.forwarded != "" {
			r.Header.Set("X-Forwarded-For", c.forwarded)
		}
		if got := s.asked(rec, r); got.IP != c.want || got.Peer != "127.0.0.1" || got.Forwarded != c.forwarded {
			t.Errorf("%+v: IP %q, peer %q, forwarded %q", c, got.IP, got.Peer, got.Forwarded)
		}
	}
	rec.Reset()
	r := s.request("/x")
	r.Header.Set("CF-Connecting-IP", "unknown")
	s.send(s.client, r, func(c *Call) { wantText(t, c.Audit("x", nil, core.As("me")), "ClientIP") })
	wantNothing(t, rec)
}

func brokenRequestOptions(t *testing.T, a Adapter) {
	errNot := errors.New("it cannot be told")
	for name, setup := range map[string]Setup{
		"ClientIP":      {ClientIP: func(*http.Request) (netip.Addr, error) { return netip.Addr{}, errNot }},
		"ClientIP that": {ClientIP: func(*http.Request) (netip.Addr, error) { panic(errNot) }},
		"RequestID":     {RequestID: func(*http.Request) string { panic(errNot) }},
	} {
		rec := audittest.New(t)
		setup.Recorder = rec.Recorder()
		s := newSite(t, a, setup)
		wantText(t, s.audited("/x", "x", core.As("me")), errNot.Error())
		wantNothing(t, rec)
		if t.Failed() {
			t.Fatal(name)
		}
	}
}
