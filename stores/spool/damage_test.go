package spool

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/auditing-go/auditing/core"
)

// files is what is in the directory of a spool.
type files map[string]string

func readFiles(t testing.TB, dir string) files {
	t.Helper()
	found := files{}
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		b, err2 := os.ReadFile(filepath.Join(dir, e.Name()))
		if found[e.Name()] = string(b); err2 != nil {
			err = err2
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func (f files) write(t testing.TB) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for name, text := range f {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func (f files) with(name, text string) files {
	g := maps.Clone(f)
	g[name] = text
	return g
}

func flip(text string, bit int) string {
	b := []byte(text)
	b[bit/8] ^= 1 << (bit % 8)
	return string(b)
}

// makeSpool makes a closed spool with 20 events that are set aside and 150 that wait,
// in several segments.
func makeSpool(t testing.TB) (files, []core.Event) {
	t.Helper()
	dir := t.TempDir()
	next := &memory{answer: refuseAll}
	tune := quick()
	s := openSpool(t, dir, next, Config{}, tune)
	events := eventsOf(170)
	events[100].Fields["large"] = strings.Repeat("large ", 500)
	save(t, s, events[:20]...)
	flush(t, s)
	next.set(true, nil)
	for i := 20; i < len(events); i += 10 {
		save(t, s, events[i:i+10]...)
	}
	closeSpool(t, s)
	return readFiles(t, dir), events
}

// compare reads everything: nothing may differ, and at least so many be there.
func compare(s *Store, want []core.Event, least int) error {
	texts := map[uuid.UUID]string{}
	for _, e := range want {
		texts[e.ID] = string(e.AppendJSON(nil))
	}
	page, err := s.Read(context.Background(), core.Query{Limit: core.MaxLimit})
	if err != nil {
		return err
	}
	for _, e := range page.Events {
		if got := string(e.AppendJSON(nil)); got != texts[e.ID] {
			return fmt.Errorf("wrong data: %.200s, want %.200s", got, texts[e.ID])
		}
	}
	if len(page.Events) < least {
		return fmt.Errorf("%d events are there, want %d of %d", len(page.Events), least, len(want))
	}
	return nil
}

var silent = Config{Logger: slog.New(slog.DiscardHandler)}

// tryDamaged opens a damaged spool: either that is refused and changes nothing, and
// Salvage finds all but lost events, or everything is there. It reports the former.
func tryDamaged(t *testing.T, what string, f files, want []core.Event, lost int, salvage bool) (noticed bool) {
	t.Helper()
	dir := f.write(t)
	defer os.RemoveAll(dir)
	s, err := open(dir, &nextStore{store: &memory{down: true}}, silent, quick())
	if err == nil {
		defer s.Close(context.Background())
		if err := compare(s, want, len(want)); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		return false
	}
	if !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), "Salvage") || !strings.Contains(err.Error(), dir) {
		t.Fatalf("%s: Open: %v", what, err)
	}
	if !maps.Equal(readFiles(t, dir), f) {
		t.Fatalf("%s: Open changed the damaged spool", what)
	}
	if !salvage {
		return true
	}
	into := filepath.Join(t.TempDir(), "salvaged")
	found, err := Salvage(dir, into)
	if err != nil {
		t.Fatalf("%s: Salvage: %v", what, err)
	}
	if !maps.Equal(readFiles(t, dir), f) {
		t.Fatalf("%s: Salvage changed the damaged spool", what)
	}
	if s, err = open(into, &nextStore{store: &memory{down: true}}, silent, quick()); err != nil {
		t.Fatalf("%s: Open of what was salvaged: %v", what, err)
	}
	defer s.Close(context.Background())
	if err := compare(s, want, len(want)-lost); err != nil {
		t.Fatalf("%s: salvaged %+v: %v", what, found, err)
	}
	if st := s.Stats(); int(st.Waiting) != found.Waiting || int(st.SetAside) != found.SetAside || found.Unreadable > lost {
		t.Fatalf("%s: Salvage says %+v, and the stats are %+v", what, found, st)
	}
	if _, err := Salvage(dir, into); err == nil {
		t.Fatalf("%s: Salvage into a spool", what)
	}
	return true
}

// TestDamage flips bits, cuts files and removes them, with -spool.long more: Open names
// what is damaged, or everything is there as it was saved.
func TestDamage(t *testing.T) {
	t.Parallel()
	sound, want := makeSpool(t)
	if tryDamaged(t, "nothing", sound, want, 0, false) {
		t.Fatal("a sound spool was refused")
	}
	step := 4999
	if *long > 0 {
		step = 97
	}
	tried, noticed := 0, 0
	for name, text := range sound {
		if name == ownerName {
			continue
		}
		each := step
		if name == cursorName {
			each = 1
		}
		for bit := 0; bit < 8*len(text); bit += each {
			tried++
			// One sector has at most three records, or a part of them.
			if tryDamaged(t, fmt.Sprintf("bit %d of %s", bit, name), sound.with(name, flip(text, bit)), want, 4, tried%20 == 0) {
				noticed++
			} else if bit < 8*sectorSize {
				t.Fatalf("bit %d of %s was flipped and nobody noticed", bit, name)
			}
		}
		for n := len(text) - 1; n >= 0; n -= 1 + len(text)/23 {
			tried++
			if !tryDamaged(t, fmt.Sprintf("%s cut to %d", name, n), sound.with(name, text[:n]), want, len(want), tried%5 == 0) {
				t.Fatalf("%s was cut to %d bytes of %d and nobody noticed", name, n, len(text))
			}
		}
		without := maps.Clone(sound)
		delete(without, name)
		if !tryDamaged(t, name+" is missing", without, want, len(want), true) {
			t.Fatalf("%s is missing and nobody noticed", name)
		}
	}
	t.Logf("%d times damaged", tried)
	if noticed < tried/4 {
		t.Errorf("only %d flipped bits of %d were noticed", noticed, tried)
	}
}

// newestOf returns the name of the newest segment.
func newestOf(f files) (name string) {
	for n := range f {
		if strings.HasPrefix(n, waitingName) && strings.HasSuffix(n, logSuffix) && n > name {
			name = n
		}
	}
	return name
}

// TestTornSave loses any of the sectors of a Save that did not return: it is there or
// it is not, and what is written after it is found.
func TestTornSave(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := openSpool(t, dir, &memory{down: true}, Config{}, quick())
	events := eventsOf(20)
	save(t, s, events[:10]...)
	before := s.log.newest().end
	early := readFiles(t, dir) // a later cursor may know of the last Save
	save(t, s, events[10:15]...)
	after := s.log.newest().end
	crashed := readFiles(t, dir).with(cursorName, early[cursorName])
	name := newestOf(crashed)
	n := int(after - before)
	if n < 2 || n > 8 {
		t.Fatalf("the last Save took %d sectors", n)
	}
	for lost := 1; lost < 1<<n; lost++ {
		image := []byte(crashed[name])
		for i := range n {
			if lost>>i&1 == 1 {
				clear(image[(int(before)+i)*sectorSize:][:sectorSize])
			}
		}
		dir := crashed.with(name, string(image)).write(t)
		for round := range 3 {
			next := &memory{down: true}
			s, err := open(dir, &nextStore{store: next}, silent, quick())
			if err != nil {
				t.Fatalf("without the sectors %b of the last Save, round %d: %v", lost, round, err)
			}
			want := events[:10]
			if round > 0 {
				want = append(want[:10:10], events[15:15+round]...)
			}
			if err := sameIDs(readAll(t, s, core.Query{}), want); err != nil {
				t.Fatalf("without the sectors %b of the last Save, round %d: %v", lost, round, err)
			}
			if err := s.Save(t.Context(), events[15+round:16+round]); err != nil {
				t.Fatal(err)
			}
			closeSpool(t, s)
		}
	}
}

// TestLostAfterClose: what a Close has seen on the disk cannot get lost unnoticed.
func TestLostAfterClose(t *testing.T) {
	dir := t.TempDir()
	s := openSpool(t, dir, &memory{down: true}, Config{}, quick())
	save(t, s, eventsOf(1)...)
	before := s.log.newest().end
	save(t, s, eventsOf(1)...)
	closeSpool(t, s)
	f := readFiles(t, dir)
	name := newestOf(f)
	image := []byte(f[name])
	clear(image[int(before)*sectorSize:])
	if _, err := open(f.with(name, string(image)).write(t), &nextStore{store: &memory{}}, silent, quick()); !errors.Is(err, ErrDamaged) {
		t.Errorf("the last Save is gone, and Open says %v", err)
	}
}

// TestFailedWrite: a segment that could not be written is left, with what may have
// reached it.
func TestFailedWrite(t *testing.T) {
	noLeaks(t)
	dir := t.TempDir()
	next := &memory{down: true}
	s := openSpool(t, dir, next, Config{}, quick())
	events := eventsOf(30)
	save(t, s, events[:10]...)
	seg := s.log.newest()
	r := recordOf(events[29])
	r.seq = s.log.next
	if _, err := s.log.file.WriteAt(new(groupWriter).write([]record{r}, seg, seg.end), int64(seg.end)*sectorSize); err != nil {
		t.Fatal(err)
	}
	s.log.file.Close()
	s.log.file, _ = os.Open(seg.path) // which cannot be written to
	save(t, s, events[10:20]...)
	if s.log.newest() == seg {
		t.Fatal("the segment was written to")
	}
	closeSpool(t, s)
	s = openSpool(t, dir, next, Config{}, quick())
	if err := sameIDs(readAll(t, s, core.Query{}), events[:20]); err != nil {
		t.Error(err)
	}
	next.set(false, nil)
	flush(t, s)
	if err := next.has(events[:20]...); err != nil || len(next.order) != 20 {
		t.Errorf("%d events arrived (%v), want 20", len(next.order), err)
	}
}

// TestDirectoryGone: a directory that is moved or deleted is noticed by the next Save,
// and what was in it goes on when it is back.
func TestDirectoryGone(t *testing.T) {
	noLeaks(t)
	dir := filepath.Join(t.TempDir(), "spool")
	next := &memory{down: true}
	s := openSpool(t, dir, next, Config{}, quick())
	events := eventsOf(100)
	save(t, s, events[:40]...)
	segment := s.log.newest().path
	kept, err := os.ReadFile(segment)
	if err = errors.Join(err, os.Rename(segment, segment+".moved"), os.WriteFile(segment, kept, 0o600)); err != nil {
		t.Fatal(err)
	}
	if err := s.Save(t.Context(), events[40:41]); err == nil {
		t.Error("Save to a segment in whose place is a copy gave no error")
	}
	if err := errors.Join(os.Rename(segment+".moved", segment), os.Rename(dir, dir+".moved")); err != nil {
		t.Fatal(err)
	}
	for _, again := range []bool{false, true} {
		if again { // another one in its place is not ours
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
		}
		err := s.Save(t.Context(), events[40:50])
		var batch *core.BatchError
		if !errors.As(err, &batch) || batch.Failures[0].Unknown || !strings.Contains(err.Error(), "moved") {
			t.Errorf("Save into a directory that was moved: %v", err)
		}
	}
	// The spool may just be making a file ahead of time.
	eventually(t, "bringing it back", func() bool { return os.RemoveAll(dir) == nil && os.Rename(dir+".moved", dir) == nil })
	save(t, s, events[40:]...)
	next.set(false, nil)
	flush(t, s)
	if err := next.has(events...); err != nil {
		t.Error(err)
	}
	eventually(t, "deleting the directory", func() bool { return os.RemoveAll(dir) == nil })
	if err := s.Save(t.Context(), events[:1]); err == nil {
		t.Error("Save into a directory that was deleted gave no error")
	}
	s.Close(t.Context()) // cannot say how far it came
}

// TestFilesShrink: segments go when the next store has what was in them.
func TestFilesShrink(t *testing.T) {
	dir := t.TempDir()
	next := &memory{down: true}
	s := openSpool(t, dir, next, Config{}, quick())
	for i := range 40 {
		save(t, s, eventsOf(50)...)
		if i == 20 {
			save(t, s, eventsOf(400)...) // which makes a larger one
		}
	}
	full := s.Stats().FileBytes
	next.set(false, nil)
	flush(t, s)
	save(t, s, eventsOf(1)...)
	flush(t, s)
	eventually(t, "freeing segments", func() bool {
		found, err := os.ReadDir(dir)
		return err == nil && len(found) <= 6 && s.Stats().FileBytes <= 200<<10
	})
	if full < 500<<10 {
		t.Errorf("only %d bytes were full", full)
	}
}

// TestRetryCutShort: what a Retry has moved and not yet left counts once.
func TestRetryCutShort(t *testing.T) {
	dir := t.TempDir()
	next := &memory{answer: refuseAll}
	s := openSpool(t, dir, next, Config{}, quick())
	events := eventsOf(10)
	save(t, s, events...)
	flush(t, s)
	next.set(true, nil)
	var records []record
	for r, err := range s.counting(s.aside, s.setAside) {
		if err != nil {
			t.Fatal(err)
		}
		records = append(records, r)
	}
	if _, err := s.aside.append(records[5:]); err != nil {
		t.Fatal(err)
	}
	for i := range records[:5] {
		records[i].setAt, records[i].reason = 0, ""
	}
	if _, err := s.log.append(records[:5]); err != nil {
		t.Fatal(err)
	}
	closeSpool(t, s)
	s = openSpool(t, dir, next, Config{}, quick())
	if st := s.Stats(); st.SetAside != 10 || st.Waiting != 0 {
		t.Errorf("the stats are %+v, want 10 set aside", st)
	}
	if err := sameIDs(readAll(t, s, core.Query{}), events); err != nil {
		t.Error(err)
	}
	next.set(false, nil)
	if n, err := s.Retry(t.Context()); n != 10 || err != nil {
		t.Errorf("Retry = %d, %v", n, err)
	}
	flush(t, s)
	if err := next.has(events...); err != nil || next.twice > 0 {
		t.Errorf("%d came twice (%v)", next.twice, err)
	}
	if st := s.Stats(); st.Bytes != 0 || st.SetAside != 0 {
		t.Errorf("the stats are %+v, want nothing left", st)
	}
}
