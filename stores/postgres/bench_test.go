package postgres_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/auditing-go/auditing/core"
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
			dsn := pgtest.DSN(b)
			store, err := postgres.Open(b.Context(), dsn, postgres.Config{})
			if err != nil {
				b.Fatal(err)
			}
			rec, err := core.New(store, core.Config{})
			if err != nil {
				b.Fatal(err)
			}
			defer rec.Close(b.Context())
			audit := func() error {
				return rec.Audit(b.Context(), "bench", core.Fields{"order": 42, "amount": 9.5, "what": "refund", "ok": true}, core.As("me"))
			}
			if err := audit(); err != nil {
				b.Fatal(err)
			}

			cfg, err := pgxpool.ParseConfig(dsn)
			if err != nil {
				b.Fatal(err)
			}
			cfg.MaxConns = 20
			pool, err := pgxpool.NewWithConfig(b.Context(), cfg)
			if err != nil {
				b.Fatal(err)
			}
			defer pool.Close()
			if _, err := pool.Exec(b.Context(), `CREATE TABLE plain (LIKE bench INCLUDING ALL)`); err != nil {
				b.Fatal(err)
			}
			insert := func() error {
				_, err := pool.Exec(b.Context(), `INSERT INTO plain (username, datetime, audit_id, audit_tag, "order", amount, what, ok)
					VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`, "me", time.Now().UTC(), uuid.Must(uuid.NewV7()), "bench", 42, 9.5, "refund", true)
				return err
			}

			// One iteration is a turn of both, in changing order.
			n := 40 * callers
			if callers == 1 {
				n = 500
			}
			var ours, theirs time.Duration
			turns := 0
			for b.Loop() {
				if turns%2 == 0 {
					ours += drive(b, callers, n, audit)
					theirs += drive(b, callers, n, insert)
				} else {
					theirs += drive(b, callers, n, insert)
					ours += drive(b, callers, n, audit)
				}
				turns++
			}
			b.ReportMetric(float64(turns*n)/ours.Seconds(), "events/s")
			b.ReportMetric(float64(turns*n)/theirs.Seconds(), "pgx-events/s")
			b.ReportMetric(theirs.Seconds()/ours.Seconds(), "x-pgx")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// drive calls do n times from so many goroutines and returns how long that took.
func drive(b *testing.B, callers, n int, do func() error) time.Duration {
	var wg sync.WaitGroup
	var next atomic.Int64
	start := time.Now()
	for range callers {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for next.Add(1) <= int64(n) {
				if err := do(); err != nil {
					b.Error(err)
					return
				}
			}
		}()
	}
	wg.Wait()
	return time.Since(start)
}
