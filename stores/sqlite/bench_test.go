package sqlite_test

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/stores/sqlite"
)

// BenchmarkAudit is durable audits of one tag, by so many callers.
func BenchmarkAudit(b *testing.B) {
	for _, callers := range []int{1, 64} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			store, err := sqlite.Open(b.Context(), filepath.Join(b.TempDir(), "audits.db"), sqlite.Config{})
			if err != nil {
				b.Fatal(err)
			}
			rec, err := core.New(store, core.Config{})
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() { rec.Close(context.Background()) })
			fields := core.Fields{"order": 42, "amount": 9.5, "what": "refund", "ok": true}
			audit := func() error { return rec.Audit(b.Context(), "bench", fields, core.As("me")) }
			if err := audit(); err != nil { // which makes the table
				b.Fatal(err)
			}
			b.ReportAllocs()
			b.ResetTimer()
			var left atomic.Int64
			left.Store(int64(b.N))
			var all sync.WaitGroup
			for range callers {
				all.Go(func() {
					for left.Add(-1) >= 0 {
						if err := audit(); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			all.Wait()
		})
	}
}
