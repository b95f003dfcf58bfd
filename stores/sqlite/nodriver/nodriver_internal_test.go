package nodriver

import (
	"context"
	"database/sql"
	"errors"
	"os"
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
	b := &backend{file: &database{pool: pool}, own: true, turn: make(chan struct{}, 1)}
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

// TestMovedBeforeItsCommit: what is committed to a file that is no longer at its path is
// not acknowledged. Each commit is followed by a sync of what it stands on.
func TestMovedBeforeItsCommit(t *testing.T) {
	parsed, err := parseDSN(filepath.Join(t.TempDir(), "audits.db"))
	if err != nil {
		t.Fatal(err)
	}
	file, err := openDatabase(t.Context(), parsed)
	if err != nil {
		t.Fatal(err)
	}
	b := &backend{file: file, own: true, dsn: parsed, turn: make(chan struct{}, 1)}
	defer b.Close(t.Context())
	move := true
	write := func(conn *sql.Conn) error {
		if move {
			if err := os.Rename(parsed.path, parsed.path+".1"); err != nil {
				return err
			}
		}
		_, err := conn.ExecContext(t.Context(), "CREATE TABLE ev (n)")
		return err
	}
	if err := b.immediate(t.Context(), write); !errors.As(err, new(commitError)) {
		t.Errorf("the error is %v, want that of a commit of which nobody knows how it ended", err)
	}
	move = false
	if err := b.immediate(t.Context(), write); err != nil {
		t.Error(err)
	}
}

// TestSynced: on a file of ours and on an application's connection, whatever its own
// setting, a commit also syncs the folder from which it deletes a journal.
func TestSynced(t *testing.T) {
	parsed, err := parseDSN(filepath.Join(t.TempDir(), "audits.db"))
	if err != nil {
		t.Fatal(err)
	}
	file, err := openDatabase(t.Context(), parsed)
	if err != nil {
		t.Fatal(err)
	}
	defer file.close()
	pool, err := sql.Open("sqlite", filepath.Join(t.TempDir(), "app.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	for name, b := range map[string]*backend{"own": {file: file, own: true}, "application's": {file: &database{pool: pool}}} {
		b.turn = make(chan struct{}, 1)
		var level int
		err := b.immediate(t.Context(), func(conn *sql.Conn) error {
			return conn.QueryRowContext(t.Context(), "PRAGMA synchronous").Scan(&level)
		})
		if err != nil || level != 3 {
			t.Errorf("%s: synchronous is %d (%v), want EXTRA", name, level, err)
		}
	}
}
