package nethttpaudit

import "strings"

// hostOnly returns the host of a Host header without its port and brackets. A bare
// IPv6 address has colons but no port.
func hostOnly(host string) string {
	if strings.HasPrefix(host, "[") {
		end := strings.IndexByte(host, ']')
		if end > 0 && (end == len(host)-1 || host[end+1] == ':') {
			return host[1:end]
		}
		return host
	}
	if colon := strings.IndexByte(host, ':'); colon >= 0 && strings.IndexByte(host[colon+1:], ':') < 0 {
		return host[:colon]
	}
	return host
}
