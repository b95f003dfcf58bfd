package core

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestTimeoutInTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBlocker()
		store := &testStore{onSave: b.save}
		rec := newTestRecorder(t, store, Config{})
		first := auditAsync(rec, "first")
		synctest.Wait()
		start := time.Now()
		err := <-auditAsync(rec, "late", Within(time.Second))
		wantErr(t, err, ErrTimeout)
		if errors.Is(err, ErrUnknown) || time.Since(start) != time.Second || idOf(t, err).Version() != 7 {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		wantStats(t, rec, Stats{Attempted: 2, Failed: 1, Pending: 1})
		b.answer <- nil
		wantErr(t, <-first)
		wantErr(t, rec.Close(t.Context()))
		if n := len(store.saves()); n != 1 {
			t.Errorf("%d writes: the event that was said to be not stored was written", n)
		}
	})
}

func TestTimeoutInSave(t *testing.T) {
	failure := func(f Failure) error { f.Err = errStore; return FailAll(1, f) }
	for name, tt := range map[string]struct {
		answer error
		want   Stats
	}{
		"stored":        {nil, Stats{Attempted: 1, Stored: 1}},
		"failed":        {failure(Failure{}), Stats{Attempted: 1, Failed: 1}},
		"retry":         {failure(Failure{Retry: true}), Stats{Attempted: 1, Failed: 1}},
		"still unknown": {failure(Failure{Unknown: true}), Stats{Attempted: 1, Unknown: 1}},
		"plain error":   {errStore, Stats{Attempted: 1, Unknown: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBlocker()
				store := &testStore{onSave: b.save}
				rec := newTestRecorder(t, store, Config{})
				start := time.Now()
				err := <-auditAsync(rec, "x", Within(time.Second))
				wantErr(t, err, ErrUnknown)
				if time.Since(start) != time.Second || errors.Is(err, ErrTimeout) {
					t.Errorf("%v after %v", err, time.Since(start))
				}
				if event := (<-b.entered)[0]; idOf(t, err) != event.ID {
					t.Errorf("%v does not name event %v", err, event.ID)
				}
				wantStats(t, rec, Stats{Attempted: 1, Unknown: 1})
				b.answer <- tt.answer
				synctest.Wait()
				tt.want.Batches = 1
				wantStats(t, rec, tt.want)
				time.Sleep(time.Minute)
				if n := len(store.saves()); n != 1 {
					t.Errorf("%d writes: the event was written again though its caller has left", n)
				}
			})
		})
	}
}

// answers gives the results of successive Saves, the last one for ever.
func answers(results ...error) func(context.Context, []Event) error {
	return func(context.Context, []Event) error {
		err := results[0]
		if len(results) > 1 {
			results = results[1:]
		}
		return err
	}
}

func TestOutcomeOfSeveralAttempts(t *testing.T) {
	own := &storeError{code: 7}
	failed := func(f Failure) error { f.Err = own; return FailAll(1, f) }
	permanent, retry, unknown := failed(Failure{}), failed(Failure{Retry: true}), failed(Failure{Unknown: true})
	for _, tt := range []struct {
		name    string
		answers []error
		want    error // nil is just the store's own error
		took    time.Duration
	}{
		{"certain failures only", []error{retry}, ErrTimeout, DefaultTimeout},
		{"unknown first, then certain failures", []error{errStore, retry}, ErrUnknown, DefaultTimeout},
		{"unknown among certain failures", []error{retry, unknown, retry}, ErrUnknown, DefaultTimeout},
		{"unknown first, then permanent", []error{unknown, permanent}, ErrUnknown, maxBackoff},
		{"certain, then permanent", []error{retry, permanent}, nil, maxBackoff},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rec := newTestRecorder(t, &testStore{onSave: answers(tt.answers...)}, Config{})
				start := time.Now()
				err := <-auditAsync(rec, "x")
				if took := time.Since(start); took > tt.took {
					t.Errorf("took %v, want %v at most", took, tt.took)
				}
				wantErr(t, err, own)
				for _, reason := range []error{ErrUnknown, ErrTimeout} {
					if errors.Is(err, reason) != (reason == tt.want) {
						t.Errorf("%v: is %v: %v", err, reason, errors.Is(err, reason))
					}
				}
				unsure := tt.want == ErrUnknown
				wantStats(t, rec, Stats{Attempted: 1, Failed: b2u(!unsure), Unknown: b2u(unsure)})
			})
		})
	}
}

// A write that ends only after the audit's time, with the timer not yet run, must
// give the same kind of error as the timer would.
func TestFailureAfterTheDeadline(t *testing.T) {
	now := time.Now()
	for _, tt := range []struct {
		failure Failure
		want    error
	}{
		{Failure{Err: errStore, Retry: true}, ErrTimeout},
		{Failure{Err: errStore, Unknown: true}, ErrUnknown},
	} {
		r := newRecorder(&testStore{}, Config{})
		c := &call{state: inWrite, deadline: now, done: make(chan struct{}, 1)}
		r.stats = Stats{Attempted: 1, Pending: 1}
		r.finish(c, &tt.failure, now)
		wantErr(t, c.err, tt.want, errStore)
	}
}

