// Command gin is the quickstart on gin:
//
//	go run ./examples/gin
package main

import (
	"context"
	"errors"
	"io"
	"net/http"

	"github.com/gin-gonic/gin"
	"github.com/gorilla/sessions"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/examples/internal/shop"
	"github.com/auditing-go/auditing/ginaudit"
	"github.com/auditing-go/auditing/nethttpaudit/auditpage"
	"github.com/auditing-go/auditing/stores"
	_ "github.com/auditing-go/auditing/stores/postgres" // the drivers postgres_auto and postgres
	_ "github.com/auditing-go/auditing/stores/sqlite"   // the driver sqlite
)

func main() { shop.Main(run) }

// run serves until ctx ends.
func run(ctx context.Context, args []string, stdout io.Writer) error {
	opts, err := shop.ParseOptions("gin", args, stdout)
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
	gin.SetMode(gin.ReleaseMode)
	r := gin.New()
	r.Use(gin.Recovery(), ginaudit.Middleware(rec, ginaudit.SessionUser(cookies, shop.SessionName)))
	r.GET("/", gin.WrapF(s.Home))
	r.POST("/login", gin.WrapF(s.Login))
	r.POST("/logout", gin.WrapF(s.Logout))
	r.GET("/audits", gin.WrapF(s.Audits))
	r.Any("/audit/*any", gin.WrapH(page))
	r.POST("/refund", func(c *gin.Context) {
		if !s.SignedIn(c.Writer, c.Request, "refund") {
			return
		}
		order, amount, err := shop.RefundForm(c.Request)
		if err != nil {
			s.Fail(c.Writer, c.Request, http.StatusBadRequest, err.Error())
			return
		}
		result, refused := shop.Decide(amount)
		err = ginaudit.Audit(c, "refund", ginaudit.Fields{"order": order, "amount": amount}, core.On("order", order), result)
		if err != nil {
			s.FailAudit(c.Writer, c.Request, err)
			return
		}
		if refused != "" {
			s.Fail(c.Writer, c.Request, http.StatusForbidden, refused)
			return
		}
		c.Redirect(http.StatusSeeOther, shop.Refunded(order))
	})
	return r, nil
}
