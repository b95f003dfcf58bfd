package spool

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/auditing-go/auditing/core"
)

func TestPassesOnWhatItHolds(t *testing.T) {
	noLeaks(t)
	next := &memory{}
	s := openSpool(t, t.TempDir(), next, Config{}, quick())
	events := eventsOf(500)
	for i := 0; i < len(events); i += 7 {
		save(t, s, events[i:min(i+7, len(events))]...)
	}
	flush(t, s)
	if err := next.has(events...); err != nil {
		t.Fatal(err)
	}
	if st := s.Stats(); st.Waiting != 0 || st.Bytes != 0 || !st.Oldest.IsZero() || st.Outage != nil {
		t.Errorf("after everything was passed on the stats are %+v", st)
	}
	if next.twice != 0 || next.most > 50 {
		t.Errorf("%d events came twice, up to %d in one batch; want none and at most 50", next.twice, next.most)
	}
	closeSpool(t, s)
	if !next.closed {
		t.Error("Close did not close the next store")
	}
}

func TestBatchesAreBoundedInBytesToo(t *testing.T) {
	next := &memory{down: true}
	tune := quick()
	tune.batchBytes, tune.batchEvents = 10<<10, 1000
	s := openSpool(t, t.TempDir(), next, Config{}, tune)
	events := eventsOf(300)
	save(t, s, events...)
	next.set(false, nil)
	flush(t, s)
	if err := next.has(events...); err != nil || next.most > 100 || next.most < 20 {
		t.Errorf("up to %d events of about 250 bytes in one batch (%v); want some 40", next.most, err)
	}
}

