package core

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
)

var errStore = errors.New("the disk is full")

// storeError is an error type of a store's own.
type storeError struct{ code int }

func (e *storeError) Error() string { return fmt.Sprint("code ", e.code) }

func TestRetryUntilStored(t *testing.T) {
	for name, failure := range map[string]func(n int) error{
		"plain error":       func(int) error { return errStore },
		"panic":             func(int) error { panic("no") },
		"panic of an error": func(int) error { panic(errStore) },
		"retry":             func(n int) error { return FailAll(n, Failure{Err: errStore, Retry: true}) },
		"unknown":           func(n int) error { return FailAll(n, Failure{Err: errStore, Unknown: true}) },
		"wrapped":           func(n int) error { return fmt.Errorf("w: %w", FailAll(n, Failure{Err: errStore, Retry: true})) },
		"no reason given":   func(n int) error { return FailAll(n, Failure{Retry: true}) },
		"index too large":   func(n int) error { return &BatchError{Failures: []Failure{{Index: n, Err: errStore}}} },
		"index negative":    func(int) error { return &BatchError{Failures: []Failure{{Index: -1}}} },
		"wrapped nil batch": func(int) error { return fmt.Errorf("w: %w", (*BatchError)(nil)) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var ids []uuid.UUID
				var at []time.Time
				store := &testStore{onSave: func(_ context.Context, events []Event) error {
					if first := len(ids) == 0; events[0].First != first {
						t.Errorf("attempt %d says First %v", len(ids)+1, events[0].First)
					}
					ids, at = append(ids, events[0].ID), append(at, time.Now())
					if len(ids) <= 6 {
						return failure(len(events))
					}
					return nil
				}}
				rec := newTestRecorder(t, store, Config{})
				start := time.Now()
				wantErr(t, rec.Audit(t.Context(), "x", nil, As("me")))
				if took := time.Since(start); took > 300*time.Millisecond {
					t.Errorf("six retries took %v", took)
				}
				if len(ids) != 7 || len(slices.Compact(ids)) != 1 {
					t.Errorf("ids of the attempts: %v", ids)
				}
				for i := 2; i < len(at); i++ {
					// Pauses double: the longest one is no longer than twice the next one's shortest.
					if a, b := at[i-1].Sub(at[i-2]), at[i].Sub(at[i-1]); b < a/2 || b <= 0 {
						t.Errorf("pause %d is %v after one of %v", i, b, a)
					}
				}
				wantStats(t, rec, Stats{Attempted: 1, Stored: 1, Batches: 7})
			})
		})
	}
}

func TestPermanentFailureReturnsAtOnce(t *testing.T) {
	for name, failure := range map[string]Failure{
		"an error":         {Err: &storeError{code: 42}},
		"no reason":        {},
		"a lasting outage": {Err: &storeError{code: 42}, Retry: true, Lasting: true},
		"lasting, untold":  {Retry: true, Lasting: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var id uuid.UUID
				store := &testStore{onSave: func(_ context.Context, events []Event) error {
					id = events[0].ID
					return FailAll(len(events), failure)
				}}
				rec := newTestRecorder(t, store, Config{})
				start := time.Now()
				err := rec.Audit(t.Context(), "refund", nil, As("me"))
				if time.Since(start) != 0 || len(store.saves()) != 1 {
					t.Errorf("took %v and %d writes", time.Since(start), len(store.saves()))
				}
				var audit *AuditError
				if !errors.As(err, &audit) || audit.ID != id || audit.Tag != "refund" {
					t.Fatalf("error %#v of event %v", err, id)
				}
				var own *storeError
				if failure.Err != nil && (!errors.Is(err, failure.Err) || !errors.As(err, &own) || own.code != 42) {
					t.Errorf("%v does not lead to the store's error", err)
				}
				for _, reason := range []error{ErrUnknown, ErrTimeout, ErrQueueFull, ErrClosed} {
					if errors.Is(err, reason) {
						t.Errorf("%v is %v", err, reason)
					}
				}
				wantStats(t, rec, Stats{Attempted: 1, Failed: 1})
			})
		})
	}
}

// These are no failures: all events of the batch are durable.
func TestNoFailure(t *testing.T) {
	for name, result := range map[string]error{
		"typed nil":         (*BatchError)(nil),
		"empty BatchError":  &BatchError{},
		"empty and wrapped": fmt.Errorf("w: %w", &BatchError{}),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rec := newTestRecorder(t, &testStore{onSave: func(context.Context, []Event) error { return result }}, Config{})
				wantErr(t, rec.Audit(t.Context(), "x", nil, As("me")))
				wantStats(t, rec, Stats{Attempted: 1, Stored: 1, Batches: 1})
			})
		})
	}
}

// failTag fails every event of one tag.
func failTag(tag string, f Failure) func(context.Context, []Event) error {
	return func(_ context.Context, events []Event) error {
		var e BatchError
		for i, event := range events {
			if event.Tag == tag {
				f.Index = i
				e.Failures = append(e.Failures, f)
			}
		}
		if e.Failures == nil {
			return nil
		}
		return &e
	}
}

