// Command echo is the quickstart on echo:
//
//	go run ./examples/echo
package main

import (
	"context"
	"errors"
	"io"
	"net/http"

	"github.com/gorilla/sessions"
	"github.com/labstack/echo/v4"
	"github.com/labstack/echo/v4/middleware"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/echoaudit"
	"github.com/auditing-go/auditing/examples/internal/shop"
	"github.com/auditing-go/auditing/nethttpaudit/auditpage"
	"github.com/auditing-go/auditing/stores"
	_ "github.com/auditing-go/auditing/stores/postgres" // the drivers postgres_auto and postgres
	_ "github.com/auditing-go/auditing/stores/sqlite"   // the driver sqlite
)

func main() { shop.Main(run) }

// run serves until ctx ends.
func run(ctx context.Context, args []string, stdout io.Writer) error {
	opts, err := shop.ParseOptions("echo", args, stdout)
	if err != nil {
		return err
	}
	store, err := stores.Open(ctx, opts.Store, opts.DSN)
	if err != nil {
		return err
	}
	rec, err := core.New(store, core.Config{})
	if err != nil {
		return err
	}
	handler, err := newHandler(rec, shop.NewSessions())
	if err != nil {
		return err
	}
	err = shop.Serve(ctx, opts.Addr, handler, stdout)
	// The last requests are answered; now the last audits are waited for.
	return errors.Join(err, shop.Drain(rec, stdout))
}

func newHandler(rec *core.Recorder, cookies sessions.Store) (http.Handler, error) {
	s := shop.New(rec, cookies)
	page, err := auditpage.New(rec, auditpage.Config{User: s.User})
	if err != nil {
		return nil, err
	}
	e := echo.New()
	e.Use(middleware.Recover(), echoaudit.Middleware(rec, echoaudit.SessionUser(cookies, shop.SessionName)))
	e.GET("/", echo.WrapHandler(http.HandlerFunc(s.Home)))
	e.POST("/login", echo.WrapHandler(http.HandlerFunc(s.Login)))
	e.POST("/logout", echo.WrapHandler(http.HandlerFunc(s.Logout)))
	e.GET("/audits", echo.WrapHandler(http.HandlerFunc(s.Audits)))
	e.Any("/audit/*", echo.WrapHandler(page))
	e.POST("/refund", func(c echo.Context) error {
		if !s.SignedIn(c.Response(), c.Request(), "refund") {
			return nil
		}
		order, amount, err := shop.RefundForm(c.Request())
		if err != nil {
			s.Fail(c.Response(), c.Request(), http.StatusBadRequest, err.Error())
			return nil
		}
		result, refused := shop.Decide(amount)
		err = echoaudit.Audit(c, "refund", echoaudit.Fields{"order": order, "amount": amount}, core.On("order", order), result)
		if err != nil {
			s.FailAudit(c.Response(), c.Request(), err)
			return nil
		}
		if refused != "" {
			s.Fail(c.Response(), c.Request(), http.StatusForbidden, refused)
			return nil
		}
		return c.Redirect(http.StatusSeeOther, shop.Refunded(order))
	})
	return e, nil
}
