package postgres_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	gormpostgres "gorm.io/driver/postgres"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/stores/postgres"
	"github.com/auditing-go/auditing/stores/postgres/pgtest"
)

// byHand is the row of an audit as an application would write it.
type byHand struct {
	ID          string `gorm:"column:audit_id;primaryKey;type:uuid"`
	Username    string
	Datetime    time.Time
	AuditTag    string
	AuditTarget string
	Order       int64
	Amount      float64
	What        string
}

func (byHand) TableName() string { return "refund" }

// BenchmarkIn is an audit in a transaction, its commit included, beside the same row written in
// it by hand: the figure "ratio" is the median of pairs that run in turn.
func BenchmarkIn(b *testing.B) {
	dsn := pgtest.DSN(b)
	store, err := postgres.Open(b.Context(), dsn, postgres.Config{})
	if err != nil {
		b.Fatal(err)
	}
	rec, err := core.New(store, core.Config{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { rec.Close(context.Background()) })
	fields := core.Fields{"order": 42, "amount": 9.5, "what": "goodwill"}
	if err := store.Declare(b.Context(), "refund", fields); err != nil {
		b.Fatal(err)
	}
	db, err := gorm.Open(gormpostgres.Open(dsn), &gorm.Config{Logger: logger.Discard, SkipDefaultTransaction: true})
	if err != nil {
		b.Fatal(err)
	}
	pool, err := db.DB()
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { pool.Close() })
	conn, err := pgx.Connect(b.Context(), dsn)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { conn.Close(context.Background()) })
	row := func() *byHand {
		return &byHand{ID: uuid.NewString(), Username: "me", Datetime: time.Now(), AuditTag: "refund", AuditTarget: "order/42", Order: 42, Amount: 9.5, What: "goodwill"}
	}
	opts := []core.Option{core.As("me"), core.On("order", 42)}

	b.Run("beside=gorm", func(b *testing.B) {
		pairs(b,
			func() error {
				return db.Transaction(func(tx *gorm.DB) error {
					return rec.Audit(b.Context(), "refund", fields, append(opts[:2:2], postgres.In(tx))...)
				})
			},
			func() error {
				return db.Transaction(func(tx *gorm.DB) error { return tx.Create(row()).Error })
			})
	})
	b.Run("beside=pgx", func(b *testing.B) {
		inTx := func(f func(pgx.Tx) error) error { return pgx.BeginFunc(b.Context(), conn, f) }
		pairs(b,
			func() error {
				return inTx(func(tx pgx.Tx) error {
					return rec.Audit(b.Context(), "refund", fields, append(opts[:2:2], postgres.InPgx(tx))...)
				})
			},
			func() error {
				return inTx(func(tx pgx.Tx) error {
					r := row()
					_, err := tx.Exec(b.Context(), `INSERT INTO refund (audit_id, username, datetime, audit_tag, audit_target, "order", amount, what) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
						r.ID, r.Username, r.Datetime, r.AuditTag, r.AuditTarget, r.Order, r.Amount, r.What)
					return err
				})
			})
	})
}

// pairs runs both in turn, in changing order, and reports the median of ours/theirs over
// groups of 50.
func pairs(b *testing.B, ours, theirs func() error) {
	run := func(f func() error) time.Duration {
		began := time.Now()
		if err := f(); err != nil {
			b.Fatal(err)
		}
		return time.Since(began)
	}
	for range 20 { // statements are prepared
		run(ours)
		run(theirs)
	}
	var ratios []float64
	var a, c time.Duration
	b.ResetTimer()
	for n := 1; n <= b.N; n++ {
		if n%2 == 0 {
			a += run(ours)
			c += run(theirs)
		} else {
			c += run(theirs)
			a += run(ours)
		}
		if n%50 == 0 || n == b.N {
			ratios = append(ratios, float64(a)/float64(c))
			a, c = 0, 0
		}
	}
	slices.Sort(ratios)
	b.ReportMetric(ratios[len(ratios)/2], "ratio")
}
