// Command elasticsearch is the gin example on Elasticsearch or OpenSearch:
//
//	go run ./examples/elasticsearch
//	go run ./examples/elasticsearch -dsn "https://user:password@es1:9200,es2:9200/audits?ca_file=/etc/ca.pem"
//
// Without -dsn the audits go to http://127.0.0.1:9200/audits. Refund something on the
// page, then see it in the cluster:
//
//	curl 'http://127.0.0.1:9200/audits/_search?q=tag:refund&sort=@timestamp:desc&pretty'
//
// The folder queries holds two searches to keep:
//
//	curl -H 'Content-Type: application/json' --data @examples/elasticsearch/queries/refunds_of_a_week.json 'http://127.0.0.1:9200/audits/_search?pretty'
//	curl -H 'Content-Type: application/json' --data @examples/elasticsearch/queries/who_did_what.json 'http://127.0.0.1:9200/audits/_search?pretty'
package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"

	"github.com/gin-gonic/gin"
	"github.com/gorilla/sessions"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/examples/internal/shop"
	"github.com/auditing-go/auditing/ginaudit"
	"github.com/auditing-go/auditing/nethttpaudit/auditpage"
	"github.com/auditing-go/auditing/stores"
	_ "github.com/auditing-go/auditing/stores/esstore" // the drivers elasticsearch and opensearch
)

func main() { shop.Main(run) }

// run serves until ctx ends.
func run(ctx context.Context, args []string, stdout io.Writer) error {
	here := shop.Options{Store: "elasticsearch", DSN: "http://127.0.0.1:9200/audits"}
	opts, err := here.Parse("elasticsearch", args, stdout)
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
	flushed := r.Group("/", func(c *gin.Context) {
		// An audit is durable at once, but a search sees it only about a second later.
		if store, ok := rec.Store().(core.Flusher); ok {
			if err := store.Flush(c.Request.Context()); err != nil {
				slog.Warn("the newest audits may not be shown yet", "error", err)
			}
		}
	})
	flushed.GET("/audits", gin.WrapF(s.Audits))
	flushed.Any("/audit/*any", gin.WrapH(page))
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
