package nethttpaudit

import (
	"net/netip"
	"strings"
)

// trustedProxies says whose X-Forwarded-For is believed. Its zero value trusts
// loopback, link-local and private addresses, and Unix sockets.
type trustedProxies struct {
	stated   bool
	prefixes []netip.Prefix
}

// maxHops bounds the work that one header can cause. Real chains are far shorter.
const maxHops = 128

// clientIP returns the address of the client as far as trusted hops vouch for it.
// Each hop names the one before it, so the header is read from the right and the
// first hop that is not trusted is the answer: what stands left of it is only a claim.
func (t *trustedProxies) clientIP(remote string, forwarded []string) string {
	last, ok := parseHop(remote)
	if ok && !t.trusts(last) {
		return last.String()
	}
	if !ok && (t.stated || !unixSocket(remote)) {
		return remote
	}
	hops := 0
	for i := len(forwarded) - 1; i >= 0; i-- {
		line := forwarded[i]
		for more := true; more; {
			if hops++; hops > maxHops {
				return lastVerified(last, remote)
			}
			comma := strings.LastIndexByte(line, ',')
			element := strings.Trim(line[comma+1:], " \t")
			line, more = line[:max(comma, 0)], comma >= 0
			if element == "" { // empty list elements mean nothing (RFC 9110, 5.6.1)
				continue
			}
			hop, ok := parseHop(element)
			if !ok {
				return lastVerified(last, remote)
			}
			if last = hop; !t.trusts(hop) {
				return hop.String()
			}
		}
	}
	return lastVerified(last, remote)
}

func lastVerified(last netip.Addr, remote string) string {
	if last.IsValid() {
		return last.String()
	}
	return remote
}

func (t *trustedProxies) trusts(a netip.Addr) bool {
	if !t.stated {
		return a.IsLoopback() || a.IsPrivate() || a.IsLinkLocalUnicast()
	}
	for _, p := range t.prefixes {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// unmapPrefix makes a prefix of IPv4-mapped addresses one of IPv4 addresses, the
// form in which hops are compared.
func unmapPrefix(p netip.Prefix) netip.Prefix {
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		return netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p
}

// unixSocket reports whether remote is a peer on a Unix socket: unnamed, abstract
// or a path. No TCP peer looks like that.
func unixSocket(remote string) bool {
	return remote == "" || remote[0] == '@' || remote[0] == '/'
}

// maxHopLength is longer than any address with brackets, zone and port.
const maxHopLength = 128

// parseHop reads an address with or without a port and brackets, and brings it to
// the form in which prefixes compare: no zone, no IPv4 in IPv6.
func parseHop(s string) (netip.Addr, bool) {
	if s == "" || len(s) > maxHopLength {
		return netip.Addr{}, false
	}
	if s[0] == '[' {
		end := strings.IndexByte(s, ']')
		if end < 0 || !isPort(s[end+1:]) || strings.IndexByte(s[:end], ':') < 0 {
			return netip.Addr{}, false
		}
		s = s[1:end]
	} else if colon := strings.IndexByte(s, ':'); colon >= 0 && strings.IndexByte(s[:colon], '.') >= 0 {
		if !isPort(s[colon:]) {
			return netip.Addr{}, false
		}
		s = s[:colon]
	}
	// A zone may be any text. It is cut off before parsing, which would keep it.
	if zone := strings.IndexByte(s, '%'); zone >= 0 && strings.IndexByte(s[:zone], ':') >= 0 {
		s = s[:zone]
	}
	a, err := netip.ParseAddr(s)
	return a.Unmap(), err == nil
}

// isPort accepts "" and a colon with up to five digits behind any zeros.
func isPort(s string) bool {
	if s == "" {
		return true
	}
	if s[0] != ':' || len(strings.TrimLeft(s[1:], "0")) > 5 {
		return false
	}
	for _, c := range []byte(s[1:]) {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}

// peer returns the address in remote, or remote as it is when there is none in it.
func peer(remote string) string {
	if a, ok := parseHop(remote); ok {
		return a.String()
	}
	return remote
}

// maxForwarded is more than core keeps of one fact, so that core marks the cut.
const maxForwarded = 8 << 10

func joinForwarded(lines []string) string {
	if len(lines) == 1 {
		return lines[0]
	}
	var b strings.Builder
	for i, line := range lines {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(line[:min(len(line), maxForwarded)])
		if b.Len() > maxForwarded {
			break
		}
	}
	return b.String()
}
