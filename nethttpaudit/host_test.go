package nethttpaudit

import (
	"net"
	"strings"
	"testing"
)

func TestHostOnly(t *testing.T) {
	for s, want := range map[string]string{
		"":                   "",
		"example.com":        "example.com",
		"example.com:80":     "example.com",
		"example.com:":       "example.com",
		":8080":              "",
		"[::1]":              "::1",
		"[::1]:5000":         "::1",
		"::1":                "::1",
		"2001:db8::1":        "2001:db8::1",
		"[fe80::1%25eth0]:1": "fe80::1%25eth0",
		"[::1":               "[::1",
		"[":                  "[",
		"[]":                 "",
		"[::1]x":             "[::1]x",
		"a]:80":              "a]",
	} {
		if got := hostOnly(s); got != want {
			t.Errorf("hostOnly(%q) = %q, want %q", s, got, want)
		}
	}
}

// FuzzHostOnly: joining a port to a host and taking it off again gives the host,
// and nothing is ever added.
func FuzzHostOnly(f *testing.F) {
	for _, s := range []string{"example.com", "::1", "127.0.0.1", "[::1]:5000", "a:b:c", "[", "]:", ""} {
		f.Add(s, "80")
	}
	f.Fuzz(func(t *testing.T, s, port string) {
		if got := hostOnly(s); !strings.Contains(s, got) {
			t.Fatalf("hostOnly(%q) = %q", s, got)
		}
		if strings.ContainsAny(s, "[]") || strings.ContainsAny(port, ":[]") {
			return
		}
		if joined := net.JoinHostPort(s, port); hostOnly(joined) != s {
			t.Fatalf("hostOnly(%q) = %q, want %q", joined, hostOnly(joined), s)
		}
	})
}
