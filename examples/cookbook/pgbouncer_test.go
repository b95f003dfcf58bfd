package cookbook

import (
	"testing"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/stores"
	_ "github.com/auditing-go/auditing/stores/postgres"
	"github.com/auditing-go/auditing/stores/postgres/pgtest"
)

// Behind PgBouncer, also in transaction mode, there is nothing to set. The database has
// to be there already, because none can be created through a pooler.
func TestBehindPgBouncer(t *testing.T) {
	dsn := pgtest.Bouncer(t, pgtest.DSN(t)) // "host=… port=6432 user=… dbname=…"
	store, err := stores.Open(t.Context(), "postgres_auto", dsn)
	if err != nil {
		t.Fatal(err)
	}
	rec, err := core.New(store, core.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer rec.Close(t.Context())

	if err := rec.Audit(t.Context(), "refund", core.Fields{"order": "A-1"}, core.As("alice")); err != nil {
		t.Fatal(err)
	}
	page, err := rec.Read(t.Context(), core.Query{Tag: "refund"})
	if err != nil || len(page.Events) != 1 || page.Events[0].Fields["order"] != "A-1" {
		t.Errorf("it reads %+v, %v", page, err)
	}
}
