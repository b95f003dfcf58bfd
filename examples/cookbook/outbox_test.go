package cookbook

import (
	"context"
	"errors"
	"fmt"
	"log"

	"gorm.io/driver/sqlite"
	"gorm.io/gorm"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/stores"
	"github.com/auditing-go/auditing/stores/outbox"
)

type repayment struct {
	Order  int
	Amount float64
}

// The event is committed with the row, in the same database, and then passed on for as long as it
// takes. A transaction that is rolled back leaves neither.
func Example_outbox() {
	ctx := context.Background()
	db, err := gorm.Open(sqlite.New(sqlite.Config{DriverName: "sqlite", DSN: "file:refunds?mode=memory&cache=shared"}))
	if err != nil {
		log.Fatal(err)
	}
	if err := db.AutoMigrate(&repayment{}); err != nil {
		log.Fatal(err)
	}
	target, err := stores.Open(ctx, "sqlite", ":memory:") // "elasticsearch", "https://elastic:9200/audits"
	if err != nil {
		log.Fatal(err)
	}
	store, err := outbox.New(ctx, db, target, outbox.Config{})
	if err != nil {
		log.Fatal(err)
	}
	rec, err := core.New(store, core.Config{})
	if err != nil {
		log.Fatal(err)
	}
	give := func(r repayment) error {
		return db.Transaction(func(tx *gorm.DB) error {
			if err := tx.Create(&r).Error; err != nil {
				return err
			}
			if err := rec.Audit(ctx, "refund", core.Fields{"amount": r.Amount}, core.As("alice"), core.On("order", r.Order), outbox.In(tx)); err != nil {
				return err
			}
			if r.Amount > 100 {
				return errors.New("over the limit")
			}
			return nil
		})
	}
	fmt.Println(give(repayment{Order: 41, Amount: 9.5}))
	fmt.Println(give(repayment{Order: 42, Amount: 500}))

	if err := rec.Flush(ctx); err != nil { // so that this program sees it in the target
		log.Fatal(err)
	}
	page, err := target.(core.Reader).Read(ctx, core.Query{})
	fmt.Println(len(page.Events), "in the target", err)
	show(rec)
	// Output:
	// <nil>
	// over the limit
	// 1 in the target <nil>
	// refund by alice on order/41 outside a request map[amount:9.5]
}
