package nethttpaudit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strings"

	"github.com/auditing-go/auditing/core"
)

// RequestID takes the request's ID from f, which gets the request as the innermost layer that
// audits sees it; "" is none. It is asked when the first audit of the request is made. The
// last use of the option counts. It is for middleware that keeps the ID in the context, such
// as chi's:
//
//	nethttpaudit.RequestID(func(r *http.Request) string { return middleware.GetReqID(r.Context()) })
//
// Without an ID from f it is the X-Request-ID which a middleware outside has put
// into the response, as those of echo and of gin-contrib/requestid do, because that
// stands in the logs; else the request's own.
func RequestID(f func(*http.Request) string) Option {
	return func(s *settings) { s.requestID = ofRequest("RequestID", sure(f)) }
}

// ContextRequestID is RequestID for the adapter of a framework with its own context type C.
func ContextRequestID[C any](f func(C) string) Option {
	return func(s *settings) { s.requestID = ofContext("RequestID", sure(f)) }
}

// ClientIP takes the client's address from f, for a proxy that says it otherwise than by
// X-Forwarded-For. It goes before [TrustedProxies]; the zero Addr leaves it to that, and an
// error fails the audit. f gets the request as it arrived, when the first audit of it is made.
//
// A header may be believed only from a proxy that always sets it itself: anybody can send
// CF-Connecting-IP, True-Client-IP, X-Real-IP or Forwarded. So f looks at the peer first,
// unless nobody but the proxy can reach the server:
//
//	nethttpaudit.ClientIP(func(r *http.Request) (netip.Addr, error) {
//		if peer, err := netip.ParseAddrPort(r.RemoteAddr); err != nil || !cloudflare.Contains(peer.Addr()) {
//			return netip.Addr{}, nil
//		}
//		return netip.ParseAddr(r.Header.Get("CF-Connecting-IP"))
//	})
func ClientIP(f func(*http.Request) (netip.Addr, error)) Option {
	return func(s *settings) {
		s.clientIP = func(l *lookup) (netip.Addr, error) {
			if f == nil {
				return netip.Addr{}, errNilOption("ClientIP")
			}
			return f(l.origin.entry)
		}
	}
}

// ContextClientIP is ClientIP for the adapter of a framework with its own context type C.
func ContextClientIP[C any](f func(C) (netip.Addr, error)) Option {
	return func(s *settings) { s.clientIP = ofContext("ClientIP", f) }
}

// requestSource tells something of a request, to its own goroutine.
type requestSource[T any] func(*lookup) (T, error)

func errNilOption(option string) error {
	return fmt.Errorf("the function given to %s is nil", option)
}

// sure is f as one that may fail.
func sure[A, T any](f func(A) T) func(A) (T, error) {
	if f == nil {
		return nil
	}
	return func(a A) (T, error) { return f(a), nil }
}

func ofRequest[T any](option string, f func(*http.Request) (T, error)) requestSource[T] {
	return func(l *lookup) (v T, err error) {
		if f == nil {
			return v, errNilOption(option)
		}
		r := l.request
		if l.via == nil { // layers inside have put into the audit's context what that one lacks
			r = r.WithContext(l.ctx)
		}
		return f(r)
	}
}

func ofContext[C, T any](option string, f func(C) (T, error)) requestSource[T] {
	return func(l *lookup) (v T, err error) {
		if f == nil {
			return v, errNilOption(option)
		}
		foreign := fmt.Errorf("a %s option of another adapter was given to %s.Middleware: use %[2]s.%[1]s", option, l.framework.Package)
		if l.framework.Request == nil {
			return v, foreign
		}
		lost := l.use(func() {
			if c, ok := l.c.(C); ok {
				v, err = f(c)
			} else {
				err = foreign
			}
		})
		return v, errors.Join(err, lost)
	}
}

