package sqlstore

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/auditing-go/auditing/core"
)

// TestCloseDoesNotOutwaitItsContext while a table grows that cannot be stopped: it says
// which, and closes the backend all the same.
func TestCloseDoesNotOutwaitItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		free := make(chan struct{})
		backendClosed := false
		d := &database{
			grow: func(context.Context, string) error {
				<-free
				return nil
			},
			closing: func() { backendClosed = true },
		}
		s := newStore(t, d)
		if err := s.Save(t.Context(), []core.Event{newEvent("ev")}); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), closeGrace)
		defer cancel()
		err := s.Close(ctx)
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "table ev") {
			t.Errorf("Close answers %v, want the end of its time and the table", err)
		}
		if !backendClosed {
			t.Error("the backend is not closed")
		}
		close(free)
	})
}

// TestCloseWithNoTimeLeft closes what is at rest all the same.
func TestCloseWithNoTimeLeft(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := newStore(t, &database{}).Close(ctx); err != nil {
		t.Errorf("Close answers %v", err)
	}
}