func TestOutage(t *testing.T) {
	noLeaks(t)
	var log logs
	next := &memory{down: true}
	dir := t.TempDir()
	s := openSpool(t, dir, next, Config{Logger: log.logger()}, quick())
	events := eventsOf(400)
	for i := range 200 {
		save(t, s, events[i])
	}
	eventually(t, "the outage", func() bool { return s.Stats().Outage != nil })
	st := s.Stats()
	if st.Waiting != 200 || !errors.Is(st.Outage, errDown) || st.Oldest.IsZero() || time.Since(st.Oldest) > time.Minute || st.OutageSince.IsZero() || st.FileBytes == 0 {
		t.Errorf("during the outage the stats are %+v", st)
	}
	if err := sameIDs(readAll(t, s, core.Query{Limit: 33}), events[:200]); err != nil {
		t.Errorf("reading during the outage: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := s.Flush(ctx); !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, errDown) || !strings.Contains(err.Error(), "200 events") {
		t.Errorf("Flush during the outage: %v; want one that says how many wait and why", err)
	}
	next.set(false, nil)
	save(t, s, events[200:]...)
	flush(t, s)
	if err := next.has(events...); err != nil {
		t.Error(err)
	}
	eventually(t, "logging the end", func() bool { return log.count("takes nothing") == log.count("takes events again") })
	// A Save that began before the end may fail after another has shown it.
	if starts, ends := log.count("takes nothing"), log.count("takes events again"); starts != ends || starts < 1 || starts > inFlight {
		t.Errorf("the outage was logged %d times at its start and %d times at its end, want once each:\n%s", starts, ends, log.buf.String())
	}
}

func TestRestartGoesOnWhereItStopped(t *testing.T) {
	noLeaks(t)
	dir := t.TempDir()
	events := eventsOf(300)
	next := &memory{down: true}
	s := openSpool(t, dir, next, Config{}, quick())
	save(t, s, events[:200]...)
	closeSpool(t, s)
	again := &memory{}
	s = openSpool(t, dir, again, Config{}, quick())
	save(t, s, events[100:]...) // half of them are still there or just passed on
	flush(t, s)
	if err := again.has(events...); err != nil {
		t.Error(err)
	}
	closeSpool(t, s)
	last := &memory{}
	s = openSpool(t, dir, last, Config{}, quick())
	flush(t, s)
	if last.saves > 0 {
		t.Errorf("after all was passed on, the next start passed on %d events again", len(last.order))
	}
}

// TestPartialFailures: what is acknowledged is not sent again, what is unknown or
// to be retried is, what is refused is set aside, and nobody waits for them.
func TestPartialFailures(t *testing.T) {
	noLeaks(t)
	events := eventsOf(100)
	number := map[[16]byte]int{}
	for i, e := range events {
		number[e.ID] = i
	}
	tries := map[int]int{}
	refused := errors.New("refused for good")
	next := &memory{answer: func(m *memory, _ context.Context, batch []core.Event) error {
		m.mu.Lock()
		defer m.mu.Unlock()
		var failures []core.Failure
		var kept []core.Event
		for i, e := range batch {
			n := number[e.ID]
			tries[n]++
			switch {
			case n%10 == 3:
				failures = append(failures, core.Failure{Index: i, Err: refused})
			case n%10 == 4 && tries[n] < 4:
				failures = append(failures, core.Failure{Index: i, Err: errDown, Retry: true})
			case n%10 == 5 && tries[n] < 3:
				failures = append(failures, core.Failure{Index: i, Err: errDown, Unknown: true})
				kept = append(kept, e)
			default:
				kept = append(kept, e)
			}
		}
		m.mu.Unlock()
		m.keep(kept...)
		m.mu.Lock()
		if failures == nil {
			return nil
		}
		return fmt.Errorf("wrapped: %w", &core.BatchError{Failures: failures})
	}}
	s := openSpool(t, t.TempDir(), next, Config{}, quick())
	save(t, s, events...)
	flush(t, s)
	for n, e := range events {
		want := 1
		switch n % 10 {
		case 4:
			want = 4
		case 5:
			want = 3
		}
		if tries[n] != want {
			t.Errorf("event %d was given to the next store %d times, want %d", n, tries[n], want)
		}
		if err := next.has(e); (err == nil) == (n%10 == 3) {
			t.Errorf("event %d: %v", n, err)
		}
	}
	if st := s.Stats(); st.SetAside != 10 || st.Waiting != 0 {
		t.Errorf("the stats are %+v, want 10 set aside", st)
	}
	if err := sameIDs(readAll(t, s, core.Query{}), events); err != nil {
		t.Errorf("reading: %v", err)
	}
}

// TestPoisonStepsAside: events that fail for ever, each time with the promise that
// trying again can help, do not hold up the others.
func TestPoisonStepsAside(t *testing.T) {
	noLeaks(t)
	events := eventsOf(60)
	poison := map[[16]byte]bool{}
	for i := range 6 {
		poison[events[i*7].ID] = true
	}
	next := &memory{answer: func(m *memory, _ context.Context, batch []core.Event) error {
		for _, e := range batch {
			if poison[e.ID] {
				return errors.New("nothing is known") // for the whole batch
			}
		}
		m.keep(batch...)
		return nil
	}}
	tune := quick()
	tune.batchEvents = 3
	s := openSpool(t, t.TempDir(), next, Config{}, tune)
	save(t, s, events...)
	healthy := func() (n int) {
		next.mu.Lock()
		defer next.mu.Unlock()
		return len(next.order)
	}
	// The batch of a poisoned one may hold back its two neighbours, in turn.
	eventually(t, "passing on the healthy events", func() bool { return healthy() >= 42 })
	next.set(false, nil)
	flush(t, s)
	if err := next.has(events...); err != nil {
		t.Error(err)
	}
}

// TestLargePoisonStepsAside: nor do many large batches that fail as a whole.
func TestLargePoisonStepsAside(t *testing.T) {
	noLeaks(t)
	events := eventsOf(5020)
	poison := map[[16]byte]bool{}
	for _, e := range events[:5000] {
		poison[e.ID] = true
	}
	next := &memory{answer: func(m *memory, _ context.Context, batch []core.Event) error {
		if poison[batch[0].ID] {
			return errors.New("nothing is known")
		}
		m.keep(batch...)
		return nil
	}}
	tune := quick()
	tune.batchEvents = 125
	s := openSpool(t, t.TempDir(), next, Config{}, tune)
	save(t, s, events...)
	eventually(t, "passing on the healthy events", func() bool { return next.has(events[5000:]...) == nil })
	next.set(false, nil)
	flush(t, s)
	if err := next.has(events...); err != nil {
		t.Error(err)
	}
}

// TestNothingIsPassedOver: whatever the next store takes, and however long it takes for
// that, each event is in it or still waits.
func TestNothingIsPassedOver(t *testing.T) {
	noLeaks(t)
	for range 20 {
		next := &memory{}
		next.answer = func(m *memory, ctx context.Context, batch []core.Event) error {
			for range rand.N(200) {
				runtime.Gosched()
			}
			var failures []core.Failure
			for i, e := range batch {
				if rand.N(3) > 0 {
					failures = append(failures, core.Failure{Index: i, Err: errDown, Retry: true})
				} else {
					m.keep(e)
				}
			}
			return &core.BatchError{Failures: failures}
		}
		tune := quick()
		tune.batchEvents, tune.overtake = 1+rand.N(4), 1000
		tune.minBackoff, tune.maxBackoff = time.Microsecond, time.Millisecond
		s := openSpool(t, t.TempDir(), next, Config{}, tune)
		events := eventsOf(60)
		for i := 0; i < len(events); i += 5 {
			save(t, s, events[i:i+5]...)
			if err := sameIDs(readAll(t, s, core.Query{}), events[:i+5]); err != nil {
				t.Fatal(err)
			}
		}
		flush(t, s)
		if err := next.has(events...); err != nil || s.Stats().Waiting > 0 {
			t.Fatalf("%d events wait after a Flush (%v)", s.Stats().Waiting, err)
		}
		closeSpool(t, s)
	}
}

func TestNextStoreMisbehaves(t *testing.T) {
	noLeaks(t)
	var once sync.Once
	for name, answer := range map[string]error{
		"names an event that is not there": &core.BatchError{Failures: []core.Failure{{Index: 1000, Err: errDown}}},
		"a nil *BatchError":                (*core.BatchError)(nil),
		"another error":                    errors.New("something else"),
		"names nothing":                    &core.BatchError{},
	} {
		t.Run(name, func(t *testing.T) {
			failed := false
			next := &memory{}
			next.answer = func(m *memory, _ context.Context, batch []core.Event) error {
				m.mu.Lock()
				first := !failed
				failed = true
				m.mu.Unlock()
				if first && name != "names nothing" {
					return answer
				}
				m.keep(batch...)
				if first {
					return answer
				}
				return nil
			}
			s := openSpool(t, t.TempDir(), next, Config{}, quick())
			events := eventsOf(3)
			save(t, s, events...)
			flush(t, s)
			if err := next.has(events...); err != nil {
				t.Error(err)
			}
		})
	}
	next := &memory{}
	next.answer = func(m *memory, _ context.Context, batch []core.Event) error {
		once.Do(func() { panic("the driver is broken") })
		m.keep(batch...)
		return nil
	}
	s := openSpool(t, t.TempDir(), next, Config{}, quick())
	events := eventsOf(3)
	save(t, s, events...)
	flush(t, s)
	if err := next.has(events...); err != nil {
		t.Errorf("after a panic: %v", err)
	}
}

// TestReadWhileEventsMove: at every moment each event is found exactly once.
func TestReadWhileEventsMove(t *testing.T) {
	noLeaks(t)
	next := &memory{down: true}
	tune := quick()
	tune.batchEvents = 5
	s := openSpool(t, t.TempDir(), next, Config{}, tune)
	events := eventsOf(400)
	save(t, s, events...)
	next.set(false, nil)
	for s.Stats().Waiting > 0 {
		if err := sameIDs(readAll(t, s, core.Query{Limit: 37}), events); err != nil {
			t.Fatal(err)
		}
	}
	if err := sameIDs(readAll(t, s, core.Query{Limit: 37}), events); err != nil {
		t.Fatal(err)
	}
}

// TestLargeReads reads more than is kept in memory at once.
func TestLargeReads(t *testing.T) {
	next := &memory{down: true}
	s := openSpool(t, t.TempDir(), next, Config{}, quick())
	events := eventsOf(5000)
	// The oldest last, so that each piece of the scan begins before the one before.
	for i := len(events); i > 0; i -= 1000 {
		save(t, s, events[i-1000:i]...)
	}
	for _, limit := range []int{7, 1000, 5000} {
		page, err := s.Read(t.Context(), core.Query{Limit: limit})
		if err != nil || len(page.Events) != limit || (page.Next == "") != (limit == 5000) {
			t.Fatalf("a page of %d holds %d events and the Next %q (%v)", limit, len(page.Events), page.Next, err)
		}
		for i, e := range page.Events {
			if e.ID != events[len(events)-1-i].ID {
				t.Fatalf("a page of %d: event %d is not the one that should be there", limit, i)
			}
		}
	}
	if got := readAll(t, s, core.Query{From: start.Add(100 * time.Second), To: start.Add(150 * time.Second), Limit: 9}); len(got) != 50 {
		t.Errorf("%d events in 50 seconds, want 50", len(got))
	}
}

func TestCloseIsBounded(t *testing.T) {
	noLeaks(t)
	release := make(chan struct{})
	entered := make(chan struct{}, inFlight)
	next := &memory{answer: func(m *memory, ctx context.Context, _ []core.Event) error {
		entered <- struct{}{}
		<-ctx.Done()
		return ctx.Err()
	}}
	dir := t.TempDir()
	s := openSpool(t, dir, next, Config{}, quick())
	events := eventsOf(20)
	save(t, s, events...)
	<-entered
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	if err := s.Close(ctx); err != nil {
		t.Errorf("Close while the next store hangs: %v", err)
	}
	if !next.closed {
		t.Error("Close did not close the next store")
	}
	if err := s.Save(t.Context(), events); !errors.Is(err, core.ErrClosed) {
		t.Errorf("Save after Close: %v", err)
	}
	if err := s.Flush(t.Context()); !errors.Is(err, core.ErrClosed) {
		t.Errorf("Flush after Close: %v", err)
	}

	// One that does not even end with its context is closed when it ends.
	stubborn := &memory{answer: func(m *memory, _ context.Context, batch []core.Event) error {
		entered <- struct{}{}
		<-release
		m.keep(batch...)
		return nil
	}}
	s = openSpool(t, dir, stubborn, Config{}, quick())
	<-entered
	ctx, cancel = context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := s.Close(ctx); err == nil || !strings.Contains(err.Error(), "did not end") {
		t.Errorf("Close while the next store ignores its context: %v", err)
	}
	close(release)
	closeSpool(t, s)
	if err := stubborn.has(events...); err != nil {
		t.Error(err)
	}
	last := &memory{}
	s = openSpool(t, dir, last, Config{}, quick())
	flush(t, s)
	if last.saves != 0 {
		t.Errorf("%d events were passed on again that had been acknowledged before the end", len(last.order))
	}
}

func TestOpenRefusesWhatCannotWork(t *testing.T) {
	if _, err := Open("", &memory{}, Config{}); err == nil || !strings.Contains(err.Error(), "directory") {
		t.Errorf("without a directory: %v", err)
	}
	if _, err := Open(t.TempDir(), nil, Config{}); err == nil || !strings.Contains(err.Error(), "next store is nil") {
		t.Errorf("without a next store: %v", err)
	}
	s := openSpool(t, t.TempDir(), writeOnly{}, Config{}, quick())
	if _, err := s.Read(t.Context(), core.Query{}); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("Read with a next store that cannot: %v", err)
	}
}

type writeOnly struct{}

func (writeOnly) Save(context.Context, []core.Event) error { return nil }
