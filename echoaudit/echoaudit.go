// Package echoaudit audits what users do in applications built on echo v4. The one
// for echo v5 is github.com/auditing-go/auditing/echoaudit/v5.
//
//	e.Use(echoaudit.Middleware(rec, echoaudit.SessionUser(store, "session")))
//
//	err := echoaudit.Audit(c, "refund", echoaudit.Fields{"order": 42})
//
// It translates between echo and package nethttpaudit, where it is decided who
// acts and from where. Audits also work with [core.Audit], given
// c.Request().Context().
package echoaudit

import (
	"context"
	"net/http"
	"net/netip"

	"github.com/gorilla/sessions"
	"github.com/labstack/echo/v4"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/echoaudit/internal/contrib"
	"github.com/auditing-go/auditing/nethttpaudit"
)

// Fields is what happened: the names and values of one audit.
type Fields = core.Fields

// Option sets up the [Middleware].
type Option = nethttpaudit.Option

var framework = &nethttpaudit.Framework{
	Package: "echoaudit",
	Request: func(c any) *http.Request { return c.(echo.Context).Request() },
	Sessions: func(c any, name string) []nethttpaudit.FoundSession {
		return contrib.Sessions(c.(echo.Context).Get(contrib.Key), name)
	},
	Route:    func(c any) string { return c.(echo.Context).Path() },
	Copy:     copyContext,
	ClientIP: extractedIP,
	Header: func(c any) http.Header {
		if w := c.(echo.Context).Response(); w != nil && w.Writer != nil {
			return w.Header()
		}
		return nil
	},
	// echo routes by the request that arrived: what Pre middlewares inside ours rewrite
	// must be that one.
	InPlace: true,
}

// extractedIP asks the application's own extractor. c.RealIP is no substitute:
// without an extractor it returns whatever the client wrote.
func extractedIP(c any) func(*http.Request) string {
	if e := c.(echo.Context).Echo(); e != nil {
		return e.IPExtractor
	}
	return nil
}

// SessionUser takes the user from the session called name in store; a nil store
// is the one of echo-contrib/session. See [nethttpaudit.SessionUser].
func SessionUser(store sessions.Store, name string, paths ...string) Option {
	return nethttpaudit.SessionUser(store, name, paths...)
}

// TrustedProxies says exactly whose X-Forwarded-For is believed. See
// [nethttpaudit.TrustedProxies]. It goes before the IPExtractor of the Echo, which
// is asked otherwise; what that returns counts only if it is an address.
func TrustedProxies(prefixes ...netip.Prefix) Option {
	return nethttpaudit.TrustedProxies(prefixes...)
}

// User takes the user from f, which is asked each time an audit is made. "" is
// nobody; an error or a panic fails the audit. f gets a copy of the context, see
// [nethttpaudit.User]; what it sets there is not kept.
// f itself may only audit with [core.As].
func User(f func(echo.Context) (string, error)) Option {
	return nethttpaudit.ContextUser(f)
}

// Impersonator says who really acts when somebody works in another user's account. See
// [nethttpaudit.Impersonator]; f gets a copy of the context, as with [User].
func Impersonator(f func(echo.Context) (string, error)) Option {
	return nethttpaudit.ContextImpersonator(f)
}

// RequestID takes the request's ID from f. See [nethttpaudit.RequestID].
func RequestID(f func(echo.Context) string) Option { return nethttpaudit.ContextRequestID(f) }

// ClientIP takes the client's address from f. See [nethttpaudit.ClientIP] for when a header
// may be believed.
func ClientIP(f func(echo.Context) (netip.Addr, error)) Option {
	return nethttpaudit.ContextClientIP(f)
}

// Middleware lets the handlers behind it audit to rec. See
// [nethttpaudit.Middleware], of which everything holds here too, but that sessions
// are found.
//
// Unless an option says otherwise, the user is the one in the session called
// "session" of echo-contrib/session, which may be installed before or after.
//
// echo calls its HTTPErrorHandler when all middleware has returned. Audits made
// there need [core.As].
func Middleware(rec *core.Recorder, opts ...Option) echo.MiddlewareFunc {
	adapter := framework.Adapter(rec, opts...)
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			inner, origin := adapter.Begin(c, c.Request())
			defer origin.End()
			c.SetRequest(inner)
			return next(c)
		}
	}
}

// Audit records that the user of c did what tag says, with fields. See
// [core.Recorder.Audit] for what its return means, and [nethttpaudit.Audit].
// Where one signs in, name the user with [core.As]: a new session object, the usual
// defence against fixation, is seen from the next request on.
//
// echo uses c again for another request once the handler has returned. What goes
// on after that must not use c: give it a context from [Detach]. So no middleware may
// answer while its handlers go on: put [http.TimeoutHandler] around the whole of the
// application instead, or give the request's context a deadline.
func Audit(c echo.Context, tag string, fields Fields, opts ...core.Option) error {
	return framework.Audit(c, request(c), tag, fields, opts...)
}

// Detach returns a context for work that outlives the request of c, to audit with
// [core.Audit]. It keeps the values of the request's context, not those of c.Set.
// See [nethttpaudit.Detach].
func Detach(c echo.Context) context.Context {
	return framework.Detach(c, request(c))
}

func request(c echo.Context) (r *http.Request) {
	defer func() {
		if recover() != nil {
			r = nil // c is a nil pointer of the application's own type
		}
	}()
	if c == nil {
		return nil
	}
	return c.Request()
}
