package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/stores"
	"github.com/auditing-go/auditing/stores/postgres/pgtest"
)

// asCommand makes the test's own binary the command.
const asCommand = "AUDITING_TEST_COMMAND"

func TestMain(m *testing.M) {
	if os.Getenv(asCommand) != "" {
		main()
		os.Exit(0)
	}
	pgtest.Main(m)
}

// place is a store that the command looks at.
type place struct {
	*testing.T
	driver, dsn string
	rec         *core.Recorder // writes to it
}

// each runs test on an empty place of each kind.
func each(t *testing.T, test func(p *place)) {
	for driver, dsn := range map[string]func(t *testing.T) string{
		"sqlite":        func(t *testing.T) string { return filepath.Join(t.TempDir(), "audits.db") },
		"postgres_auto": func(t *testing.T) string { return pgtest.DSN(t) },
	} {
		t.Run(driver, func(t *testing.T) {
			test(newPlace(t, driver, dsn(t)))
		})
	}
}

// newPlace opens a store, and makes it.
func newPlace(t *testing.T, driver, dsn string) *place {
	t.Helper()
	p := &place{T: t, driver: driver, dsn: dsn}
	store, err := stores.Open(t.Context(), driver, dsn)
	if err != nil {
		t.Fatal(err)
	}
	if p.rec, err = core.New(store, core.Config{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.rec.Close(context.Background()) })
	return p
}

func (p *place) audit(tag string, fields core.Fields, options ...core.Option) {
	p.Helper()
	if err := p.rec.Audit(p.Context(), tag, fields, append(options, core.As("alice"))...); err != nil {
		p.Fatal(err)
	}
}

// refunds audits n of them, of order/0 and so on, the last one now.
func (p *place) refunds(n int) {
	p.Helper()
	for i := range n {
		p.audit("refund", core.Fields{"amount": i, "note": fmt.Sprint("n", i%2)}, core.On("order", i), core.Denied("limit"), core.At(time.Now().Add(time.Duration(i-n)*time.Second)))
	}
}

func (p *place) read(q core.Query) []core.Event {
	p.Helper()
	page, err := p.rec.Read(p.Context(), q)
	if err != nil {
		p.Fatal(err)
	}
	return page.Events
}

func (p *place) command(args ...string) *exec.Cmd {
	cmd := exec.CommandContext(p.Context(), os.Args[0], args...)
	cmd.Env = append(os.Environ(), asCommand+"=1", "AUDITING_STORE="+p.driver, "AUDITING_DSN="+p.dsn)
	return cmd
}

// run runs the command, which must end with that status.
func (p *place) run(status int, args ...string) (stdout, stderr string) {
	p.Helper()
	cmd := p.command(args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		p.Fatal(err)
	}
	if got := cmd.ProcessState.ExitCode(); got != status {
		p.Fatalf("audit %s ended with %d, want %d:\n%s%s", strings.Join(args, " "), got, status, out.String(), errs.String())
	}
	return out.String(), errs.String()
}

func TestUsage(t *testing.T) {
	for want, args := range map[string][]string{
		"usage: audit SUBCOMMAND":  {},
		"  tail ":                  {"prune"},
		"name the store":           {"search"},
		"there are only flags":     {"search", "-store", "sqlite", "order/42"},
		"flag provided but not":    {"search", "-nothing"},
		"it is no time such as":    {"search", "-from", "yesterday"},
		"it is no name=value":      {"search", "-field", "x"},
		"invalid UUID":             {"search", "-id", "x"},
		"-limit has to be more":    {"search", "-store", "sqlite", "-limit", "0"},
		"say -tag, or -view":       {"ddl", "-store", "sqlite"},
		"a tail has no end":        {"tail", "-store", "sqlite", "-to", "2026-01-01"},
		"-interval has to be more": {"tail", "-store", "sqlite", "-interval", "0s"},
	} {
		p := &place{T: t}
		if _, stderr := p.run(2, args...); !strings.Contains(stderr, want) {
			t.Errorf("audit %s says %q, want %q", strings.Join(args, " "), stderr, want)
		}
	}
	p := &place{T: t}
	if _, stderr := p.run(0, "tail", "-h"); !strings.Contains(stderr, "outbox") || !strings.Contains(stderr, "-overlap") {
		t.Errorf("audit tail -h says %s", stderr)
	}
}

// TestNothingIsMade: a mistake in the DSN makes no database, and shows no password.
func TestNothingIsMade(t *testing.T) {
	file := filepath.Join(t.TempDir(), "none.db")
	(&place{T: t, driver: "sqlite", dsn: file}).run(1, "search")
	if _, err := os.Stat(file); !os.IsNotExist(err) {
		t.Errorf("the file is there: %v", err)
	}
	dsn := pgtest.DSN(t)
	if strings.Contains(dsn, "://") {
		t.Skip("the server's DSN is a URL")
	}
	dsn += " password=hunter22 dbname=none_such"
	if _, stderr := (&place{T: t, driver: "postgres_auto", dsn: dsn}).run(1, "search"); strings.Contains(stderr, "hunter22") || !strings.Contains(stderr, "does not exist") {
		t.Errorf("it says %s", stderr)
	}
}
