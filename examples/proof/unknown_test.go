package proof_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/auditing-go/auditing/core"
)

// patient is a time within which an audit succeeds once what disturbed it is over.
var patient = core.Config{Timeout: time.Minute}

// behind is a store behind a proxy.
type behind struct {
	place // leads past the proxy
	*proxy
	store core.Store
	rec   *core.Recorder
}

func newBehind(t *testing.T) behind {
	t.Helper()
	b := behind{place: newPlace(t, "postgres_auto")}
	var dsn string
	b.proxy, dsn = through(t, b.dsn)
	b.store = place{b.driver, dsn}.open(t)
	b.rec = record(t, b.store, patient)
	// The tables are there, the overflow among them.
	for _, tag := range []string{"ev", "ev2", "ev3", ""} {
		if err := b.rec.Audit(t.Context(), tag, core.Fields{"n": 0}, core.As("before")); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

// once fails the test unless each event is stored once.
func (b behind) once(t *testing.T, events ...core.Event) {
	t.Helper()
	stored := b.stored(t, "")
	for _, e := range events {
		if n := stored[e.User]; n != 1 {
			t.Errorf("%s is stored %d times", e.User, n)
		}
	}
}

var keys struct {
	sync.Mutex
	n int
}

func newEvent(tag string) core.Event {
	keys.Lock()
	defer keys.Unlock()
	keys.n++
	return core.Event{Tag: tag, User: fmt.Sprintf("key-%06d", keys.n), Fields: core.Fields{"n": keys.n}}.Normalize(0)
}

// save saves events until they are known to be stored, as a recorder would.
func save(t *testing.T, s core.Store, events ...core.Event) {
	t.Helper()
	eventually(t, "saved", func() bool { return s.Save(t.Context(), events) == nil })
}

// eventually waits for what happens somewhere else.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	end := time.After(time.Minute)
	for !done() {
		select {
		case <-tick.C:
		case <-end:
			t.Fatal("still not: " + what)
		}
	}
}

// cutOff runs write while the connections of as many writes are cut.
func (b behind) cutOff(t *testing.T, cuts int, early bool, write func()) {
	t.Helper()
	var all []*cut
	for range cuts {
		c := b.cutNext(early)
		close(c.release)
		all = append(all, c)
	}
	write()
	for i, c := range all {
		select {
		case <-c.reached:
		case <-time.After(time.Minute):
			t.Fatalf("the connection was not cut for the %dth time: the write went another way than the test thinks", i+1)
		}
	}
}

func TestCommitUnknown(t *testing.T) {
	for _, early := range []bool{false, true} {
		name := map[bool]string{false: "cut after the commit", true: "cut while the server works"}[early]
		t.Run(name, func(t *testing.T) {
			for cuts := 1; cuts <= 3; cuts++ {
				t.Run(fmt.Sprint(cuts, " times"), func(t *testing.T) {
					b := newBehind(t)
					t.Run("an audit", func(t *testing.T) {
						e := newEvent("ev")
						b.cutOff(t, cuts, early, func() {
							if err := b.rec.Audit(t.Context(), e.Tag, e.Fields, core.As(e.User)); err != nil {
								t.Error(err)
							}
						})
						b.once(t, e)
					})
					t.Run("several of one tag", func(t *testing.T) {
						events := []core.Event{newEvent("ev"), newEvent("ev"), newEvent("ev")}
						b.cutOff(t, cuts, early, func() { save(t, b.store, events...) })
						b.once(t, events...)
					})
					t.Run("several tags in a pipeline", func(t *testing.T) {
						var events []core.Event
						for range 4 {
							events = append(events, newEvent("ev"), newEvent("ev2"), newEvent("ev3"), newEvent(""))
						}
						b.cutOff(t, cuts, early, func() { save(t, b.store, events...) })
						b.once(t, events...)
					})
				})
			}
		})
	}
}

// overflowUnseen lets an event be written to audit_overflow, because somebody holds
// the name of its table, while nobody learns that it was. The proxy is down then.
// The function it returns gives the name back and has the table made.
func (b behind) overflowUnseen(t *testing.T, write func() core.Event) (e core.Event, makeTable func(other core.Store)) {
	t.Helper()
	d := connect(t, b.dsn)
	execute(t, d, "BEGIN")
	execute(t, d, "CREATE TABLE late (x int)")
	c := b.cutNext(false)
	e = write()
	<-c.reached
	b.goDown()
	close(c.release)
	outside := connect(t, b.dsn)
	var n int
	if err := outside.QueryRow(t.Context(), "SELECT count(*) FROM audit_overflow WHERE username = $1", e.User).Scan(&n); err != nil || n != 1 {
		t.Fatalf("the first attempt left %d rows in audit_overflow, want 1 (%v)", n, err)
	}
	return e, func(other core.Store) {
		t.Helper()
		execute(t, d, "ROLLBACK")
		eventually(t, "another process has made the table", func() (made bool) {
			save(t, other, newEvent("late"))
			if err := outside.QueryRow(t.Context(), "SELECT to_regclass('late') IS NOT NULL").Scan(&made); err != nil {
				t.Fatal(err)
			}
			return made
		})
		save(t, other, newEvent("late")) // now into it
	}
}

func (b behind) other(t *testing.T) core.Store {
	t.Helper()
	other := b.open(t)
	t.Cleanup(func() { other.(core.Closer).Close(context.Background()) })
	return other
}

// TestCommitUnknownThenAnotherTable: the attempt of which nobody learnt the end took
// one table, and the next one would take another.
func TestCommitUnknownThenAnotherTable(t *testing.T) {
	t.Run("overflow, then its own, by another process", func(t *testing.T) {
		b := newBehind(t)
		saved := make(chan error, 1)
		e, makeTable := b.overflowUnseen(t, func() core.Event {
			e := newEvent("late")
			go func() { saved <- b.store.Save(t.Context(), []core.Event{e}) }()
			return e
		})
		if err := <-saved; err == nil {
			t.Error("Save succeeded with the server out of reach")
		}
		other := b.other(t)
		makeTable(other)
		save(t, other, e)
		b.once(t, e)
		b.goUp()
		save(t, b.store, e)
		b.once(t, e)
	})
	t.Run("overflow, then its own, by the same audit", func(t *testing.T) {
		b := newBehind(t)
		audited := make(chan error, 1)
		e, makeTable := b.overflowUnseen(t, func() core.Event {
			e := newEvent("late")
			go func() { audited <- b.rec.Audit(t.Context(), e.Tag, e.Fields, core.As(e.User)) }()
			return e
		})
		makeTable(b.other(t))
		b.goUp()
		if err := <-audited; err != nil {
			t.Error(err)
		}
		b.once(t, e)
	})
	t.Run("its own, then overflow, because it is locked", func(t *testing.T) {
		b := newBehind(t)
		d := connect(t, b.dsn)
		e := newEvent("ev")
		c := b.cutNext(false)
		audited := make(chan error, 1)
		go func() { audited <- b.rec.Audit(t.Context(), e.Tag, e.Fields, core.As(e.User)) }()
		<-c.reached
		execute(t, d, "BEGIN")
		execute(t, d, "LOCK TABLE ev IN ACCESS EXCLUSIVE MODE")
		before := b.tried()
		close(c.release)
		eventually(t, "the locked table has been tried again", func() bool { return b.tried() >= before+2 })
		execute(t, d, "COMMIT")
		if err := <-audited; err != nil {
			t.Error(err)
		}
		b.once(t, e)
	})
}

// TestCommitUnknownAtRandom cuts the connections of random writes of 16 goroutines.
func TestCommitUnknownAtRandom(t *testing.T) {
	b := newBehind(t)
	attempted, acknowledged := map[string]bool{"before": true}, map[string]bool{}
	made := 0
	for goesOn := more(); goesOn() && !t.Failed(); {
		from := fmt.Sprintf("%06d", made)
		for range 3 {
			close(b.cutNext(rand.N(2) == 0).release)
		}
		var mu sync.Mutex
		var all sync.WaitGroup
		for g := range 16 {
			attempt := []string{}
			for range 8 {
				made++
				attempt = append(attempt, fmt.Sprintf("%06d", made))
			}
			all.Go(func() {
				for n, key := range attempt {
					tag := []string{"ev", "ev2", "ev3", ""}[(g+n)%4]
					err := b.rec.Audit(t.Context(), tag, core.Fields{"n": n}, core.As(key))
					mu.Lock()
					attempted[key] = true
					if err != nil {
						t.Errorf("%s: %v", key, err)
					} else {
						acknowledged[key] = true
					}
					mu.Unlock()
				}
			})
		}
		all.Wait()
		stored := b.stored(t, from)
		delete(stored, "before")
		check(t, attempted, since(acknowledged, from), stored)
	}
	t.Logf("%d audits", made)
}
