package nethttpaudit

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

func TestParseHop(t *testing.T) {
	for s, want := range map[string]string{
		"203.0.113.7":            "203.0.113.7",
		"203.0.113.7:80":         "203.0.113.7",
		"203.0.113.7:":           "203.0.113.7",
		"2001:DB8::7":            "2001:db8::7",
		"[2001:db8::7]":          "2001:db8::7",
		"[2001:db8::7]:65535":    "2001:db8::7",
		"::ffff:203.0.113.7":     "203.0.113.7",
		"[::ffff:203.0.113.7]":   "203.0.113.7",
		"fe80::1%eth0":           "fe80::1",
		"[fe80::1%eth0]:80":      "fe80::1",
		"fe80::1%<script>":       "fe80::1",
		"fe80::1%":               "fe80::1",
		"":                       "",
		"unknown":                "",
		"_hidden":                "",
		"203.0.113":              "",
		"203.0.113.07":           "",
		"203.0.113.256":          "",
		"203.0.113.7%eth0":       "",
		"203.0.113.7:http":       "",
		"203.0.113.7:123456":     "",
		"203.0.113.7:80:80":      "",
		"[203.0.113.7]:80":       "",
		"[2001:db8::7":           "",
		"[2001:db8::7]x":         "",
		"[2001:db8::7]:":         "2001:db8::7",
		`"203.0.113.7"`:          "",
		"203.0.113.7 evil":       "",
		"1.1.1.1\n2.2.2.2":       "",
		strings.Repeat("1", 999): "",
	} {
		got := ""
		if a, ok := parseHop(s); ok {
			got = a.String()
		}
		if got != want {
			t.Errorf("parseHop(%.40q) = %q, want %q", s, got, want)
		}
	}
}

func TestTrustedProxiesForms(t *testing.T) {
	client := []string{"198.51.100.7"}
	for prefix, remote := range map[string]string{
		"::ffff:10.0.0.0/104":    "10.1.2.3:1",
		"10.0.0.0/8":             "[::ffff:10.1.2.3]:1",
		"10.9.9.9/8":             "10.1.2.3:1",
		"fe80::/10":              "[fe80::1%eth0]:1",
		"2001:db8::/32":          "[2001:db8::1]:1",
		"0.0.0.0/0":              "192.0.2.1:1",
		"::/0":                   "[2001:db8::1]:1",
		"203.0.113.9/32":         "203.0.113.9:1",
		"::ffff:203.0.113.9/128": "203.0.113.9:1",
	} {
		var s settings
		TrustedProxies(netip.MustParsePrefix(prefix))(&s)
		if ip := s.proxies.clientIP(remote, client); ip != client[0] {
			t.Errorf("%s does not trust %s: ip %s", prefix, remote, ip)
		}
		if ip := s.proxies.clientIP("192.0.3.1:1", client); prefix != "0.0.0.0/0" && ip != "192.0.3.1" {
			t.Errorf("%s trusts 192.0.3.1: ip %s", prefix, ip)
		}
	}
	var s settings
	TrustedProxies(netip.Prefix{})(&s)
	if ip := s.proxies.clientIP("127.0.0.1:1", client); ip != "127.0.0.1" {
		t.Errorf("an invalid prefix trusts 127.0.0.1: ip %s", ip)
	}
}

func TestClientIPIsBounded(t *testing.T) {
	hops := []string{"203.0.113.7"}
	for i := range 10 * maxHops {
		hops = append(hops, fmt.Sprintf("10.0.%d.%d", i/250, i%250))
	}
	for name, lines := range map[string][]string{"one line": {strings.Join(hops, ",")}, "a line each": hops} {
		var proxies trustedProxies
		if ip, want := proxies.clientIP("127.0.0.1:1", lines), hops[len(hops)-maxHops]; ip != want {
			t.Errorf("%s: ip %s, want the last hop that was looked at, %s", name, ip, want)
		}
	}
	if kept := joinForwarded(slices.Repeat(hops, 100)); len(kept) > 2*maxForwarded || !strings.HasPrefix(kept, "203.0.113.7, 10.0.0.0, ") {
		t.Errorf("%d bytes of the header are kept: %.30s", len(kept), kept)
	}
	if kept := joinForwarded([]string{strings.Repeat("x", 1<<20), "y"}); len(kept) > 2*maxForwarded {
		t.Errorf("%d bytes of a long line are kept", len(kept))
	}
}

