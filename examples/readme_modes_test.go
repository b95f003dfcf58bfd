package examples

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/nethttpaudit"
)

// moment is a row of core/README.md's table "Durable or best effort". Its cells are
// what a witness sees of one audit, in its own words.
type moment struct {
	what, durable, bestEffort string
	// prove brings the moment about, makes the audit and returns what its caller gets.
	prove func(w *witness) (got string)
}

var moments = []moment{
	{"all is well", "`nil` once it is stored; `Stored`", "`nil` at once; `Stored`", undisturbed},
	{"nobody is signed in", "`nil` at once; `Cancelled`, logged", "the same", unsigned},
	{"the user lookup fails", "its error at once; `Failed`", "the same", lookupDown},
	{"the store is away for a moment", "`nil` once it is stored; `Stored`", "`nil` at once; `Stored`", awayForAMoment},
	{"the store is down", "`core.ErrTimeout` after 5 seconds; `Failed`", "`nil` at once; `Failed`, logged", down},
	{"the store does not answer a write", "`core.ErrUnknown` after 5 seconds; `Unknown`", "`nil` at once; `Unknown`, logged", unanswered},
	{"the store refuses the event", "the store's error with its answer; `Failed`", "`nil` at once; `Failed`, logged", refused},
	{"the queue is full", "`core.ErrQueueFull` at once; `Failed`", "the same", full},
	{"shutdown begins, and `Close` can wait", "`nil` once it is stored; `Stored`", "`nil` at once; `Stored`", closing},
	{"shutdown begins, and the context of `Close` ends first", "`core.ErrClosed` then; `Failed`", "`nil` at once; `Failed`, logged", closedTooSoon},
	{"shutdown is over", "`core.ErrClosed` at once; `Failed`", "the same", closed},
	{"the process dies before the write", "no answer; not stored", "`nil` at once; not stored", died},
}

// TestReadmeDurability proves every cell of the table.
func TestReadmeDurability(t *testing.T) {
	rows := tableRows(section(t, coreReadme, "Durable or best effort"))
	for i, m := range moments {
		t.Run(m.what, func(t *testing.T) {
			if want := []string{m.what, m.durable, m.bestEffort}; i >= len(rows) || !slices.Equal(rows[i], want) {
				t.Fatalf("row %d of core/README.md is not\n%q", i+1, want)
			}
			want := m.durable
			for _, d := range []core.Durability{core.Durable, core.BestEffort} {
				if d == core.BestEffort && m.bestEffort != "the same" {
					want = m.bestEffort
				}
				synctest.Test(t, func(t *testing.T) {
					w := &witness{t: t, mode: d}
					if got := w.sees(m.prove); got != want {
						t.Errorf("in mode %d it is %q, core/README.md says %q", d, got, want)
					}
				})
			}
		})
	}
	if len(rows) != len(moments) {
		t.Errorf("core/README.md has %d rows, of which %d are proved", len(rows), len(moments))
	}
}

const (
	latency = time.Millisecond // of a store that answers
	patient = 5 * time.Second  // the recorder's default
	hasty   = time.Second      // that Close is given at most
)

// witness follows one audit of the tag refund in one mode.
type witness struct {
	t     *testing.T
	mode  core.Durability
	store *shelf
	rec   *core.Recorder
	log   strings.Builder
	died  bool
}

// opens makes the recorder on a store that answers so; nil stores all.
func (w *witness) opens(answer func([]core.Event) error) {
	w.t.Helper()
	if answer == nil {
		answer = func([]core.Event) error { return nil }
	}
	w.store = &shelf{answer: func(events []core.Event) error {
		time.Sleep(latency)
		return answer(events)
	}}
	w.rec = recorder(w.t, w.store, core.Config{
		Durability: func(tag string) core.Durability {
			return map[string]core.Durability{"refund": w.mode, "crowd": core.BestEffort}[tag]
		},
		Logger: slog.New(slog.NewTextHandler(&w.log, nil)),
	})
}

// opensSilent is opens on a store that answers nothing until the returned function
// is called; that is called at the end of the test at the latest.
func (w *witness) opensSilent() (answer func()) {
	w.t.Helper()
	silence := make(chan struct{})
	w.opens(func([]core.Event) error { <-silence; return nil })
	answer = func() {
		select {
		case <-silence:
		default:
			close(silence)
		}
	}
	w.t.Cleanup(answer)
	return answer
}

