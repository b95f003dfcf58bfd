package echoaudit_test

import (
	"context"
	"net/http"
	"net/netip"
	"testing"

	"github.com/gorilla/sessions"
	"github.com/labstack/echo/v5"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/echoaudit/v5"
	"github.com/auditing-go/auditing/nethttpaudit/adaptertest"
)

func TestAdapter(t *testing.T) {
	for name, sessionsInside := range map[string]bool{"sessions outside": false, "sessions inside": true} {
		t.Run(name, func(t *testing.T) {
			adaptertest.Run(t, adaptertest.Adapter{
				FindsSessions: true,
				Route:         "/*",
				New:           func(setup adaptertest.Setup) http.Handler { return newServer(setup, sessionsInside) },
			})
		})
	}
}

func newServer(setup adaptertest.Setup, sessionsInside bool) *echo.Echo {
	e := echo.New()
	if setup.Contrib != nil && !sessionsInside {
		e.Use(keeping(setup.Contrib.Store))
	}
	if setup.Around != nil {
		e.Use(echoaudit.Middleware(setup.Around.Recorder, options(*setup.Around)...))
	}
	if setup.Layer != nil {
		e.Use(func(next echo.HandlerFunc) echo.HandlerFunc {
			return func(c *echo.Context) (err error) {
				setup.Layer(newCall(c), func() { err = next(c) })
				return err
			}
		})
	}
	if !setup.NoMiddleware {
		e.Use(echoaudit.Middleware(setup.Recorder, options(setup)...))
	}
	if setup.Contrib != nil && sessionsInside {
		e.Use(keeping(setup.Contrib.Store))
	}
	if setup.Inner != nil {
		e.Use(func(next echo.HandlerFunc) echo.HandlerFunc {
			return func(c *echo.Context) error {
				c.SetRequest(setup.Inner(c.Request()))
				return next(c)
			}
		})
	}
	e.Any("/*", func(c *echo.Context) error {
		setup.Handle(newCall(c))
		return nil
	})
	return e
}

// keeping is the session middleware of echo's documentation, which does what
// echo-contrib/session does.
func keeping(store sessions.Store) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c *echo.Context) error {
			c.Set("_session_store", store)
			return next(c)
		}
	}
}

func newCall(c *echo.Context) *adaptertest.Call {
	return &adaptertest.Call{
		Writer:  c.Response(),
		Request: c.Request(),
		Audit: func(tag string, fields core.Fields, opts ...core.Option) error {
			return echoaudit.Audit(c, tag, fields, opts...)
		},
		Detach:   func() context.Context { return echoaudit.Detach(c) },
		Contexts: []context.Context{c.Request().Context()},
	}
}

func options(setup adaptertest.Setup) []echoaudit.Option {
	var opts []echoaudit.Option
	for _, s := range setup.SessionUsers {
		opts = append(opts, echoaudit.SessionUser(s.Store, s.Name, s.Paths...))
	}
	if setup.User != nil {
		opts = append(opts, echoaudit.User(func(c *echo.Context) (string, error) { return setup.User(c.Request()) }))
	}
	if setup.Impersonator != nil {
		opts = append(opts, echoaudit.Impersonator(func(c *echo.Context) (string, error) { return setup.Impersonator(c.Request()) }))
	}
	if setup.RequestID != nil {
		opts = append(opts, echoaudit.RequestID(func(c *echo.Context) string { return setup.RequestID(c.Request()) }))
	}
	if setup.ClientIP != nil {
		opts = append(opts, echoaudit.ClientIP(func(c *echo.Context) (netip.Addr, error) { return setup.ClientIP(c.Request()) }))
	}
	if setup.TrustedProxies != nil {
		opts = append(opts, echoaudit.TrustedProxies(setup.TrustedProxies...))
	}
	return opts
}