// FuzzClientIP: the answer is the peer as it was, or an address in plain form
// which each hop right of it, up to the peer, is trusted to have named.
func FuzzClientIP(f *testing.F) {
	f.Add("127.0.0.1:1", "1.1.1.1, 203.0.113.7", "10.0.0.1", "", false)
	f.Add("10.0.0.1:1", "203.0.113.7:80,unknown", "[2001:db8::1]:1,,", "10.0.0.0/8", true)
	f.Add("@", "fe80::1%x", "::ffff:1.2.3.4", "::/0", true)
	f.Add("[fe80::1%eth0]:1", " 127.0.0.1 ,\t::1", "", "fe80::/10", true)
	f.Add("", "", "", "", false)
	f.Fuzz(func(t *testing.T, remote, first, second, prefix string, stated bool) {
		proxies := trustedProxies{stated: stated}
		if p, err := netip.ParsePrefix(prefix); err == nil && stated {
			proxies.prefixes = []netip.Prefix{unmapPrefix(p)}
		}
		ip := proxies.clientIP(remote, []string{first, second})
		peerAddr, peerOK := parseHop(remote)
		if ip == remote && !peerOK {
			return
		}
		a, err := netip.ParseAddr(ip)
		if err != nil || a.Zone() != "" || a.Is4In6() || a.String() != ip {
			t.Fatalf("ip %q is no address in plain form", ip)
		}
		if a == peerAddr {
			return
		}
		if peerOK && !proxies.trusts(peerAddr) || !peerOK && (stated || !unixSocket(remote)) {
			t.Fatalf("ip %s from a header of the untrusted peer %q", ip, remote)
		}
		hops := strings.Split(first+","+second, ",")
		for i := len(hops) - 1; i >= 0; i-- {
			element := strings.Trim(hops[i], " \t")
			hop, ok := parseHop(element)
			switch {
			case ok && hop == a:
				return
			case element == "" || ok && proxies.trusts(hop):
			default:
				t.Fatalf("ip %s stands left of the untrusted hop %q", ip, element)
			}
		}
		t.Fatalf("ip %s stands nowhere in %q, %q", ip, first, second)
	})
}

// FuzzParseHop: whatever the standard library reads as an address or an address
// with a port is read as the same address, unless its zone holds a bracket, and
// nothing reads as one with a zone.
func FuzzParseHop(f *testing.F) {
	for _, s := range []string{"1.2.3.4", "1.2.3.4:5", "[::1]:5", "::1%x", "[::ffff:1.2.3.4%x]:1", "[", "]", "::%"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, ok := parseHop(s)
		if ok && (!got.IsValid() || got.Zone() != "" || got.Is4In6()) {
			t.Fatalf("parseHop(%q) = %v", s, got)
		}
		want, err := netip.ParseAddr(s)
		if err != nil {
			withPort, portErr := netip.ParseAddrPort(s)
			want, err = withPort.Addr(), portErr
		}
		if err == nil && len(s) <= maxHopLength && !strings.ContainsAny(want.Zone(), "[]") && (!ok || got != want.WithZone("").Unmap()) {
			t.Fatalf("parseHop(%q) = %v, %v; the standard library reads %v", s, got, ok, want)
		}
	})
}

func TestClientIPAllocates(t *testing.T) {
	var proxies trustedProxies
	lines := []string{"203.0.113.7, 10.0.0.2", "[fd00::1]:4711"}
	if n := testing.AllocsPerRun(100, func() { proxies.clientIP("127.0.0.1:1234", lines) }); n > 1 {
		t.Errorf("%v allocations, want only the result", n)
	}
}

// BenchmarkClientIP compares with the plain way: split, parse each, walk back.
func BenchmarkClientIP(b *testing.B) {
	remote, lines := "127.0.0.1:1234", []string{"203.0.113.7, 10.0.0.2", "10.0.0.1"}
	b.Run("clientIP", func(b *testing.B) {
		var proxies trustedProxies
		b.ReportAllocs()
		for b.Loop() {
			proxies.clientIP(remote, lines)
		}
	})
	b.Run("split and net.ParseIP", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			host, _, _ := net.SplitHostPort(remote)
			hops := append(strings.Split(strings.Join(lines, ","), ","), host)
			for i := len(hops) - 1; i >= 0; i-- {
				ip := net.ParseIP(strings.TrimSpace(hops[i]))
				if !ip.IsLoopback() && !ip.IsPrivate() {
					_ = ip.String()
					break
				}
			}
		}
	})
}
