package spool

import (
	"flag"
	"path/filepath"
	"testing"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/stores/sqlite"
	"github.com/auditing-go/auditing/stores/storetest"
)

// TestContract runs the suite on a spool whose next store takes everything.
func TestContract(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) core.Store {
		return openSpool(t, t.TempDir(), &memory{}, Config{}, defaultTuning)
	})
}

var long = flag.Duration("spool.long", 0, "how long the tests that go in rounds take; with it, the slow ones run too")

// TestContractOnSQLite is the same with a real store behind.
func TestContractOnSQLite(t *testing.T) {
	if *long == 0 {
		t.Skip("half a minute: run with -spool.long=30s")
	}
	t.Parallel()
	storetest.Run(t, func(t *testing.T) core.Store {
		next, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "audits.db"), sqlite.Config{})
		if err != nil {
			t.Fatal(err)
		}
		return openSpool(t, t.TempDir(), next, Config{}, defaultTuning)
	})
}

// noFlush is a spool whose Flush could not succeed.
type noFlush struct {
	core.Store
	core.Reader
	core.Closer
}

// TestContractWhileTheNextIsAway: what is acknowledged can be read all the same.
func TestContractWhileTheNextIsAway(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) core.Store {
		s := openSpool(t, t.TempDir(), &memory{down: true}, Config{}, quick())
		return noFlush{s, s, s}
	})
}

// TestContractAfterRestarts runs the cases in which a second handle reads what a
// first one saved; here the first is closed and the directory opened again.
func TestContractAfterRestarts(t *testing.T) {
	noLeaks(t)
	dir := t.TempDir()
	next := &memory{down: true}
	events := eventsOf(1000)
	for i := 0; i < len(events); i += 100 {
		s := openSpool(t, dir, next, Config{}, quick())
		save(t, s, events[i:i+100]...)
		save(t, s, events[:i+100]...) // all again
		if err := sameIDs(readAll(t, s, core.Query{Limit: 77}), events[:i+100]); err != nil {
			t.Fatalf("after %d events: %v", i+100, err)
		}
		closeSpool(t, s)
	}
	next.set(false, nil)
	s := openSpool(t, dir, next, Config{}, quick())
	flush(t, s)
	if err := next.has(events...); err != nil {
		t.Error(err)
	}
	if next.twice > 0 {
		t.Errorf("%d events were passed on twice without a crash", next.twice)
	}
}
