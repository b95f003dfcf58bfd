package core

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestCloseDrains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &testStore{onSave: func(context.Context, []Event) error {
			time.Sleep(100 * time.Millisecond)
			return nil
		}}
		rec := newTestRecorder(t, store, Config{})
		var results []<-chan error
		for range 20 {
			results = append(results, auditAsync(rec, "x"))
		}
		synctest.Wait()
		wantErr(t, rec.Close(t.Context()))
		wantStats(t, rec, Stats{Attempted: 20, Stored: 20})
		for _, r := range results {
			wantErr(t, <-r)
		}
		if store.closes != 1 || store.late {
			t.Errorf("the store was closed %d times, during a write: %v", store.closes, store.late)
		}
	})
}

// What is being retried is drained too.
func TestCloseWaitsForRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rec := newTestRecorder(t, &testStore{onSave: answers(errStore, errStore, errStore, errStore, nil)}, Config{})
		result := auditAsync(rec, "x")
		synctest.Wait()
		wantErr(t, rec.Close(t.Context()))
		wantErr(t, <-result)
		wantStats(t, rec, Stats{Attempted: 1, Stored: 1})
	})
}

func TestAuditAfterClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &testStore{}
		rec := newTestRecorder(t, store, Config{})
		wantErr(t, rec.Close(t.Context()))
		err := rec.Audit(t.Context(), "x", nil, As("me"))
		wantErr(t, err, ErrClosed)
		if idOf(t, err).Version() != 7 || len(store.saves()) != 0 {
			t.Errorf("%v, writes %v", err, store.saves())
		}
		wantStats(t, rec, Stats{Attempted: 1, Failed: 1})
	})
}

func TestAuditWhileClosing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBlocker()
		rec := newTestRecorder(t, &testStore{onSave: b.save}, Config{})
		first := auditAsync(rec, "first")
		synctest.Wait()
		closed := make(chan error, 1)
		go func() { closed <- rec.Close(t.Context()) }()
		stillWaiting(t, closed)
		wantErr(t, <-auditAsync(rec, "second"), ErrClosed)
		close(b.answer)
		wantErr(t, <-first)
		wantErr(t, <-closed)
	})
}

// A Save that never heeds its context must hold up neither the callers nor Close.
func TestCloseIsBoundedByItsContext(t *testing.T) {
	hangs(t)
	synctest.Test(t, func(t *testing.T) {
		b := newBlocker()
		store := &testStore{onSave: b.save}
		rec := newTestRecorder(t, store, Config{})
		written := []<-chan error{auditAsync(rec, "x")}
		synctest.Wait()
		var queued []<-chan error
		for range 3 {
			queued = append(queued, auditAsync(rec, "x"))
		}
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		err := rec.Close(ctx)
		if took := time.Since(start); took != time.Second+closeGrace {
			t.Errorf("took %v", took)
		}
		wantErr(t, err, context.DeadlineExceeded)
		if !strings.Contains(err.Error(), "3 events not stored, 1 unknown") {
			t.Errorf("error %q", err)
		}
		for _, r := range queued {
			wantErr(t, <-r, ErrClosed)
		}
		wantErr(t, <-written[0], ErrUnknown)
		wantStats(t, rec, Stats{Attempted: 4, Failed: 3, Unknown: 1})
		synctest.Wait()
		if store.closes != 0 {
			t.Error("the store was closed during a write")
		}
		b.answer <- nil
		synctest.Wait()
		if store.closes != 1 || store.late {
			t.Errorf("the store was closed %d times, during a write: %v", store.closes, store.late)
		}
		wantStats(t, rec, Stats{Attempted: 4, Failed: 3, Stored: 1, Batches: 1})
	})
}

