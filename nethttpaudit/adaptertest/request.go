package adaptertest

import (
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/core/audittest"
)

// requestCases: from where.
var requestCases = []adapterCase{
	{name: "facts of the request", run: facts},
	{name: "request ID that a layer outside made", run: madeRequestID},
	{name: "request ID from the context", run: requestIDInContext},
	{name: "trace id", run: trace},
	{name: "route", run: route},
	{name: "client IP that an option says", run: clientIPOption},
	{name: "options that fail", run: brokenRequestOptions},
	{name: "facts that a client states", run: forgedFacts},
	{name: "percent-encoded paths", run: encodedPaths},
	{name: "host without port", run: hosts},
	{name: "a layer inside copies and rewrites the request", run: rewrittenCopy},
	{name: "a layer inside rewrites the request in place", run: rewrittenInPlace},
	{name: "client IP, default proxies", run: ipByDefault},
	{name: "client IP, stated proxies", run: ipStated},
	{name: "client IP, no proxies", run: ipUntrusted},
	{name: "forwarded header of a megabyte", run: hugeForwarded},
}

// asked audits one request as "test" and returns what was stored of it.
func (s *site) asked(rec *audittest.Recording, r *http.Request) core.Request {
	s.t.Helper()
	rec.Reset()
	s.send(s.client, r, func(c *Call) { wantNil(s.t, c.Audit("asked", nil, core.As("test"))) })
	e := rec.Last("asked")
	if e.Request == nil {
		s.t.Fatal("the event has no request")
	}
	return *e.Request
}

