package nethttpaudit

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/sessions"

	"github.com/auditing-go/auditing/core"
)

// Origin signs the audits of one request. It is the request's context as well,
// so that both cost one allocation. It is safe for concurrent use.
type Origin struct {
	context.Context
	adapter *Adapter

	// What arrived: layers inside may rewrite the request before somebody audits.
	path, host, remote, method string
	forwarded                  []string
	made                       string // the request's ID that a layer outside made

	mu       sync.Mutex
	turn     chan struct{}      // held by the one lookup that runs; made by the first
	request  *core.Request      // made by the first audit
	entry    *http.Request      // as it arrived; it and all below are nil once the request is over
	inner    *http.Request      // as it was handed on
	c        any                // the framework's context
	registry *sessions.Registry // shared by all layers of the request
}

func newOrigin(a *Adapter, c any, r *http.Request) *Origin {
	o := &Origin{
		Context: r.Context(), adapter: a, entry: r, c: c,
		host: r.Host, remote: r.RemoteAddr, method: r.Method,
		forwarded: r.Header["X-Forwarded-For"],
	}
	if r.URL != nil {
		o.path = r.URL.Path
	}
	return o
}

// registryKey is the unexported key under which gorilla/sessions keeps a request's
// registry in its context, learnt by watching it look.
var registryKey = func() any {
	w := &keyWatcher{Context: context.Background()}
	sessions.GetRegistry((&http.Request{}).WithContext(w))
	return w.key
}()

type keyWatcher struct {
	context.Context
	key any
}

func (w *keyWatcher) Value(key any) any {
	w.key = key
	return nil
}

// Value answers gorilla's question for the request's sessions. Without that, each
// layer that calls r.WithContext before its first look would read the session
// again from the cookie and miss what the others changed in it.
func (o *Origin) Value(key any) any {
	if key == registryKey {
		if registry := o.sessions(); registry != nil {
			return registry
		}
	}
	return o.Context.Value(key)
}

func (o *Origin) sessions() *sessions.Registry {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.registry == nil && o.entry != nil {
		// The context is entry's and not o's: a layer outside may have read a session
		// since, for which gorilla changes entry in place. The copy keeps it from that here.
		o.registry = sessions.GetRegistry(o.entry.WithContext(o.entry.Context()))
	}
	return o.registry
}

// lookup is what a source of users is given.
type lookup struct {
	framework *Framework
	c         any
	request   *http.Request
}

// User looks up who acts now. Lookups take turns, and the end of the request
// waits for the one that runs: frameworks use their contexts again, and a lookup
// must never see the next request. A panic in what is asked is left to core.
func (o *Origin) User(ctx context.Context) (user string, err error) {
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = time.Now().Add(core.DefaultTimeout)
	}
	turn, err := o.takeTurn(deadline)
	if err != nil {
		return "", err
	}
	defer func() { <-turn }()
	o.mu.Lock()
	entry, c := o.entry, o.c
	o.mu.Unlock()
	if entry == nil {
		return "", core.ErrRequestOver
	}
	f, current := o.adapter.framework, entry
	if via, ok := ctx.Value(handedKey{}).(*handed); ok && via.request != nil {
		current, ctx = via.request, via.request.Context()
		if c != nil && via.c != nil {
			c = via.c
		}
	} else if c != nil {
		current = f.Request(c)
		ctx = current.Context()
	}
	// The audit of a client that has left must not fail for that.
	bounded, cancel := context.WithDeadline(context.WithoutCancel(ctx), deadline)
	defer cancel()
	l := lookup{framework: f, c: c, request: current.WithContext(bounded)}
	for _, source := range o.adapter.settings.users {
		if user, err = source(l); err != nil || user != "" {
			return user, err
		}
	}
	return "", nil
}

// takeTurn returns the channel to receive from when the lookup is done.
func (o *Origin) takeTurn(deadline time.Time) (chan struct{}, error) {
	o.mu.Lock()
	over := o.entry == nil
	if o.turn == nil {
		o.turn = make(chan struct{}, 1)
	}
	turn := o.turn
	o.mu.Unlock()
	if over {
		return nil, core.ErrRequestOver
	}
	select {
	case turn <- struct{}{}:
		return turn, nil
	default:
	}
	// Half of the time is left to whom this one waits for: it may wait for this one.
	timer := time.NewTimer(time.Until(deadline) / 2)
	defer timer.Stop()
	select {
	case turn <- struct{}{}:
		return turn, nil
	case <-timer.C:
		return nil, errors.New("another lookup of this request's user has not ended in half the audit's time: what looks it up may itself audit only with core.As")
	}
}

// Request returns from where the request came. The facts are those that arrived;
// the user agent and the request's ID are read when first asked for.
func (o *Origin) Request(ctx context.Context) *core.Request {
	id := o.requestID(ctx)
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.request == nil {
		request := &core.Request{
			ID:   id,
			Path: o.path, Host: hostOnly(o.host), Method: o.method,
			IP: o.clientIP(), Peer: peer(o.remote), Forwarded: joinForwarded(o.forwarded),
		}
		if o.entry != nil {
			request.UserAgent = o.entry.Header.Get("User-Agent")
			request.ID = cmp.Or(id, o.entry.Header.Get("X-Request-ID"))
		}
		o.request = request
	}
	return o.request
}

// clientIP wants mu to be held.
func (o *Origin) clientIP() string {
	proxies, fromFramework := &o.adapter.settings.proxies, o.adapter.framework.ClientIP
	if fromFramework == nil || proxies.stated {
		return proxies.clientIP(o.remote, o.forwarded)
	}
	if o.entry == nil {
		// The framework's own rule can no longer be asked; the peer is true by any.
		return peer(o.remote)
	}
	if ip, ok := parseHop(strings.TrimSpace(fromFramework(o.c, o.entry))); ok {
		return ip.String()
	}
	return proxies.clientIP(o.remote, o.forwarded)
}

// End says that the handler has returned. From now on the user is not known
// any more, and nothing of the request is held but its facts.
func (o *Origin) End() {
	o.mu.Lock()
	if turn := o.turn; turn != nil {
		o.mu.Unlock()
		turn <- struct{}{}
		defer func() { <-turn }()
		o.mu.Lock()
	}
	defer o.mu.Unlock()
	if o.entry == nil {
		return
	}
	inner := o.inner
	if o.c != nil {
		inner = o.adapter.framework.Request(o.c)
	}
	if inner != nil {
		handBack(o.entry, inner)
	}
	o.entry, o.inner, o.c, o.registry = nil, nil, nil, nil
}

// handBack gives the request that arrived what net/http looks for in it when the
// handler has returned: the server removes the files of an upload, and layers
// outside read the pattern that matched.
func handBack(entry, inner *http.Request) {
	if entry.MultipartForm == nil && inner.MultipartForm != nil {
		entry.MultipartForm = inner.MultipartForm
	}
	if entry.Pattern == "" && inner.Pattern != "" {
		entry.Pattern = inner.Pattern
	}
}
