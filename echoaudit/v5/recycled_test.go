package echoaudit_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"

	"github.com/labstack/echo/v5"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/core/audittest"
	"github.com/auditing-go/auditing/echoaudit/v5"
)

// TestUserReadsRecycledContext: a User function that takes its time asks alice's context
// when echo has given that to bob's request.
func TestUserReadsRecycledContext(t *testing.T) {
	for name, early := range map[string]bool{"her handler has returned": false, "a layer outside has answered": true} {
		t.Run(name, func(t *testing.T) {
			rec := audittest.New(t)
			entered, release, audited, ended := make(chan struct{}), make(chan struct{}), make(chan error), make(chan struct{}, 1)
			slow := echoaudit.User(func(c *echo.Context) (string, error) {
				close(entered)
				<-release
				user, _ := c.Get("user").(string)
				return user, nil
			})
			// answer does not wait for handlers that go on.
			answer := func(next echo.HandlerFunc) echo.HandlerFunc {
				return func(c *echo.Context) error {
					if !early || c.Path() != "/alice" {
						return next(c)
					}
					go func() {
						_ = next(c)
						ended <- struct{}{}
					}()
					<-entered
					return nil
				}
			}
			e := echo.New()
			e.Use(answer, echoaudit.Middleware(rec.Recorder(), slow))
			e.GET("/alice", func(c *echo.Context) error {
				c.Set("user", "alice")
				ctx := c.Request().Context()
				audit := func() { audited <- core.Audit(ctx, "refund", nil) }
				if early {
					audit()
				} else {
					go audit()
					<-entered
				}
				return nil
			})
			e.GET("/bob", func(c *echo.Context) error {
				c.Set("user", "bob")
				close(release)
				if err := <-audited; err != nil && !errors.Is(err, core.ErrRequestOver) {
					t.Errorf("the audit returned %v", err)
				}
				if early {
					<-ended
				}
				return nil
			})
			for range 20 {
				entered, release = make(chan struct{}), make(chan struct{})
				for _, path := range []string{"/alice", "/bob"} {
					e.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, path, nil))
				}
			}
			for _, e := range rec.Events() {
				if e.User != "alice" || e.Request.Path != "/alice" {
					t.Errorf("what alice did has the user %s at %s", e.User, e.Request.Path)
				}
			}
		})
	}
}

// TestUserWhileTheHandlerSets: the copy is made while other goroutines of the request go on.
func TestUserWhileTheHandlerSets(t *testing.T) {
	rec := audittest.New(t)
	user := echoaudit.User(func(c *echo.Context) (string, error) { return echo.ContextGet[string](c, "user") })
	serve(echo.New(), get(), func(c *echo.Context) error {
		c.Set("user", "alice")
		ctx, audits := c.Request().Context(), make(chan error)
		go func() {
			defer close(audits)
			for range 100 {
				audits <- core.Audit(ctx, "refund", nil)
			}
		}()
		for i := 0; ; i++ {
			c.Set(strconv.Itoa(i%1000), i)
			select {
			case err, more := <-audits:
				if !more {
					return nil
				}
				if err != nil {
					t.Error(err)
				}
			default:
			}
		}
	}, echoaudit.Middleware(rec.Recorder(), user))
	for _, e := range rec.Events() {
		if e.User != "alice" {
			t.Errorf("the user is %s", e.User)
		}
	}
}
