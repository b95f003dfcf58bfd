// Package adaptertest is a test helper, not API: it changes with what an adapter has to do.
// It is the suite that every adapter of a web framework passes, and for those who write
// one; what tests an application is package audittest.
//
// [Adapter] says what an adapter hands over, and the other files have the cases.
package adaptertest

import (
	"context"
	"net/http"
	"net/netip"
	"testing"

	"github.com/gorilla/sessions"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/core/audittest"
)

// Adapter is what [Run] needs of the adapter for a web framework.
type Adapter struct {
	// New builds a server as setup says, in this order: the framework's session
	// middleware if setup has Contrib, the adapter's middleware with the options of
	// Around, a middleware that calls Layer, the adapter's middleware unless setup has
	// NoMiddleware, a middleware that applies Inner, and Handle for each request,
	// whatever its method and path. Nothing of it recovers panics.
	New func(setup Setup) http.Handler
	// FindsSessions says that the framework has a session middleware, which the
	// adapter finds; New installs it when Setup.Contrib is set.
	FindsSessions bool
	// Route is the pattern by which New routes all requests, "" without a router.
	Route string
}

// Setup is one server, with the adapter's options in neutral terms. An option
// whose field is nil is not given.
type Setup struct {
	// Recorder is given to the adapter's Middleware, nil too.
	Recorder *core.Recorder
	// NoMiddleware leaves the adapter's Middleware out.
	NoMiddleware bool
	// SessionUsers are SessionUser options; one with a nil Store means nil.
	SessionUsers []SessionUser
	// User is the User option, to be given the framework's current request. It
	// comes after SessionUsers.
	User func(*http.Request) (string, error)
	// TrustedProxies is the option of that name; given with none when it is empty but not nil.
	TrustedProxies []netip.Prefix
	// Impersonator, RequestID and ClientIP are the options of those names, to be given the
	// framework's current request.
	Impersonator func(*http.Request) (string, error)
	RequestID    func(*http.Request) string
	ClientIP     func(*http.Request) (netip.Addr, error)
	// Contrib is the store and name for the framework's own session middleware.
	Contrib *SessionUser
	// Around holds the options of another Middleware around this one.
	Around *Setup
	// Layer is a middleware just outside of the innermost Middleware of the adapter;
	// next goes on and may run on another goroutine.
	Layer func(c *Call, next func())
	// Inner is what a middleware inside the adapter's makes of the request.
	Inner func(*http.Request) *http.Request
	// Handle is the handler.
	Handle func(*Call)

	rec *audittest.Recording // of Recorder
}

// SessionUser holds the arguments of the option of that name.
type SessionUser struct {
	Store sessions.Store
	Name  string
	Paths []string
}

// Call is one request as a handler of the framework sees it.
type Call struct {
	Writer http.ResponseWriter
	// Request is the framework's current one.
	Request *http.Request
	// Audit and Detach are the adapter's, given what the handler was given.
	Audit  func(tag string, fields core.Fields, opts ...core.Option) error
	Detach func() context.Context
	// Contexts are all those that [core.Audit] must work with: the request's, the
	// framework's own if it is one, and one made from that.
	Contexts []context.Context
}

// Run proves that an adapter names the right user and request. Each case runs over
// real HTTP with real cookies, on a server of its own.
func Run(t *testing.T, a Adapter) {
	t.Helper()
	for _, group := range [][]adapterCase{userCases, sessionCases, requestCases, lifeCases, lookupCases, nestedCases, impersonatorCases} {
		for _, c := range group {
			if c.contrib && !a.FindsSessions {
				continue
			}
			t.Run(c.name, func(t *testing.T) { c.run(t, a) })
		}
	}
}

type adapterCase struct {
	name string
	run  func(*testing.T, Adapter)
	// contrib says that the case needs the framework's session middleware.
	contrib bool
}
