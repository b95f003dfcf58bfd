package core

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestQueueFull(t *testing.T) {
	for _, tt := range []struct {
		name   string
		bounds bounds
		value  int // bytes of each event's value
		accept int
	}{
		{"events", bounds{waitingEvents: 10, waitingBytes: 1 << 20, batchEvents: 4, batchBytes: 1 << 20}, 1, 10},
		{"bytes", bounds{waitingEvents: 100, waitingBytes: 64 << 10, batchEvents: 4, batchBytes: 1 << 20}, 10 << 10, 6},
		{"one too large for the queue", bounds{waitingEvents: 100, waitingBytes: 64 << 10, batchEvents: 4, batchBytes: 1 << 20}, 65 << 10, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBlocker()
				rec := newTestRecorder(t, &testStore{onSave: b.save}, Config{})
				rec.queue.bounds = tt.bounds
				audit := func() <-chan error {
					result := make(chan error, 1)
					go func() {
						result <- rec.Audit(t.Context(), "x", Fields{"v": strings.Repeat("v", tt.value)}, As("me"))
					}()
					synctest.Wait()
					return result
				}
				var accepted []<-chan error
				for range tt.accept {
					accepted = append(accepted, audit())
				}
				stillWaiting(t, accepted...)
				start := time.Now()
				for range 3 {
					err := <-audit()
					wantErr(t, err, ErrQueueFull)
					if id := idOf(t, err); id.Version() != 7 || time.Since(start) != 0 {
						t.Errorf("event %v refused after %v", id, time.Since(start))
					}
				}
				n := uint64(tt.accept)
				wantStats(t, rec, Stats{Attempted: n + 3, Failed: 3, Pending: n})
				close(b.answer)
				for _, r := range accepted {
					wantErr(t, <-r)
				}
				wantErr(t, <-audit())
				wantStats(t, rec, Stats{Attempted: n + 4, Failed: 3, Stored: n + 1})
			})
		})
	}
}

// What is being written may have to wait again, so that it must keep its room.
func TestBoundsHoldWhenBatchesComeBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &testStore{onSave: func(_ context.Context, events []Event) error {
			time.Sleep(10 * time.Millisecond)
			return FailAll(len(events), Failure{Err: errStore, Retry: true})
		}}
		rec := newTestRecorder(t, store, Config{})
		rec.queue.bounds = bounds{waitingEvents: 50, waitingBytes: 1 << 20, batchEvents: 20, batchBytes: 1 << 20}
		var wg sync.WaitGroup
		most := uint64(0)
		for range 2000 {
			wg.Go(func() { rec.Audit(t.Context(), "x", nil, As("me"), Within(time.Second)) })
			time.Sleep(time.Millisecond)
			most = max(most, rec.Stats().Pending)
		}
		wg.Wait()
		time.Sleep(time.Second) // until the last write has ended
		if most != 50 {
			t.Errorf("up to %d events were pending, want 50", most)
		}
		rec.mu.Lock()
		defer rec.mu.Unlock()
		if q := rec.queue; q.len() != 0 || q.bytes != 0 || q.writing != 0 || q.writingBytes != 0 {
			t.Errorf("left behind: %d calls, %d bytes; writing %d, %d bytes", q.len(), q.bytes, q.writing, q.writingBytes)
		}
	})
}

// With a store that never answers, what has expired makes room for what comes.
func TestExpiredCallsGiveTheirRoomBack(t *testing.T) {
	hangs(t)
	synctest.Test(t, func(t *testing.T) {
		b := newBlocker()
		rec := newTestRecorder(t, &testStore{onSave: b.save}, Config{})
		rec.queue.waitingEvents = 40
		stuck := auditAsync(rec, "stuck")
		synctest.Wait()
		for generation := range 200 {
			var results []<-chan error
			for range 39 {
				results = append(results, auditAsync(rec, "x", Within(time.Millisecond)))
			}
			synctest.Wait()
			for _, r := range results {
				wantErr(t, <-r, ErrTimeout)
			}
			rec.mu.Lock()
			fresh, size, bytes := len(rec.queue.fresh), cap(rec.queue.fresh), rec.queue.bytes
			rec.mu.Unlock()
			if fresh != 0 || bytes != 0 || size > 256 {
				t.Fatalf("generation %d left %d calls and %d bytes in %d places", generation, fresh, bytes, size)
			}
		}
		wantErr(t, <-stuck, ErrUnknown)
		wantStats(t, rec, Stats{Attempted: 200*39 + 1, Failed: 200 * 39, Unknown: 1})
		close(b.answer)
	})
}

