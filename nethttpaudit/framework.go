package nethttpaudit

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/gorilla/sessions"

	"github.com/auditing-go/auditing/core"
)

// Framework is the seam for the adapter of a web framework that has its own
// context type: it says how to find things in that context, which is called c and
// is nil on plain net/http. Who acts and from where is decided in this package.
//
// Its functions are called only between [Adapter.Begin] and [Origin.End], and for
// audits that are given c.
type Framework struct {
	// Package is the adapter's name, for error messages. Required.
	Package string
	// Request returns c's current request. Required unless c is always nil.
	Request func(c any) *http.Request
	// Sessions returns what the framework's session middleware left in c under
	// name, or all there is when name is "". Optional.
	Sessions func(c any, name string) []FoundSession
	// Header returns the response's header, in which a layer outside may have put the
	// request's ID. It is asked only by Begin; nil is none. Optional.
	Header func(c any) http.Header
	// Route returns the pattern that the framework has matched, "" when none has. It is asked
	// by Begin, and for audits that are given c. Optional.
	Route func(c any) string
	// Copy returns a copy of c whose request is r. It outlives the request: what it
	// takes from c later it reads in a function given to live, which does not run it
	// once that may be another request's, and then fails the audit. Required unless c is always nil.
	Copy func(c any, r *http.Request, live func(read func())) any
	// ClientIP returns the framework's own rule for the client's address, nil when it
	// was not configured. It is asked when [TrustedProxies] was not given, also once
	// the request is over. Optional.
	ClientIP func(c any) func(*http.Request) string
	// InPlace has [Adapter.Begin] change the request that it is given instead of a copy,
	// for a framework that keeps it on the way to its router.
	InPlace bool
}

// FoundSession is a session that a framework's session middleware keeps: a store
// and a name, or the session itself when the middleware has read it already.
type FoundSession struct {
	Store   sessions.Store
	Name    string
	Session *sessions.Session
}

// Adapter is a Framework with the recorder and options of one Middleware. It is
// safe for concurrent use.
type Adapter struct {
	framework *Framework
	recorder  *core.Recorder
	settings  settings
	hasUsers  bool // options say where users come from
}

// Adapter prepares a Middleware.
func (f *Framework) Adapter(rec *core.Recorder, opts ...Option) *Adapter {
	a := &Adapter{framework: f, recorder: rec}
	for _, opt := range opts {
		if opt != nil {
			opt(&a.settings)
		}
	}
	a.hasUsers = len(a.settings.users) > 0
	if !a.hasUsers && f.Sessions != nil {
		a.settings.users = []userSource{foundSessionUser}
	}
	return a
}

// Begin returns the request to hand on, whose audits go to the recorder and get their
// user and request from the returned Origin. Defer its End, so that it also ends on a panic.
func (a *Adapter) Begin(c any, r *http.Request) (*http.Request, *Origin) {
	if r == nil {
		return nil, &Origin{adapter: a}
	}
	if a.framework.InPlace {
		restore(r)
	}
	o := newOrigin(a, c, r)
	if a.framework.Header != nil {
		o.made = idIn(a.framework.Header(c))
	}
	if a.framework.Route != nil {
		o.route = a.framework.Route(c)
	}
	o.inner = r.WithContext(o)
	if a.framework.InPlace { // then the copy keeps what arrived
		o.entry, o.inner = o.inner, r
		*o.entry, *r = *r, *o.entry
	}
	return o.inner, o
}

// restore takes an Origin that has ended out of r: a handler may be given one request
// several times.
func restore(r *http.Request) {
	if before, ok := r.Context().(*Origin); ok && before.Over() {
		*r = *r.WithContext(before.entry.Context())
	}
}

var errNoRequest = errors.New("there is no request: pass what the handler was given")

// Audit makes one audit from a handler that was given c and r. Without a
// Middleware on the way the user and request are what c and r alone tell.
func (f *Framework) Audit(c any, r *http.Request, tag string, fields core.Fields, opts ...core.Option) error {
	if r == nil {
		return &core.AuditError{Tag: tag, Err: fmt.Errorf("%s: %w", f.Package, errNoRequest)}
	}
	ctx := f.context(c, r)
	defer ctx.end()
	err := core.Audit(ctx, tag, fields, opts...)
	if errors.Is(err, core.ErrNoRecorder) {
		advice := "this layer is outside of %s.Middleware: install that first, so that it is outside of all layers and routes that audit"
		if core.HasOrigin(r.Context()) {
			advice = "%s.Middleware was given a nil recorder"
		}
		return &core.AuditError{Tag: tag, Err: fmt.Errorf("%w ("+advice+")", core.ErrNoRecorder, f.Package)}
	}
	return err
}

// Detach returns a context for work that outlives the request, see [core.Detach].
func (f *Framework) Detach(c any, r *http.Request) context.Context {
	if r == nil {
		return core.NewContext(context.Background(), nil, brokenOrigin{fmt.Errorf("%s: %w", f.Package, errNoRequest)})
	}
	ctx := f.context(c, r)
	defer ctx.end()
	return core.Detach(ctx)
}

// context returns the context to audit with.
func (f *Framework) context(c any, r *http.Request) *handed {
	h := &handed{Context: r.Context(), framework: f, c: c, request: r}
	if !core.HasOrigin(h.Context) {
		h.own = newOrigin(f.Adapter(nil), c, r)
		h.Context = h.own
	}
	return h
}

// handed tells the Origin what the audit was made with: layers inside the
// middleware may have replaced the request, or wrapped the framework's context.
type handed struct {
	context.Context
	framework *Framework
	c         any
	request   *http.Request
	own       *Origin // where there is no middleware
}

// end lets go of c and the request.
func (h *handed) end() {
	h.c, h.request = nil, nil
	if h.own != nil {
		h.own.End()
	}
}

type handedKey struct{}

func (h *handed) Value(key any) any {
	if key == (handedKey{}) {
		return h
	}
	return h.Context.Value(key)
}

// brokenOrigin fails each audit that does not name its user.
type brokenOrigin struct{ err error }

func (o brokenOrigin) User(context.Context) (string, error)           { return "", o.err }
func (o brokenOrigin) Request(context.Context) (*core.Request, error) { return nil, nil }
