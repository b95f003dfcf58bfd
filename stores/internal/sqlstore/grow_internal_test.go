package sqlstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/auditing-go/auditing/core"
)

// TestTheFirstTablesOfAProgramAreWaitedFor while they grow, and what does not grow is not.
func TestTheFirstTablesOfAProgramAreWaitedFor(t *testing.T) {
	for _, c := range []struct {
		stuck int // which of them never grows
		wait  time.Duration
	}{{30, 3 * time.Second}, {3, 300*time.Millisecond + patience}} {
		synctest.Test(t, func(t *testing.T) {
			asked := 0
			d := &database{grow: func(ctx context.Context, _ string) error {
				asked++
				if asked == c.stuck+1 {
					<-ctx.Done()
					return ctx.Err()
				}
				time.Sleep(100 * time.Millisecond)
				return nil
			}}
			s := newStore(t, d)
			defer s.Close(t.Context())
			events := make([]core.Event, 30)
			for i := range events {
				events[i] = newEvent(fmt.Sprint("tag", i))
			}
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			start := time.Now()
			if err := s.Save(ctx, events); err != nil {
				t.Error(err)
			}
			if waited := time.Since(start); waited != c.wait {
				t.Errorf("Save waited %v, want %v", waited, c.wait)
			}
		})
	}
}

// TestNoMoreThanTenTablesGrowWithinASecond once a program has its first ones, wherever the
// second begins: all at once, after a lull, and when some have begun already.
func TestNoMoreThanTenTablesGrowWithinASecond(t *testing.T) {
	const first = growFree - 1 // beside the overflow table
	for _, tables := range [][]int{{first, 35}, {first + 5, 30}, {first, 9, 3, 25}} {
		t.Run(fmt.Sprint(tables), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				grown := make(chan time.Time)
				d := &database{grow: func(context.Context, string) error {
					grown <- time.Now()
					return nil
				}}
				starts := []time.Time{time.Now()} // of the overflow table
				s := newStore(t, d)
				defer s.Close(t.Context())
				for round, n := range tables {
					events := make([]core.Event, n)
					for i := range events {
						events[i] = newEvent(fmt.Sprint("round ", round, " tag ", i))
					}
					go s.Save(t.Context(), events)
					for range n {
						starts = append(starts, <-grown)
					}
					// The next come when the second that the first of all began is nearly over.
					<-time.After(950*time.Millisecond - time.Since(starts[0]))
				}
				for i := growFree; i < len(starts)-10; i++ {
					if within := starts[i+10].Sub(starts[i]); within < time.Second {
						t.Errorf("11 tables have begun to grow within %v, the last of them as the %dth", within, i+11)
					}
				}
			})
		})
	}
}

// TestWhyATableIsNotThereYet is told once a reason: others grow it, it takes long, it fails, and
// fails for want of a right.
func TestWhyATableIsNotThereYet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		long := errors.New("longer than a Save waits")
		answers := []error{ErrUnderWay, fmt.Errorf("%w: by others", ErrUnderWay), errors.New("no"), errors.New("nor now"), ErrDenied, ErrDenied, nil}
		told := []string{"not there yet", "", "", "cannot be made", "", "CREATE TABLE ev", ""} // a Save does not wait for what has failed
		asked := 0
		d := &database{grow: func(ctx context.Context, table string) error {
			if table == "slow" {
				<-ctx.Done()
				return long
			}
			asked++
			return answers[asked-1]
		}}
		var log bytes.Buffer
		s, err := New(t.Context(), d, Config{Logger: slog.New(slog.NewTextHandler(&log, nil))})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close(t.Context())
		save := func(tag, want string) {
			t.Helper()
			if err := s.Save(t.Context(), []core.Event{newEvent(tag)}); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			if got := log.String(); strings.Count(got, "level=WARN") > 1 || (got == "") != (want == "") || !strings.Contains(got, want) {
				t.Errorf("told %q, want %q", got, want)
			}
			log.Reset()
			<-time.After(maxGrowPause)
		}
		for n, want := range told {
			save("ev", want)
			if asked != n+1 {
				t.Errorf("asked for the %dth time, want %d", asked, n+1)
			}
		}
		save("slow", "takes longer than an audit waits")
		save("slow", long.Error())
		save("slow", "")
	})
}

// TestTablesThatWaitForTheirTurn are told of, with the reason.
func TestTablesThatWaitForTheirTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		s, err := New(t.Context(), &database{}, Config{Logger: slog.New(slog.NewTextHandler(&log, nil))})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close(t.Context())
		const flood = 50
		events := make([]core.Event, growFree+flood)
		for i := range events {
			events[i] = newEvent(fmt.Sprint("tag", i))
		}
		for range 2 {
			if err := s.Save(t.Context(), events); err != nil {
				t.Fatal(err)
			}
		}
		// Some of them are late all the same, having waited for as long as a Save does.
		waited, told := strings.Count(log.String(), errBraked.Error()), strings.Count(log.String(), "level=WARN")
		if waited < flood/2 || told > flood {
			t.Errorf("it is told %d times of tables that wait for their turn and %d times of any, want it of most of %d, once:\n%.2000s", waited, told, flood, &log)
		}
	})
}

// TestAValueThatFoundItsColumnIsNotWarnedOf: the table was not what the catalogue said.
func TestAValueThatFoundItsColumnIsNotWarnedOf(t *testing.T) {
	var log bytes.Buffer
	d := &database{tables: []string{"ev"}, columns: []Column{{Name: "n", Kind: Text}}}
	d.write = func(batches []Batch) []RowFailure {
		if d.columns[0].Kind == Int {
			return nil
		}
		d.columns = []Column{{Name: "n", Kind: Int}}
		return []RowFailure{{Err: errors.New("another type"), Why: Stale}}
	}
	s, err := New(t.Context(), d, Config{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Save(t.Context(), []core.Event{core.Event{Tag: "ev", Fields: core.Fields{"n": 1}}.Normalize(0)}); err != nil {
		t.Fatal(err)
	}
	if log.Len() > 0 {
		t.Errorf("told: %s", &log)
	}
}
