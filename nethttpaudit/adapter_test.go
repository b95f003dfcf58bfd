package nethttpaudit_test

import (
	"context"
	"net/http"
	"testing"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/nethttpaudit"
	"github.com/auditing-go/auditing/nethttpaudit/adaptertest"
)

func TestAdapter(t *testing.T) {
	adaptertest.Run(t, adaptertest.Adapter{New: newServer})
}

func newServer(setup adaptertest.Setup) http.Handler {
	handler := handling(setup.Handle)
	if setup.Inner != nil {
		next := handler
		handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { next.ServeHTTP(w, setup.Inner(r)) })
	}
	if !setup.NoMiddleware {
		handler = nethttpaudit.Middleware(setup.Recorder, options(setup)...)(handler)
	}
	if setup.Layer != nil {
		next := handler
		handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			handling(func(c *adaptertest.Call) { setup.Layer(c, func() { next.ServeHTTP(w, r) }) }).ServeHTTP(w, r)
		})
	}
	if setup.Around != nil {
		handler = nethttpaudit.Middleware(setup.Around.Recorder, options(*setup.Around)...)(handler)
	}
	return handler
}

func handling(handle func(*adaptertest.Call)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		handle(&adaptertest.Call{
			Writer:  w,
			Request: r,
			Audit: func(tag string, fields core.Fields, opts ...core.Option) error {
				return nethttpaudit.Audit(r, tag, fields, opts...)
			},
			Detach:   func() context.Context { return nethttpaudit.Detach(r) },
			Contexts: []context.Context{r.Context()},
		})
	})
}

func options(setup adaptertest.Setup) []nethttpaudit.Option {
	var opts []nethttpaudit.Option
	for _, s := range setup.SessionUsers {
		opts = append(opts, nethttpaudit.SessionUser(s.Store, s.Name, s.Paths...))
	}
	if setup.User != nil {
		opts = append(opts, nethttpaudit.User(setup.User))
	}
	if setup.Impersonator != nil {
		opts = append(opts, nethttpaudit.Impersonator(setup.Impersonator))
	}
	if setup.RequestID != nil {
		opts = append(opts, nethttpaudit.RequestID(setup.RequestID))
	}
	if setup.ClientIP != nil {
		opts = append(opts, nethttpaudit.ClientIP(setup.ClientIP))
	}
	if setup.TrustedProxies != nil {
		opts = append(opts, nethttpaudit.TrustedProxies(setup.TrustedProxies...))
	}
	return opts
}
