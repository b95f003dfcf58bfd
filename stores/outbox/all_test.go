package outbox_test

import (
	"errors"
	"testing"

	"gorm.io/gorm"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/stores"
	"github.com/auditing-go/auditing/stores/outbox"
	"github.com/auditing-go/auditing/stores/postgres"
	"github.com/auditing-go/auditing/stores/sqlite"
)

// TestAllInATransaction: two stores, of which the second is an outbox, write in one transaction,
// both or neither.
func TestAllInATransaction(t *testing.T) {
	onEach(t, func(t *testing.T, database func() *gorm.DB) {
		db, to := database(), newTarget()
		var first core.Store
		var err error
		if db.Name() == "sqlite" {
			first, err = sqlite.New(t.Context(), db, sqlite.Config{})
		} else {
			first, err = postgres.New(t.Context(), db, postgres.Config{})
		}
		must(t, err)
		second := open(t, db, to, outbox.Config{MaxEvents: 2})
		rec, err := core.New(stores.All(first, second), core.Config{})
		must(t, err)
		must(t, db.Exec("CREATE TABLE orders (n bigint)").Error)
		change := func(end error, entries int) error {
			return db.Transaction(func(tx *gorm.DB) error {
				must(t, tx.Exec("INSERT INTO orders VALUES (1)").Error)
				err := rec.AuditAll(t.Context(), "order", make([]core.Entry, entries), core.As("me"), core.In(tx))
				if entries > 2 && !errors.Is(err, outbox.ErrFull) {
					t.Errorf("more than the outbox takes: %v", err)
				} else if entries <= 2 {
					must(t, err)
				}
				return end
			})
		}
		must(t, change(nil, 1))
		roll := errors.New("roll back")
		if err := change(roll, 1); !errors.Is(err, roll) {
			t.Error(err)
		}
		must(t, change(nil, 3)) // the row is committed without an audit, and neither store has one
		flush(t, second)
		page, err := first.(core.Reader).Read(t.Context(), core.Query{})
		must(t, err)
		has, _ := to.count()
		var rows int64
		must(t, db.Raw("SELECT count(*) FROM orders").Scan(&rows).Error)
		if len(page.Events) != 1 || has != 1 || rows != 2 {
			t.Errorf("the first has %d events and the target of the second %d, want 1; there are %d rows, want 2", len(page.Events), has, rows)
		}
		must(t, rec.Close(t.Context()))
	})
}
