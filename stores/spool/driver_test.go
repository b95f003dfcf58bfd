package spool_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/stores"
	_ "github.com/auditing-go/auditing/stores/esstore"
	_ "github.com/auditing-go/auditing/stores/postgres"
	"github.com/auditing-go/auditing/stores/spool"
	_ "github.com/auditing-go/auditing/stores/sqlite"
)

func TestDriver(t *testing.T) {
	dir := t.TempDir()
	// A semicolon in the next store's dsn is its own.
	dsn := "dir=" + filepath.Join(dir, "spool") + ";" + filepath.Join(dir, "a;b.db")
	for range 2 {
		store, err := stores.Open(t.Context(), "spool+sqlite", dsn)
		if err != nil {
			t.Fatal(err)
		}
		rec, err := core.New(store, core.Config{})
		if err != nil {
			t.Fatal(err)
		}
		if err := rec.Audit(t.Context(), "mytag", core.Fields{"a": 1}, core.As("me")); err != nil {
			t.Error(err)
		}
		if err := rec.Flush(t.Context()); err != nil {
			t.Error(err)
		}
		if err := rec.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
	store, err := stores.Open(t.Context(), "sqlite", filepath.Join(dir, "a;b.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer store.(core.Closer).Close(context.Background())
	if page, err := store.(core.Reader).Read(t.Context(), core.Query{}); err != nil || len(page.Events) != 2 {
		t.Errorf("%d events reached the database (%v), want 2", len(page.Events), err)
	}
}

func TestDriverRefusesWhatCannotWork(t *testing.T) {
	dir := t.TempDir()
	for _, test := range []struct{ driver, dsn, want string }{
		{"spool+sqlite", "", "dir="},
		{"spool+sqlite", "audits.db", "dir="},
		{"spool+sqlite", "dir=;audits.db", "dir="},
		{"spool+sqlite", "dir=" + dir, "dir="},
		{"spool+sqlite", "dir= " + dir + ";audits.db", "dir="},
		{"spool+postgres_auto", "dir=" + filepath.Join(dir, "spool") + ";host=127.0.0.1 port=x", "DSN cannot be parsed"},
		{"spool+elasticsearch", "dir=" + filepath.Join(dir, "spool") + ";127.0.0.1:9200", "http"},
		{"spool+sqlite", "dir=" + filepath.Join(dir, "spool") + ";max_bytes=1GB;x", "max_bytes"},
		{"spool+sqlite", "dir=" + filepath.Join(dir, "spool") + ";max_bytes=0;x", "max_bytes"},
		{"spool+sqlite", "dir=" + filepath.Join(dir, "spool") + ";warn_age=1;x", "warn_age"},
		{"spool+sqlite", "dir=" + filepath.Join(dir, "spool") + ";wait_for_room=maybe;x", "wait_for_room"},
		{"spool+sqlite", "dir=" + filepath.Join(dir, "spool") + ";wait_for_room=true", "have to follow"},
		{"spool+sqlite", "dir=" + filepath.Join(dir, "file", "spool") + ";:memory:", "directory"},
		{"spool+mysql", "dir=" + dir + ";x", `unknown driver "mysql"`},
		{"spool", "dir=" + dir + ";x", "in front of another driver"},
		{"spool+", "dir=" + dir + ";x", "in front of another driver"},
		{"other+sqlite", "x", "unknown driver"},
	} {
		if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		store, err := stores.Open(t.Context(), test.driver, test.dsn)
		if err == nil || store != nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("Open(%q, %q) = %v, %v; want an error with %q", test.driver, test.dsn, store, err, test.want)
		}
	}
	if entries, _ := filepath.Glob(filepath.Join(dir, "spool", "*")); len(entries) > 0 {
		t.Errorf("an Open in vain left %q", entries)
	}
}

var sometimes atomic.Int32

// TestDriverStartsWhileTheNextIsAway: a start needs a dsn that can be read, and not the
// database.
func TestDriverStartsWhileTheNextIsAway(t *testing.T) {
	var away atomic.Bool
	away.Store(true)
	file := filepath.Join(t.TempDir(), "next.db")
	name := fmt.Sprintf("sometimes%d", sometimes.Add(1)) // nobody can register a name twice
	stores.Register(name, func(ctx context.Context, dsn string) (core.Store, error) {
		if dsn != "x" {
			return nil, errors.New("the dsn is wrong")
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if away.Load() {
			return nil, errors.New("connection refused, password=" + "hunter2")
		}
		return stores.Open(ctx, "sqlite", file)
	})
	dsn := "dir=" + filepath.Join(t.TempDir(), "spool") + ";x"
	if _, err := stores.Open(t.Context(), "spool+"+name, dsn+"y"); err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Fatalf("a start with a wrong dsn: %v; want an error without the password", err)
	}
	for i, isAway := range []bool{true, false, true} {
		away.Store(isAway)
		store, err := stores.Open(t.Context(), "spool+"+name, dsn)
		if err != nil {
			t.Fatalf("start %d, the database is away: %t: %v", i+2, isAway, err)
		}
		event := core.Event{Tag: "mytag", User: "me", Fields: core.Fields{"i": i}}.Normalize(0)
		if err := store.Save(t.Context(), []core.Event{event}); err != nil {
			t.Fatal(err)
		}
		if isAway {
			if _, err := store.(core.Reader).Read(t.Context(), core.Query{}); err == nil {
				t.Error("Read while the database is away gave an answer, which lacks events")
			}
			away.Store(false)
		}
		if err := store.(core.Flusher).Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		page, err := store.(core.Reader).Read(t.Context(), core.Query{})
		if err != nil || len(page.Events) != i+1 {
			t.Errorf("%d events can be read (%v), want %d", len(page.Events), err, i+1)
		}
		if err := store.(core.Closer).Close(t.Context()); err != nil {
			t.Error(err)
		}
		if s := store.(*spool.Store).Stats(); s.Waiting != 0 {
			t.Errorf("%d events still wait", s.Waiting)
		}
	}
}

func TestRegisterWrapperPanics(t *testing.T) {
	wrap := func(context.Context, string, string) (core.Store, error) { return nil, errors.New("never") }
	for name, w := range map[string]stores.Wrapper{"": wrap, "a+b": wrap, "spool": wrap, "test-nil": nil} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("RegisterWrapper(%q) with wrapper %t did not panic", name, w != nil)
				}
			}()
			stores.RegisterWrapper(name, w)
		}()
	}
}
