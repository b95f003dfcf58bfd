package stores_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/stores"
)

type nowhere struct{ dsn string }

func (nowhere) Save(context.Context, []core.Event) error { return nil }

func TestOpenGivesTheDriverItsDSN(t *testing.T) {
	stores.Register("test-given", func(ctx context.Context, dsn string) (core.Store, error) {
		if ctx == nil {
			t.Error("the opener got a nil context")
		}
		return nowhere{dsn}, nil
	})
	store, err := stores.Open(nil, "test-given", "a dsn") //lint:ignore SA1012 a nil context must work
	if err != nil || store != (nowhere{"a dsn"}) {
		t.Fatalf("Open = %v, %v; want the store that the driver made of the dsn", store, err)
	}
	if !slices.Contains(stores.Drivers(), "test-given") || !slices.IsSorted(stores.Drivers()) {
		t.Errorf("Drivers() = %q; want them sorted with test-given among them", stores.Drivers())
	}
}

func TestOpenOfAnUnknownDriverListsTheKnown(t *testing.T) {
	for _, name := range []string{"", "mysql", "Postgres", strings.Repeat("x", 10_000)} {
		store, err := stores.Open(t.Context(), name, "user:secret@host")
		if store != nil || err == nil {
			t.Fatalf("Open(%.20q) = %v, %v; want an error", name, store, err)
		}
		for _, want := range []string{"console", "postgres", "postgres_auto", "sqlite"} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("Open(%.20q): the error %q does not list %s", name, err, want)
			}
		}
		if len(err.Error()) > 500 || strings.Contains(err.Error(), "secret") {
			t.Errorf("Open(%.20q): the error shows too much: %q", name, err)
		}
	}
}

func TestOpenOfADriverNotCompiledInSaysWhatToImport(t *testing.T) {
	for name, path := range map[string]string{
		"postgres":      "github.com/auditing-go/auditing/stores/postgres",
		"postgres_auto": "github.com/auditing-go/auditing/stores/postgres",
		"sqlite":        "github.com/auditing-go/auditing/stores/sqlite",
	} {
		_, err := stores.Open(t.Context(), name, "")
		if err == nil || !strings.Contains(err.Error(), `import _ "`+path+`"`) {
			t.Errorf("Open(%q): error %v; want one that says to import %s", name, err, path)
		}
		dir := strings.TrimPrefix(path, "github.com/auditing-go/auditing/stores/")
		if files, _ := filepath.Glob(filepath.Join(dir, "*.go")); len(files) == 0 {
			t.Errorf("Open(%q) says to import %s, which does not exist", name, path)
		}
	}
}

func TestOpenOfConsole(t *testing.T) {
	for _, dsn := range []string{"", "stdout", "stderr", "json", "text", "  json \t stderr "} {
		if store, err := stores.Open(t.Context(), "console", dsn); err != nil || store == nil {
			t.Errorf("Open(console, %q) = %v, %v", dsn, store, err)
		}
	}
	if store, err := stores.Open(t.Context(), "console", "password=hunter2"); err == nil ||
		!strings.Contains(err.Error(), "stdout, stderr, text, json") || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("Open(console) with a strange dsn = %v, %v; want an error with the words that it knows and without the dsn", store, err)
	}
}

func TestOpenKeepsSecretsOutOfErrors(t *testing.T) {
	cause := errors.New("cause")
	var tell func(dsn string) error
	stores.Register("test-telling", func(_ context.Context, dsn string) (core.Store, error) { return nil, tell(dsn) })
	const keyword, address = "host=db password=s3cr3t user=app dbname=audit", "postgres://app:s3cr3t@db:5432/audit?x=1"
	tests := []struct {
		name, dsn string
		tell      func(dsn string) error
		keep      string
	}{
		{"the dsn", keyword, func(dsn string) error { return fmt.Errorf("bad dsn %s: %w", dsn, cause) }, "bad dsn"},
		{"the dsn in quotes", "host=db password='s3cr3t\n'", func(dsn string) error { return fmt.Errorf("bad dsn %q: %w", dsn, cause) }, "bad dsn"},
		{"a URL", address, func(dsn string) error { return fmt.Errorf("parse %q: %w", dsn, cause) }, "parse"},
		{"the password alone", keyword, func(string) error { return fmt.Errorf("refused s3cr3t for app@db: %w", cause) }, "for app@db"},
		{"a password in quotes", "host=db password = 'a s3cr3t \\' word'", func(string) error { return fmt.Errorf(`refused a s3cr3t \' word: %w`, cause) }, "refused"},
		{"an unescaped password", "postgres://app:p@/s3cr3t@db/audit", func(string) error { return fmt.Errorf("refused p@/s3cr3t: %w", cause) }, "refused"},
		{"an escaped password", "postgres://app:s%33cr3t@db/audit", func(string) error { return fmt.Errorf("refused s3cr3t, s%%33cr3t: %w", cause) }, "refused"},
		{"a password in another dsn", "a.db", func(string) error { return fmt.Errorf("dial x://u:s3cr3t@h, pwd=s3cr3t: %w", cause) }, "dial"},
		{"a password that is the user", "postgres://s3cr3t:s3cr3t@db/audit", func(string) error { return fmt.Errorf("dial postgres://s3cr3t:s3cr3t@db: %w", cause) }, "://s3cr3t:xxxxx@db"},
		{"no secret", "audit.db", func(dsn string) error { return fmt.Errorf("open %s: is a directory: %w", dsn, cause) }, "open audit.db: is a directory"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			tell = test.tell
			_, err := stores.Open(t.Context(), "test-telling", test.dsn)
			if !errors.Is(err, cause) {
				t.Fatalf("Open: %v; want the driver's error behind it", err)
			}
			text := strings.Replace(err.Error(), "://s3cr3t:", "", 1) // a user's name is no secret
			if strings.Contains(text, "s3cr3t") || !strings.Contains(err.Error(), test.keep) || !strings.Contains(err.Error(), "test-telling") {
				t.Errorf("Open: %v; want an error with the driver, with %q, without the password", err, test.keep)
			}
		})
	}
}

func TestOpenOfADriverThatOpensNothing(t *testing.T) {
	stores.Register("test-nothing", func(context.Context, string) (core.Store, error) { return nil, nil })
	if store, err := stores.Open(t.Context(), "test-nothing", ""); store != nil || err == nil {
		t.Errorf("Open = %v, %v; want an error: nobody can use a nil store", store, err)
	}
}

func TestRegisterPanics(t *testing.T) {
	opener := func(context.Context, string) (core.Store, error) { return nowhere{}, nil }
	stores.Register("test-taken", opener)
	for name, open := range map[string]stores.Opener{"": opener, "test-nil": nil, "test-taken": opener, "console": opener} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("Register(%q) with opener %t did not panic", name, open != nil)
				}
			}()
			stores.Register(name, open)
		}()
	}
	if slices.Contains(stores.Drivers(), "test-nil") {
		t.Error("a Register that panicked left its name behind")
	}
}

func TestRegistryIsSafeForConcurrentUse(t *testing.T) {
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			name := fmt.Sprint("test-concurrent-", i)
			stores.Register(name, func(context.Context, string) (core.Store, error) { return nowhere{}, nil })
			if _, err := stores.Open(t.Context(), name, ""); err != nil {
				t.Error(err)
			}
			if !slices.Contains(stores.Drivers(), name) {
				t.Errorf("Drivers() does not list %s, which is registered", name)
			}
		})
	}
	all.Wait()
}
