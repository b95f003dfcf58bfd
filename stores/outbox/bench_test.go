package outbox_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"gorm.io/gorm"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/stores/outbox"
)

// BenchmarkPassOn is events on their way through the table of an outbox, 1,000 to a Save, until
// a target that takes no time has them.
func BenchmarkPassOn(b *testing.B) {
	for name, database := range databases {
		b.Run(name, func(b *testing.B) {
			s := open(b, database(b)(), nowhere{}, outbox.Config{})
			n := 0
			began := time.Now()
			for b.Loop() {
				must(b, s.Save(b.Context(), events(1000)))
				n += 1000
			}
			flush(b, s)
			b.ReportMetric(float64(n)/time.Since(began).Seconds(), "events/s")
		})
	}
}

// BenchmarkIn is a row and its audit in one transaction. x-create is how many times as long as two rows
// by GORM's Create it takes.
func BenchmarkIn(b *testing.B) {
	type order struct {
		ID    uint
		Event string
	}
	for name, database := range databases {
		b.Run(name, func(b *testing.B) {
			db := database(b)()
			must(b, db.AutoMigrate(&order{}))
			s := open(b, db, nowhere{}, outbox.Config{Interval: time.Minute})
			rec, err := core.New(s, core.Config{Logger: slog.New(slog.DiscardHandler)})
			must(b, err)
			var audited, created time.Duration
			change := func(tx *gorm.DB) error { return tx.Create(&order{Event: "refunded"}).Error }
			for b.Loop() {
				for range 10 { // pairs, so that both see the same machine
					began := time.Now()
					must(b, db.Transaction(func(tx *gorm.DB) error {
						must(b, change(tx))
						return rec.Audit(context.Background(), "refund", core.Fields{"order": 42, "amount": 9.5}, core.As("alice"), outbox.In(tx))
					}))
					audited += time.Since(began)
					began = time.Now()
					must(b, db.Transaction(func(tx *gorm.DB) error {
						must(b, change(tx))
						return change(tx)
					}))
					created += time.Since(began)
				}
			}
			b.ReportMetric(audited.Seconds()/created.Seconds(), "x-create")
		})
	}
}

type nowhere struct{}

func (nowhere) Save(context.Context, []core.Event) error { return nil }
