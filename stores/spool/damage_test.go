package spool

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/auditing-go/auditing/core"
)

// TestDamage cuts a spool's file, to every length of its last pages, and flips single
// bits in it, of which -spool.long tries more: Open names what is
// damaged, or everything is there as it was saved. It runs in another process,
// because a mistake here ends the process.
func TestDamage(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	arg := dir
	if *long > 0 {
		arg += "?"
	}
	makeDamaged(t, dir)
	cmd, _, out := startChild(t, "damage", arg)
	last := "nothing"
	for {
		line, err := out.ReadString('\n')
		if err != nil {
			break
		}
		if last = strings.TrimSpace(line); strings.HasPrefix(last, "FAIL") {
			t.Error(last)
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v; the last it said was: %s", err, last)
	}
	t.Log(last)
}

// makeDamaged makes the spool that is to be damaged, with everything that a file
// can hold, and beside it what it holds.
func makeDamaged(t *testing.T, dir string) {
	next := &memory{answer: func(_ *memory, _ context.Context, batch []core.Event) error {
		var failures []core.Failure
		for i, e := range batch {
			if n := e.Fields["n"].(int64); n >= 60 {
				failures = append(failures, core.Failure{Index: i, Err: errors.New("refused"), Retry: false})
			}
		}
		if failures == nil {
			return nil
		}
		return &core.BatchError{Failures: failures}
	}}
	tune := quick()
	tune.settleDelay = 0
	s := openSpool(t, dir, next, Config{}, tune)
	passed := eventsOf(80) // 60 leave free pages, 20 are set aside
	save(t, s, passed...)
	flush(t, s)
	next.set(true, nil)
	waiting := eventsOf(150)
	waiting[10].Fields["large"] = strings.Repeat("large ", 2500) // goes on in other pages
	for i := 0; i < len(waiting); i += 10 {
		save(t, s, waiting[i:i+10]...)
	}
	closeSpool(t, s)
	text, err := json.Marshal(append(passed[60:], waiting...))
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "saved.json"), text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func init() { children["damage"] = damageChild }

type damage struct {
	image []byte
	dir   string
	want  map[uuid.UUID]string
	tried int
	found int // what Open noticed
}

func damageChild(dir string) error {
	dir, all := strings.CutSuffix(dir, "?")
	image, err := os.ReadFile(filepath.Join(dir, fileName))
	if err != nil {
		return err
	}
	text, err := os.ReadFile(filepath.Join(dir, "saved.json"))
	if err != nil {
		return err
	}
	var events []core.Event
	if err := json.Unmarshal(text, &events); err != nil {
		return err
	}
	d := damage{dir: filepath.Join(dir, "damaged"), want: map[uuid.UUID]string{}}
	for _, e := range events {
		d.want[e.ID] = string(e.AppendJSON(nil))
	}
	m, err := parseMeta(image[:pageSize])
	if n, err2 := parseMeta(image[pageSize:]); err == nil && err2 == nil && n.txid > m.txid {
		m = n
	}
	if err != nil {
		return err
	}
	used := int(m.pages) * pageSize
	d.image = image
	for _, n := range []int{len(image), len(image) - 1, used + pageSize, used + 1} {
		d.try(fmt.Sprintf("cut to %d of %d bytes, of which %d are used", n, len(image), used), image[:n], true)
	}
	d.image = image[:used]
	d.try("cut to what is used", d.image, true)
	d.cut()
	// Without the flag a sample of the bits, spread over all pages.
	table, values, bits := 1, 3, 8
	if !all {
		table, values, bits = 61, 499, 1
	}
	for page := range int(m.pages) {
		at := page * pageSize
		elements := headerSize + elementSize*pageCount(d.image[at:at+pageSize])
		for i := range pageSize {
			each := values
			switch {
			case page < 2 && i < headerSize+metaSize+8:
				each = (table + 4) / 5
			case i < headerSize:
				each = 1
			case i < elements:
				each = table
			}
			if (i+page)%each != 0 {
				continue
			}
			for b := range bits {
				bit := (b*3 + i + page) % 8
				d.image[at+i] ^= 1 << bit
				d.try(fmt.Sprintf("flipped bit %d of byte %d of page %d", bit, i, page), d.image, false)
				d.image[at+i] ^= 1 << bit
			}
		}
	}
	fmt.Printf("%d times damaged, %d times noticed\n", d.tried, d.found)
	if d.found < d.tried/4 {
		return errors.New("FAIL so few that the test proves nothing")
	}
	return nil
}

// cut cuts the file to every length of its last pages, and further off at the ends
// of pages and within them.
func (d *damage) cut() {
	if err := d.write(d.image); err != nil {
		fmt.Println("FAIL", err)
		return
	}
	last := len(d.image) - 3*pageSize
	for n := len(d.image) - 1; n >= 0; {
		what := fmt.Sprintf("cut to %d of %d bytes", n, len(d.image))
		if err := os.Truncate(d.path(), int64(n)); err != nil {
			fmt.Println("FAIL", err)
			return
		}
		if !d.look(what, d.image[:n], false) {
			fmt.Println("FAIL", what, "went unnoticed")
			return
		}
		switch {
		case n > last:
			n--
		case n%pageSize == 0:
			n -= 1 + pageSize/3
		default:
			n -= n % pageSize
		}
	}
}

func (d *damage) path() string { return filepath.Join(d.dir, fileName) }

func (d *damage) write(image []byte) error {
	os.RemoveAll(d.dir)
	return errors.Join(os.MkdirAll(d.dir, 0o700), os.WriteFile(d.path(), image, 0o600))
}

// try opens one damaged file; sound says that nothing of value is missing.
func (d *damage) try(what string, image []byte, sound bool) {
	if err := d.write(image); err != nil {
		fmt.Println("FAIL", what, err)
		return
	}
	d.look(what, image, sound)
}

// look opens the file, which holds image, and reports whether that was refused.
func (d *damage) look(what string, image []byte, sound bool) (noticed bool) {
	d.tried++
	fmt.Println(what)
	fail := func(format string, args ...any) { fmt.Printf("FAIL "+what+": "+format+"\n", args...) }
	quiet := slog.New(slog.DiscardHandler)
	s, err := open(d.dir, &memory{down: true}, Config{Logger: quiet}, quick())
	if err != nil {
		d.found++
		if !errors.Is(err, ErrDamaged) || sound || !strings.Contains(err.Error(), "Salvage") {
			fail("Open: %v", err)
		}
		if now, _ := os.ReadFile(d.path()); !bytes.Equal(now, image) {
			fail("Open changed the damaged file")
		}
		if d.tried%20 == 0 {
			d.salvage(len(image) == len(d.image), fail)
		}
		return true
	}
	defer s.Close(context.Background())
	if err := d.compare(s, len(d.want)); err != nil {
		fail("%v", err)
	}
	// What went unnoticed does no harm to what is written later.
	if d.tried%20 == 0 {
		extra := eventsOf(30)
		if err := s.Save(context.Background(), extra); err != nil {
			fail("Save: %v", err)
		}
		s.Close(context.Background())
		if _, err := check(d.path()); err != nil {
			fail("after a Save: %v", err)
		}
	}
	return false
}

// compare reads everything: nothing may differ, and at least least be there.
func (d *damage) compare(s *Store, least int) error {
	page, err := s.Read(context.Background(), core.Query{Limit: core.MaxLimit})
	if err != nil {
		return fmt.Errorf("reading: %w", err)
	}
	for _, e := range page.Events {
		if got := string(e.AppendJSON(nil)); got != d.want[e.ID] {
			return fmt.Errorf("wrong data: %.200s, want %.200s", got, d.want[e.ID])
		}
	}
	if len(page.Events) < least {
		return fmt.Errorf("%d events of %d are there", len(page.Events), len(d.want))
	}
	return nil
}

// salvage copies what is readable: with one bit turned that is all but one page.
func (d *damage) salvage(oneBit bool, fail func(string, ...any)) {
	into := d.dir + ".salvaged"
	os.RemoveAll(into)
	found, err := Salvage(d.dir, into)
	if err != nil {
		fail("Salvage: %v", err)
		return
	}
	s, err := open(into, &memory{down: true}, Config{Logger: slog.New(slog.DiscardHandler)}, quick())
	if err != nil {
		fail("Open of what was salvaged: %v", err)
		return
	}
	defer s.Close(context.Background())
	least := 0
	if oneBit {
		least = len(d.want) - pageSize/150
	}
	page, err := s.Read(context.Background(), core.Query{Limit: core.MaxLimit})
	ours := 0
	for _, e := range page.Events {
		if want, ok := d.want[e.ID]; ok {
			ours++
			if got := string(e.AppendJSON(nil)); got != want {
				fail("salvaged wrong data: %.200s", got)
			}
		}
	}
	if err != nil || ours < least || found.Waiting+found.SetAside != len(page.Events) {
		fail("Salvage found %+v, of which %d of %d are ours and %d can be read (%v)", found, ours, len(d.want), len(page.Events), err)
	}
}