func TestWithinShortensAndNeverLengthens(t *testing.T) {
	hangs(t)
	for _, tt := range []struct{ configured, within, want time.Duration }{
		{0, 0, 5 * time.Second},
		{0, time.Second, time.Second},
		{0, time.Hour, 5 * time.Second},
		{0, -time.Second, 5 * time.Second},
		{-1, time.Nanosecond, time.Nanosecond},
		{time.Second, 0, time.Second},
		{time.Minute, 59 * time.Second, 59 * time.Second},
	} {
		t.Run(fmt.Sprint(tt.configured, tt.within), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBlocker()
				rec := newTestRecorder(t, &testStore{onSave: b.save}, Config{Timeout: tt.configured})
				defer close(b.answer)
				start := time.Now()
				wantErr(t, <-auditAsync(rec, "x", Within(tt.within)), ErrUnknown)
				if took := time.Since(start); took != tt.want {
					t.Errorf("took %v, want %v", took, tt.want)
				}
			})
		})
	}
}

// One timer serves all audits: each must still end at its own time.
func TestEachAuditEndsAtItsOwnTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBlocker()
		rec := newTestRecorder(t, &testStore{onSave: b.save}, Config{})
		defer close(b.answer)
		var wg sync.WaitGroup
		for range 300 {
			within := 1 + rand.N(5*time.Second)
			wg.Go(func() {
				start := time.Now()
				err := rec.Audit(t.Context(), "x", nil, As("me"), Within(within))
				if late := time.Since(start) - within; err == nil || late < 0 || late > time.Millisecond {
					t.Errorf("%v, %v after its time", err, late)
				}
			})
			time.Sleep(rand.N(5 * time.Millisecond))
		}
		wg.Wait()
		rec.mu.Lock()
		defer rec.mu.Unlock()
		if rec.queue.len() != 0 || rec.queue.bytes != 0 {
			t.Errorf("%d calls of %d bytes are left", rec.queue.len(), rec.queue.bytes)
		}
	})
}

type ctxKey struct{}

func TestContextOfSave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var deadline time.Time
		store := &testStore{onSave: func(ctx context.Context, events []Event) error {
			var ok bool
			if deadline, ok = ctx.Deadline(); !ok || ctx.Err() != nil {
				t.Errorf("deadline %v, error %v", deadline, ctx.Err())
			}
			if ctx.Value(ctxKey{}) != nil {
				t.Error("Save was given the context of a request")
			}
			return nil
		}}
		rec := newTestRecorder(t, store, Config{})
		request, cancel := context.WithTimeout(context.WithValue(t.Context(), ctxKey{}, 1), time.Minute)
		defer cancel()
		for range 500 {
			within := min(1+rand.N(10*time.Second), DefaultTimeout)
			latest := time.Now().Add(within)
			wantErr(t, rec.Audit(request, "x", nil, As("me"), Within(within)))
			if deadline.Before(latest) || deadline.After(latest.Add(DefaultTimeout/4)) {
				t.Fatalf("the write may last until %v after the audit's time", deadline.Sub(latest))
			}
			time.Sleep(rand.N(500 * time.Millisecond))
		}
	})
}

// The latest audit of a batch decides, not the first.
func TestContextOfSaveLastsForTheLatestAudit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBlocker()
		var left time.Duration
		store := &testStore{onSave: func(ctx context.Context, events []Event) error {
			deadline, _ := ctx.Deadline()
			left = time.Until(deadline)
			return b.save(ctx, events)
		}}
		rec := newTestRecorder(t, store, Config{Timeout: 8 * time.Second})
		first := auditAsync(rec, "first", Within(time.Second))
		synctest.Wait()
		if left < time.Second || left > 3*time.Second {
			t.Errorf("the first write may take %v", left)
		}
		long, short := auditAsync(rec, "long"), auditAsync(rec, "short", Within(time.Second))
		synctest.Wait()
		close(b.answer)
		wantErr(t, <-first)
		wantErr(t, <-long)
		wantErr(t, <-short)
		if left < 8*time.Second || left > 10*time.Second {
			t.Errorf("the second write may take %v", left)
		}
	})
}

func TestStoreThatHonoursItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &testStore{onSave: func(ctx context.Context, events []Event) error {
			<-ctx.Done()
			return ctx.Err()
		}}
		rec := newTestRecorder(t, store, Config{})
		start := time.Now()
		wantErr(t, <-auditAsync(rec, "x"), ErrUnknown)
		// A prompt store is relied on for it.
		if took := time.Since(start); took != DefaultTimeout && !(store.Prompt() && took == DefaultTimeout*17/16) {
			t.Errorf("took %v", took)
		}
		wantErr(t, rec.Close(t.Context()))
		if took := time.Since(start); took > DefaultTimeout*17/16 {
			t.Errorf("the write was ended after %v", took)
		}
	})
}

func TestCancelledRequestIsAuditedAllTheSame(t *testing.T) {
	for _, when := range []string{"before", "while waiting", "while writing"} {
		t.Run(when, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBlocker()
				var saveErr error
				store := &testStore{onSave: func(ctx context.Context, events []Event) error {
					b.save(ctx, events)
					saveErr = errors.Join(saveErr, ctx.Err())
					return ctx.Err()
				}}
				rec := newTestRecorder(t, store, Config{})
				ctx, cancel := context.WithCancel(t.Context())
				first := make(<-chan error)
				if when == "while waiting" {
					first = auditAsync(rec, "first")
					synctest.Wait()
				}
				if when == "before" {
					cancel()
				}
				result := make(chan error, 1)
				go func() { result <- rec.Audit(ctx, "x", nil, As("me")) }()
				stillWaiting(t, result, first)
				cancel()
				stillWaiting(t, result, first)
				close(b.answer)
				wantErr(t, <-result)
				if tags := store.tags(); saveErr != nil || tags[len(tags)-1] != "x" {
					t.Errorf("error of the write's context %v, stored %v", saveErr, tags)
				}
				if when == "while waiting" {
					wantErr(t, <-first)
				}
			})
		})
	}
}
