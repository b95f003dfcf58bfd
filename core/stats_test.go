package core

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
)

// chaos is a Store that does everything that a store can do wrong, and remembers
// what it has kept all the same.
type chaos struct {
	mu   sync.Mutex
	kept map[uuid.UUID]bool
	wait func(ctx context.Context, longest time.Duration)
}

func (s *chaos) keep(e Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kept[e.ID] = true
}

func (s *chaos) Save(ctx context.Context, events []Event) error {
	s.wait(ctx, 10*time.Millisecond)
	switch rand.N(8) {
	case 0:
		return errors.New("nothing was kept, and nobody knows")
	case 1:
		for _, e := range events[:rand.N(len(events)+1)] {
			s.keep(e)
		}
		if rand.N(2) == 0 {
			panic("in the middle of a write")
		}
		return errors.New("some were kept, and nobody knows")
	case 2:
		s.wait(ctx, 3*time.Second)
	}
	var batch BatchError
	for i, e := range events {
		f := Failure{Index: i, Err: errStore}
		switch rand.N(10) {
		case 0: // permanent
		case 1:
			f.Retry = true
		case 2:
			f.Unknown = true
			if rand.N(2) == 0 {
				s.keep(e)
			}
		default:
			s.keep(e)
			continue
		}
		batch.Failures = append(batch.Failures, f)
	}
	if batch.Failures == nil {
		return nil
	}
	return &batch
}

func (s Stats) balanced() bool {
	return s.Attempted == s.Stored+s.Joined+s.Cancelled+s.Failed+s.Unknown+s.Pending
}

func TestStatsAreBalancedAtEveryMoment(t *testing.T) {
	const callers, each = 40, 100
	synctest.Test(t, func(t *testing.T) {
		store := &chaos{kept: map[uuid.UUID]bool{}, wait: func(ctx context.Context, longest time.Duration) {
			select {
			case <-time.After(rand.N(longest)):
			case <-ctx.Done():
			}
		}}
		rec := newTestRecorder(t, store, Config{Timeout: time.Second, Logger: slog.New(slog.DiscardHandler)})
		rec.queue.bounds = bounds{waitingEvents: 30, waitingBytes: 1 << 20, batchEvents: 8, batchBytes: 1 << 20}

		stop := make(chan struct{})
		sampled := make(chan int)
		go func() {
			n := 0
			for ; ; n++ {
				if s := rec.Stats(); !s.balanced() {
					t.Errorf("not balanced: %+v", s)
				}
				select {
				case <-stop:
					sampled <- n
					return
				case <-time.After(rand.N(time.Millisecond)):
				}
			}
		}()

		var nils, cancelled, failed, unknown atomic.Uint64
		var wg sync.WaitGroup
		for range callers {
			wg.Go(func() {
				for range each {
					user := "me"
					if rand.N(10) == 0 {
						user = ""
						cancelled.Add(1)
					}
					err := rec.Audit(t.Context(), "x", nil, As(user), Within(rand.N(time.Second)))
					var audit *AuditError
					switch {
					case err == nil && user != "":
						nils.Add(1)
					case err == nil:
					case !errors.As(err, &audit):
						t.Errorf("%v is no *AuditError", err)
					case errors.Is(err, ErrUnknown):
						unknown.Add(1)
					default:
						failed.Add(1)
						store.mu.Lock()
						kept := store.kept[audit.ID]
						store.mu.Unlock()
						if kept {
							t.Errorf("stored, though the caller got %v", err)
						}
					}
					if s := rec.Stats(); !s.balanced() {
						t.Errorf("not balanced: %+v", s)
					}
				}
			})
		}
		wg.Wait()
		rec.Close(t.Context())
		synctest.Wait()
		close(stop)
		if n := <-sampled; n < 1000 {
			t.Errorf("only %d samples", n)
		}
		s := rec.Stats()
		switch late := unknown.Load() - s.Unknown; {
		case s.Attempted != callers*each, s.Pending != 0, s.Cancelled != cancelled.Load(), !s.balanced(),
			s.Unknown > unknown.Load(),
			s.Stored < nils.Load(), s.Stored > nils.Load()+late,
			s.Failed < failed.Load(), s.Failed > failed.Load()+late:
			t.Errorf("stats %+v; callers saw %d stored, %d cancelled, %d failed, %d unknown", s, nils.Load(), cancelled.Load(), failed.Load(), unknown.Load())
		}
		if kept := uint64(len(store.kept)); kept < s.Stored || kept > s.Stored+s.Unknown {
			t.Errorf("the store has %d, the statistics %+v", kept, s)
		}
		for what, n := range map[string]uint64{"stored": s.Stored, "failed": s.Failed, "unknown": s.Unknown, "cancelled": s.Cancelled, "late answers": unknown.Load() - s.Unknown} {
			if n == 0 {
				t.Errorf("nothing was %s: the test does not reach it", what)
			}
		}
	})
}