// What fails while Close waits is not stored either.
func TestCloseSaysHowManyFailedWhileItWaited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBlocker()
		rec := newTestRecorder(t, &testStore{onSave: b.save}, Config{})
		var results []<-chan error
		for range 4 {
			results = append(results, auditAsync(rec, "x", Within(time.Second)))
			synctest.Wait()
		}
		wantErr(t, <-results[0], ErrUnknown)
		wantErr(t, <-results[1], ErrTimeout)
		stuck := []<-chan error{auditAsync(rec, "x", Within(time.Second)), auditAsync(rec, "x", Within(2*time.Second))}
		synctest.Wait()
		closed := make(chan error, 1)
		go func() { closed <- rec.Close(t.Context()) }()
		wantErr(t, <-stuck[0], ErrTimeout)
		stillWaiting(t, closed)
		b.answer <- nil
		synctest.Wait() // the last one is being written
		wantErr(t, <-stuck[1], ErrUnknown)
		stillWaiting(t, closed)
		b.answer <- FailAll(1, Failure{Err: errStore})
		if err := <-closed; err == nil || !strings.Contains(err.Error(), "2 events not stored, 0 unknown") {
			t.Errorf("error %v", err)
		}
		wantStats(t, rec, Stats{Attempted: 6, Stored: 1, Failed: 5})
	})
}

// What was written once with an unknown outcome and waits to be written again is unknown.
func TestCloseCountsUnsureRetriesAsUnknown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rec := newTestRecorder(t, &testStore{onSave: answers(errStore)}, Config{})
		result := auditAsync(rec, "x")
		time.Sleep(100 * time.Millisecond)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		err := rec.Close(ctx)
		wantErr(t, err, context.Canceled)
		if !strings.Contains(err.Error(), "0 events not stored, 1 unknown") {
			t.Errorf("error %q", err)
		}
		wantErr(t, <-result, ErrUnknown, errStore)
		wantStats(t, rec, Stats{Attempted: 1, Unknown: 1})
	})
}

func TestCloseCancelsAWriteThatHeedsItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &testStore{onSave: func(ctx context.Context, _ []Event) error {
			<-ctx.Done()
			return ctx.Err()
		}}
		rec := newTestRecorder(t, store, Config{})
		result := auditAsync(rec, "x")
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		wantErr(t, rec.Close(ctx), context.DeadlineExceeded)
		if took := time.Since(start); took != time.Second || store.closes != 1 || store.late {
			t.Errorf("took %v, the store was closed %d times, during a write: %v", took, store.closes, store.late)
		}
		wantErr(t, <-result, ErrUnknown)
	})
}

// A write whose callers have left may still succeed: Close leaves it the time it has.
func TestCloseWaitsForAWriteThatOutlastedItsCallers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &testStore{onSave: func(ctx context.Context, _ []Event) error {
			select {
			case <-time.After(DefaultTimeout / 20):
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}}
		rec := newTestRecorder(t, store, Config{})
		wantErr(t, <-auditAsync(rec, "x", Within(time.Millisecond)), ErrUnknown)
		wantStats(t, rec, Stats{Attempted: 1, Unknown: 1})
		wantErr(t, rec.Close(t.Context()))
		wantStats(t, rec, Stats{Attempted: 1, Stored: 1})
	})
}

// The same without any bound on Close, and with a write that never ends.
func TestCloseWithoutABound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBlocker()
		store := &testStore{onSave: b.save, onClose: func(context.Context) error { return errStore }}
		var log strings.Builder
		rec := newTestRecorder(t, store, Config{Logger: slog.New(slog.NewTextHandler(&log, nil))})
		wantErr(t, <-auditAsync(rec, "x", Within(time.Second)), ErrUnknown)
		err := rec.Close(noContext)
		if err == nil || !strings.Contains(err.Error(), "*core.testStore did not end its last write") {
			t.Errorf("error %v", err)
		}
		close(b.answer)
		synctest.Wait()
		if store.closes != 1 || !strings.Contains(log.String(), errStore.Error()) {
			t.Errorf("the store was closed %d times; logged %q", store.closes, &log)
		}
	})
}

func TestCloseTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBlocker()
		store := &testStore{onSave: b.save}
		rec := newTestRecorder(t, store, Config{})
		result := auditAsync(rec, "x")
		synctest.Wait()
		var closed []<-chan error
		for range 5 {
			c := make(chan error, 1)
			go func() { c <- rec.Close(t.Context()) }()
			closed = append(closed, c)
		}
		stillWaiting(t, closed...)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		wantErr(t, rec.Close(ctx), context.DeadlineExceeded) // this one need not wait for the first
		stillWaiting(t, closed...)
		b.answer <- nil
		for _, c := range closed {
			wantErr(t, <-c)
		}
		wantErr(t, <-result)
		wantErr(t, rec.Close(t.Context()))
		wantErr(t, rec.Close(ctx))
		if store.closes != 1 || store.late {
			t.Errorf("the store was closed %d times, during a write: %v", store.closes, store.late)
		}
	})
}

// With nothing under way, a context that has ended is no reason to fail.
func TestCloseIdleWithAnEndedContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 100 { // both are ready at once: either may be seen first
		store := &testStore{}
		rec, err := New(store, Config{})
		wantErr(t, err)
		wantErr(t, rec.Close(ctx))
		if store.closes != 1 {
			t.Fatalf("the store was closed %d times", store.closes)
		}
		wantErr(t, rec.Close(ctx))
	}
}

// bareStore has nothing but Save.
type bareStore struct{ Store }

func TestCloseOfWhatCannotBeClosed(t *testing.T) {
	wantErr(t, (*Recorder)(nil).Close(t.Context()))
	wantErr(t, (&Recorder{}).Close(t.Context()))
	rec := newTestRecorder(t, bareStore{&testStore{}}, Config{})
	wantErr(t, rec.Audit(t.Context(), "x", nil, As("me")))
	wantErr(t, rec.Close(t.Context()))
	wantErr(t, rec.Audit(t.Context(), "x", nil, As("me")), ErrClosed)
}

func TestCloseGivesTheStoresError(t *testing.T) {
	rec := newTestRecorder(t, &testStore{onClose: func(context.Context) error { return errStore }}, Config{})
	wantErr(t, rec.Close(t.Context()), errStore)

	rec = newTestRecorder(t, &testStore{onClose: func(context.Context) error { panic("no") }}, Config{})
	if err := rec.Close(t.Context()); err == nil || !strings.Contains(err.Error(), "Close panicked: no") {
		t.Errorf("error %v", err)
	}
	if err := rec.Close(t.Context()); err != nil {
		t.Errorf("second Close: %v", err)
	}
}

// No goroutine runs while nothing is audited: goleak looks for those at the end,
// this looks before Close.
func TestNothingRunsWhileIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rec, err := New(&testStore{onSave: answers(errStore, nil)}, Config{})
		wantErr(t, err)
		for range 10 {
			wantErr(t, <-auditAsync(rec, "x"))
		}
		synctest.Wait()
		rec.mu.Lock()
		defer rec.mu.Unlock()
		if rec.writing {
			t.Error("the writer runs")
		}
		for _, c := range rec.out.batch[:cap(rec.out.batch)] {
			if c != nil {
				t.Error("a call is kept from the garbage collector")
			}
		}
		for _, e := range rec.out.events[:cap(rec.out.events)] {
			if e.Tag != "" || e.Fields != nil {
				t.Errorf("event %q is kept from the garbage collector", e.Tag)
			}
		}
		// The bubble fails when a goroutine is left: this recorder is never closed.
	})
}

func TestErrorsOfSeveralKindsOnClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBlocker()
		store := &testStore{onSave: func(ctx context.Context, events []Event) error {
			<-ctx.Done()
			return ctx.Err()
		}, onClose: func(context.Context) error { return errStore }}
		defer close(b.answer)
		rec := newTestRecorder(t, store, Config{})
		result := auditAsync(rec, "x")
		synctest.Wait()
		why := errors.New("the machine goes down")
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(why)
		wantErr(t, rec.Close(ctx), why, errStore)
		wantErr(t, <-result, ErrUnknown)
	})
}
