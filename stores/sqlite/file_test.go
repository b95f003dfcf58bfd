package sqlite_test

import (
	"context"
	"database/sql"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	gormsqlite "gorm.io/driver/sqlite"
	"gorm.io/gorm"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/stores"
	"github.com/auditing-go/auditing/stores/sqlite"
)

// stored counts the events of tag ev in a file, which it does not make.
func stored(t *testing.T, file string) int {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+file+"?mode=rw")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var n int
	if err := db.QueryRow("SELECT count(*) FROM ev").Scan(&n); err != nil {
		t.Fatalf("counting in %s: %v", file, err)
	}
	return n
}

func audit(t *testing.T, rec *core.Recorder) error {
	t.Helper()
	return rec.Audit(t.Context(), "ev", core.Fields{"n": 1}, core.As("me"))
}

// TestFileMoved takes the file away under a program that has it open. What was
// acknowledged before is where the file is now, what is acknowledged afterwards is in
// a file at the path.
func TestFileMoved(t *testing.T) {
	must := func(t *testing.T, errs ...error) {
		t.Helper()
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
	}
	all := []string{"", "-wal", "-shm"}
	for name, c := range map[string]struct {
		away func(t *testing.T, dir string)
		old  string // where the file is now, below the folder above dir
		more int    // events that the new file has besides
	}{
		"file renamed": {func(t *testing.T, dir string) { must(t, os.Rename(dir+"/audits.db", dir+"/audits.db.1")) }, "data/audits.db.1", 0},
		"file and log renamed": {func(t *testing.T, dir string) {
			for _, s := range all {
				must(t, os.Rename(dir+"/audits.db"+s, dir+"/old.db"+s))
			}
		}, "data/old.db", 0},
		"folder renamed, and a new one made": {func(t *testing.T, dir string) {
			must(t, os.Rename(dir, dir+".1"), os.Mkdir(dir, 0o755))
		}, "data.1/audits.db", 0},
		"file removed":      {func(t *testing.T, dir string) { must(t, os.Remove(dir+"/audits.db")) }, "", 0},
		"log removed":       {func(t *testing.T, dir string) { must(t, os.Remove(dir+"/audits.db-wal")) }, "", 2},
		"log index removed": {func(t *testing.T, dir string) { must(t, os.Remove(dir+"/audits.db-shm")) }, "", 2},
		"file and log removed": {func(t *testing.T, dir string) {
			for _, s := range all {
				must(t, os.Remove(dir+"/audits.db"+s))
			}
		}, "", 0},
		"folder removed, and a new one made": {func(t *testing.T, dir string) { must(t, os.RemoveAll(dir), os.Mkdir(dir, 0o755)) }, "", 0},
		"another file in its place": {func(t *testing.T, dir string) {
			must(t, os.Rename(dir+"/audits.db", dir+"/audits.db.1"), os.WriteFile(dir+"/audits.db", nil, 0o644))
		}, "data/audits.db.1", 0},
		"a copy in its place": {func(t *testing.T, dir string) {
			_, err := openDB(t, dir+"/audits.db").Exec("VACUUM INTO '" + dir + "/copy.db'")
			must(t, err, os.Rename(dir+"/copy.db", dir+"/audits.db"))
		}, "", 2},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "data")
			must(t, os.Mkdir(dir, 0o755))
			file := filepath.Join(dir, "audits.db")
			rec := record(t, openFile(t, file, sqlite.Config{}))
			other := rec
			if !strings.HasPrefix(name, "log") { // the connections of a process share the log of a file
				other = record(t, openFile(t, file, sqlite.Config{}))
			}
			must(t, audit(t, rec), audit(t, other))
			c.away(t, dir)
			must(t, audit(t, rec), audit(t, other), audit(t, rec))
			if got := stored(t, file); got != 3+c.more {
				t.Errorf("the file at the path has %d events, want the 3 acknowledged since and %d", got, c.more)
			}
			page, err := other.Read(t.Context(), core.Query{})
			if err != nil || len(page.Events) != 3+c.more {
				t.Errorf("read %d events (%v), want the 3 acknowledged since and %d", len(page.Events), err, c.more)
			}
			if c.old == "" {
				return
			}
			if got := stored(t, filepath.Join(filepath.Dir(dir), c.old)); got != 2 {
				t.Errorf("the file that was moved has %d events, want the 2 acknowledged before", got)
			}
		})
	}
}

// TestFileMovedBeforeClose: what was acknowledged is in the file that was moved, and
// not in a log that was left behind.
func TestFileMovedBeforeClose(t *testing.T) {
	file := filepath.Join(t.TempDir(), "audits.db")
	rec := record(t, openFile(t, file, sqlite.Config{}))
	if err := errors.Join(audit(t, rec), os.Rename(file, file+".1"), rec.Close(t.Context())); err != nil {
		t.Fatal(err)
	}
	if got := stored(t, file+".1"); got != 1 {
		t.Errorf("the file that was moved has %d events, want 1", got)
	}
}

