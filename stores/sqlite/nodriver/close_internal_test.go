package nodriver

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"testing"

	_ "modernc.org/sqlite"
)

// TestCloseDoesNotOutwaitItsContext while a write is under way, which ends as if
// nobody had closed anything.
func TestCloseDoesNotOutwaitItsContext(t *testing.T) {
	pool, err := sql.Open("sqlite", filepath.Join(t.TempDir(), "audits.db"))
	if err != nil {
		t.Fatal(err)
	}
	b := &backend{pool: pool, own: true}
	writing, free, written := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		written <- b.immediate(context.Background(), func(conn *sql.Conn) error {
			close(writing)
			<-free
			_, err := conn.ExecContext(context.Background(), "CREATE TABLE ev (n)")
			return err
		})
	}()
	<-writing
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := b.Close(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Close answers %v, want the end of its time", err)
	}
	close(free)
	if err := <-written; err != nil {
		t.Errorf("the write under way: %v", err)
	}
	if err := b.Close(t.Context()); err != nil {
		t.Error(err)
	}
}
