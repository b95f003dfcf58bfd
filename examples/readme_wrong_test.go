package examples

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/google/uuid"

	"github.com/auditing-go/auditing/core"
)

// scenario is a row of core/README.md's table "When things go wrong": its cells, and
// their proof.
type scenario struct {
	what, returns, counts, then string
	// prove makes one audit as the first cell says and returns its error and what
	// its recorder then counts. It fails the test when the last cell does not hold.
	prove func(t *testing.T) (core.Stats, error)
	// real says that prove needs the network, and so the time of the clock.
	real bool
}

var scenarios = []scenario{
	{
		what: "nobody is signed in", returns: "`nil`", counts: "`Cancelled`",
		then:  "Nothing is stored, a warning names the tag. With `Config.RequireUser` it is `core.ErrNoUser` and `Failed`.",
		prove: nobody,
	},
	{
		what: "the user lookup fails or panics", returns: "its error", counts: "`Failed`",
		then:  "Nothing is stored. A session store that is down never passes for nobody, nor does a value that is no user.",
		prove: lookupFails,
	},
	{
		what: "the client hangs up", returns: "`nil`", counts: "`Stored`",
		then:  "An audit does not end with its request.",
		prove: clientGone, real: true,
	},
	{
		what: "the store is away for a moment", returns: "`nil`", counts: "`Stored`",
		then:  "It was tried again until it worked, and is stored once.",
		prove: storeAway,
	},
	{
		what: "the store is down", returns: "`core.ErrTimeout`", counts: "`Failed`",
		then:  "After 5 seconds, or what `Config.Timeout` or `core.Within` says. It is certainly not stored.",
		prove: storeDown,
	},
	{
		what: "the store does not answer a write", returns: "`core.ErrUnknown`", counts: "`Unknown`",
		then:  "After the same time, also when the connection broke in mid-write and the store stays away. The error holds the event's ID; a late answer moves it to `Stored` or `Failed`.",
		prove: noAnswer,
	},
	{
		what: "the queue is full", returns: "`core.ErrQueueFull`", counts: "`Failed`",
		then:  "At once, when 65,536 events or 64 MiB wait.",
		prove: queueFull,
	},
	{
		what: "one event is refused", returns: "the store's error", counts: "`Failed`",
		then:  "The others of its batch are stored.",
		prove: oneRefused,
	},
	{
		what: "somebody has to mend the store first", returns: "the store's error", counts: "`Failed`",
		then:  "At once, as when a right is missing.",
		prove: lasting,
	},
	{
		what: "shutdown begins during the audit", returns: "`nil`", counts: "`Stored`",
		then:  "`Close` waits for it as long as its context allows, and says how many it had to give up.",
		prove: shutdownBegins,
	},
	{
		what: "shutdown is over", returns: "`core.ErrClosed`", counts: "`Failed`",
		then:  "It is certainly not stored.",
		prove: shutdownOver,
	},
	{
		what: "the handler has returned", returns: "`core.ErrRequestOver`", counts: "`Failed`",
		then:  "Take a context from `Detach` on the handler's goroutine and use it with `core.Audit`.",
		prove: handlerReturned,
	},
	{
		what: "no middleware is on the route", returns: "`core.ErrNoRecorder`", counts: "nothing",
		then:  "The error says what to add; `core.SetDefault` names a recorder for such audits.",
		prove: noMiddleware,
	},
}

// TestReadmeWhenThingsGoWrong proves every cell of the table.
func TestReadmeWhenThingsGoWrong(t *testing.T) {
	rows := tableRows(section(t, coreReadme, "When things go wrong"))
	for i, s := range scenarios {
		t.Run(s.what, func(t *testing.T) {
			want := []string{s.what, s.returns, s.counts, s.then}
			if i >= len(rows) || !slices.Equal(rows[i], want) {
				t.Fatalf("row %d of core/README.md is not\n%q", i+1, want)
			}
			if s.real {
				s.check(t)
			} else {
				synctest.Test(t, s.check)
			}
		})
	}
	if len(rows) != len(scenarios) {
		t.Errorf("core/README.md has %d rows, of which %d are proved", len(rows), len(scenarios))
	}
}