// asks begins the audit and returns what its caller gets, when that is known.
func (w *witness) asks(audit func() error) (got chan string) {
	got = make(chan string, 1)
	began := time.Now()
	go func() {
		err := audit()
		got <- describe(err) + " " + w.when(time.Since(began), err)
	}()
	synctest.Wait()
	return got
}

func (w *witness) audit() error {
	return w.rec.Audit(context.Background(), "refund", nil, core.As("alice"))
}

// when names the moment at which an audit has returned.
func (w *witness) when(took time.Duration, err error) string {
	switch {
	case err == nil && w.stored() > 0:
		return "once it is stored"
	case took == 0:
		return "at once"
	case took == latency:
		return "with its answer"
	case took == hasty:
		return "then"
	case took == patient:
		return "after 5 seconds"
	}
	return "after " + took.String()
}

// stored is how many refunds the store holds.
func (w *witness) stored() (n int) {
	w.store.mu.Lock()
	defer w.store.mu.Unlock()
	for _, e := range w.store.kept {
		if e.Tag == "refund" {
			n++
		}
	}
	return n
}

// sees lets prove make the audit, and tells its whole story.
func (w *witness) sees(prove func(*witness) string) string {
	w.t.Helper()
	got := prove(w)
	if w.died {
		if w.stored() == 0 {
			return got + "; not stored"
		}
		return got + "; stored"
	}
	time.Sleep(2 * patient) // then it is settled
	synctest.Wait()
	story := counted(w.t, w.rec.Stats())
	if (story == "`Stored`") != (w.stored() == 1) {
		w.t.Errorf("it counts as %s, and %d are stored", story, w.stored())
	}
	if strings.Contains(w.log.String(), "refund") {
		story += ", logged"
	}
	return got + "; " + story
}

func undisturbed(w *witness) string {
	w.opens(nil)
	return <-w.asks(w.audit)
}

func unsigned(w *witness) string {
	w.opens(nil)
	return <-w.asks(func() error { return refundBy(w.rec, signed("")) })
}

func lookupDown(w *witness) string {
	w.opens(nil)
	return <-w.asks(func() error { return refundBy(w.rec, nethttpaudit.SessionUser(brokenSessions{}, "session")) })
}

func awayForAMoment(w *witness) string {
	back := time.Now().Add(2 * time.Second)
	w.opens(func(events []core.Event) error {
		if time.Now().Before(back) {
			return away(events)
		}
		return nil
	})
	return <-w.asks(w.audit)
}

func down(w *witness) string {
	w.opens(away)
	return <-w.asks(w.audit)
}

func unanswered(w *witness) string {
	w.opensSilent()
	return <-w.asks(w.audit)
}

func refused(w *witness) string {
	w.opens(func(events []core.Event) error { return core.FailAll(len(events), core.Failure{Err: errStore}) })
	return <-w.asks(w.audit)
}

func full(w *witness) string {
	answer := w.opensSilent()
	const most = 65_536
	for range most {
		if err := w.rec.Audit(context.Background(), "crowd", nil, core.As("alice")); err != nil {
			w.t.Fatal(err)
		}
	}
	got := <-w.asks(w.audit)
	answer()
	return got
}

func closing(w *witness) string {
	answer := w.opensSilent()
	got := w.asks(w.audit)
	closed := make(chan error, 1)
	go func() { closed <- w.rec.Close(context.Background()) }()
	synctest.Wait()
	if len(closed) > 0 {
		w.t.Error("Close does not wait")
	}
	answer()
	if err := <-closed; err != nil {
		w.t.Error(err)
	}
	return <-got
}

func closedTooSoon(w *witness) string {
	answer := w.opensSilent()
	first := w.asks(func() error { return w.rec.Audit(context.Background(), "first", nil, core.As("alice")) })
	got := w.asks(w.audit) // waits while that is being written
	ctx, cancel := context.WithTimeout(context.Background(), hasty)
	defer cancel()
	if err := w.rec.Close(ctx); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "1 events not stored, 1 unknown") {
		w.t.Errorf("Close says %v", err)
	}
	if got := <-first; got != "`core.ErrUnknown` then" {
		w.t.Errorf("what was being written is %s", got)
	}
	answer()
	return <-got
}

func closed(w *witness) string {
	w.opens(nil)
	if err := w.rec.Close(context.Background()); err != nil {
		w.t.Error(err)
	}
	return <-w.asks(w.audit)
}

// died stops the world before the store has written anything.
func died(w *witness) string {
	w.opensSilent()
	w.died = true
	got := w.asks(w.audit)
	select {
	case g := <-got:
		return g
	default:
		return "no answer"
	}
}
