// Command outage shows what the spool is for: a shop that goes on refunding while its
// database is away.
//
//	go run ./examples/outage
//
// It starts a PostgreSQL of its own in a temporary folder, serves the shop and sends
// it customers over HTTP, stops PostgreSQL for ten seconds, starts it again, and
// counts with SQL whether every refund that was answered has arrived. While it runs
// you may be a customer too: it prints how. PostgreSQL has to be installed.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/examples/internal/shop"
	"github.com/auditing-go/auditing/nethttpaudit"
	"github.com/auditing-go/auditing/stores"
	_ "github.com/auditing-go/auditing/stores/postgres" // the driver postgres_auto
	"github.com/auditing-go/auditing/stores/postgres/pgserver"
	"github.com/auditing-go/auditing/stores/spool" // puts spool+ in front of it
)

func main() { shop.Main(run) }

// run shows it once. When ctx ends the rest is shown without waiting.
func run(ctx context.Context, args []string, stdout io.Writer) (err error) {
	flags := flag.NewFlagSet("outage", flag.ContinueOnError)
	flags.SetOutput(stdout)
	addr := flags.String("addr", "127.0.0.1:0", "`address` to listen on; port 0 is any free one")
	away := flags.Duration("for", 10*time.Second, "how long PostgreSQL is stopped")
	if err := flags.Parse(args); err != nil {
		return err
	}
	database, err := pgserver.Start()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, database.Close()) }()
	dir, err := os.MkdirTemp("", "outage-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)

	// The audits go to the spool in dir, and from there to PostgreSQL.
	store, err := stores.Open(ctx, "spool+postgres_auto", "dir="+dir+";"+database.DSN())
	if err != nil {
		return err
	}
	rec, err := core.New(store, core.Config{RequireUser: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, shop.Drain(rec, stdout)) }()
	desk := &refunds{}
	user := nethttpaudit.User(func(r *http.Request) (string, error) {
		name, _, _ := r.BasicAuth() // an application checks the password
		return name, nil
	})
	listener, err := net.Listen("tcp", *addr)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: nethttpaudit.Middleware(rec, user)(desk), ReadTimeout: 10 * time.Second}
	go server.Serve(listener) // until Shutdown
	url := "http://" + listener.Addr().String()
	fmt.Fprintf(stdout, "PostgreSQL runs, and so does the shop. Refund something yourself:\n  curl -u alice: -d order=A-1 %s\n", url)

	customers := serveCustomers(url)
	pause(ctx, *away/5)
	if err := database.Stop(pgserver.Fast); err != nil {
		return err
	}
	before := desk.answered()
	fmt.Fprintf(stdout, "After %d refunds PostgreSQL is stopped, for %s.\n", before, *away)
	for range 5 {
		pause(ctx, *away/5)
		waiting := store.(*spool.Store).Stats().Waiting
		fmt.Fprintf(stdout, "  %d more refunds; %d audits wait on disk\n", desk.answered()-before, waiting)
	}
	during := desk.answered() - before
	if err := database.Restart(); err != nil {
		return err
	}
	fmt.Fprintln(stdout, "PostgreSQL is back.")
	pause(ctx, *away/5)

	failed := customers.leave()
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	if err := errors.Join(server.Shutdown(end), rec.Flush(end)); err != nil {
		return err
	}
	fmt.Fprintf(stdout, "Refunds: %d, of them %d while PostgreSQL was away; %d failed.\n", desk.answered(), during, failed)
	return desk.count(end, database.DSN(), stdout)
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
