// Package ginaudit audits what users do in gin applications.
//
//	r.Use(ginaudit.Middleware(rec, ginaudit.SessionUser(store, "session")))
//
//	err := ginaudit.Audit(c, "refund", ginaudit.Fields{"order": 42})
//
// It translates between gin and package nethttpaudit, where it is decided who
// acts and from where. Audits also work with [core.Audit], given c or
// c.Request.Context(), whether or not the engine has ContextWithFallback.
package ginaudit

import (
	"context"
	"net/http"
	"net/netip"

	"github.com/gin-gonic/gin"
	"github.com/gorilla/sessions"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/nethttpaudit"
)

// Fields is what happened: the names and values of one audit.
type Fields = core.Fields

// Option sets up the [Middleware].
type Option = nethttpaudit.Option

var framework = &nethttpaudit.Framework{
	Package:  "ginaudit",
	Request:  func(c any) *http.Request { return c.(*gin.Context).Request },
	Sessions: contribSessions,
	Header: func(c any) http.Header {
		if w := c.(*gin.Context).Writer; w != nil {
			return w.Header()
		}
		return nil
	},
	Route: func(c any) string { return c.(*gin.Context).FullPath() },
	Copy: func(c any, r *http.Request, _ func(func())) any {
		own := c.(*gin.Context).Copy()
		own.Request = r
		moveSessions(own)
		return own
	},
}

// gin's context leads to the request's only with ContextWithFallback.
func init() {
	core.RegisterUnwrapper(func(ctx context.Context) context.Context {
		if r, ok := ctx.Value(gin.ContextRequestKey).(*http.Request); ok && r != nil {
			return r.Context()
		}
		return nil
	})
}

// SessionUser takes the user from the session called name in store; a nil store
// is the one of gin-contrib/sessions. See [nethttpaudit.SessionUser].
func SessionUser(store sessions.Store, name string, paths ...string) Option {
	return nethttpaudit.SessionUser(store, name, paths...)
}

// TrustedProxies says exactly whose X-Forwarded-For is believed. See
// [nethttpaudit.TrustedProxies]. gin's own SetTrustedProxies is not asked: it
// trusts everybody unless it was called, and cannot be told apart.
func TrustedProxies(prefixes ...netip.Prefix) Option {
	return nethttpaudit.TrustedProxies(prefixes...)
}

// User takes the user from f, which is asked each time an audit is made. "" is
// nobody; an error or a panic fails the audit. f gets a copy of the context, see
// [nethttpaudit.User]; what it sets there is not kept.
// f itself may only audit with [core.As].
func User(f func(*gin.Context) (string, error)) Option {
	return nethttpaudit.ContextUser(f)
}

// Impersonator says who really acts when somebody works in another user's account. See
// [nethttpaudit.Impersonator]; f gets a copy of the context, as with [User].
func Impersonator(f func(*gin.Context) (string, error)) Option {
	return nethttpaudit.ContextImpersonator(f)
}

// RequestID takes the request's ID from f. See [nethttpaudit.RequestID].
func RequestID(f func(*gin.Context) string) Option { return nethttpaudit.ContextRequestID(f) }

// ClientIP takes the client's address from f. See [nethttpaudit.ClientIP] for when a header
// may be believed.
func ClientIP(f func(*gin.Context) (netip.Addr, error)) Option {
	return nethttpaudit.ContextClientIP(f)
}

// Middleware lets the handlers behind it audit to rec. See
// [nethttpaudit.Middleware], of which everything holds here too, but that sessions
// are found.
//
// Unless an option says otherwise, the user is the one in the session of
// gin-contrib/sessions, which may be installed before or after; of several
// sessions the first in the order of their names that knows a user. That package
// hides the errors of its store. Such audits fail all the same, but when another
// middleware has replaced the request between the two, only with a store that
// sets IsNew as gorilla's do.
func Middleware(rec *core.Recorder, opts ...Option) gin.HandlerFunc {
	adapter := framework.Adapter(rec, opts...)
	return func(c *gin.Context) {
		inner, origin := adapter.Begin(c, c.Request)
		defer origin.End()
		c.Request = inner
		c.Next()
	}
}

// Audit records that the user of c did what tag says, with fields. See
// [core.Recorder.Audit] for what its return means, and [nethttpaudit.Audit].
// Where one signs in, name the user with [core.As]: a new session object, the usual
// defence against fixation, is seen from the next request on.
//
// gin uses c again for another request once the handler has returned. What goes
// on after that must not use c: give it a context from [Detach]. So no middleware may
// answer while its handlers go on: put [http.TimeoutHandler] around the whole of the
// application instead, or give the request's context a deadline.
func Audit(c *gin.Context, tag string, fields Fields, opts ...core.Option) error {
	return framework.Audit(c, request(c), tag, fields, opts...)
}

// Detach returns a context for work that outlives the request of c, to audit with
// [core.Audit]. It keeps the values of the request's context, not those of
// [gin.Context.Set]. See [nethttpaudit.Detach].
func Detach(c *gin.Context) context.Context {
	return framework.Detach(c, request(c))
}

func request(c *gin.Context) *http.Request {
	if c == nil {
		return nil
	}
	return c.Request
}
