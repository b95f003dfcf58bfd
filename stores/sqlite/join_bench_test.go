package sqlite_test

import (
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	gormsqlite "gorm.io/driver/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/stores/sqlite"
)

// byHand is the row of an audit as an application would write it.
type byHand struct {
	ID          string `gorm:"column:audit_id;primaryKey"`
	Username    string
	Datetime    time.Time
	AuditTag    string
	AuditTarget string
	Order       int64
	Amount      float64
	What        string
}

func (byHand) TableName() string { return "refund" }

// BenchmarkIn is an audit in a transaction, its commit included, beside the same row created
// in it with GORM: "ratio" is the median of pairs that run in turn.
func BenchmarkIn(b *testing.B) {
	pool := openDB(b, filepath.Join(b.TempDir(), "app.db"))
	run(b, pool, "PRAGMA journal_mode = WAL")
	db, err := gorm.Open(gormsqlite.New(gormsqlite.Config{Conn: pool}), &gorm.Config{Logger: logger.Discard, SkipDefaultTransaction: true})
	if err != nil {
		b.Fatal(err)
	}
	store, err := sqlite.New(b.Context(), db, sqlite.Config{})
	if err != nil {
		b.Fatal(err)
	}
	rec := record(b, store)
	fields := core.Fields{"order": 42, "amount": 9.5, "what": "goodwill"}
	if err := store.Declare(b.Context(), "refund", fields); err != nil {
		b.Fatal(err)
	}
	ours := func() error {
		return db.Transaction(func(tx *gorm.DB) error {
			return rec.Audit(b.Context(), "refund", fields, core.As("me"), core.On("order", 42), sqlite.In(tx))
		})
	}
	theirs := func() error {
		return db.Transaction(func(tx *gorm.DB) error {
			return tx.Create(&byHand{
				ID: uuid.NewString(), Username: "me", Datetime: time.Now(), AuditTag: "refund", AuditTarget: "order/42", Order: 42, Amount: 9.5, What: "goodwill",
			}).Error
		})
	}
	timed := func(f func() error) time.Duration {
		began := time.Now()
		if err := f(); err != nil {
			b.Fatal(err)
		}
		return time.Since(began)
	}
	var ratios []float64
	var a, c time.Duration
	for n := 1; n <= b.N; n++ {
		if n%2 == 0 {
			a += timed(ours)
			c += timed(theirs)
		} else {
			c += timed(theirs)
			a += timed(ours)
		}
		if n%50 == 0 || n == b.N {
			ratios = append(ratios, float64(a)/float64(c))
			a, c = 0, 0
		}
	}
	slices.Sort(ratios)
	b.ReportMetric(ratios[len(ratios)/2], "ratio")
}
