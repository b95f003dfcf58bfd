package postgres_test

import (
	"context"
	"fmt"
	"log"

	"gorm.io/gorm"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/stores/postgres"
)

func ExampleOpen() {
	ctx := context.Background()
	store, err := postgres.Open(ctx, "host=127.0.0.1 user=postgres dbname=mydb audit_schema=audit", postgres.Config{})
	if err != nil {
		log.Fatal(err)
	}
	rec, err := core.New(store, core.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer rec.Close(ctx)

	if err := rec.Audit(ctx, "refund", core.Fields{"order": "A-1"}, core.As("alice")); err != nil {
		log.Fatal(err)
	}
	var orders []string
	if err := store.DB().Raw(`SELECT "order" FROM audit.refund WHERE username = ?`, "alice").Scan(&orders).Error; err != nil {
		log.Fatal(err)
	}
	fmt.Println(orders)
}

// The statements for a tag, for an owner who makes the tables on behalf of a role that may
// only add and read.
func ExampleOpen_fixed() {
	ctx := context.Background()
	store, err := postgres.Open(ctx, "host=127.0.0.1 user=shop dbname=mydb audit_schema=audit", postgres.Config{Fixed: true})
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close(ctx)
	fmt.Println(store.DDL("refund", core.Fields{"order": "A-1", "amount": 9.5}))
	fmt.Println(store.DDL("", nil)) // audit_overflow
}

// One place to query, for those who ask about all tags: a view, which the owner of the tables
// makes, and makes anew when there are new ones.
func ExampleStore_ViewDDL() {
	ctx := context.Background()
	store, err := postgres.Open(ctx, "host=127.0.0.1 user=postgres dbname=mydb audit_schema=audit", postgres.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close(ctx)
	statements, err := store.ViewDDL(ctx)
	if err != nil {
		log.Fatal(err)
	}
	if err := store.DB().Exec(statements).Error; err != nil {
		log.Fatal(err)
	}
	var denied int
	if err := store.DB().Raw(`SELECT count(*) FROM audit.audit_events WHERE audit_outcome = 'denied'`).Scan(&denied).Error; err != nil {
		log.Fatal(err)
	}
	fmt.Println(denied, "denied")
}

// On the pool that the application has already.
func ExampleNew() {
	recorder := func(ctx context.Context, db *gorm.DB) (*core.Recorder, error) {
		store, err := postgres.New(ctx, db, postgres.Config{})
		if err != nil {
			return nil, err
		}
		return core.New(store, core.Config{})
	}
	_ = recorder
}
