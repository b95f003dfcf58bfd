//go:build linux

package spool

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"

	"github.com/auditing-go/auditing/core"
)

// TestNoSpace: while the file cannot grow, Save says so and loses nothing; when it
// can again, everything goes on.
func TestNoSpace(t *testing.T) {
	t.Parallel()
	cmd, _, out := startChild(t, "no space", t.TempDir())
	for {
		line, err := out.ReadString('\n')
		if err != nil {
			break
		}
		t.Log(strings.TrimSpace(line))
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}

func init() {
	children["no space"] = func(dir string) error {
		signal.Ignore(syscall.SIGXFSZ)
		limit := func(n uint64) {
			var l syscall.Rlimit
			syscall.Getrlimit(syscall.RLIMIT_FSIZE, &l)
			l.Cur = n
			if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &l); err != nil {
				fmt.Println(err)
			}
		}
		ctx := context.Background()
		next := &memory{down: true}
		s, err := open(dir, next, Config{Logger: slog.New(slog.DiscardHandler)}, quick())
		if err != nil {
			return err
		}
		limit(5 << 20) // the file grows in steps of 4 MiB
		var stored []core.Event
		var failed []core.Event
		for len(failed) < 500 {
			events := eventsOf(500)
			if err := s.Save(ctx, events); err == nil {
				stored = append(stored, events...)
			} else if failed = events; !strings.Contains(err.Error(), "file too large") {
				return fmt.Errorf("without space Save returned %w", err)
			}
			if len(stored) > 100_000 {
				return errors.New("the limit had no effect")
			}
		}
		fmt.Println(len(stored), "events were stored before the space ended")
		page, err := s.Read(ctx, core.Query{Limit: core.MaxLimit})
		if err != nil || len(page.Events) != min(len(stored), core.MaxLimit) {
			return fmt.Errorf("without space %d events of %d can be read (%w)", len(page.Events), len(stored), err)
		}
		limit(1 << 40)
		if err := s.Save(ctx, failed); err != nil {
			return fmt.Errorf("with space again: %w", err)
		}
		next.set(false, nil)
		if err := s.Flush(ctx); err != nil {
			return err
		}
		return errors.Join(next.has(append(stored, failed...)...), s.Close(ctx))
	}
}

// TestDivergedFile: a commit of which nobody learnt that it took effect is found
// out about before the next write, and what the journal holds beside it is kept.
func TestDivergedFile(t *testing.T) {
	noLeaks(t)
	next := &memory{down: true}
	s := openSpool(t, t.TempDir(), next, Config{}, quick())
	events := eventsOf(40)
	save(t, s, events[:10]...)
	if len(s.wholeTail()) != 10 {
		t.Fatal("the journal was not used")
	}
	commit := func(events []core.Event, forget bool) {
		t.Helper()
		records := make([]record, len(events))
		for i, e := range events {
			records[i] = recordOf(e)
		}
		if err := s.acquire(t.Context()); err != nil {
			t.Fatal(err)
		}
		defer s.release()
		s.mu.Lock()
		before := s.contents
		s.mu.Unlock()
		if err := s.commit(change{add: records}); err != nil {
			t.Fatal(err)
		}
		if !forget {
			return
		}
		s.mu.Lock() // as if it had failed after its bytes were written
		s.contents, s.unsure = before, true
		for _, e := range events {
			delete(s.ids, e.ID)
		}
		s.mu.Unlock()
	}
	commit(events[10:20], true)
	save(t, s, events[10:30]...)
	if st := s.Stats(); st.Waiting != 30 {
		t.Errorf("%d events wait, want 30", st.Waiting)
	}
	commit(nil, true)
	if err := s.acquire(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	s.contents.filed.next++ // something else is wrong with the file
	s.mu.Unlock()
	if err := s.commit(change{move: true}); !errors.Is(err, errDiverged) || !s.unsure || s.broken != nil {
		t.Errorf("a commit to a file that is not as it was left: %v, %t, %v", err, s.unsure, s.broken)
	}
	s.release()
	save(t, s, events[30:]...)
	next.set(false, nil)
	flush(t, s)
	if err := next.has(events...); err != nil || next.twice > 0 {
		t.Errorf("%v, %d came twice", err, next.twice)
	}
}

// TestFailedSettleIsTriedAgain: when what was passed on cannot be taken off the file
// for a while, the rest is passed on after that, although nobody saves anything.
func TestFailedSettleIsTriedAgain(t *testing.T) {
	noLeaks(t)
	next := &memory{down: true}
	var log logs
	tune := quick()
	tune.batchEvents = 5
	s := openSpool(t, t.TempDir(), next, Config{Logger: log.logger()}, tune)
	events := eventsOf(400)
	save(t, s, events...)
	if err := s.acquire(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	s.contents.filed.setAside++
	s.mu.Unlock()
	if s.commit(change{}) == nil {
		t.Fatal("a commit to a file that is not as it was left did not fail")
	}
	moved := s.path() + ".away" // so that it cannot be looked at either
	if err := os.Rename(s.path(), moved); err != nil {
		t.Fatal(err)
	}
	s.release()
	next.set(false, nil)
	// More often than batches that end could ask for.
	eventually(t, "trying again", func() bool { return log.count("stays in it for now") > 3*maxWindow })
	if err := os.Rename(moved, s.path()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "passing on the rest", func() bool { return next.has(events...) == nil })
}

// TestUnknownCommitIsNotPassedOn: what a commit wrote of which nobody learnt that it
// took effect is behind the end that is known, up to which a batch reads.
func TestUnknownCommitIsNotPassedOn(t *testing.T) {
	for _, journalBytes := range []int64{0, 1 << 20} {
		tune := quick()
		tune.journalBytes = journalBytes
		s := openSpool(t, t.TempDir(), &memory{down: true}, Config{}, tune)
		save(t, s, eventsOf(20)...)
		b := &batch{from: 5, to: 5}
		if err := s.fill(b, 12); err != nil || b.to != 12 || len(b.records) != 7 || b.records[6].seq != 11 {
			t.Errorf("with a journal of %d bytes the batch ends at %d with %d records (%v), want 12", journalBytes, b.to, len(b.records), err)
		}
	}
}
