package ginaudit_test

import (
	"context"
	"net/http"
	"net/netip"
	"os"
	"testing"

	contrib "github.com/gin-contrib/sessions"
	"github.com/gin-gonic/gin"
	"github.com/gorilla/sessions"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/ginaudit"
	"github.com/auditing-go/auditing/nethttpaudit/adaptertest"
)

func TestMain(m *testing.M) {
	gin.SetMode(gin.TestMode)
	os.Exit(m.Run())
}

func TestAdapter(t *testing.T) {
	for name, server := range map[string]func(adaptertest.Setup) http.Handler{
		"sessions outside": func(s adaptertest.Setup) http.Handler { return newServer(s, false, sessionsOutside) },
		"sessions inside":  func(s adaptertest.Setup) http.Handler { return newServer(s, false, sessionsInside) },
		"many sessions":    func(s adaptertest.Setup) http.Handler { return newServer(s, false, manySessions) },
		"fallback":         func(s adaptertest.Setup) http.Handler { return newServer(s, true, sessionsOutside) },
	} {
		t.Run(name, func(t *testing.T) {
			adaptertest.Run(t, adaptertest.Adapter{FindsSessions: true, Route: "/*path", New: server})
		})
	}
}

const (
	sessionsOutside = iota
	sessionsInside
	manySessions
)

func newServer(setup adaptertest.Setup, fallback bool, order int) http.Handler {
	engine := gin.New()
	engine.ContextWithFallback = fallback
	if setup.Contrib != nil && order == sessionsOutside {
		engine.Use(contrib.Sessions(setup.Contrib.Name, contribStore{setup.Contrib.Store}))
	}
	if setup.Contrib != nil && order == manySessions {
		engine.Use(contrib.SessionsMany([]string{"second", setup.Contrib.Name, "third"}, contribStore{setup.Contrib.Store}))
	}
	if setup.Around != nil {
		engine.Use(ginaudit.Middleware(setup.Around.Recorder, options(*setup.Around)...))
	}
	if setup.Layer != nil {
		engine.Use(func(c *gin.Context) { setup.Layer(newCall(c), c.Next) })
	}
	if !setup.NoMiddleware {
		engine.Use(ginaudit.Middleware(setup.Recorder, options(setup)...))
	}
	if setup.Contrib != nil && order == sessionsInside {
		engine.Use(contrib.Sessions(setup.Contrib.Name, contribStore{setup.Contrib.Store}))
	}
	if setup.Inner != nil {
		engine.Use(func(c *gin.Context) { c.Request = setup.Inner(c.Request) })
	}
	engine.Any("/*path", func(c *gin.Context) { setup.Handle(newCall(c)) })
	return engine
}

func newCall(c *gin.Context) *adaptertest.Call {
	return &adaptertest.Call{
		Writer:  c.Writer,
		Request: c.Request,
		Audit: func(tag string, fields core.Fields, opts ...core.Option) error {
			return ginaudit.Audit(c, tag, fields, opts...)
		},
		Detach: func() context.Context { return ginaudit.Detach(c) },
		Contexts: []context.Context{
			c.Request.Context(), c, context.WithValue(c, testKey{}, "value"), context.WithoutCancel(c), c.Copy(),
		},
	}
}

// contribStore makes a gorilla store one for gin-contrib/sessions.
type contribStore struct{ sessions.Store }

func (contribStore) Options(contrib.Options) {}

func options(setup adaptertest.Setup) []ginaudit.Option {
	var opts []ginaudit.Option
	for _, s := range setup.SessionUsers {
		opts = append(opts, ginaudit.SessionUser(s.Store, s.Name, s.Paths...))
	}
	if setup.User != nil {
		opts = append(opts, ginaudit.User(func(c *gin.Context) (string, error) { return setup.User(c.Request) }))
	}
	if setup.Impersonator != nil {
		opts = append(opts, ginaudit.Impersonator(func(c *gin.Context) (string, error) { return setup.Impersonator(c.Request) }))
	}
	if setup.RequestID != nil {
		opts = append(opts, ginaudit.RequestID(func(c *gin.Context) string { return setup.RequestID(c.Request) }))
	}
	if setup.ClientIP != nil {
		opts = append(opts, ginaudit.ClientIP(func(c *gin.Context) (netip.Addr, error) { return setup.ClientIP(c.Request) }))
	}
	if setup.TrustedProxies != nil {
		opts = append(opts, ginaudit.TrustedProxies(setup.TrustedProxies...))
	}
	return opts
}

// testKey is a key of somebody else's in a context.
type testKey struct{}