// Calls are used again: with times so short that they end while their event is
// queued, written, answered and given up, each caller must get its own result.
// This one needs the real clock, because a bubble's stands still while anything runs.
func TestEachCallerGetsItsOwnResult(t *testing.T) {
	rounds := 30
	if testing.Short() {
		rounds = 5
	}
	for round := range rounds {
		var mu sync.Mutex
		kept := map[uuid.UUID]string{}
		spin := rand.N(500)
		store := &testStore{onSave: func(_ context.Context, events []Event) error {
			var batch BatchError
			for i, e := range events {
				for range spin {
					_ = rand.Uint64()
				}
				if n := e.Fields["n"].(int64); n%3 != 0 {
					batch.Failures = append(batch.Failures, Failure{Index: i, Err: errors.New("failed " + e.Tag), Retry: n%3 == 1})
					continue
				}
				mu.Lock()
				kept[e.ID] = e.Tag
				mu.Unlock()
			}
			if batch.Failures == nil {
				return nil
			}
			return &batch
		}}
		rec, err := New(store, Config{})
		wantErr(t, err)
		rec.queue.waitingEvents, rec.queue.batchEvents = 15, 5
		var wg sync.WaitGroup
		var acknowledged atomic.Int64
		for caller := range 16 {
			wg.Go(func() {
				for n := range 100 {
					tag := fmt.Sprintf("%d.%d.", caller, n)
					err := rec.Audit(noContext, tag, Fields{"n": n}, As("me"), Within(1+rand.N(time.Millisecond)))
					if err == nil {
						acknowledged.Add(1)
						if n%3 != 0 {
							t.Errorf("%s got the result of another", tag)
						}
						continue
					}
					var audit *AuditError
					if !errors.As(err, &audit) || audit.Tag != tag {
						t.Errorf("%s got %v", tag, err)
						continue
					}
					text := audit.Err.Error()
					if own := strings.Contains(text, "failed "+tag); strings.Contains(text, "failed") != own ||
						!own && !isOneOf(err, ErrTimeout, ErrUnknown, ErrQueueFull, ErrClosed) {
						t.Errorf("%s got %v", tag, err)
					}
					mu.Lock()
					stored, ok := kept[audit.ID]
					mu.Unlock()
					if ok && (stored != tag || !errors.Is(err, ErrUnknown)) {
						t.Errorf("%s got %v, but the store has the event %q", tag, err, stored)
					}
				}
			})
		}
		if round%2 == 0 {
			// Give up in the middle.
			for rec.Stats().Attempted < 1000 {
				rec.Flush(context.Background())
			}
			ended, cancel := context.WithCancel(context.Background())
			cancel()
			rec.Close(ended)
		}
		wg.Wait()
		rec.Close(context.Background())
		s := rec.Stats()
		if !s.balanced() || s.Pending != 0 || s.Attempted != 1600 || s.Stored < uint64(acknowledged.Load()) || s.Stored > uint64(len(kept)) {
			t.Errorf("%+v, %d acknowledged, %d kept", s, acknowledged.Load(), len(kept))
		}
	}
}

func isOneOf(err error, targets ...error) bool {
	for _, target := range targets {
		if errors.Is(err, target) {
			return true
		}
	}
	return false
}

// The caller may write to its map once Audit has returned, also when the store
// still has the event. The race detector watches.
func TestFieldsAreTheCallersAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		left := make(chan struct{})
		var got Fields
		rec := newTestRecorder(t, &testStore{onSave: func(_ context.Context, events []Event) error {
			<-left
			for range 100 {
				got = Fields{}
				for name, value := range events[0].Fields {
					got[name] = value
				}
				inner, _ := got["inner"].(map[string]any)
				list, _ := got["list"].([]any)
				data, _ := got["data"].([]byte)
				if got["order"] != int64(42) || inner["a"] != "b" || len(list) != 2 || list[0] != int64(1) || string(data) != "data" {
					t.Errorf("the store sees %v", got)
				}
			}
			return nil
		}}, Config{})
		inner, list, data := map[string]any{"a": "b"}, []any{1, 2}, []byte("data")
		fields := Fields{"order": 42, "inner": inner, "list": list, "data": data}
		wantErr(t, rec.Audit(t.Context(), "x", fields, As("me"), Within(time.Millisecond)), ErrUnknown)
		close(left)
		for i := range 100 {
			fields["order"], fields[fmt.Sprint(i)] = i, i
			inner["a"], list[0], data[0] = i, i, byte(i)
		}
		clear(fields)
		synctest.Wait()
		wantStats(t, rec, Stats{Attempted: 1, Stored: 1})
	})
}
