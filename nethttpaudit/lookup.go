package nethttpaudit

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/sessions"

	"github.com/auditing-go/auditing/core"
)

// maxLookups bounds how many lookups of one request's user run at once. Only a
// lookup that audits and so looks up again has so many.
const maxLookups = 1000

var (
	errRecursion = errors.New("the user is looked up by what looks it up: that may itself audit only with core.As")
	errGone      = errors.New("what looks up the user ended its goroutine")
)

// lookup is what a source of users is given. What may block runs on a goroutine of
// its own, with copies, while the lookup waits as long as the audit has time: what
// comes late is thrown away, and finds nothing that the request, or the next one,
// goes on to use.
//
// It is the context of those copies, too: it has the values of the audit's context
// and of the request's, and ends with the audit's time.
type lookup struct {
	origin    *Origin
	framework *Framework
	ctx       context.Context // of the audit
	via       *handed         // what that was made with, nil for one by a context alone
	deadline  time.Time
	request   *http.Request         // the current one
	c         any                   // the framework's context, nil when it is not the request's any more
	current   *http.Request         // what c had at first
	lost      atomic.Pointer[error] // why a copy of c could not read on

	mu   sync.RWMutex
	err  error         // why the lookup is over
	done chan struct{} // closed then; nil until somebody asks for it
}

// User looks up who acts now. Lookups of one request run side by side. A panic in
// what is asked is left to core.
func (o *Origin) User(ctx context.Context) (user string, err error) {
	if ctx.Value(lookupKey{}) != nil {
		return "", errRecursion
	}
	if !o.adapter.hasUsers {
		if outer := o.outer(); outer != nil && !o.Over() {
			return outer.User(ctx)
		}
	}
	return o.first(ctx, o.adapter.settings.users)
}

// Impersonator looks up who acts as the user that is signed in, "" when that one does.
func (o *Origin) Impersonator(ctx context.Context) (string, error) {
	own := o.adapter.settings.impersonators
	if len(own) > 0 {
		return o.first(ctx, own)
	}
	if !o.adapter.hasUsers {
		if outer := o.outer(); outer != nil && !o.Over() {
			return outer.Impersonator(ctx)
		}
	}
	return "", nil
}

// first returns what the first of the sources says that knows anybody.
func (o *Origin) first(ctx context.Context, sources []userSource) (user string, err error) {
	l, err := o.lookup(ctx)
	if err != nil {
		return "", err
	}
	defer o.end(l)
	for _, source := range sources {
		if user, err = source(l); err != nil || user != "" {
			return user, err
		}
	}
	return "", nil
}

// end lets go of a lookup.
func (o *Origin) end(l *lookup) {
	l.end(context.Canceled)
	o.mu.Lock()
	o.lookups--
	o.mu.Unlock()
}

func (o *Origin) lookup(ctx context.Context) (*lookup, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case o.over || o.entry == nil:
		return nil, core.ErrRequestOver
	case o.lookups == maxLookups:
		return nil, errRecursion
	}
	o.lookups++
	l := &lookup{origin: o, framework: o.adapter.framework, ctx: ctx, request: o.inner}
	var ok bool
	if l.deadline, ok = ctx.Deadline(); !ok {
		l.deadline = time.Now().Add(core.DefaultTimeout)
	}
	via, _ := ctx.Value(handedKey{}).(*handed)
	l.via = via
	if via != nil && via.request != nil {
		l.request = via.request
		if via.c != nil && via.framework == l.framework {
			l.c, l.current = via.c, via.request
		}
	}
	if l.c == nil && o.c != nil {
		// The framework may have given its context to another request.
		if r := l.framework.Request(o.c); o.leads(r) {
			l.c, l.current = o.c, r
			if via == nil {
				l.request = r
			}
		}
	}
	return l, nil
}

// end lets go of what the request goes on to use.
func (l *lookup) end(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err == nil {
		l.err = err
		if l.done != nil {
			close(l.done)
		}
	}
}

// live runs read while the request still waits for the lookup.
func (l *lookup) live(read func()) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.err == nil {
		read()
	}
}

func (l *lookup) Deadline() (time.Time, bool) { return l.deadline, true }

func (l *lookup) Done() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.done == nil {
		l.done = make(chan struct{})
		if l.err != nil {
			close(l.done)
		}
	}
	return l.done
}

func (l *lookup) Err() error {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.err
}

type lookupKey struct{}

func (l *lookup) Value(key any) (v any) {
	switch key {
	case registryKey:
		return nil
	case any(lookupKey{}):
		return l
	}
	l.live(func() { v = l.ctx.Value(key) })
	if v == nil {
		v = context.WithoutCancel(l.request.Context()).Value(key)
	}
	return v
}