// The same for those that wait to be written again.
func TestExpiredRetriesGiveTheirRoomBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rec := newTestRecorder(t, &testStore{onSave: answers(errStore)}, Config{})
		rec.queue.waitingEvents = 40
		for range 200 {
			var results []<-chan error
			for range 40 {
				results = append(results, auditAsync(rec, "x", Within(time.Second)))
			}
			for _, r := range results {
				wantErr(t, <-r, ErrUnknown, errStore)
			}
		}
		wantStats(t, rec, Stats{Attempted: 200 * 40, Unknown: 200 * 40})
	})
}

func TestTake(t *testing.T) {
	now := time.Now()
	at := func(ms int) time.Time { return now.Add(time.Duration(ms) * time.Millisecond) }
	retry := func(tag string, ms int) *call { return &call{event: Event{Tag: tag}, size: 10, notBefore: at(ms)} }
	for _, tt := range []struct {
		name    string
		fresh   int
		retries []*call
		pause   pause
		want    string
		next    time.Time
	}{
		{"nothing", 0, nil, pause{}, "", time.Time{}},
		{"new ones in their order", 3, nil, pause{}, "f0 f1 f2", time.Time{}},
		{"as many as fit", 6, nil, pause{}, "f0 f1 f2 f3", time.Time{}},
		{"due retries first", 4, []*call{retry("a", -1), retry("b", 0), retry("c", 1)}, pause{}, "a b f0 f1", at(1)},
		{"when the first retry is due", 0, []*call{retry("a", 7), retry("b", 5), retry("c", 9)}, pause{}, "", at(5)},
		{"a pause of all", 2, []*call{retry("a", -1)}, pause{fresh: at(3), tags: map[string]bool{"f0": true, "f1": true}, retries: at(4)}, "", at(3)},
		{"a pause of one tag", 3, []*call{retry("a", -1)}, pause{fresh: at(3), tags: map[string]bool{"f1": true}, retries: at(4)}, "f0 f2", at(3)},
		{"a pause with nothing new", 0, []*call{retry("a", -1), retry("b", 6)}, pause{fresh: at(3), retries: at(4)}, "", at(4)},
		{"a pause of retries", 2, []*call{retry("a", -1)}, pause{retries: at(4)}, "f0 f1", at(4)},
		{"a pause that is over", 1, []*call{retry("a", -1)}, pause{fresh: at(0), retries: at(0)}, "a f0", time.Time{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			q := queue{bounds: bounds{waitingEvents: 100, waitingBytes: 1000, batchEvents: 4, batchBytes: 1000}}
			for i := range tt.fresh {
				if err := q.push(&call{event: Event{Tag: fmt.Sprint("f", i)}, size: 10}); err != nil {
					t.Fatal(err)
				}
			}
			for _, c := range tt.retries {
				q.retry(c)
			}
			batch, next := q.take(nil, now, tt.pause)
			var got []string
			for _, c := range batch {
				got = append(got, c.event.Tag)
				if c.state != inWrite {
					t.Errorf("%s is in state %d", c.event.Tag, c.state)
				}
			}
			if strings.Join(got, " ") != tt.want || len(batch) == 0 && !next.Equal(tt.next) {
				t.Errorf("took %v, come again at %v; want %s at %v", got, next, tt.want, tt.next)
			}
			left := tt.fresh + len(tt.retries) - len(batch)
			if q.len() != left || q.bytes != 10*left || q.writing != len(batch) || q.writingBytes != 10*len(batch) {
				t.Errorf("queue after it: %+v", q)
			}
			for _, c := range slices.Concat(q.fresh[len(q.fresh):cap(q.fresh)], q.retries[len(q.retries):cap(q.retries)]) {
				if c != nil {
					t.Errorf("%s is kept from the garbage collector", c.event.Tag)
				}
			}
		})
	}
}