// TestLogWithoutFile: a process was killed after its file had been moved away from its
// log. The next one does not begin with a new file, which would delete the log.
func TestLogWithoutFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "audits.db")
	killed := record(t, openFile(t, file, sqlite.Config{}))
	if err := errors.Join(audit(t, killed), os.Rename(file, file+".1")); err != nil {
		t.Fatal(err)
	}
	_, err := sqlite.Open(t.Context(), file, sqlite.Config{})
	if err == nil || !strings.Contains(err.Error(), file+"-wal") {
		t.Fatalf("the error is %v, want one that names the log", err)
	}
	if err := os.Rename(file+".1", file); err != nil {
		t.Fatal(err)
	}
	rec := record(t, openFile(t, file, sqlite.Config{}))
	if page, err := rec.Read(t.Context(), core.Query{}); err != nil || len(page.Events) != 1 {
		t.Errorf("read %d events (%v), want the 1 acknowledged", len(page.Events), err)
	}
}

// TestFolderGone: nothing can be made at the path, so that audits fail, with an error
// that names it, until it can.
func TestFolderGone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "audits.db")
	store := openFile(t, file, sqlite.Config{})
	t.Cleanup(func() { store.Close(context.Background()) })
	event := func() []core.Event { return []core.Event{core.Event{Tag: "ev", User: "me"}.Normalize(0)} }
	if err := errors.Join(store.Save(t.Context(), event()), os.RemoveAll(dir)); err != nil {
		t.Fatal(err)
	}
	var batch *core.BatchError
	err := store.Save(t.Context(), event())
	if !errors.As(err, &batch) || batch.Failures[0].Unknown || !batch.Failures[0].Retry {
		t.Fatalf("Save answers %#v, want that the event is not stored and may be tried again", err)
	}
	if !strings.Contains(err.Error(), file) || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the error is %v, want one that names the file and the cause", err)
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := store.Save(t.Context(), event()); err != nil {
		t.Error(err)
	}
}

// TestFileEmptied, as by a rotation that copies and truncates: nothing is acknowledged.
func TestFileEmptied(t *testing.T) {
	file := filepath.Join(t.TempDir(), "audits.db")
	store := openFile(t, file, sqlite.Config{})
	t.Cleanup(func() { store.Close(context.Background()) })
	event := func() []core.Event { return []core.Event{core.Event{Tag: "ev", User: "me"}.Normalize(0)} }
	if err := errors.Join(store.Save(t.Context(), event()), os.Truncate(file, 0)); err != nil {
		t.Fatal(err)
	}
	if err := store.Save(t.Context(), event()); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("the error is %v, want one that names the file", err)
	}
}

// TestApplicationsFileMoved: the file cannot be opened anew for the application, so
// audits fail, with an error that names it, until it is back.
func TestApplicationsFileMoved(t *testing.T) {
	for _, mode := range []string{"WAL", "DELETE"} {
		t.Run(mode, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "app.db")
			pool := openDB(t, file)
			if _, err := pool.Exec(`PRAGMA journal_mode = ` + mode); err != nil {
				t.Fatal(err)
			}
			db, err := gorm.Open(gormsqlite.New(gormsqlite.Config{Conn: pool}), &gorm.Config{})
			if err != nil {
				t.Fatal(err)
			}
			store, err := sqlite.New(t.Context(), db, sqlite.Config{})
			if err != nil {
				t.Fatal(err)
			}
			event := func() []core.Event { return []core.Event{core.Event{Tag: "ev", User: "me"}.Normalize(0)} }
			if err := errors.Join(store.Save(t.Context(), event()), os.Rename(file, file+".1")); err != nil {
				t.Fatal(err)
			}
			if err := store.Save(t.Context(), event()); err == nil || !strings.Contains(err.Error(), file) {
				t.Fatalf("the error is %v, want one that names the file", err)
			}
			if _, err := os.Stat(file); err == nil {
				t.Error("a new file was made, which the application does not use")
			}
			if err := os.Rename(file+".1", file); err != nil {
				t.Fatal(err)
			}
			if err := store.Save(t.Context(), event()); err != nil {
				t.Error(err)
			}
			if mode == "WAL" {
				defer func() {
					if err := errors.Join(os.Remove(file+"-wal"), store.Save(t.Context(), event())); err == nil || !strings.Contains(err.Error(), file) {
						t.Errorf("without its log the error is %v, want one that names the file", err)
					}
				}()
			}
			if got := stored(t, file); got != 2 {
				t.Errorf("the file has %d events, want the 2 acknowledged", got)
			}
		})
	}
}

// TestOpenNamesThePath: also through the registry, which takes passwords out of errors.
func TestOpenNamesThePath(t *testing.T) {
	path := filepath.Join(t.TempDir(), "no", "such", "audits.db")
	_, err := stores.Open(t.Context(), "sqlite", path)
	if err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "no such file or directory") {
		t.Errorf("the error is %v; want the path and the cause", err)
	}
}