// Request returns from where the request came. The facts are those that arrived, and the
// route is the one that has matched by now.
func (o *Origin) Request(ctx context.Context) (*core.Request, error) {
	id, ip, err := o.said(ctx)
	if err != nil {
		return nil, err
	}
	route := o.routeOf(ctx)
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.request == nil {
		o.request = &core.Request{
			Path: o.path, Host: hostOnly(o.entry.Host), Method: o.entry.Method,
			IP: ip, Peer: peer(o.entry.RemoteAddr), Forwarded: joinForwarded(o.forwarded),
			UserAgent: o.entry.Header.Get("User-Agent"), ID: cmp.Or(id, o.made, idIn(o.entry.Header)),
			Trace: traceIn(o.entry.Header),
		}
		if ip == "" {
			o.request.IP = o.client()
		}
	}
	if route != "" && route != o.request.Route {
		// The events that have the one without it share that.
		routed := *o.request
		routed.Route = route
		o.request = &routed
	}
	return o.request, nil
}

// said is what options say of a request that nothing is known of yet.
func (o *Origin) said(ctx context.Context) (id, ip string, err error) {
	s := &o.adapter.settings
	if s.requestID == nil && s.clientIP == nil || o.isKnown() {
		return "", "", nil
	}
	l, err := o.lookup(ctx)
	if err != nil && s.clientIP == nil { // the ID that arrived does for an audit that names its user
		return "", "", nil
	}
	if err != nil {
		return "", "", fmt.Errorf("ClientIP: %w", err)
	}
	defer o.end(l)
	if s.requestID != nil {
		if id, err = s.requestID(l); err != nil {
			return "", "", fmt.Errorf("RequestID: %w", err)
		}
	}
	if s.clientIP != nil {
		addr, err := s.clientIP(l)
		if err != nil {
			return "", "", fmt.Errorf("ClientIP: %w", err)
		}
		if addr.IsValid() {
			ip = addr.Unmap().WithZone("").String()
		}
	}
	return id, ip, nil
}

func (o *Origin) isKnown() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.request != nil
}

// client returns the client's address.
func (o *Origin) client() string {
	if o.clientIP != nil {
		if ip, ok := parseHop(strings.TrimSpace(o.clientIP(o.entry))); ok {
			return ip.String()
		}
	}
	return o.adapter.settings.proxies.clientIP(o.entry.RemoteAddr, o.forwarded)
}

// routeOf is the pattern that a router has matched, "" when none has.
func (o *Origin) routeOf(ctx context.Context) string {
	if via, _ := ctx.Value(handedKey{}).(*handed); via != nil && via.request != nil {
		if f := via.framework.Route; f != nil && via.c != nil {
			if route := f(via.c); route != "" {
				return route
			}
		}
		if route := pathOf(via.request.Pattern); route != "" {
			return route
		}
	}
	return cmp.Or(o.route, pathOf(o.inner.Pattern))
}

// pathOf is the path in a pattern of [http.ServeMux], [METHOD ][HOST]/[PATH].
func pathOf(pattern string) string {
	return pattern[max(0, strings.IndexByte(pattern, '/')):]
}

// idIn is the ID in a header that nobody else uses at the moment.
func idIn(header http.Header) string {
	if ids := header["X-Request-Id"]; len(ids) > 0 {
		return ids[0]
	}
	return ""
}

// traceIn is the trace id in the traceparent header, "" without a valid one.
// See W3C Trace Context, 3.2.
func traceIn(header http.Header) string {
	const digits, version, length = 32, 3, 55
	values := header["Traceparent"]
	if len(values) != 1 {
		return ""
	}
	v := values[0]
	if len(v) < length || v[:version] == "ff-" || v[:version] == "00-" && len(v) != length || len(v) > length && v[length] != '-' {
		return ""
	}
	for i := range length {
		dash := i == version-1 || i == version+digits || i == length-3
		if c := v[i]; dash != (c == '-') || !dash && (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return ""
		}
	}
	if id := v[version : version+digits]; strings.Trim(id, "0") != "" {
		return id
	}
	return ""
}
