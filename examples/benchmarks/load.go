package main

import (
	"context"
	"math"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// drive calls do from so many goroutines for d, each time with another n, and returns
// the rate and how long a call took.
func drive(ctx context.Context, callers int, d time.Duration, do func(ctx context.Context, n int) error) (Sample, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	took := make([][]time.Duration, callers)
	var next atomic.Int64
	var wg sync.WaitGroup
	start := time.Now()
	for caller := range callers {
		wg.Go(func() {
			for begin := start; begin.Sub(start) < d && ctx.Err() == nil; {
				if err := do(ctx, int(next.Add(1))); err != nil {
					cancel(err)
					return
				}
				end := time.Now()
				took[caller] = append(took[caller], end.Sub(begin))
				begin = end
			}
		})
	}
	wg.Wait()
	elapsed := time.Since(start)
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return sampleOf(slices.Concat(took...), 1, elapsed), nil
}

// sampleOf is what calls that took so long come to, each of which stored so many events.
func sampleOf(took []time.Duration, events int, elapsed time.Duration) Sample {
	slices.Sort(took)
	at := func(share float64) float64 {
		return took[int(share*float64(len(took)-1))].Seconds() * 1e3
	}
	return Sample{Rate: float64(events*len(took)) / elapsed.Seconds(), P50: at(0.5), P99: at(0.99)}
}

// timed is the rate of n events that do writes.
func timed(n int, do func() error) (Sample, error) {
	start := time.Now()
	err := do()
	return Sample{Rate: float64(n) / time.Since(start).Seconds()}, err
}

// split calls do for both halves of n at once.
func split(n int, do func(from, to int) error) error {
	var wg sync.WaitGroup
	var first, second error
	wg.Go(func() { first = do(0, n/2) })
	wg.Go(func() { second = do(n/2, n) })
	wg.Wait()
	if first != nil {
		return first
	}
	return second
}

// loop calls do for about d from one goroutine and returns what a call costs.
func loop(d time.Duration, do func(n int)) Sample {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	n := 0
	start := time.Now()
	for elapsed := time.Duration(0); elapsed < d; elapsed = time.Since(start) {
		for range 1000 {
			do(n)
			n++
		}
	}
	took := time.Since(start)
	runtime.ReadMemStats(&after)
	// Rounded: what the runtime itself allocates meanwhile is no part of a call.
	per := func(total uint64) float64 { return math.Round(float64(total)/float64(n)*100) / 100 }
	return Sample{
		Nanos: float64(took) / float64(n), Bytes: per(after.TotalAlloc - before.TotalAlloc), Allocs: per(after.Mallocs - before.Mallocs),
	}
}

// beyond is what do costs over bare. The two take turns within d.
func beyond(d time.Duration, bare, do func(n int)) Sample {
	const turns = 10
	more := Sample{}
	for range turns {
		for figure, cost := range loop(d/turns/2, bare) {
			more[figure] -= cost / turns
		}
		for figure, cost := range loop(d/turns/2, do) {
			more[figure] += cost / turns
		}
	}
	more[Allocs] = math.Round(more[Allocs]*100) / 100
	return more
}
