package core

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
)

// Origin answers who is acting and from where. An adapter puts one into each
// request's context with [NewContext]; it is asked when an audit is made, never before.
//
// Its methods may be called from several goroutines at once. ctx has the values of
// the one the audit was made with, so that what layers inside the adapter put there
// is seen. It has a deadline when the audit's time is shorter than [DefaultTimeout],
// which is otherwise what an answer may take.
//
// An Origin with a method Impersonator(ctx context.Context) (string, error) knows who acts
// as the user: that becomes the acting user, and the user the one on whose behalf it is
// done; "" is nobody else.
//
// An Origin with a method Over() bool is one that ends. Once that is true, the
// Origin around it answers, and audits go to the recorder of that one; when there is
// none, its own User does, with [ErrRequestOver].
type Origin interface {
	// User returns who is acting; "" is nobody. An error, [ErrRequestOver] among
	// them, fails the audit: it never passes for nobody.
	User(ctx context.Context) (string, error)
	// Request returns from where, nil outside a request. It must not change afterwards. An
	// error fails the audit.
	Request(ctx context.Context) (*Request, error)
}

type contextKey struct{}

// ender is an Origin that ends.
type ender interface{ Over() bool }

// scope is what NewContext puts into a context: one allocation, because every
// request of an application pays for it.
type scope struct {
	context.Context
	recorder *Recorder
	origin   Origin
}

func (s *scope) Value(key any) any {
	if key == (contextKey{}) {
		return s
	}
	return s.Context.Value(key)
}

// NewContext returns a context whose audits go to rec and have the user and
// request that origin tells. A nil rec leaves the choice to the parent's recorder, then to [SetDefault]; a
// nil origin is outside a request with no user.
func NewContext(ctx context.Context, rec *Recorder, origin Origin) context.Context {
	if ctx == nil {
		ctx = context.Background()
	}
	if rec == nil {
		if parent := scopeOf(ctx); parent != nil {
			rec = parent.recorder
		}
	}
	return &scope{Context: ctx, recorder: rec, origin: origin}
}

// HasOrigin reports whether audits made with ctx get their user and request from an [Origin].
func HasOrigin(ctx context.Context) bool {
	s := scopeOf(ctx)
	return s != nil && s.origin != nil
}

func scopeOf(ctx context.Context) *scope {
	s, _, _ := find(ctx)
	return s
}

// find returns what NewContext put into ctx, nil when nothing was, and the context
// to ask its origin with. A context that cannot be asked is an error.
func find(ctx context.Context) (_ *scope, asked context.Context, err error) {
	if ctx == nil {
		return nil, context.Background(), nil
	}
	defer brokenContext(ctx, &err)
	if s, ok := ctx.Value(contextKey{}).(*scope); ok {
		return s.current(), ctx, nil
	}
	for _, unwrap := range unwrappers {
		if inner := unwrap(ctx); inner != nil {
			if s, ok := inner.Value(contextKey{}).(*scope); ok {
				return s.current(), unwrapped{ctx, inner}, nil
			}
		}
	}
	return nil, ctx, nil
}

// brokenContext, when deferred, turns the panic of a context such as a nil
// *gin.Context into *err.
func brokenContext(ctx context.Context, err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("the context, a %T, cannot be used (%v): pass the one that the handler was given", ctx, p)
	}
}

// current returns s, or the one around it that goes on when the origin of s has ended.
func (s *scope) current() *scope {
	for around := s; around != nil && around.origin != nil; {
		if e, ok := around.origin.(ender); !ok || !e.Over() {
			return around
		}
		around, _ = around.Context.Value(contextKey{}).(*scope)
	}
	return s
}

// unwrapped is a framework's context that also has the values of the request's.
type unwrapped struct {
	context.Context
	request context.Context
}

func (u unwrapped) Value(key any) any {
	if v := u.Context.Value(key); v != nil {
		return v
	}
	return u.request.Value(key)
}

var unwrappers []func(context.Context) context.Context

// RegisterUnwrapper is for the adapter of a framework whose own context does not
// lead to the request's context. f returns that inner context, or nil when ctx
// does not stem from the framework. Call it from init only.
func RegisterUnwrapper(f func(ctx context.Context) context.Context) {
	unwrappers = append(unwrappers, f)
}

var (
	defaultRecorder atomic.Pointer[Recorder]
	// anyRecorder is set once a recorder was made in this process: from then on an
	// audit that leads to none is a mistake to report, not a first try on the console.
	anyRecorder atomic.Bool
)

// SetDefault names the recorder for audits whose context leads to none; nil takes
// it back.
func SetDefault(rec *Recorder) { defaultRecorder.Store(rec) }

// Audit records that the acting user did what tag says, with fields, through the
// recorder that ctx leads to. See [Recorder.Audit] for what its return means.
//
// While no recorder was ever made in the process, audits are printed to the
// console. Once one was, a ctx that leads to none uses the one named by
// [SetDefault], else the audit fails with [ErrNoRecorder].
func Audit(ctx context.Context, tag string, fields Fields, opts ...Option) error {
	s, ctx, err := find(ctx)
	rec := defaultRecorder.Load()
	if s != nil && s.recorder != nil {
		rec = s.recorder
	}
	if rec == nil && !anyRecorder.Load() {
		rec = consoleRecorder()
	}
	if err != nil {
		return rec.fail(tag, err)
	}
	return rec.audit(ctx, s, tag, fields, opts)
}

// Detach returns a context for work that outlives the request: it keeps ctx's
// values and recorder, drops its cancellation and deadline, and gives audits
// the user and request of now. Call it on the handler's goroutine. When the user
// cannot be determined, each audit made with the result returns that error. Of a
// framework's own context the values of the request's context are kept.
func Detach(ctx context.Context) context.Context {
	s, asked, err := find(ctx)
	if ctx == nil {
		ctx = context.Background()
	}
	if err != nil {
		return NewContext(context.Background(), nil, &fixedOrigin{err: err})
	}
	var origin *fixedOrigin
	if s != nil && s.origin != nil {
		kept := context.WithoutCancel(asked)
		user, behalf, whoErr := whoOf(kept, s.origin)
		request, requestErr := requestOf(kept, s.origin)
		origin = &fixedOrigin{user: user, err: errors.Join(whoErr, requestErr), request: request}
		if behalf != "" {
			origin.user, origin.actor = behalf, user
		}
	}
	// A framework's own context is reused for the next request: keep none of it.
	for _, unwrap := range unwrappers {
		if inner := unwrap(ctx); inner != nil {
			ctx = inner
		}
	}
	detached := context.WithoutCancel(ctx)
	switch {
	case s == nil:
		return detached
	case origin == nil:
		return NewContext(detached, s.recorder, nil)
	}
	return NewContext(detached, s.recorder, origin)
}

// fixedOrigin is an origin that was resolved once, by Detach.
type fixedOrigin struct {
	user    string
	actor   string // who acts as the user; "" is nobody else
	err     error
	request *Request
}

func (o *fixedOrigin) User(context.Context) (string, error)         { return o.user, o.err }
func (o *fixedOrigin) Impersonator(context.Context) (string, error) { return o.actor, nil }
func (o *fixedOrigin) Request(context.Context) (*Request, error)    { return o.request, nil }
