// Package pgtest gives tests a PostgreSQL server. It is a test helper, not API: it may
// change with any version.
//
// [DSN] hands out fresh, empty databases on a shared server: the one that the
// environment variable AUDITING_POSTGRES_DSN names, else one that package pgserver
// starts from a local installation and [Main] stops. Where there is neither the test is
// skipped; with CI=true it fails.
//
// [Start] gives a test a server of its own, to stop, kill and restart. No server
// and no folder outlives the test process, however it ends.
package pgtest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/auditing-go/auditing/stores/postgres/pgserver"
)

// Env names the environment variable with the DSN of a server whose user may
// create databases, as "host=127.0.0.1 port=5432 user=postgres dbname=postgres
// sslmode=disable" or as a postgres:// URL.
const Env = "AUDITING_POSTGRES_DSN"

// startServer is what tests of this package replace.
var startServer = pgserver.Start

// shared is the server that the tests of one process have together.
var shared struct {
	sync.Mutex
	ready  bool // Main runs, so that somebody stops it
	server *pgserver.Server
	err    error
}

// Main runs the tests, stops the shared server and exits. A package whose tests
// use [DSN] has
//
//	func TestMain(m *testing.M) { pgtest.Main(m) }
func Main(m *testing.M) {
	shared.ready = true
	code := m.Run()
	if shared.server != nil {
		if err := shared.server.Close(); err != nil {
			fmt.Fprintln(os.Stderr, "pgtest:", err)
			code = max(code, 1)
		}
	}
	os.Exit(code)
}

// DSN returns the DSN of a new, empty database, which is dropped when the test
// ends. It is in the form of the server's own DSN.
func DSN(tb testing.TB) string {
	tb.Helper()
	admin := serverDSN(tb)
	name := "pgtest_" + strings.ToLower(rand.Text())
	execute(tb, admin, "CREATE DATABASE "+name)
	tb.Cleanup(func() { execute(tb, admin, "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)") })
	dsn, err := withDatabase(admin, name)
	if err != nil {
		tb.Fatal("pgtest: ", err)
	}
	return dsn
}

func serverDSN(tb testing.TB) string {
	tb.Helper()
	if dsn := os.Getenv(Env); dsn != "" {
		return dsn
	}
	shared.Lock()
	defer shared.Unlock()
	if !shared.ready {
		tb.Fatal("pgtest: add func TestMain(m *testing.M) { pgtest.Main(m) } to this package's tests: it stops the server")
	}
	if shared.server == nil && shared.err == nil {
		shared.server, shared.err = startServer()
	}
	if shared.err != nil {
		unavailable(tb, fmt.Errorf("%w, or set %s to the DSN of a running one", shared.err, Env))
	}
	return shared.server.DSN()
}

// unavailable ends a test that has no server.
func unavailable(tb testing.TB, err error) {
	tb.Helper()
	if errors.Is(err, pgserver.ErrNotInstalled) && os.Getenv("CI") != "true" {
		tb.Skip("pgtest: ", err)
	}
	tb.Fatal("pgtest: ", err)
}

// execute runs one statement on a connection of its own.
func execute(tb testing.TB, dsn, statement string) {
	tb.Helper()
	// The test's own context is over in its Cleanup.
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		tb.Fatalf("pgtest: connecting to the server (%s): %v", Env, err)
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, statement); err != nil {
		tb.Fatalf("pgtest: %s: %v", statement, err)
	}
}

// withDatabase returns dsn with another database; name is a plain identifier.
func withDatabase(dsn, name string) (string, error) {
	if !strings.Contains(dsn, "://") {
		return dsn + " dbname=" + name, nil // the last of two counts
	}
	u, err := url.Parse(dsn)
	if err != nil {
		return "", errors.New(Env + " is not a valid URL")
	}
	u.Path = "/" + name
	query := u.Query()
	for _, key := range []string{"dbname", "database"} {
		query.Del(key)
	}
	u.RawQuery = query.Encode()
	return u.String(), nil
}

// Shutdown is a way to stop a server.
type Shutdown = pgserver.Shutdown

// The ways to stop a server.
const (
	Fast      = pgserver.Fast
	Immediate = pgserver.Immediate
	Kill      = pgserver.Kill
)

// Server is a server whose test fails with it.
type Server struct {
	*pgserver.Server
	tb testing.TB
}

// Stop stops the server and returns when it has ended. One that is stopped
// already stays so.
func (s *Server) Stop(how Shutdown) {
	s.tb.Helper()
	if err := s.Server.Stop(how); err != nil {
		s.tb.Fatal("pgtest: ", err)
	}
}

// Restart starts the server again on its port, after a fast shutdown when it
// runs, and returns when it takes connections.
func (s *Server) Restart() {
	s.tb.Helper()
	if err := s.Server.Restart(); err != nil {
		s.tb.Fatal("pgtest: ", err)
	}
}

// Start starts a server of the test's own from the local installation, with
// settings such as "max_connections=10", and removes it when the test ends. The
// test is skipped, with CI=true it fails, where there is no installation.
func Start(tb testing.TB, settings ...string) *Server {
	tb.Helper()
	s, err := startServer(settings...)
	if err != nil {
		unavailable(tb, err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Error("pgtest: ", err)
		}
	})
	return &Server{s, tb}
}
