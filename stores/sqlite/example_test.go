package sqlite_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"

	"gorm.io/driver/sqlite"
	"gorm.io/gorm"

	"github.com/auditing-go/auditing/core"
	auditsqlite "github.com/auditing-go/auditing/stores/sqlite"
)

func ExampleOpen() {
	ctx := context.Background()
	store, err := auditsqlite.Open(ctx, ":memory:", auditsqlite.Config{}) // or a file
	if err != nil {
		log.Fatal(err)
	}
	rec, err := core.New(store, core.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer rec.Close(ctx)

	if err := rec.Audit(ctx, "refund", core.Fields{"order": "A-1", "amount": 9.5}, core.As("alice")); err != nil {
		log.Fatal(err)
	}
	page, err := rec.Read(ctx, core.Query{Tag: "refund"})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(page.Events[0].User, page.Events[0].Fields)
	// Output: alice map[amount:9.5 order:A-1]
}

// The application's own database takes the audits too.
func ExampleNew() {
	ctx := context.Background()
	db, err := gorm.Open(sqlite.New(sqlite.Config{DriverName: "sqlite", DSN: "file:example?mode=memory&cache=shared"}))
	if err != nil {
		log.Fatal(err)
	}
	pool, err := db.DB()
	if err != nil {
		log.Fatal(err)
	}
	defer pool.Close() // the store leaves it open
	store, err := auditsqlite.New(ctx, db, auditsqlite.Config{Prefix: "audit_"})
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
	var order string
	if err := db.Raw(`SELECT "order" FROM audit_refund`).Scan(&order).Error; err != nil {
		log.Fatal(err)
	}
	fmt.Println(order)
	// Output: A-1
}

// What is changed and what is audited of it stand or fall together.
func ExampleIn() {
	ctx := context.Background()
	db, err := gorm.Open(sqlite.New(sqlite.Config{DriverName: "sqlite", DSN: "file:in?mode=memory&cache=shared"}))
	if err != nil {
		log.Fatal(err)
	}
	pool, err := db.DB()
	if err != nil {
		log.Fatal(err)
	}
	defer pool.Close()
	store, err := auditsqlite.New(ctx, db, auditsqlite.Config{})
	if err != nil {
		log.Fatal(err)
	}
	rec, err := core.New(store, core.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer rec.Close(ctx)
	db.Exec(`CREATE TABLE orders (id integer, state text)`)
	db.Exec(`INSERT INTO orders VALUES (42, 'paid')`)

	refund := func(fail error) error {
		return db.Transaction(func(tx *gorm.DB) error {
			if err := tx.Exec(`UPDATE orders SET state = 'refunded' WHERE id = 42`).Error; err != nil {
				return err
			}
			if err := rec.Audit(ctx, "refund", nil, core.As("alice"), core.On("order", 42), auditsqlite.In(tx)); err != nil {
				return err
			}
			return fail
		})
	}
	for _, fail := range []error{errors.New("the bank said no"), nil} {
		err := refund(fail)
		page, _ := rec.Read(ctx, core.Query{Target: "order/42"})
		fmt.Println(err, len(page.Events))
	}
	// Output:
	// the bank said no 0
	// <nil> 1
}

// One place to query, for those who ask about all tags: a view, made anew when there are new
// tables.
func ExampleStore_ViewDDL() {
	ctx := context.Background()
	db, err := gorm.Open(sqlite.New(sqlite.Config{DriverName: "sqlite", DSN: "file:view?mode=memory&cache=shared"}))
	if err != nil {
		log.Fatal(err)
	}
	pool, err := db.DB()
	if err != nil {
		log.Fatal(err)
	}
	defer pool.Close()
	store, err := auditsqlite.New(ctx, db, auditsqlite.Config{})
	if err != nil {
		log.Fatal(err)
	}
	rec, err := core.New(store, core.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer rec.Close(ctx)
	for _, tag := range []string{"refund", "export"} {
		if err := rec.Audit(ctx, tag, nil, core.As("alice"), core.Denied("over the limit")); err != nil {
			log.Fatal(err)
		}
	}

	statements, err := store.ViewDDL(ctx)
	if err != nil {
		log.Fatal(err)
	}
	if err := db.Exec(statements).Error; err != nil {
		log.Fatal(err)
	}
	var denied []string
	if err := db.Raw(`SELECT audit_tag FROM audit_events WHERE audit_outcome = 'denied' ORDER BY datetime`).Scan(&denied).Error; err != nil {
		log.Fatal(err)
	}
	fmt.Println(denied)
	// Output: [refund export]
}

// A store that makes no tables keeps what has none in audit_overflow. Whoever may change
// tables moves it to where it belongs.
func ExampleStore_Refile() {
	ctx := context.Background()
	db, err := gorm.Open(sqlite.New(sqlite.Config{DriverName: "sqlite", DSN: "file:refile?mode=memory&cache=shared"}))
	if err != nil {
		log.Fatal(err)
	}
	pool, err := db.DB()
	if err != nil {
		log.Fatal(err)
	}
	defer pool.Close()
	owner, err := auditsqlite.New(ctx, db, auditsqlite.Config{})
	if err != nil {
		log.Fatal(err)
	}
	fixed, err := auditsqlite.New(ctx, db, auditsqlite.Config{Fixed: true, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		log.Fatal(err)
	}
	rec, err := core.New(fixed, core.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer rec.Close(ctx)
	if err := rec.Audit(ctx, "export", core.Fields{"rows": 120}, core.As("alice")); err != nil {
		log.Fatal(err)
	}

	moved, err := owner.Refile(ctx, nil)
	if err != nil {
		log.Fatal(err)
	}
	var rows int
	if err := db.Raw(`SELECT "rows" FROM export`).Scan(&rows).Error; err != nil {
		log.Fatal(err)
	}
	fmt.Println(moved, rows)
	// Output: 1 120
}