// tableRows returns the cells of the first Markdown table in text, without its head.
func tableRows(text string) (rows [][]string) {
	for _, line := range strings.Split(text, "\n") {
		if inner, ok := strings.CutPrefix(line, "| "); ok {
			rows = append(rows, strings.Split(strings.TrimSuffix(inner, " |"), " | "))
		} else if len(rows) > 1 && !strings.HasPrefix(line, "|") {
			break
		}
	}
	return rows[1:]
}

func (s scenario) check(t *testing.T) {
	stats, err := s.prove(t)
	if got := describe(err); got != s.returns {
		t.Errorf("Audit returns %s (%v), core/README.md says %s", got, err, s.returns)
	}
	if got := counted(t, stats); got != s.counts {
		t.Errorf("the audit counts as %s, core/README.md says %s", got, s.counts)
	}
	if audit := new(core.AuditError); err != nil && (!errors.As(err, &audit) || audit.Tag != "refund") {
		t.Errorf("%v is no AuditError that names the tag", err)
	}
}

// The errors that stand in for the application's and for the store's.
var (
	errLookup = errors.New("redis is down")
	errStore  = errors.New("the store's own words")
)

// describe names an error as the README does.
func describe(err error) string {
	for name, known := range map[string]error{
		"`core.ErrNoRecorder`": core.ErrNoRecorder, "`core.ErrNoUser`": core.ErrNoUser, "`core.ErrRequestOver`": core.ErrRequestOver,
		"`core.ErrQueueFull`": core.ErrQueueFull, "`core.ErrClosed`": core.ErrClosed, "`core.ErrTimeout`": core.ErrTimeout, "`core.ErrUnknown`": core.ErrUnknown,
		"its error": errLookup,
	} {
		if errors.Is(err, known) {
			return name
		}
	}
	switch {
	case err == nil:
		return "`nil`"
	case errors.Is(err, errStore):
		return "the store's error"
	}
	return err.Error()
}

// counted names where audits were counted, the worst first, and checks that all are.
func counted(t *testing.T, n core.Stats) string {
	t.Helper()
	if n.Attempted != n.Stored+n.Joined+n.Cancelled+n.Failed+n.Unknown+n.Pending {
		t.Errorf("the numbers do not add up: %+v", n)
	}
	switch {
	case n.Unknown > 0:
		return "`Unknown`"
	case n.Failed > 0:
		return "`Failed`"
	case n.Cancelled > 0:
		return "`Cancelled`"
	case n.Stored > 0:
		return "`Stored`"
	}
	return "nothing"
}

// shelf is a store that can be told to fail.
type shelf struct {
	// answer decides about a Save; nil stores all.
	answer func(events []core.Event) error

	mu    sync.Mutex
	saves int
	kept  map[uuid.UUID]core.Event
}

func (s *shelf) Save(_ context.Context, events []core.Event) error {
	s.mu.Lock()
	s.saves++
	s.mu.Unlock()
	var err error
	if s.answer != nil {
		err = s.answer(events)
	}
	var batch *core.BatchError
	if err != nil && !errors.As(err, &batch) {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, e := range events {
		if batch != nil && slices.ContainsFunc(batch.Failures, func(f core.Failure) bool { return f.Index == i }) {
			continue
		}
		if s.kept == nil {
			s.kept = map[uuid.UUID]core.Event{}
		}
		s.kept[e.ID] = e
	}
	return err
}

func (s *shelf) want(t *testing.T, events int) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.kept) != events {
		t.Errorf("%d events are stored, want %d", len(s.kept), events)
	}
}

// recorder is closed at the end of the test, behind the Cleanup functions that the
// test itself registers.
func recorder(t *testing.T, store core.Store, cfg core.Config) *core.Recorder {
	t.Helper()
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	rec, err := core.New(store, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { rec.Close(context.Background()) })
	return rec
}
