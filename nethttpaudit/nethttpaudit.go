// Package nethttpaudit audits what users do in net/http applications, and in
// those of every router built on [http.Handler].
//
//	mux.Handle("/", app)
//	handler := nethttpaudit.Middleware(rec, nethttpaudit.SessionUser(store, "session"))(mux)
//
//	err := nethttpaudit.Audit(r, "refund", nethttpaudit.Fields{"order": 42})
//
// [Middleware] tells who acts and from where: the user from a gorilla session
// (sessionuser.go, sessionvalue.go) or a function, the path, the host (host.go)
// and the client's address (clientip.go). origin.go holds that for one request.
// The adapters of other frameworks stand on [Framework].
package nethttpaudit

import (
	"context"
	"net/http"

	"github.com/auditing-go/auditing/core"
)

// Fields is what happened: the names and values of one audit.
type Fields = core.Fields

var framework = &Framework{Package: "nethttpaudit"}

// Middleware lets the handlers behind it audit to rec. Install it outside of
// every layer that audits; layers inside it may still set the user.
//
// net/http keeps no sessions, so without [SessionUser] or [User] nobody is known:
// rec's logger is told so once. Install a middleware that makes request IDs outside
// of this one (see [RequestID]).
//
// Path, host and client IP of an audit are those that the middleware saw. A
// request that audits nothing reads no session and pays three allocations. A nil
// rec leaves the choice to an outer Middleware, then to [core.SetDefault]. A nil
// handler is [http.DefaultServeMux].
//
// Once the handler has returned, audits with the request's context fail with
// [core.ErrRequestOver] unless [core.As] names the user. [Detach] is for work that
// outlives the request.
//
// A Middleware inside another has that one's users unless an option names its own.
func Middleware(rec *core.Recorder, opts ...Option) func(http.Handler) http.Handler {
	adapter := framework.Adapter(rec, opts...)
	if rec != nil && len(adapter.settings.users) == 0 {
		rec.Logger().Warn("auditing: nethttpaudit.Middleware was given no option that says who acts: audits without core.As are cancelled unless a Middleware outside knows the user: pass SessionUser or User")
	}
	return func(next http.Handler) http.Handler {
		if next == nil {
			next = http.DefaultServeMux
		}
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			inner, origin := adapter.Begin(nil, r)
			defer origin.End()
			if w != nil {
				origin.made = idIn(w.Header())
			}
			next.ServeHTTP(w, inner)
		})
	}
}

// Audit records that the user of r did what tag says, with fields. See
// [core.Recorder.Audit] for what its return means.
//
// The user is looked up at each call, so that a sign-in or sign-out by the handler
// counts at once, if it changes the session that store.Get returned. One that begins
// a new session (store.New, sessions.NewSession: the usual defence against fixation)
// counts from the next request on; until then the user is the one before. So name
// the user where one signs in: core.As(user). A session is not safe for concurrent
// use: on other goroutines than the handler's, audit with a context from [Detach].
//
// Without [Middleware] on the way, the path, host and client IP of r are known
// but no user: pass [core.As].
func Audit(r *http.Request, tag string, fields Fields, opts ...core.Option) error {
	return framework.Audit(nil, r, tag, fields, opts...)
}

// Detach returns a context for work that outlives r: it keeps the values of r's
// context, drops its cancellation and deadline, and gives audits made by
// [core.Audit] the user and request of now. Call it on the handler's goroutine.
func Detach(r *http.Request) context.Context {
	return framework.Detach(nil, r)
}
