package spool

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.etcd.io/bbolt"

	"github.com/auditing-go/auditing/core"
)

// crashed copies the files of an open spool, as a crash would leave them.
func crashed(t *testing.T, s *Store) string {
	t.Helper()
	dir := t.TempDir()
	if err := s.acquire(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer s.release()
	if err := os.CopyFS(filepath.Join(dir, "copy"), os.DirFS(s.dir)); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "copy")
}

// TestCrashAnywhere: after each Save, and while its events are passed on, the files
// hold all that was acknowledged and is not in the next store.
func TestCrashAnywhere(t *testing.T) {
	next := &memory{}
	tune := quick()
	tune.settleEvents, tune.settleDelay = 1000, time.Hour
	s := openSpool(t, t.TempDir(), next, Config{}, tune)
	refuse := func(m *memory, _ context.Context, events []core.Event) error {
		m.keep(events[1:]...)
		return &core.BatchError{Failures: []core.Failure{{Index: 0, Err: errors.New("no")}}}
	}
	events := eventsOf(120)
	saved := 0
	for round, step := range []struct {
		events int
		down   bool
		answer func(*memory, context.Context, []core.Event) error
	}{{1, true, nil}, {3, true, nil}, {1, false, nil}, {20, true, nil}, {5, true, nil}, {60, true, nil}, {2, true, nil}, {4, false, refuse}, {1, true, nil}, {9, false, nil}, {14, true, nil}} {
		next.set(step.down, step.answer)
		save(t, s, events[saved:saved+step.events]...)
		saved += step.events
		if !step.down {
			flush(t, s)
		}
		after := &memory{down: true}
		copied := openSpool(t, crashed(t, s), after, Config{}, tune)
		have := readAll(t, copied, core.Query{Limit: core.MaxLimit})
		next.mu.Lock()
		for _, e := range events[:saved] {
			_, passed := next.events[e.ID]
			waits := slices.ContainsFunc(have, func(h core.Event) bool { return h.ID == e.ID })
			if !passed && !waits {
				t.Errorf("round %d: event %s is gone", round, e.ID)
			}
		}
		next.mu.Unlock()
		want := s.Stats()
		if got := copied.Stats(); got.SetAside != want.SetAside || got.Waiting < want.Waiting {
			t.Errorf("round %d: after the crash %d wait and %d are set aside; before, it was %d and %d", round, got.Waiting, got.SetAside, want.Waiting, want.SetAside)
		}
		save(t, copied, eventsOf(30)...)
		after.set(false, nil)
		flush(t, copied)
		closeSpool(t, copied)
		if c, err := check(copied.path()); err != nil || c.first != c.next {
			t.Errorf("round %d: closed after the crash: %+v, %v", round, c, err)
		}
	}
	if st := s.Stats(); st.SetAside == 0 || st.Waiting == 0 {
		t.Errorf("so little happened that the test proves nothing: %+v", st)
	}
}

