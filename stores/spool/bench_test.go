package spool

import (
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/auditing-go/auditing/core"
)

// BenchmarkAudit compares durable audits through a recorder and a spool, while its
// next store is away and while it takes everything, with bbolt storing the same
// bytes with one commit a record. x-commit is how many times its events per second
// the audits reach.
func BenchmarkAudit(b *testing.B) {
	for _, callers := range []int{1, 64, 256} {
		b.Run(fmt.Sprintf("away/callers=%d", callers), func(b *testing.B) { benchmarkAudit(b, callers, &memory{down: true}) })
		b.Run(fmt.Sprintf("there/callers=%d", callers), func(b *testing.B) { benchmarkAudit(b, callers, &counter{}) })
	}
}

func benchmarkAudit(b *testing.B, callers int, next core.Store) {
	s := openSpool(b, b.TempDir(), next, Config{MaxBytes: 8 << 30}, defaultTuning)
	rec, err := core.New(s, core.Config{})
	if err != nil {
		b.Fatal(err)
	}
	audit := func() error {
		return rec.Audit(b.Context(), "bench", core.Fields{"order": 42, "amount": 9.5, "what": "refund", "ok": true}, core.As("me"))
	}
	if err := audit(); err != nil {
		b.Fatal(err)
	}
	e := eventsOf(1)[0]
	r := newRecord(e, time.Now())
	r.payload = core.AppendEventJSON(nil, e)
	value := r.value()
	db, err := bbolt.Open(filepath.Join(b.TempDir(), "plain.db"), 0o600, nil)
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	var seq atomic.Uint64
	put := func() error {
		return db.Update(func(tx *bbolt.Tx) error {
			bucket, err := tx.CreateBucketIfNotExists([]byte("plain"))
			if err != nil {
				return err
			}
			return bucket.Put(keyOf(seq.Add(1)), value)
		})
	}
	var ours, theirs time.Duration
	const turns = 6
	n := max(1, b.N/turns)
	m := max(1, n/callers) // one by one takes longer
	for turn := range turns {
		if turn%2 == 0 {
			ours += drive(b, callers, n, audit)
			theirs += drive(b, callers, m, put)
		} else {
			theirs += drive(b, callers, m, put)
			ours += drive(b, callers, n, audit)
		}
	}
	perSecond, plain := float64(turns*n)/ours.Seconds(), float64(turns*m)/theirs.Seconds()
	b.ReportMetric(perSecond, "events/s")
	b.ReportMetric(plain, "commit-events/s")
	b.ReportMetric(perSecond/plain, "x-commit")
	b.ReportMetric(0, "ns/op")
}

// drive calls do n times from so many goroutines and returns how long that took.
func drive(b *testing.B, callers, n int, do func() error) time.Duration {
	var wg sync.WaitGroup
	var next atomic.Int64
	start := time.Now()
	for range callers {
		wg.Go(func() {
			for next.Add(1) <= int64(n) {
				if err := do(); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	return time.Since(start)
}