func TestNeighboursOfAFailedEventSucceed(t *testing.T) {
	for name, failure := range map[string]Failure{
		"permanent": {Err: errStore},
		"retry":     {Err: errStore, Retry: true},
		"unknown":   {Err: errStore, Unknown: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBlocker()
				fail := failTag("bad", failure)
				store := &testStore{onSave: func(ctx context.Context, events []Event) error {
					b.save(ctx, events)
					return fail(ctx, events)
				}}
				rec := newTestRecorder(t, store, Config{})
				first := auditAsync(rec, "first")
				synctest.Wait()
				good1, bad, good2 := auditAsync(rec, "good"), auditAsync(rec, "bad"), auditAsync(rec, "good")
				synctest.Wait()
				start := time.Now()
				close(b.answer)
				wantErr(t, <-first)
				wantErr(t, <-good1)
				wantErr(t, <-good2)
				if len(store.saves()) != 2 || time.Since(start) != 0 {
					t.Errorf("batches %v in %v", store.saves(), time.Since(start))
				}
				wantErr(t, <-bad, errStore)
				wantStats(t, rec, Stats{Attempted: 4, Stored: 3, Failed: b2u(!failure.Unknown), Unknown: b2u(failure.Unknown)})
			})
		})
	}
}

func b2u(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

// One event that fails again and again, alone in its batch, looks like a store
// that is away. It must not keep the others waiting.
func TestPoisonedEventDoesNotHoldUpOthers(t *testing.T) {
	for name, failure := range map[string]Failure{
		"retry":   {Err: errStore, Retry: true},
		"unknown": {Err: errStore, Unknown: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := &testStore{onSave: failTag("poison", failure)}
				rec := newTestRecorder(t, store, Config{Timeout: time.Minute})
				poison := auditAsync(rec, "poison")
				for range 40 {
					time.Sleep(900 * time.Millisecond)
					start := time.Now()
					wantErr(t, rec.Audit(t.Context(), "good", nil, As("me")))
					if took := time.Since(start); took != 0 {
						t.Fatalf("a good event waited %v", took)
					}
				}
				if n := len(store.saves()); n < 40+40 {
					t.Errorf("only %d writes: the poisoned event was not retried", n)
				}
				wantErr(t, <-poison, errStore)
			})
		})
	}
}

// New events of a tag whose place is away look like a store that is away. They do not
// keep other tags waiting, not even for a pause.
func TestATagThatIsAwayDoesNotHoldUpOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &testStore{onSave: failTag("away", Failure{Err: errStore, Retry: true})}
		rec := newTestRecorder(t, store, Config{Timeout: 10 * time.Second})
		var away []<-chan error
		for range 40 {
			away = append(away, auditAsync(rec, "away"))
			time.Sleep(time.Millisecond)
			start := time.Now()
			wantErr(t, rec.Audit(t.Context(), "good", nil, As("me")))
			if took := time.Since(start); took != 0 {
				t.Fatalf("a good event waited %v", took)
			}
		}
		for _, result := range away {
			wantErr(t, <-result, ErrTimeout, errStore)
		}
	})
}

// One success is enough for the pauses to start small again.
func TestPausesStartSmallAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		results := slices.Repeat([]error{errStore}, 9)
		rec := newTestRecorder(t, &testStore{onSave: answers(append(results, nil, errStore, nil)...)}, Config{})
		wantErr(t, <-auditAsync(rec, "x"))
		start := time.Now()
		wantErr(t, <-auditAsync(rec, "x"))
		if took := time.Since(start); took == 0 || took > minBackoff {
			t.Errorf("the pause is %v", took)
		}
	})
}

func TestStoreThatIsAwayIsNotHammered(t *testing.T) {
	const outage = 4 * time.Second
	for name, tt := range map[string]struct {
		failure func(n int) error
		within  time.Duration
	}{
		"plain error":               {func(int) error { return errStore }, 0},
		"retry":                     {func(n int) error { return FailAll(n, Failure{Err: errStore, Retry: true}) }, 0},
		"callers that give up soon": {func(int) error { return errStore }, 30 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				during := 0
				store := &testStore{onSave: func(_ context.Context, events []Event) error {
					if time.Since(start) > outage {
						return nil
					}
					during++
					return tt.failure(len(events))
				}}
				rec := newTestRecorder(t, store, Config{Timeout: 10 * time.Second})
				var wg sync.WaitGroup
				for range outage / time.Millisecond { // one new audit each millisecond
					wg.Go(func() {
						err := rec.Audit(t.Context(), "x", nil, As("me"), Within(tt.within))
						if tt.within == 0 && err != nil {
							t.Error(err)
						}
					})
					time.Sleep(time.Millisecond)
				}
				wg.Wait()
				// 8 pauses up to half a second, then two to four a second, once more for those
				// that come new.
				if during > 50 {
					t.Errorf("%d writes during an outage of %v", during, outage)
				}
				if took := time.Since(start) - outage; took > time.Second {
					t.Errorf("still not through %v after the outage", took)
				}
				before := time.Now()
				wantErr(t, rec.Audit(t.Context(), "x", nil, As("me")))
				if tt.within == 0 && time.Since(before) != 0 {
					t.Errorf("still pausing after the outage: %v", time.Since(before))
				}
			})
		})
	}
}
