// Command quickstart is a small web application with an audit trail, on net/http
// and an embedded SQLite:
//
//	go run ./examples/quickstart
//
// The same program on PostgreSQL:
//
//	go run ./examples/quickstart -store postgres_auto -dsn "host=127.0.0.1 user=postgres dbname=mydb"
//
// What it takes to audit stands in this file; the page, the session and the flags
// are those of package shop.
package main

import (
	"context"
	"errors"
	"io"
	"net/http"

	"github.com/gorilla/sessions"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/examples/internal/shop"
	"github.com/auditing-go/auditing/nethttpaudit"
	"github.com/auditing-go/auditing/nethttpaudit/auditpage"
	"github.com/auditing-go/auditing/stores"
	_ "github.com/auditing-go/auditing/stores/postgres" // the drivers postgres_auto and postgres
	_ "github.com/auditing-go/auditing/stores/sqlite"   // the driver sqlite
)

func main() { shop.Main(run) }

// run serves until ctx ends.
func run(ctx context.Context, args []string, stdout io.Writer) error {
	opts, err := shop.ParseOptions("quickstart", args, stdout)
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
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", s.Home)
	mux.HandleFunc("POST /login", s.Login)
	mux.HandleFunc("POST /logout", s.Logout)
	mux.HandleFunc("GET /audits", s.Audits)
	mux.Handle("/audit/", page)
	mux.HandleFunc("POST /refund", func(w http.ResponseWriter, r *http.Request) { refund(s, w, r) })

	// From here on handlers need only their request to audit.
	audited := nethttpaudit.Middleware(rec, nethttpaudit.SessionUser(cookies, shop.SessionName))
	return audited(mux), nil
}

func refund(s *shop.Shop, w http.ResponseWriter, r *http.Request) {
	if !s.SignedIn(w, r, "refund") {
		return
	}
	order, amount, err := shop.RefundForm(r)
	if err != nil {
		s.Fail(w, r, http.StatusBadRequest, err.Error())
		return
	}
	result, refused := shop.Decide(amount)
	// Who acts and from where is known. nil means that the event is durable.
	err = nethttpaudit.Audit(r, "refund", nethttpaudit.Fields{"order": order, "amount": amount}, core.On("order", order), result)
	if err != nil {
		s.FailAudit(w, r, err)
		return
	}
	if refused != "" {
		s.Fail(w, r, http.StatusForbidden, refused)
		return
	}
	// Here the money would be sent.
	http.Redirect(w, r, shop.Refunded(order), http.StatusSeeOther)
}
