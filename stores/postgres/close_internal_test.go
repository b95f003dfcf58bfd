package postgres

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"testing"
)

// TestCloseDoesNotOutwaitATakeOver that does not end.
func TestCloseDoesNotOutwaitATakeOver(t *testing.T) {
	b := &backend{conns: &connector{app: new(sql.DB)}, writer: make(chan *writeConn, 1), adopting: map[string]bool{"mytag": true}}
	b.give(&writeConn{})
	b.ctx, b.cancel = context.WithCancel(t.Context())
	b.wg.Add(1)
	defer b.wg.Done()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := b.Close(ctx)
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "table mytag") {
		t.Errorf("Close answers %v, want the end of its time and the table", err)
	}
	if b.startTakeOver("other") != nil {
		t.Error("another table is taken over after Close")
	}
}
