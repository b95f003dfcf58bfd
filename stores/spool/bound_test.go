package spool

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/auditing-go/auditing/core"
)

func TestDuplicatesAreStoredOnce(t *testing.T) {
	noLeaks(t)
	next := &memory{down: true}
	dir := t.TempDir()
	s := openSpool(t, dir, next, Config{}, quick())
	events := eventsOf(10)
	save(t, s, append(events, events...)...)
	save(t, s, events[3])
	if st := s.Stats(); st.Waiting != 10 {
		t.Errorf("%d events wait, want 10", st.Waiting)
	}
	closeSpool(t, s)
	s = openSpool(t, dir, next, Config{}, quick())
	save(t, s, events...)
	if st := s.Stats(); st.Waiting != 10 {
		t.Errorf("after a restart %d events wait, want 10", st.Waiting)
	}
	next.set(false, nil)
	flush(t, s)
	if next.twice != 0 || len(next.order) != 10 {
		t.Errorf("%d events arrived, %d of them twice", len(next.order), next.twice)
	}
}

// TestFull: what has no room is refused with a clear error, by itself, and nothing
// that was acknowledged gives way.
func TestFull(t *testing.T) {
	noLeaks(t)
	var log logs
	next := &memory{down: true}
	s := openSpool(t, t.TempDir(), next, Config{MaxBytes: 20_000, Logger: log.logger()}, quick())
	events := eventsOf(200)
	stored := map[uuid.UUID]bool{}
	var kept []core.Event
	err := s.Save(t.Context(), events)
	var batch *core.BatchError
	if !errors.As(err, &batch) || !errors.Is(err, ErrFull) {
		t.Fatalf("Save of more than fits: %v; want a *BatchError with ErrFull", err)
	}
	failed := map[int]bool{}
	for _, f := range batch.Failures {
		failed[f.Index] = true
		if !f.Lasting || f.Refused() || f.Unknown || !errors.Is(f.Err, ErrFull) {
			t.Fatalf("the failure is %+v; want one that is certain and lasts", f)
		}
	}
	for i, e := range events {
		if !failed[i] {
			stored[e.ID] = true
			kept = append(kept, e)
		}
	}
	if st := s.Stats(); st.Bytes > 20_000 || st.Bytes < 18_000 || st.Waiting != uint64(len(kept)) {
		t.Errorf("the full spool's stats are %+v with %d events acknowledged", st, len(kept))
	}
	if log.count("filling up") != 1 {
		t.Errorf("the warning at 80 %% came %d times", log.count("filling up"))
	}
	save(t, s, kept...) // stored already: needs no room
	next.set(false, nil)
	flush(t, s)
	if err := next.has(kept...); err != nil {
		t.Error(err)
	}
	// Now there is room, and the next time is warned of again.
	next.set(true, nil)
	if err := s.Save(t.Context(), events); !errors.Is(err, ErrFull) {
		t.Errorf("Save of more than fits into the emptied spool: %v", err)
	}
	if log.count("filling up") != 2 {
		t.Errorf("the warning came %d times in two fillings", log.count("filling up"))
	}
}

func TestFullWaits(t *testing.T) {
	noLeaks(t)
	next := &memory{down: true}
	s := openSpool(t, t.TempDir(), next, Config{MaxBytes: 5000, WaitForRoom: true}, quick())
	rec, err := core.New(s, core.Config{Timeout: 300 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	audit := func(opts ...core.Option) error {
		return rec.Audit(t.Context(), "refund", core.Fields{"order": 42}, append(opts, core.As("me"))...)
	}
	n := 0
	for err = audit(); err == nil; err = audit() {
		n++
	}
	if !errors.Is(err, core.ErrTimeout) || !errors.Is(err, ErrFull) {
		t.Errorf("an audit for which there was no room in its time: %v; want ErrTimeout with ErrFull", err)
	}
	result := make(chan error)
	go func() { result <- audit() }()
	next.set(false, nil)
	if err := <-result; err != nil && !errors.Is(err, ErrFull) {
		t.Errorf("an audit while room is made: %v", err)
	}
	if err := audit(); err != nil {
		t.Errorf("an audit when there is room again: %v", err)
	}
	flush(t, s)
	if len(next.order) < n+1 {
		t.Errorf("%d events arrived, at least %d were acknowledged", len(next.order), n+1)
	}
}

func TestAgeOnlyWarns(t *testing.T) {
	noLeaks(t)
	var log logs
	next := &memory{down: true}
	s := openSpool(t, t.TempDir(), next, Config{WarnAge: 10 * time.Millisecond, Logger: log.logger()}, quick())
	events := eventsOf(10)
	save(t, s, events...)
	eventually(t, "the warning", func() bool { return log.count("wait for long") > 0 })
	next.set(false, nil)
	flush(t, s)
	if err := next.has(events...); err != nil {
		t.Error(err)
	}
}

func TestSaveEndsWithItsContext(t *testing.T) {
	s := openSpool(t, t.TempDir(), &memory{down: true}, Config{}, quick())
	if err := s.acquire(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	err := s.Save(ctx, eventsOf(2))
	s.release()
	var batch *core.BatchError
	if !errors.As(err, &batch) || len(batch.Failures) != 2 || batch.Failures[0].Unknown || !batch.Failures[0].Retry {
		t.Errorf("Save while another one does not end: %v; want failures that are certain and worth another try", err)
	}
}
