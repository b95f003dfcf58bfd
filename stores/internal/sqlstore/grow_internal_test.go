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
	}{{30, 3 * time.Second}, {3, 300*time.Millisecond + growWait}} {
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

// TestATableThatOthersGrowIsNoWarning; a failure that comes after it is one, once.
func TestATableThatOthersGrowIsNoWarning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answers := []error{ErrUnderWay, fmt.Errorf("%w: by others", ErrUnderWay), errors.New("no"), errors.New("no"), nil}
		warnings := []int{0, 0, 1, 1, 1}
		asked := 0
		d := &database{grow: func(context.Context, string) error {
			asked++
			return answers[asked-1]
		}}
		var log bytes.Buffer
		s, err := New(t.Context(), d, Config{Logger: slog.New(slog.NewTextHandler(&log, nil))})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close(t.Context())
		for n, want := range warnings {
			if err := s.Save(t.Context(), []core.Event{newEvent("ev")}); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			if got := strings.Count(log.String(), "level=WARN"); asked != n+1 || got != want {
				t.Errorf("after %v, asked for the %dth time, there are %d warnings, want %d:\n%s", answers[n], asked, got, want, log.String())
			}
			<-time.After(maxGrowPause)
		}
	})
}
