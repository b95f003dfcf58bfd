// Package echoaudit audits what users do in applications built on echo v5.
//
//	import "github.com/auditing-go/auditing/echoaudit/v5"
//
//	e.Use(echoaudit.Middleware(rec, echoaudit.SessionUser(store, "session")))
//
//	err := echoaudit.Audit(c, "refund", echoaudit.Fields{"order": 42})
//
// It translates between echo and package nethttpaudit, where it is decided who
// acts and from where. Audits also work with [core.Audit], given
// c.Request().Context().
//
// An application that moves here from echo v4 changes the import: names and meanings are
// those of the package for v4. What echo itself does otherwise, as far as audits are
// concerned:
//
//   - c.RealIP without an IPExtractor is the peer's address, where v4 returned what the
//     client wrote. Audits had neither, and still have the address that trusted proxies
//     vouch for, see [TrustedProxies]. [echo.LegacyIPExtractor], which brings v4's RealIP
//     back, is therefore not asked.
//   - The router puts the route's path into the request's Pattern. Layers around the
//     Echo find it in the request that they handed on.
//   - A [User] function gets what was Set in the context before the audit, and nothing
//     that is Set while it runs.
package echoaudit

import (
	"context"
	"net/http"
	"net/netip"
	"reflect"

	"github.com/gorilla/sessions"
	"github.com/labstack/echo/v5"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/echoaudit/internal/contrib"
	"github.com/auditing-go/auditing/nethttpaudit"
)

// Fields is what happened: the names and values of one audit.
type Fields = core.Fields

// Option sets up the [Middleware].
type Option = nethttpaudit.Option

var framework = &nethttpaudit.Framework{
	Package: "echoaudit/v5", // an option of echoaudit compiles here
	Request: func(c any) *http.Request { return c.(*echo.Context).Request() },
	Sessions: func(c any, name string) []nethttpaudit.FoundSession {
		return contrib.Sessions(c.(*echo.Context).Get(contrib.Key), name)
	},
	Route:    func(c any) string { return c.(*echo.Context).Path() },
	Copy:     copyContext,
	ClientIP: extractedIP,
	Header: func(c any) http.Header {
		w := c.(*echo.Context).Response()
		if own, ok := w.(*echo.Response); w == nil || ok && own.ResponseWriter == nil {
			return nil
		}
		return w.Header()
	},
	// Layers outside ours, such as echo's RequestLogger, keep the request and see in it what
	// those inside make of it, as without us.
	InPlace: true,
}

var legacyIP = reflect.ValueOf(echo.LegacyIPExtractor()).Pointer()

// extractedIP asks the application's own extractor, unless that returns whatever the
// client wrote. c.RealIP is no substitute: without an extractor it is the peer's address,
// also where that is a proxy's.
func extractedIP(c any) func(*http.Request) string {
	e := c.(*echo.Context).Echo()
	if e == nil || reflect.ValueOf(e.IPExtractor).Pointer() == legacyIP {
		return nil
	}
	return e.IPExtractor
}

// SessionUser takes the user from the session called name in store; a nil store
// is the one of echo-contrib/session. See [nethttpaudit.SessionUser].
func SessionUser(store sessions.Store, name string, paths ...string) Option {
	return nethttpaudit.SessionUser(store, name, paths...)
}

// TrustedProxies says exactly whose X-Forwarded-For is believed. See
// [nethttpaudit.TrustedProxies]. It goes before the IPExtractor of the Echo, which
// is asked otherwise, unless it is [echo.LegacyIPExtractor]; what that returns counts
// only if it is an address.
func TrustedProxies(prefixes ...netip.Prefix) Option {
	return nethttpaudit.TrustedProxies(prefixes...)
}

// User takes the user from f, which is asked each time an audit is made. "" is
// nobody; an error or a panic fails the audit. f gets a copy of the context, see
// [nethttpaudit.User]; what it sets there is not kept.
// f itself may only audit with [core.As].
func User(f func(*echo.Context) (string, error)) Option {
	return nethttpaudit.ContextUser(f)
}

// Impersonator says who really acts when somebody works in another user's account. See
// [nethttpaudit.Impersonator]; f gets a copy of the context, as with [User].
func Impersonator(f func(*echo.Context) (string, error)) Option {
	return nethttpaudit.ContextImpersonator(f)
}

// RequestID takes the request's ID from f. See [nethttpaudit.RequestID].
func RequestID(f func(*echo.Context) string) Option { return nethttpaudit.ContextRequestID(f) }

// ClientIP takes the client's address from f. See [nethttpaudit.ClientIP] for when a header
// may be believed.
func ClientIP(f func(*echo.Context) (netip.Addr, error)) Option {
	return nethttpaudit.ContextClientIP(f)
}

// Middleware lets the handlers behind it audit to rec. See
// [nethttpaudit.Middleware], of which everything holds here too, but that sessions
// are found.
//
// Unless an option says otherwise, the user is the one in the session called
// "session" of echo-contrib/session, or of a middleware such as echo's documentation
// has, which Sets the store as "_session_store". It may be installed before or after.
//
// echo calls its HTTPErrorHandler when all middleware has returned. Audits made
// there need [core.As].
func Middleware(rec *core.Recorder, opts ...Option) echo.MiddlewareFunc {
	adapter := framework.Adapter(rec, opts...)
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c *echo.Context) error {
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
func Audit(c *echo.Context, tag string, fields Fields, opts ...core.Option) error {
	return framework.Audit(c, request(c), tag, fields, opts...)
}

// Detach returns a context for work that outlives the request of c, to audit with
// [core.Audit]. It keeps the values of the request's context, not those of c.Set.
// See [nethttpaudit.Detach].
func Detach(c *echo.Context) context.Context {
	return framework.Detach(c, request(c))
}

func request(c *echo.Context) *http.Request {
	if c == nil {
		return nil
	}
	return c.Request()
}
