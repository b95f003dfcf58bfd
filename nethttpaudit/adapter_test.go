package nethttpaudit_test

import (
	"context"
	"net/http"
	"testing"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/core/audittest"
	"github.com/auditing-go/auditing/nethttpaudit"
)

func TestAdapter(t *testing.T) {
	audittest.RunAdapter(t, audittest.Adapter{New: newServer})
}

func newServer(setup audittest.Setup) http.Handler {
	var handler http.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		setup.Handle(&audittest.Call{
			Writer:  w,
			Request: r,
			Audit: func(tag string, fields core.Fields, opts ...core.Option) error {
				return nethttpaudit.Audit(r, tag, fields, opts...)
			},
			Detach:   func() context.Context { return nethttpaudit.Detach(r) },
			Contexts: []context.Context{r.Context()},
		})
	})
	if setup.Inner != nil {
		next := handler
		handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { next.ServeHTTP(w, setup.Inner(r)) })
	}
	if setup.NoMiddleware {
		return handler
	}
	return nethttpaudit.Middleware(setup.Recorder, options(setup)...)(handler)
}

func options(setup audittest.Setup) []nethttpaudit.Option {
	var opts []nethttpaudit.Option
	for _, s := range setup.SessionUsers {
		opts = append(opts, nethttpaudit.SessionUser(s.Store, s.Name, s.Paths...))
	}
	if setup.User != nil {
		opts = append(opts, nethttpaudit.User(setup.User))
	}
	if setup.RequestID != nil {
		opts = append(opts, nethttpaudit.RequestID(setup.RequestID))
	}
	if setup.TrustedProxies != nil {
		opts = append(opts, nethttpaudit.TrustedProxies(setup.TrustedProxies...))
	}
	return opts
}
