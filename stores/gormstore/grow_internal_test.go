package gormstore

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/auditing-go/auditing/core"
)

// TestNoMoreThanTenTablesGrowWithinASecond, wherever the second begins: all at once,
// after a lull, and when some have begun already.
func TestNoMoreThanTenTablesGrowWithinASecond(t *testing.T) {
	for _, tables := range [][]int{{35}, {5, 30}, {9, 3, 25}} {
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
				for i := range len(starts) - 10 {
					if within := starts[i+10].Sub(starts[i]); within < time.Second {
						t.Errorf("11 tables have begun to grow within %v, the last of them as the %dth", within, i+11)
					}
				}
			})
		})
	}
}
