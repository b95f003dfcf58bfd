package core

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// idleStore is a store that does nothing.
type idleStore struct{}

func (idleStore) Save(context.Context, []Event) error { return nil }

// promptStore is one that is sure to return.
type promptStore struct{ idleStore }

func (promptStore) Prompt() bool { return true }

// fourFields is what the handler of an audit builds.
func fourFields(n int) Fields {
	return Fields{"order": n, "amount": 9.5, "express": true, "note": "some data"}
}

// builtFields keeps the compiler from leaving the map out.
var builtFields Fields

func auditContext(rec *Recorder) context.Context {
	return NewContext(context.Background(), rec, &fixedOrigin{user: "alice", request: sampleRequest()})
}

func TestAllocationsOfOneAudit(t *testing.T) {
	rec := newTestRecorder(t, idleStore{}, Config{})
	ctx := auditContext(rec)
	allocations := func(use func(Fields)) float64 {
		n := 1000
		return testing.AllocsPerRun(2000, func() {
			n++
			use(fourFields(n))
		})
	}
	built := allocations(func(f Fields) { builtFields = f })
	audited := allocations(func(f Fields) {
		builtFields = f
		if err := rec.Audit(ctx, "refund", f); err != nil {
			t.Error(err)
		}
	})
	if own := audited - built; own > 4 {
		t.Errorf("an audit makes %v allocations over the %v of its map, want at most 4", own, built)
	}
	n := 1000 // an int that has to be boxed
	said := allocations(func(f Fields) {
		n++
		if builtFields = f; rec.Audit(ctx, "refund", f, On("order", n), Denied("over the limit")) != nil {
			t.Error("not stored")
		}
	})
	if more := said - audited; more > 2 {
		t.Errorf("a target and an outcome make %v allocations more, want at most 2", more)
	}
}

// BenchmarkOwnCost is what one audit of four fields costs over the map that the
// caller built: own-ns/op. A store that is prompt is called on the caller's
// goroutine, any other on the writer's.
func BenchmarkOwnCost(b *testing.B) {
	var built float64
	b.Run("the map alone", func(b *testing.B) {
		b.ReportAllocs()
		for n := range b.N {
			builtFields = fourFields(n)
		}
		built = float64(b.Elapsed()) / float64(b.N)
	})
	for _, c := range []struct {
		name  string
		store Store
	}{{"audited", idleStore{}}, {"audited on a prompt store", promptStore{}}} {
		b.Run(c.name, func(b *testing.B) {
			rec := newTestRecorder(b, c.store, Config{})
			ctx := auditContext(rec)
			b.ReportAllocs()
			b.ResetTimer()
			for n := range b.N {
				builtFields = fourFields(n)
				if err := rec.Audit(ctx, "refund", builtFields); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed())/float64(b.N)-built, "own-ns/op")
		})
	}
}

// BenchmarkCallers is how many audits share a write of half a millisecond.
func BenchmarkCallers(b *testing.B) {
	for _, callers := range []int{1, 2, 64, 256} {
		b.Run(fmt.Sprint(callers), func(b *testing.B) {
			rec := newTestRecorder(b, &testStore{onSave: func(context.Context, []Event) error {
				time.Sleep(500 * time.Microsecond)
				return nil
			}}, Config{})
			ctx := auditContext(rec)
			var left atomic.Int64
			left.Store(int64(b.N))
			var wg sync.WaitGroup
			for range callers {
				wg.Go(func() {
					for n := left.Add(-1); n >= 0; n = left.Add(-1) {
						if err := rec.Audit(ctx, "refund", fourFields(int(n))); err != nil {
							b.Error(err)
						}
					}
				})
			}
			wg.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
			b.ReportMetric(float64(b.N)/float64(rec.Stats().Batches), "events/write")
		})
	}
}

// BenchmarkMemoryOfABlockedStore is how much memory 200,000 goroutines hold by
// auditing on a store that does not answer, the maps they built included. It fails
// when that is above 100 MB or when the bounds of the queue do not hold.
func BenchmarkMemoryOfABlockedStore(b *testing.B) {
	const callers, limit = 200_000, 100 << 20
	for _, bb := range []struct {
		name   string
		fields func(n int) Fields
	}{
		{"four fields", fourFields},
		{"1 kB", func(n int) Fields { return Fields{"text": strings.Repeat("x", 1000), "n": n} }},
		{"10 kB", func(n int) Fields { return Fields{"text": strings.Repeat("x", 10_000), "n": n} }},
	} {
		b.Run(bb.name, func(b *testing.B) {
			for range b.N {
				memoryOfABlockedStore(b, callers, limit, bb.fields)
			}
		})
	}
}

func memoryOfABlockedStore(b *testing.B, callers int, limit float64, fields func(int) Fields) {
	block := make(chan struct{})
	rec, err := New(&testStore{onSave: func(context.Context, []Event) error {
		<-block
		return nil
	}}, Config{Timeout: time.Hour, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	ctx := auditContext(rec)
	var wg sync.WaitGroup
	start := make(chan struct{})
	for range callers {
		wg.Go(func() { <-start })
	}
	close(start)
	wg.Wait()
	before := heap() // with what the runtime keeps for so many goroutines
	var full atomic.Uint64
	for n := range callers {
		wg.Go(func() {
			switch err := rec.Audit(ctx, "refund", fields(n)); {
			case errors.Is(err, ErrQueueFull):
				full.Add(1)
			case err != nil:
				b.Error(err)
			}
		})
	}
	for rec.Stats().Attempted < uint64(callers) {
		runtime.Gosched()
	}
	held := heap() - before
	s := rec.Stats()
	close(block)
	wg.Wait()
	if err := rec.Close(context.Background()); err != nil {
		b.Error(err)
	}
	b.ReportMetric(held/1e6, "MB")
	b.ReportMetric(float64(s.Pending), "waiting")
	if held > limit {
		b.Errorf("%d waiting audits hold %.0f MB", s.Pending, held/1e6)
	}
	if s.Pending > 65_536 || s.Pending+s.Failed != uint64(callers) || full.Load() != s.Failed || rec.Stats().Stored != s.Pending {
		b.Errorf("%+v, %d were told that the queue is full", s, full.Load())
	}
}

// heap is what the program holds, without the stacks of its goroutines.
func heap() float64 {
	runtime.GC()
	runtime.GC() // what a sync.Pool holds goes only with the second
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}