// TestSalvageJournal: of a damaged journal everything is salvaged but what was in the
// damaged sector.
func TestSalvageJournal(t *testing.T) {
	s := openSpool(t, t.TempDir(), &memory{down: true}, Config{}, quick())
	events := eventsOf(12)
	save(t, s, events[:6]...) // several sectors
	save(t, s, events[6:]...)
	dir := crashed(t, s)
	path := filepath.Join(dir, journalName)
	image, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	image[2*sectorSize+100] ^= 1
	if err := os.WriteFile(path, image, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir, &memory{}, Config{}); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), "sector 2") {
		t.Fatalf("Open: %v", err)
	}
	into := filepath.Join(t.TempDir(), "salvaged")
	found, err := Salvage(dir, into)
	if err != nil {
		t.Fatal(err)
	}
	salvaged := openSpool(t, into, &memory{down: true}, Config{}, quick())
	have := readAll(t, salvaged, core.Query{Limit: core.MaxLimit})
	if n := len(have); n < 8 || n == 12 || found.Waiting != n || found.Unreadable == 0 {
		t.Errorf("%d of 12 events were salvaged: %+v", n, found)
	}
	if err := os.Remove(filepath.Join(dir, fileName)); err != nil {
		t.Fatal(err)
	}
	into = filepath.Join(t.TempDir(), "salvaged")
	if again, err := Salvage(dir, into); err != nil || again != found {
		t.Errorf("without %s: %+v, want %+v (%v)", fileName, again, found, err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, err := Salvage(dir, into+"2"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without any file: %v", err)
	}
	for _, e := range have {
		if !slices.ContainsFunc(events, func(w core.Event) bool {
			return bytes.Equal(w.AppendJSON(nil), e.AppendJSON(nil))
		}) {
			t.Errorf("salvaged %v, which was never saved", e)
		}
	}
}

// TestWithoutJournal: a spool of a version that had none gets one; one that had it
// and lost it is damaged.
func TestWithoutJournal(t *testing.T) {
	s := openSpool(t, t.TempDir(), &memory{down: true}, Config{}, quick())
	save(t, s, eventsOf(3)...)
	closeSpool(t, s)
	if err := os.Remove(filepath.Join(s.dir, journalName)); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(s.dir, &memory{}, Config{}); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), "missing") {
		t.Errorf("with the journal lost: %v", err)
	}
	if err := os.WriteFile(filepath.Join(s.dir, lockName), []byte("- "+fileName+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s = openSpool(t, s.dir, &memory{down: true}, Config{}, quick())
	if st := s.Stats(); st.Waiting != 3 {
		t.Errorf("of a spool without a journal %d events wait, want 3", st.Waiting)
	}
	// What the lock's file says may be lost with the power; the journal is not.
	save(t, s, eventsOf(2)...)
	dir := crashed(t, s)
	if err := os.Truncate(filepath.Join(dir, lockName), 0); err != nil {
		t.Fatal(err)
	}
	s = openSpool(t, dir, &memory{down: true}, Config{}, quick())
	if st := s.Stats(); st.Waiting != 5 {
		t.Errorf("with an empty lock file %d events wait, want 5", st.Waiting)
	}
	for _, lost := range [][]string{{fileName}, {fileName, lockName}, {journalName}} {
		dir := crashed(t, s)
		for _, name := range lost {
			if err := os.Remove(filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := Open(dir, &memory{}, Config{}); !errors.Is(err, ErrDamaged) {
			t.Errorf("without %v: %v", lost, err)
		}
	}
}

// TestJournalHoldsAnEventTwice: an event that was passed on, saved once more and then
// found twice after a crash counts once, also when the file has no space for it.
func TestJournalHoldsAnEventTwice(t *testing.T) {
	next := &memory{}
	s := openSpool(t, t.TempDir(), next, Config{}, quick())
	events := eventsOf(4)
	save(t, s, events[0])
	flush(t, s)
	next.set(true, nil)
	save(t, s, events[:2]...)
	dir := crashed(t, s)
	path := filepath.Join(dir, fileName)
	c, err := check(path)
	if err != nil {
		t.Fatal(err)
	}
	j, records, err := openJournal(dir)
	if err != nil || len(records) != 3 {
		t.Fatalf("the journal holds %d records, want 3 (%v)", len(records), err)
	}
	if err := c.replay(j, records); err != nil || c.next != 2 {
		t.Fatalf("%d events wait, want 2 (%v)", c.next, err)
	}
	if c.tail[0].seq != 0 || c.tail[1].seq != 1 {
		t.Errorf("they have the numbers %d and %d", c.tail[0].seq, c.tail[1].seq)
	}
	if add := recordsOf(c.next, 10); j.fits(add) {
		t.Error("numbers that are in the journal already would be appended to it")
	}
	j.file.Close()
}

// TestReadWhileTheJournalMoves: an event that moves from the journal into the file
// while it is read is found once.
func TestReadWhileTheJournalMoves(t *testing.T) {
	s := openSpool(t, t.TempDir(), &memory{down: true}, Config{}, quick())
	var saved []core.Event
	for range 200 {
		events := eventsOf(3)
		save(t, s, events...)
		saved = append(saved, events...)
		var both sync.WaitGroup
		both.Go(func() {
			if err := s.acquire(t.Context()); err != nil {
				t.Error(err)
				return
			}
			defer s.release()
			if err := s.commit(change{move: true}); err != nil {
				t.Error(err)
			}
		})
		both.Go(func() {
			if err := sameIDs(readAll(t, s, core.Query{Limit: core.MaxLimit}), saved); err != nil {
				t.Error(err)
			}
		})
		both.Wait()
		if t.Failed() {
			return
		}
	}
}

// TestFileReadAnew: what is in memory only goes on behind what the file says.
func TestFileReadAnew(t *testing.T) {
	for _, test := range []struct {
		filed, was  state
		tail        []int // the payloads of what waits in the journal
		first, next uint64
		left        int
	}{
		{filed: state{first: 2, next: 5}, was: state{first: 2, next: 7}, tail: []int{1, 1}, first: 2, next: 7, left: 2},
		{filed: state{first: 5, next: 5}, was: state{first: 9, next: 9}, first: 9, next: 9},
		{filed: state{first: 5, next: 5}, was: state{first: 9, next: 11}, tail: []int{1, 1}, first: 9, next: 11, left: 2},
		// A commit took effect: it moved the tail, and it added two more.
		{filed: state{first: 9, next: 11}, was: state{first: 9, next: 11}, tail: []int{1, 1}, first: 9, next: 11},
		{filed: state{first: 9, next: 13}, was: state{first: 9, next: 11}, tail: []int{1, 1}, first: 9, next: 13},
	} {
		old := contents{state: test.was, tail: recordsOf(test.was.next-uint64(len(test.tail)), test.tail...)}
		c := contents{state: test.filed, filed: test.filed, ids: map[uuid.UUID]struct{}{}}
		c.keep(&old)
		if c.first != test.first || c.next != test.next || len(c.tail) != test.left || len(c.ids) != test.left || c.filed != test.filed {
			t.Errorf("%+v beside %+v with %d in the tail: %d to %d with %d in the tail", test.filed, test.was, len(test.tail), c.first, c.next, len(c.tail))
		}
	}
}

// TestJournalFails: when the journal cannot be written the Save says so, and
// the next one goes into the file.
func TestJournalFails(t *testing.T) {
	next := &memory{down: true}
	s := openSpool(t, t.TempDir(), next, Config{}, quick())
	events := eventsOf(6)
	save(t, s, events[:2]...)
	s.acquire(t.Context())
	s.journal.uncertain = true // as a write without space leaves it
	s.release()
	save(t, s, events[2:4]...)
	if n := len(s.wholeTail()); n > 0 {
		t.Errorf("%d events are only in a journal that failed", n)
	}
	save(t, s, events[4:5]...)
	if n := len(s.wholeTail()); n != 1 {
		t.Errorf("%d events are in the journal that was begun anew, want 1", n)
	}
	s.acquire(t.Context())
	s.journal.file.Close()
	s.release()
	if err := s.Save(t.Context(), events[5:]); !errors.Is(err, os.ErrClosed) {
		t.Errorf("with a journal that cannot be written: %v", err)
	}
	if err := s.Save(t.Context(), events[5:]); !errors.Is(err, os.ErrClosed) || !strings.Contains(err.Error(), "start again") {
		t.Errorf("after that: %v", err)
	}
	if err := s.Close(t.Context()); err == nil {
		t.Error("Close does not say that the journal could not be closed")
	}
	s = openSpool(t, s.dir, next, Config{}, quick())
	if st := s.Stats(); st.Waiting != 5 {
		t.Errorf("after a restart %d events wait, want 5", st.Waiting)
	}
}

// TestASaveIsOneSync: while the next store takes what it is given, and also while it
// does not, a Save writes to the journal alone.
func TestASaveIsOneSync(t *testing.T) {
	for _, down := range []bool{false, true} {
		next := &memory{down: down}
		tune := quick()
		tune.journalBytes = 1 << 20
		tune.minBackoff, tune.maxBackoff = time.Hour, time.Hour // what steps aside is written to the file
		s := openSpool(t, t.TempDir(), next, Config{}, tune)
		commits := func() (n int) {
			s.view(func(_ *disk, tx *bbolt.Tx) error {
				n = tx.ID()
				return nil
			})
			return n
		}
		before := commits()
		events := eventsOf(200)
		for i := range events {
			save(t, s, events[i])
		}
		if !down {
			flush(t, s)
		}
		if n := commits() - before; n != 0 {
			t.Errorf("with the next store away (%t), 200 Saves committed to the file %d times", down, n)
		}
		if st := s.Stats(); down && (st.Waiting != 200 || st.Oldest.IsZero()) || !down && (st.Waiting != 0 || st.Bytes != 0) {
			t.Errorf("with the next store away (%t): %+v", down, st)
		}
	}
}
