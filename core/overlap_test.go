package core

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// overlapStore is a testStore that gains from a second Save.
type overlapStore struct{ testStore }

func (s *overlapStore) Hints() Hints {
	h := s.testStore.Hints()
	h.Overlaps = true
	return h
}

// TestASecondBatchBesideTheFirst lets a store be brisk once, then blocks it while
// enough audits for a second batch come.
func TestASecondBatchBesideTheFirst(t *testing.T) {
	for name, c := range map[string]struct {
		overlaps bool
		slow     bool // the Save before was
		fails    bool // the second of the Saves at once does
		want     int  // Saves at once
	}{
		"a store that overlaps":                  {overlaps: true, want: 2},
		"what the second fails is written anew":  {overlaps: true, fails: true, want: 2},
		"not when a Save costs more than events": {overlaps: true, slow: true, want: 1},
		"any other store":                        {want: 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				blocked := []chan error{make(chan error), make(chan error), make(chan error)}
				var saves atomic.Int64
				inner := &overlapStore{testStore{onSave: func(_ context.Context, events []Event) error {
					n := saves.Add(1) - 1
					if n >= int64(len(blocked)) {
						return nil
					}
					if err := <-blocked[n]; err != nil {
						return FailAll(len(events), Failure{Err: err, Retry: true})
					}
					return nil
				}}}
				var store Store = inner
				if !c.overlaps {
					store = &inner.testStore
				}
				rec := newTestRecorder(t, store, Config{})
				var results []<-chan error
				audit := func(n int) {
					for range n {
						results = append(results, auditAsync(rec, "x"))
					}
					synctest.Wait()
				}
				audit(1)
				if c.slow {
					time.Sleep(2 * briskEvent)
				}
				close(blocked[0])
				synctest.Wait()

				audit(1)
				audit(3 * enough)
				if got := underWay(rec); got != c.want {
					t.Errorf("%d Saves at once, want %d", got, c.want)
				}
				if s := rec.Stats(); s.Pending != 1+3*enough {
					t.Errorf("%d pending, want %d", s.Pending, 1+3*enough)
				}
				// The writer has written all that waits and rests when the second Save ends.
				close(blocked[1])
				synctest.Wait()
				if c.fails {
					blocked[2] <- errStore
				}
				close(blocked[2])
				for _, r := range results {
					wantErr(t, <-r)
				}
				if s := rec.Stats(); s.Stored != uint64(len(results)) || s.Attempted != s.Stored {
					t.Errorf("stats %+v, want %d stored", s, len(results))
				}
				wantErr(t, rec.Close(t.Context()))
				if inner.late {
					t.Error("closed while a Save was under way")
				}
			})
		})
	}
}

// TestCloseWaitsForBothSaves closes the store only when neither is under way.
func TestCloseWaitsForBothSaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBlocker()
		store := &overlapStore{testStore{onSave: b.save}}
		rec := newTestRecorder(t, store, Config{})
		rec.brisk = true
		auditAsync(rec, "x")
		synctest.Wait() // else it may share its Save with the others
		for range enough {
			auditAsync(rec, "x")
		}
		synctest.Wait()
		closed := make(chan error)
		go func() { closed <- rec.Close(context.Background()) }()
		for range 2 {
			synctest.Wait()
			if store.closes != 0 {
				t.Error("closed while a Save was under way")
			}
			b.answer <- nil
		}
		wantErr(t, <-closed)
		if s := rec.Stats(); s.Stored != 1+enough || store.closes != 1 {
			t.Errorf("stats %+v, %d times closed", s, store.closes)
		}
	})
}

// underWay counts the batches that are being written.
func underWay(rec *Recorder) (n int) {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	for _, o := range rec.outs {
		if len(o.batch) > 0 {
			n++
		}
	}
	return n
}

// panicky is a store that cannot say how it wants to be written to, as a typed nil.
type panicky struct{ Store }

func (p *panicky) Hints() Hints { return Hints{Prompt: p.Store != nil} }

func TestATypedNilIsNoStore(t *testing.T) {
	var store *panicky
	rec, err := New(store, Config{})
	if rec != nil || err == nil || !strings.Contains(err.Error(), "nil that came with an error") {
		t.Errorf("New gave %v, %v; want an error that names the fix", rec, err)
	}
}

// TestLookupTakesTheAuditsTime: an origin that does not answer is not blamed on the store.
func TestLookupTakesTheAuditsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rec := newTestRecorder(t, &testStore{}, Config{Timeout: 50 * time.Millisecond})
		began := time.Now()
		err := Audit(NewContext(t.Context(), rec, testOrigin{user: func(ctx context.Context) (string, error) {
			<-ctx.Done()
			return "late", nil
		}}), "x", nil)
		if took := time.Since(began); took != 50*time.Millisecond {
			t.Errorf("Audit took %v, want the audit's time", took)
		}
		if !errors.Is(err, ErrTimeout) || !strings.Contains(err.Error(), "looking up who acts") {
			t.Errorf("got %v, want a timeout that names the lookup", err)
		}
		if s := rec.Stats(); s.Failed != 1 || s.Attempted != 1 {
			t.Errorf("stats %+v, want one failed", s)
		}
	})
}
