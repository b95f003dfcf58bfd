package postgres_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/stores/internal/sqlstore"
	"github.com/auditing-go/auditing/stores/postgres"
	"github.com/auditing-go/auditing/stores/postgres/pgtest"
)

// BenchmarkAudit compares durable audits with pgx inserting one row a
// transaction, with a pool of 20, into a table with the same columns and indexes.
// x-pgx is how many times the events per second of pgx the audits reach in the
// same run.
func BenchmarkAudit(b *testing.B) {
	for _, callers := range []int{1, 64, 256} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			w := newWriters(b, 1)
			n := 40 * callers
			if callers == 1 {
				n = 500
			}
			took := takeTurns(b, callers, n, w.audit, w.insert)
			b.ReportMetric(took[1].Seconds()/took[0].Seconds(), "x-pgx")
		})
	}
}

// BenchmarkAuditSpread is callers whose audits are of any of so many tags, each of
// which is a table, beside pgx inserting one row a transaction into the same tables.
// x-one-tag compares with audits of one tag in the same run.
func BenchmarkAuditSpread(b *testing.B) {
	for _, c := range []struct{ tags, callers int }{{50, 64}, {50, 256}, {1000, 64}, {1000, 256}} {
		b.Run(fmt.Sprintf("tags=%d/callers=%d", c.tags, c.callers), func(b *testing.B) {
			tags, callers := c.tags, c.callers
			w := newWriters(b, tags)
			anyOf := func(do func(int) error) func(int) error {
				return func(int) error { return do(rand.IntN(tags)) }
			}
			one := func(int) error { return w.audit(0) }
			took := takeTurns(b, callers, 40*callers, anyOf(w.audit), anyOf(w.insert), one)
			b.ReportMetric(took[1].Seconds()/took[0].Seconds(), "x-pgx")
			b.ReportMetric(took[2].Seconds()/took[0].Seconds(), "x-one-tag")
		})
	}
}

// BenchmarkBesideLockedTables is 64 callers who audit to one tag, alone and in turn beside
// one caller for each of so many tables that somebody holds a lock on. x-alone is the
// part of their rate that is left to them.
func BenchmarkBesideLockedTables(b *testing.B) {
	for _, n := range []int{1, 20} {
		b.Run(fmt.Sprintf("locked=%d", n), func(b *testing.B) {
			s, _, tags, _ := manyTables(b, n)
			rec := record(b, s)
			free := func(int) error { return rec.Audit(b.Context(), "free", core.Fields{"n": 1}, core.As("me")) }
			var alone, beside time.Duration
			for b.Loop() {
				alone += drive(b, 64, 0, 6400, free)
				beside += besides(rec, tags[:n], func() time.Duration { return drive(b, 64, 0, 6400, free) })
			}
			b.ReportMetric(alone.Seconds()/beside.Seconds(), "x-alone")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// besides does something while a caller for each tag audits without a pause.
func besides(rec *core.Recorder, tags []string, do func() time.Duration) time.Duration {
	var all sync.WaitGroup
	var stop atomic.Bool
	for _, tag := range tags {
		all.Go(func() {
			for !stop.Load() {
				_ = rec.Audit(context.Background(), tag, core.Fields{"n": 1}, core.As("me"), core.Within(200*time.Millisecond))
			}
		})
	}
	defer all.Wait()
	defer stop.Store(true)
	return do()
}

// writers are two ways to write the nth event to the tables of so many tags.
type writers struct {
	ctx     context.Context
	rec     *core.Recorder
	pool    *pgxpool.Pool
	tags    []string
	inserts []string
}

var benchFields = core.Fields{"order": 42, "amount": 9.5, "what": "refund", "ok": true}

func newWriters(b *testing.B, tags int) *writers {
	dsn := pgtest.DSN(b)
	w := &writers{ctx: b.Context(), pool: newPool(b, dsn, 2*tags)}
	w.makeTables(b, dsn, tags)
	store, err := postgres.Open(b.Context(), dsn, postgres.Config{})
	if err != nil {
		b.Fatal(err)
	}
	if w.rec, err = core.New(store, core.Config{}); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { w.rec.Close(context.Background()) })
	return w
}

// newPool returns a pool of 20 connections, each of which keeps so many statements prepared.
func newPool(b *testing.B, dsn string, statements int) *pgxpool.Pool {
	cfg, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		b.Fatal(err)
	}
	cfg.MaxConns = 20
	cfg.ConnConfig.StatementCacheCapacity = max(statements, cfg.ConnConfig.StatementCacheCapacity)
	pool, err := pgxpool.NewWithConfig(b.Context(), cfg)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(pool.Close)
	return pool
}

// makeTables makes the tables at once; the store makes no more than ten a second.
func (w *writers) makeTables(b *testing.B, dsn string, tags int) {
	store, err := postgres.Open(b.Context(), dsn, postgres.Config{})
	if err != nil {
		b.Fatal(err)
	}
	defer store.Close(b.Context())
	var ddl []string
	for i := range tags {
		tag := fmt.Sprintf("bench%d", i)
		ddl = append(ddl, store.DDL(tag, benchFields))
		w.tags = append(w.tags, tag)
		w.inserts = append(w.inserts, `INSERT INTO `+sqlstore.Quote(tag)+` (username, datetime, audit_id, audit_tag, "order", amount, what, ok)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`)
	}
	for len(ddl) > 0 {
		n := min(len(ddl), 100) // more would need more locks than the server has
		if _, err := w.pool.Exec(b.Context(), strings.Join(ddl[:n], "\n")); err != nil {
			b.Fatal(err)
		}
		ddl = ddl[n:]
	}
}

func (w *writers) audit(n int) error {
	return w.rec.Audit(w.ctx, w.tags[n%len(w.tags)], benchFields, core.As("me"))
}

func (w *writers) insert(n int) error {
	n %= len(w.tags)
	_, err := w.pool.Exec(w.ctx, w.inserts[n], "me", time.Now().UTC(), uuid.Must(uuid.NewV7()), w.tags[n], 42, 9.5, "refund", true)
	return err
}

// takeTurns reports the events per second of the first of do and of pgx, the second,
// and returns how long each took. One iteration is a turn of all, n events each, in
// changing order.
func takeTurns(b *testing.B, callers, n int, do ...func(n int) error) []time.Duration {
	took := make([]time.Duration, len(do))
	turns := 0
	for b.Loop() {
		for i := range do {
			side := (turns + i) % len(do)
			took[side] += drive(b, callers, turns*n, n, do[side])
		}
		turns++
	}
	b.ReportMetric(float64(turns*n)/took[0].Seconds(), "events/s")
	b.ReportMetric(float64(turns*n)/took[1].Seconds(), "pgx-events/s")
	b.ReportMetric(0, "ns/op")
	return took
}

// drive calls do for n numbers from first on, from so many goroutines, and returns
// how long that took.
func drive(b *testing.B, callers, first, n int, do func(n int) error) time.Duration {
	var wg sync.WaitGroup
	var next atomic.Int64
	start := time.Now()
	for range callers {
		wg.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				if err := do(first + i); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	return time.Since(start)
}
