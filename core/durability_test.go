package core

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// lockedLog is a log that several goroutines write to.
type lockedLog struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lockedLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func bestEffortConfig(log *lockedLog) Config {
	return Config{
		Durability: func(tag string) Durability {
			if strings.HasPrefix(tag, "view") {
				return BestEffort
			}
			return Durable
		},
		Logger: slog.New(slog.NewTextHandler(log, nil)),
	}
}

// TestBestEffortReturnsAtOnce, and is stored with the next write all the same;
// other tags are not affected.
func TestBestEffortReturnsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log lockedLog
		b := newBlocker()
		store := &testStore{onSave: b.save}
		rec := newTestRecorder(t, store, bestEffortConfig(&log))
		start := time.Now()
		for range 3 {
			wantErr(t, rec.Audit(t.Context(), "view", Fields{"a": 1}, As("me")))
		}
		if took := time.Since(start); took != 0 {
			t.Errorf("took %v", took)
		}
		durable := auditAsync(rec, "refund")
		stillWaiting(t, durable)
		wantStats(t, rec, Stats{Attempted: 4, Pending: 4})
		close(b.answer)
		wantErr(t, <-durable)
		wantErr(t, rec.Flush(t.Context()))
		if got := strings.Join(store.tags(), " "); got != "refund view view view" {
			t.Errorf("stored %s", got)
		}
		if log.String() != "" {
			t.Errorf("logged %s", log.String())
		}
	})
}

// TestBestEffortIsNeverSilent: what is not stored is counted and reported, with a
// limit, the rest at Close.
func TestBestEffortIsNeverSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log lockedLog
		store := &testStore{onSave: func(_ context.Context, events []Event) error {
			return FailAll(len(events), Failure{Err: errStore})
		}}
		rec := newTestRecorder(t, store, bestEffortConfig(&log))
		audit := func() {
			t.Helper()
			wantErr(t, rec.Audit(t.Context(), "view", Fields{"note": "hunter2"}, As("me")))
			synctest.Wait()
		}
		reports := func() int { return strings.Count(log.String(), "\n") }
		for range 5 {
			audit()
		}
		if n := reports(); n != 1 {
			t.Errorf("%d reports at once:\n%s", n, log.String())
		}
		time.Sleep(lostReportEvery)
		audit()
		if n := reports(); n != 2 || !strings.Contains(log.String(), "events=5") {
			t.Errorf("%d reports after a while:\n%s", n, log.String())
		}
		audit()
		wantErr(t, rec.Audit(t.Context(), "view.detail", nil, As("me")))
		synctest.Wait()
		wantErr(t, rec.Close(t.Context()))
		if n := reports(); n != 3 {
			t.Errorf("%d reports after Close:\n%s", n, log.String())
		}
		if s := log.String(); !strings.Contains(s, `tags="[view view.detail]"`) || !strings.Contains(s, errStore.Error()) || strings.Contains(s, "hunter2") {
			t.Errorf("logged %s", s)
		}
		wantStats(t, rec, Stats{Attempted: 8, Failed: 8, Batches: 8})
	})
}

// TestBestEffortThatCannotWait is an error at once.
func TestBestEffortThatCannotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log lockedLog
		b := newBlocker()
		rec := newTestRecorder(t, &testStore{onSave: b.save}, bestEffortConfig(&log))
		rec.queue.waitingEvents = 2
		audit := func() error { return rec.Audit(t.Context(), "view", nil, As("me")) }
		wantErr(t, audit())
		wantErr(t, audit())
		wantErr(t, audit(), ErrQueueFull)
		time.Sleep(DefaultTimeout)
		synctest.Wait()
		if !strings.Contains(log.String(), "were not stored") {
			t.Errorf("logged %s", log.String())
		}
		close(b.answer)
		wantErr(t, rec.Close(t.Context()))
		wantErr(t, audit(), ErrClosed)
	})
}

// TestDurabilityThatPanics is not the audit's undoing.
func TestDurabilityThatPanics(t *testing.T) {
	var log lockedLog
	store := &testStore{}
	rec := newTestRecorder(t, store, Config{
		Durability: func(string) Durability { panic("no") },
		Logger:     slog.New(slog.NewTextHandler(&log, nil)),
	})
	wantErr(t, rec.Audit(t.Context(), "x", nil, As("me")))
	if len(store.tags()) != 1 || !strings.Contains(log.String(), "Durability panicked") {
		t.Errorf("stored %v, logged %s", store.tags(), log.String())
	}
}

// TestReadsOfTheTrailAreDurable: nobody may look at it before that is known to be stored.
func TestReadsOfTheTrailAreDurable(t *testing.T) {
	store := &testStore{}
	rec := newTestRecorder(t, store, Config{Durability: func(string) Durability { return BestEffort }})
	wantErr(t, rec.Audit(t.Context(), TagRead, nil, As("me")))
	if len(store.tags()) != 1 {
		t.Errorf("stored %v when the audit returned", store.tags())
	}
}
