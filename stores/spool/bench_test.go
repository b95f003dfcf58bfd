package spool

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/auditing-go/auditing/core"
)

// BenchmarkAudit compares durable audits through a recorder and a spool, while its
// next store is away and while it takes everything, with appending the same bytes one
// by one to a file and syncing it: x-fsync is how many times its events per second the
// audits reach.
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
	r := recordOf(e)
	value := r.append(nil)
	file, err := os.Create(filepath.Join(b.TempDir(), "plain.log"))
	if err != nil {
		b.Fatal(err)
	}
	defer file.Close()
	var mu sync.Mutex
	write := func() error {
		mu.Lock()
		defer mu.Unlock()
		if _, err := file.Write(value); err != nil {
			return err
		}
		return file.Sync()
	}
	const turns = 6
	n := max(1, b.N/turns)
	m := max(1, n/callers) // one by one takes longer
	ways := []struct {
		do    func() error
		times int
		took  time.Duration
	}{{do: audit, times: n}, {do: write, times: m}}
	for turn := range turns {
		for i := range ways {
			w := &ways[(turn+i)%len(ways)]
			w.took += drive(b, callers, w.times, w.do)
		}
	}
	perSecond := func(way int) float64 { return float64(turns*ways[way].times) / ways[way].took.Seconds() }
	b.ReportMetric(perSecond(0), "events/s")
	b.ReportMetric(perSecond(0)/perSecond(1), "x-fsync")
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
