package nethttpaudit

import (
	"context"
	"net/http"
	"sync"

	"github.com/gorilla/sessions"

	"github.com/auditing-go/auditing/core"
)

// Origin tells the audits of one request who acts and from where. It is the request's
// context as well, so that both cost one allocation. It is safe for concurrent use.
type Origin struct {
	context.Context
	adapter *Adapter

	// entry is the request that arrived, which layers inside have only a copy of. They share
	// its URL and header, so what they may rewrite there is kept apart.
	entry     *http.Request
	path      string
	forwarded []string
	made      string // the request's ID that a layer outside made
	route     string // that the framework had matched by then
	// clientIP is the framework's own rule, nil without one.
	clientIP func(*http.Request) string
	inner    *http.Request // as it was handed on

	sessions sync.Mutex     // held while this package uses the request's registry or a session in it
	looks    sync.WaitGroup // at the framework's context; none begins once the request is over

	mu       sync.Mutex
	over     bool
	lookups  int32              // of the user that run
	c        any                // the framework's context; nil once the request is over
	request  *core.Request      // made by the first audit
	registry *sessions.Registry // shared by all layers of the request
}

func newOrigin(a *Adapter, c any, r *http.Request) *Origin {
	o := &Origin{adapter: a, entry: r, inner: r, c: c, forwarded: r.Header["X-Forwarded-For"]}
	o.Context = core.NewContext(r.Context(), a.recorder, o)
	if r.URL != nil {
		o.path = r.URL.Path
	}
	if rule := a.framework.ClientIP; rule != nil && !a.settings.proxies.stated {
		o.clientIP = rule(c)
	}
	return o
}

// originKey is under what an Origin finds the one around it.
type originKey struct{}

// Value leads to the Origin itself, and answers gorilla's question for the request's
// sessions. Without that, each layer that calls r.WithContext before its first look
// would read the session again from the cookie and miss what the others changed in it.
func (o *Origin) Value(key any) any {
	switch key {
	case registryKey:
		return o.requestRegistry()
	case any(originKey{}), any(o):
		return o
	}
	return o.Context.Value(key)
}

// outer returns the Origin of a Middleware around this one's, nil when there is none.
func (o *Origin) outer() *Origin {
	outer, _ := o.Context.Value(originKey{}).(*Origin)
	return outer
}

// leads reports whether r is, or was made from, the request of o.
func (o *Origin) leads(r *http.Request) bool { return r != nil && r.Context().Value(o) == any(o) }

// Over reports whether the request has ended.
func (o *Origin) Over() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.over
}

// look reports whether the request goes on, and keeps it from ending until looks.Done.
func (o *Origin) look() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.over {
		return false
	}
	o.looks.Add(1)
	return true
}

// End says that the handler has returned. From now on the user is not known any
// more, and what the framework calls its context is left alone: it may be another
// request's by now. A lookup that runs has its own copies and is not waited for, but
// for a look that it takes at that context.
func (o *Origin) End() {
	defer o.looks.Wait()
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.over || o.entry == nil {
		return
	}
	arrived, inner := o.entry, o.inner
	if o.adapter.framework.InPlace {
		arrived = o.inner
	}
	if o.c != nil {
		inner = o.adapter.framework.Request(o.c)
	}
	if inner == o.inner || o.leads(inner) {
		handBack(arrived, inner)
	}
	o.over, o.c = true, nil
}

// handBack gives the request that arrived what net/http looks for in it when the
// handler has returned: the server removes the files of an upload, and layers
// outside read the pattern that matched.
func handBack(arrived, inner *http.Request) {
	if arrived.MultipartForm == nil && inner.MultipartForm != nil {
		arrived.MultipartForm = inner.MultipartForm
	}
	if arrived.Pattern == "" && inner.Pattern != "" {
		arrived.Pattern = inner.Pattern
	}
}