func facts(t *testing.T, a Adapter) {
	rec := audittest.New(t)
	s := newSite(t, a, Setup{Recorder: rec.Recorder()})
	r, err := http.NewRequest(http.MethodPost, s.server.URL+"/some/path?secret=1", strings.NewReader("x=1"))
	if err != nil {
		t.Fatal(err)
	}
	r.Host = "example.com:8443"
	r.Header.Set("User-Agent", "browser/1.0")
	r.Header.Set("X-Request-ID", "req-7")
	r.Header.Set("X-Forwarded-For", "203.0.113.7")
	want := core.Request{
		Route: a.Route, Path: "/some/path", Host: "example.com", IP: "203.0.113.7", Method: "POST",
		Peer: "127.0.0.1", Forwarded: "203.0.113.7", UserAgent: "browser/1.0", ID: "req-7",
	}
	if got := s.asked(rec, r); got != want {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func encodedPaths(t *testing.T, a Adapter) {
	rec := audittest.New(t)
	s := newSite(t, a, Setup{Recorder: rec.Recorder()})
	for escaped, path := range map[string]string{
		"/a%20b?q=1":       "/a b",
		"/%C3%A4?":         "/ä",
		"/a%2Fb":           "/a/b",
		"/a%3Fb":           "/a?b",
		"/%00":             "/\uFFFD",
		"/%ff":             "/\uFFFD",
		"/x/%2e%2e/y":      "/x/../y",
		"/%22%3E%3Cimg%3E": `/"><img>`,
	} {
		if got := s.asked(rec, s.request(escaped)).Path; got != path {
			t.Errorf("%s: path %q, want %q", escaped, got, path)
		}
	}
}

func hosts(t *testing.T, a Adapter) {
	rec := audittest.New(t)
	s := newSite(t, a, Setup{Recorder: rec.Recorder()})
	for sent, host := range map[string]string{
		"example.com": "example.com", "example.com:80": "example.com", "127.0.0.1:5000": "127.0.0.1",
		"[::1]:5000": "::1", "[::1]": "::1", "[2001:db8::1]:443": "2001:db8::1",
	} {
		r := s.request("/")
		r.Host = sent
		if got := s.asked(rec, r).Host; got != host {
			t.Errorf("%s: host %q, want %q", sent, got, host)
		}
	}
}

func rewritten(t *testing.T, a Adapter, inner func(*http.Request) *http.Request) {
	rec := audittest.New(t)
	s := newSite(t, a, Setup{Recorder: rec.Recorder(), Inner: inner})
	r := s.request("/api/orders")
	r.Host = "example.com:80"
	r.Header.Add("X-Forwarded-For", "203.0.113.7")
	got := s.asked(rec, r)
	if got.Path != "/api/orders" || got.Host != "example.com" || got.IP != "203.0.113.7" || got.Peer != "127.0.0.1" ||
		got.Method != http.MethodGet || got.Forwarded != "203.0.113.7" {
		t.Errorf("got %+v, want what arrived", got)
	}
}

func rewrittenCopy(t *testing.T, a Adapter) {
	rewritten(t, a, func(r *http.Request) *http.Request {
		r = r.Clone(r.Context())
		rewrite(r)
		return r
	})
}

func rewrittenInPlace(t *testing.T, a Adapter) {
	rewritten(t, a, func(r *http.Request) *http.Request {
		rewrite(r)
		return r
	})
}

func rewrite(r *http.Request) {
	r.URL.Path, r.Host, r.RemoteAddr, r.Method = "/orders", "internal", "198.51.100.1:1", http.MethodPost
	r.Header.Set("X-Forwarded-For", "198.51.100.2")
}

type ipCase struct {
	remote string
	lines  []string
	ip     string
}

func ips(t *testing.T, a Adapter, trusted []netip.Prefix, cases []ipCase) {
	t.Helper()
	rec := audittest.New(t)
	s := newSite(t, a, Setup{Recorder: rec.Recorder(), TrustedProxies: trusted})
	for _, c := range cases {
		r := s.request("/")
		for _, line := range c.lines {
			r.Header.Add("X-Forwarded-For", line)
		}
		s.remote = c.remote
		got := s.asked(rec, r)
		if got.IP != c.ip {
			t.Errorf("peer %s, header %q: ip %q, want %q", c.remote, c.lines, got.IP, c.ip)
		}
		if forwarded := strings.Join(c.lines, ", "); got.Forwarded != forwarded {
			t.Errorf("peer %s: forwarded %q, want %q", c.remote, got.Forwarded, forwarded)
		}
	}
}

func ipByDefault(t *testing.T, a Adapter) {
	ips(t, a, nil, []ipCase{
		{"127.0.0.1:1", nil, "127.0.0.1"},
		{"127.0.0.1:1", []string{""}, "127.0.0.1"},
		{"127.0.0.1:1", []string{"203.0.113.7"}, "203.0.113.7"},
		{"127.0.0.1:1", []string{"1.1.1.1, 203.0.113.7"}, "203.0.113.7"},
		{"127.0.0.1:1", []string{"1.1.1.1", "203.0.113.7, 10.1.1.1", "192.168.0.9"}, "203.0.113.7"},
		{"127.0.0.1:1", []string{"203.0.113.7:4711, 10.0.0.1:80"}, "203.0.113.7"},
		{"127.0.0.1:1", []string{"[2001:db8::7]:4711"}, "2001:db8::7"},
		{"127.0.0.1:1", []string{"::ffff:203.0.113.7"}, "203.0.113.7"},
		{"127.0.0.1:1", []string{"10.0.0.2, unknown, 10.0.0.1"}, "10.0.0.1"},
		{"127.0.0.1:1", []string{"1.1.1.1, <script>"}, "127.0.0.1"},
		{"127.0.0.1:1", []string{"203.0.113.7, ,"}, "203.0.113.7"},
		{"127.0.0.1:1", []string{"10.0.0.2, 10.0.0.1"}, "10.0.0.2"},
		{"203.0.113.9:1", []string{"127.0.0.1"}, "203.0.113.9"},
		{"[::1]:1", []string{"2001:db8::7"}, "2001:db8::7"},
		{"[2001:db8::1]:443", []string{"1.1.1.1"}, "2001:db8::1"},
		{"[fe80::1%eth0]:443", []string{"fe80::2%<script>"}, "fe80::2"},
		{"[fe80::1%eth0]:443", nil, "fe80::1"},
		{"@", []string{"203.0.113.7"}, "203.0.113.7"},
		{"@", nil, "@"},
	})
}

func ipStated(t *testing.T, a Adapter) {
	ips(t, a, []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("2001:db8::/32")}, []ipCase{
		{"203.0.113.1:1", []string{"1.1.1.1, 198.51.100.7, 2001:db8::5"}, "198.51.100.7"},
		{"203.0.113.1:1", []string{"10.0.0.1"}, "10.0.0.1"},
		{"[2001:db8::1]:1", []string{"198.51.100.7"}, "198.51.100.7"},
		{"127.0.0.1:1", []string{"198.51.100.7"}, "127.0.0.1"},
		{"10.0.0.1:1", []string{"198.51.100.7"}, "10.0.0.1"},
	})
}

func ipUntrusted(t *testing.T, a Adapter) {
	ips(t, a, []netip.Prefix{}, []ipCase{
		{"127.0.0.1:1", []string{"198.51.100.7"}, "127.0.0.1"},
		{"[::1]:1", []string{"198.51.100.7"}, "::1"},
		{"@", []string{"198.51.100.7"}, "@"},
	})
}

func hugeForwarded(t *testing.T, a Adapter) {
	rec := audittest.New(t)
	s := newSite(t, a, Setup{Recorder: rec.Recorder()})
	// Just under the server's own limit of a megabyte.
	for name, value := range map[string]string{
		"hops":    strings.Repeat("10.0.0.1,", 100_000) + "10.0.0.1",
		"garbage": strings.Repeat("x", 900_000),
		"commas":  strings.Repeat(",", 900_000),
		"colons":  strings.Repeat(":", 900_000),
	} {
		r := s.request("/")
		r.Header.Set("X-Forwarded-For", value)
		if got := s.asked(rec, r); got.IP != "127.0.0.1" && got.IP != "10.0.0.1" || len(got.Forwarded) > 5000 {
			t.Errorf("%s: ip %q, %d bytes kept", name, got.IP, len(got.Forwarded))
		}
	}
	r := s.request("/")
	for i := range 5000 {
		r.Header.Add("X-Forwarded-For", fmt.Sprintf("10.0.%d.%d", i/250, i%250))
	}
	r.Header.Add("X-Forwarded-For", "203.0.113.7")
	if got := s.asked(rec, r); got.IP != "203.0.113.7" || len(got.Forwarded) > 5000 {
		t.Errorf("many lines: ip %q, %d bytes kept", got.IP, len(got.Forwarded))
	}
}
