package main

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/labstack/echo/v4"
	"github.com/labstack/echo/v4/middleware"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/echoaudit"
	"github.com/auditing-go/auditing/ginaudit"
	"github.com/auditing-go/auditing/nethttpaudit"
)

// site is one framework: the same handler alone, audited and logged.
type site struct {
	name          string
	bare, quiet   http.Handler
	once          http.Handler // audits once
	logger        http.Handler // the framework's own logger; nil when it has none
	times, allocs float64      // what a request without an audit may cost, beside a value in its context
}

func requestCases(ctx context.Context, l *lab) ([]Case, error) {
	rec, err := core.New(promptIdle{}, core.Config{})
	if err != nil {
		return nil, err
	}
	l.atEnd(func() error { return rec.Close(context.WithoutCancel(ctx)) })
	var quiet, once []Case
	for _, s := range []site{netHTTP(rec), onGin(rec), onEcho(rec)} {
		c := s.costs(s.name+", nothing audited", s.quiet)
		c.Wants = []Want{{Figure: Nanos, Beside: withValueName, AtMost: s.times}, {Figure: Allocs, AtMost: s.allocs}}
		quiet, once = append(quiet, c), append(once, s.costs(s.name+", one audit of 4 fields", s.once))
	}
	return append(quiet, once...), nil
}

// costs is what ours costs over the bare handler, and what the logger does.
func (s site) costs(name string, ours http.Handler) Case {
	side := func(name string, h http.Handler) Side {
		return Side{Name: name, Measure: func(_ context.Context, d time.Duration) (Sample, error) {
			return beyond(d, serving(s.bare), serving(h)), nil
		}}
	}
	c := Case{Name: name, Figures: []string{Nanos, Bytes, Allocs}, Sides: []Side{side("auditing", ours), withValue()}}
	if s.logger != nil {
		c.Sides = append(c.Sides, side("its own logger, to io.Discard", s.logger))
	}
	return c
}

const withValueName = "r.WithContext with one value"

type contextKey struct{}

// withValue is the least that a layer pays which tells the layers below it anything.
func withValue() Side {
	return Side{Name: withValueName, Aside: true, Measure: func(_ context.Context, d time.Duration) (Sample, error) {
		nothing := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
		layer := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			nothing.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), contextKey{}, user)))
		})
		return beyond(d, serving(nothing), serving(layer)), nil
	}}
}

// serving gives h a request again and again that no handler has changed yet.
func serving(h http.Handler) func(int) {
	arrived, r := httptest.NewRequest(http.MethodPost, "/refund", nil), new(http.Request)
	arrived.Header.Set("X-Forwarded-For", "203.0.113.7")
	arrived.Header.Set("User-Agent", "curl/8")
	w := httptest.NewRecorder()
	return func(int) {
		*r = *arrived
		h.ServeHTTP(w, r)
	}
}

func netHTTP(rec *core.Recorder) site {
	nothing := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	audited := nethttpaudit.Middleware(rec, nethttpaudit.User(func(*http.Request) (string, error) { return user, nil }))
	return site{
		name: "net/http", bare: nothing, quiet: audited(nothing), times: 1.5, allocs: 3,
		once: audited(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			if err := nethttpaudit.Audit(r, tag, fields(1)); err != nil {
				panic(err)
			}
		})),
	}
}

func onGin(rec *core.Recorder) site {
	gin.SetMode(gin.ReleaseMode)
	serve := func(h gin.HandlerFunc, middleware ...gin.HandlerFunc) http.Handler {
		engine := gin.New()
		engine.Use(middleware...)
		engine.POST("/refund", h)
		return engine
	}
	nothing := func(*gin.Context) {}
	audited := ginaudit.Middleware(rec, ginaudit.User(func(*gin.Context) (string, error) { return user, nil }))
	return site{
		name: "gin", bare: serve(nothing), quiet: serve(nothing, audited), times: 1.5, allocs: 3,
		once: serve(func(c *gin.Context) {
			if err := ginaudit.Audit(c, tag, fields(1)); err != nil {
				panic(err)
			}
		}, audited),
		logger: serve(nothing, gin.LoggerWithWriter(io.Discard)),
	}
}

func onEcho(rec *core.Recorder) site {
	serve := func(h echo.HandlerFunc, middleware ...echo.MiddlewareFunc) http.Handler {
		e := echo.New()
		e.Use(middleware...)
		e.POST("/refund", h)
		return e
	}
	nothing := func(echo.Context) error { return nil }
	audited := echoaudit.Middleware(rec, echoaudit.User(func(echo.Context) (string, error) { return user, nil }))
	return site{
		name: "echo", bare: serve(nothing), quiet: serve(nothing, audited), times: 2, allocs: 4,
		once: serve(func(c echo.Context) error {
			if err := echoaudit.Audit(c, tag, fields(1)); err != nil {
				panic(err)
			}
			return nil
		}, audited),
		logger: serve(nothing, middleware.RequestLoggerWithConfig(echoLogger(slog.New(slog.NewJSONHandler(io.Discard, nil))))),
	}
}

// echoLogger logs much as gin's logger does.
func echoLogger(log *slog.Logger) middleware.RequestLoggerConfig {
	return middleware.RequestLoggerConfig{
		LogLatency: true, LogRemoteIP: true, LogMethod: true, LogURI: true, LogStatus: true,
		LogValuesFunc: func(c echo.Context, v middleware.RequestLoggerValues) error {
			log.LogAttrs(c.Request().Context(), slog.LevelInfo, "request", slog.Int("status", v.Status), slog.Duration("latency", v.Latency),
				slog.String("ip", v.RemoteIP), slog.String("method", v.Method), slog.String("uri", v.URI))
			return nil
		},
	}
}
