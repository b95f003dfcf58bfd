package core

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestFlush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBlocker()
		store := &testStore{onSave: b.save}
		rec := newTestRecorder(t, store, Config{})
		wantErr(t, rec.Flush(noContext))
		first := auditAsync(rec, "first")
		synctest.Wait()
		second := auditAsync(rec, "second")
		synctest.Wait()
		flushed := make(chan error, 1)
		go func() { flushed <- rec.Flush(t.Context()) }()
		stillWaiting(t, flushed)

		b.answer <- nil // first is stored, second is being written
		wantErr(t, <-first)
		synctest.Wait()
		third := auditAsync(rec, "third")
		stillWaiting(t, flushed, second, third)
		if store.flushes != 1 {
			t.Errorf("the store was flushed %d times", store.flushes)
		}

		b.answer <- nil // second is stored, third is being written
		wantErr(t, <-second)
		wantErr(t, <-flushed)
		stillWaiting(t, third)
		if store.flushes != 2 {
			t.Errorf("the store was flushed %d times", store.flushes)
		}

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		wantErr(t, rec.Flush(ctx), context.DeadlineExceeded)
		if time.Since(start) != time.Second || store.flushes != 2 {
			t.Errorf("ended after %v, %d flushes", time.Since(start), store.flushes)
		}
		stillWaiting(t, third)
		b.answer <- nil
		wantErr(t, <-third)
	})
}

// Flush waits for a retry, and for a caller that leaves without an answer no longer
// than that.
func TestFlushWaitsUntilSettled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rec := newTestRecorder(t, &testStore{onSave: answers(errStore, errStore, nil)}, Config{})
		result := auditAsync(rec, "x")
		synctest.Wait()
		wantErr(t, rec.Flush(t.Context()))
		wantErr(t, <-result)

		b := newBlocker()
		defer close(b.answer)
		rec = newTestRecorder(t, &testStore{onSave: b.save}, Config{})
		result = auditAsync(rec, "x", Within(time.Second))
		synctest.Wait()
		start := time.Now()
		wantErr(t, rec.Flush(t.Context()))
		wantErr(t, <-result, ErrUnknown)
		if took := time.Since(start); took != time.Second {
			t.Errorf("took %v", took)
		}
	})
}

func TestFlushGivesTheStoresError(t *testing.T) {
	rec := newTestRecorder(t, &testStore{onFlush: func(context.Context) error { return errStore }}, Config{})
	wantErr(t, rec.Flush(t.Context()), errStore)
	rec = newTestRecorder(t, &testStore{onFlush: func(context.Context) error { panic("no") }}, Config{})
	if err := rec.Flush(t.Context()); err == nil || !strings.Contains(err.Error(), "Flush panicked: no") {
		t.Errorf("error %v", err)
	}
	wantErr(t, newTestRecorder(t, bareStore{&testStore{}}, Config{}).Flush(t.Context()))
	wantErr(t, (*Recorder)(nil).Flush(t.Context()), ErrNoRecorder)
	wantErr(t, (&Recorder{}).Flush(t.Context()), ErrNoRecorder)
}