// use runs f, which reads the framework's context, while the request lasts and that is its
// context: until f has returned the middleware does not, so no other request gets it.
func (l *lookup) use(f func()) error {
	if l.framework.Request == nil {
		return nil
	}
	current := func() bool {
		r := l.framework.Request(l.c)
		return r == l.current || l.origin.leads(r)
	}
	if l.c != nil && l.origin.look() {
		defer l.origin.looks.Done()
		if current() {
			if f(); current() {
				return nil
			}
		}
	}
	return fmt.Errorf("the context that %s was given is not this request's any more: %w", l.framework.Package, core.ErrRequestOver)
}

// find returns what the framework's session middleware left.
func (l *lookup) find(name string) (found []FoundSession, err error) {
	err = l.use(func() {
		if l.framework.Sessions != nil {
			found = l.framework.Sessions(l.c, name)
		}
	})
	return found, err
}

// context returns a copy of the framework's context, whose request is r.
func (l *lookup) context(r *http.Request) (c any, err error) {
	err = l.use(func() { c = l.framework.Copy(l.c, r, l.late) })
	return c, err
}

// late is for the copy: it runs read, or has the lookup fail when it is too late for that.
func (l *lookup) late(read func()) {
	l.live(func() {
		if err := l.use(read); err != nil {
			l.lost.Store(&err)
		}
	})
}

// copies returns a request for the use on another goroutine.
func (l *lookup) copies() *http.Request {
	r := l.request.Clone(l)
	r.Body = http.NoBody // the handler's
	return r
}

// copiesOfSessions is copies with copies of the sessions that were read so far.
func (l *lookup) copiesOfSessions() *http.Request {
	r := l.copies()
	turn := l.turn()
	turn.Lock()
	defer turn.Unlock()
	var from *sessions.Registry
	if l.origin.leads(l.request) {
		from = l.origin.existingRegistry()
	} else {
		from, _ = l.request.Context().Value(registryKey).(*sessions.Registry)
	}
	if from != nil {
		addCopies(sessions.GetRegistry(r), from)
	}
	found, _ := l.find("")
	for _, f := range found {
		if f.Session != nil {
			registry := sessions.GetRegistry(r)
			if _, _, ok := cached(registry, f.Session.Store(), f.Session.Name()); !ok {
				addCopy(registry, f.Session, nil)
			}
		}
	}
	return r
}

// turn returns what guards the request's registry. It is the outermost Origin's.
func (l *lookup) turn() *sync.Mutex {
	o := l.origin
	for outer := o; outer != nil; outer = o.outer() {
		o = outer
	}
	return &o.sessions
}

// session returns the session as the handler sees it now.
func (l *lookup) session(store sessions.Store, name string) (*sessions.Session, error) {
	turn := l.turn()
	turn.Lock()
	registry := sessions.GetRegistry(l.request)
	session, err, ok := cached(registry, store, name)
	if _, cookie := store.(*sessions.CookieStore); cookie && !ok { // which does not block
		session, err = registry.Get(store, name)
		ok = true
	}
	turn.Unlock()
	// The client may have left while the handler read it, and gorilla keeps that error.
	if ok && !(isContextError(err) && (session == nil || len(session.Values) == 0)) {
		return session, err
	}
	r := l.copies()
	session, err = await(l, func(name string) (*sessions.Session, error) { return store.Get(r, name) }, name)
	if err != nil || session == nil || ok || l.origin.Over() {
		return session, err
	}
	turn.Lock()
	defer turn.Unlock()
	if found, err, ok := cached(registry, store, name); ok {
		return found, err
	}
	if own, _, ok := cached(sessions.GetRegistry(r), session.Store(), name); ok && own == session {
		add(registry, session, nil, name)
	}
	return session, nil
}

// await runs f on a goroutine of its own, and returns what it does unless the audit's
// time ends first.
func await[A, T any](l *lookup, f func(A) (T, error), argument A) (T, error) {
	type answer struct {
		value T
		err   error
	}
	answers := make(chan answer, 2) // one is waited for
	timer := time.AfterFunc(time.Until(l.deadline), func() {
		answers <- answer{err: fmt.Errorf("looking up who acts took all of the audit's time: %w", core.ErrTimeout)}
		l.end(context.DeadlineExceeded)
	})
	defer timer.Stop()
	go func() {
		a := answer{err: errGone}
		defer func() {
			if p := recover(); p != nil {
				a.err = fmt.Errorf("what looks up the user panicked: %v", p)
			}
			answers <- a
		}()
		a.value, a.err = f(argument)
	}()
	a := <-answers
	return a.value, a.err
}
