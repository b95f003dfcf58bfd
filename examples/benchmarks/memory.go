package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap/zapcore"

	"github.com/auditing-go/auditing/core"
)

// childCommand makes the program measure its own memory: each figure wants a process
// of its own.
const childCommand = "measure-memory"

// children are what such a process may be asked for, with a number of events.
var children = map[string]func(n int) (float64, error){
	"waiting": waitingBytes, "waiting in zap": waitingBytesInZap,
	"through": residentAfter, "through zap": residentAfterZap,
}

func memoryCases(_ context.Context, l *lab) ([]Case, error) {
	const waiting = 50_000
	through := l.choose(50_000, 1_000_000, 1_000_000)
	if _, err := resident(); err != nil {
		return nil, missing(err.Error()) // no Linux
	}
	return []Case{
		{Name: fmt.Sprintf("a waiting event of 4 fields, of %s", number(waiting)), Figures: []string{Bytes}, Sides: []Side{
			child("auditing", Bytes, "waiting", waiting),
			child("zap, buffered", Bytes, "waiting in zap", waiting),
		}},
		{Name: "resident size after " + number(float64(through)) + " events from 64 callers", Figures: []string{MB}, Sides: []Side{
			child("auditing, on a store that does nothing", MB, "through", through),
			child("zap, buffered, to io.Discard", MB, "through zap", through),
		}},
	}, nil
}

func child(name, figure, what string, n int) Side {
	return Side{Name: name, Measure: func(ctx context.Context, _ time.Duration) (Sample, error) {
		self, err := os.Executable()
		if err != nil {
			return nil, err
		}
		var said strings.Builder
		cmd := exec.CommandContext(ctx, self, childCommand, what, strconv.Itoa(n))
		cmd.Stderr = &said
		out, err := cmd.Output()
		if err != nil {
			return nil, fmt.Errorf("%w: %s", err, said.String())
		}
		v, err := strconv.ParseFloat(strings.TrimSpace(string(out)), 64)
		return Sample{figure: v}, err
	}}
}

// runChild prints one figure.
func runChild(what, events string) {
	n, err := strconv.Atoi(events)
	v := 0.
	if err == nil {
		v, err = children[what](n)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(v)
}

// blocked is a store that does not answer before it is closed.
type blocked chan struct{}

func (b blocked) Save(context.Context, []core.Event) error {
	<-b
	return nil
}

// waitingBytes is what one event holds that waits for the store, without its caller.
func waitingBytes(n int) (float64, error) {
	store := make(blocked)
	rec, err := core.New(store, core.Config{
		Timeout: time.Hour, Durability: func(string) core.Durability { return core.BestEffort },
	})
	if err != nil {
		return 0, err
	}
	before := heap()
	for i := range n {
		if err := rec.Audit(context.Background(), tag, fields(i), core.As(user)); err != nil {
			return 0, err
		}
	}
	held := heap() - before
	close(store)
	return held / float64(n), rec.Close(context.Background())
}

// waitingBytesInZap is how much of the buffer one event takes.
func waitingBytesInZap(n int) (float64, error) {
	var written counter
	buffer := &zapcore.BufferedWriteSyncer{WS: &written}
	log := newZap(buffer)
	for i := range n {
		logFour(log, i)
	}
	err := buffer.Stop()
	return float64(written) / float64(n), err
}

// counter counts what is written to it.
type counter int

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}

func (c *counter) Sync() error { return nil }

func residentAfter(n int) (float64, error) {
	rec, err := core.New(idle{}, core.Config{})
	if err != nil {
		return 0, err
	}
	err = fromCallers(n, func(i int) error { return rec.Audit(context.Background(), tag, fields(i), core.As(user)) })
	if err != nil {
		return 0, err
	}
	mb, err := resident()
	if err != nil {
		return 0, err
	}
	return mb, rec.Close(context.Background())
}

func residentAfterZap(n int) (float64, error) {
	buffer := &zapcore.BufferedWriteSyncer{WS: new(counter)}
	log := newZap(buffer)
	if err := fromCallers(n, func(i int) error { logFour(log, i); return nil }); err != nil {
		return 0, err
	}
	mb, err := resident()
	if err != nil {
		return 0, err
	}
	return mb, buffer.Stop()
}

// fromCallers calls do n times from 64 goroutines.
func fromCallers(n int, do func(i int) error) error {
	var wg sync.WaitGroup
	errs := make(chan error, 64)
	for range cap(errs) {
		wg.Go(func() {
			for i := range n / cap(errs) {
				if err := do(i); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	wg.Wait()
	close(errs)
	return <-errs
}

func heap() float64 {
	runtime.GC()
	runtime.GC() // what a sync.Pool holds goes only with the second
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}

// resident is how much memory the process holds, in MB.
func resident() (float64, error) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if kb, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			v, err := strconv.ParseFloat(strings.Fields(kb)[0], 64)
			return v * 1024 / 1e6, err
		}
	}
	return 0, fmt.Errorf("no VmRSS in %q", status)
}
