package pgtest_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"

	"github.com/auditing-go/auditing/stores/postgres/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

func connect(t *testing.T, dsn string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

func ask[T any](t *testing.T, conn *pgx.Conn, query string, args ...any) (answer T) {
	t.Helper()
	if err := conn.QueryRow(t.Context(), query, args...).Scan(&answer); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return answer
}

func TestDSNIsAFreshDatabaseEachTimeAndIsDropped(t *testing.T) {
	const database, tables = "SELECT current_database()", "SELECT count(*) FROM pg_stat_user_tables"
	outer := connect(t, pgtest.DSN(t))
	var inner string
	t.Run("inner", func(t *testing.T) {
		conn := connect(t, pgtest.DSN(t))
		inner = ask[string](t, conn, database)
		if _, err := conn.Exec(t.Context(), "CREATE TABLE left_behind (x int)"); err != nil {
			t.Fatal(err)
		}
		// A connection that a test leaves open must not keep its database alive.
		if _, err := pgx.Connect(t.Context(), conn.Config().ConnString()); err != nil {
			t.Fatal(err)
		}
	})
	if mine := ask[string](t, outer, database); mine == inner || inner == "" {
		t.Errorf("two tests were given the same database %q", mine)
	}
	if n := ask[int](t, outer, tables); n != 0 {
		t.Errorf("a new database has %d tables", n)
	}
	if ask[bool](t, outer, "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", inner) {
		t.Errorf("the database %s outlived its test", inner)
	}
}

func TestDSNOfAURL(t *testing.T) {
	conn := connect(t, pgtest.DSN(t)) // skips without a server
	c := conn.Config()
	t.Setenv(pgtest.Env, fmt.Sprintf("postgres://%s@%s:%d/postgres?sslmode=disable&dbname=postgres", c.User, c.Host, c.Port))
	dsn := pgtest.DSN(t)
	if !strings.HasPrefix(dsn, "postgres://") {
		t.Errorf("DSN = %s; want it in the form of %s", dsn, pgtest.Env)
	}
	if name := ask[string](t, connect(t, dsn), "SELECT current_database()"); !strings.HasPrefix(name, "pgtest_") {
		t.Errorf("the DSN leads to the database %s, not to one of the test's own", name)
	}
}

func TestServerStopsAndComesBackWithWhatWasCommitted(t *testing.T) {
	s := pgtest.Start(t, "max_connections=17")
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	conn := connect(t, s.DSN())
	if got := ask[string](t, conn, "SHOW max_connections"); got != "17" {
		t.Errorf("max_connections = %s; want the setting that the test asked for", got)
	}
	if got := ask[string](t, conn, "SHOW fsync"); got != "on" {
		t.Errorf("fsync = %s; want on", got)
	}
	if _, err := conn.Exec(t.Context(), "CREATE TABLE kept (how text)"); err != nil {
		t.Fatal(err)
	}
	port := s.Port()
	for i, how := range []pgtest.Shutdown{pgtest.Fast, pgtest.Immediate, pgtest.Kill} {
		if _, err := connect(t, s.DSN()).Exec(t.Context(), "INSERT INTO kept VALUES ($1)", how.String()); err != nil {
			t.Fatal(err)
		}
		s.Stop(how)
		s.Stop(how) // stopped already
		if conn, err := pgx.Connect(t.Context(), s.DSN()); err == nil {
			conn.Close(t.Context())
			t.Fatalf("after a %s stop the server still takes connections", how)
		}
		s.Restart()
		if s.Port() != port {
			t.Errorf("after a %s stop the server came back on port %d, not %d", how, s.Port(), port)
		}
		if n := ask[int](t, connect(t, s.DSN()), "SELECT count(*) FROM kept"); n != i+1 {
			t.Errorf("after a %s stop %d committed rows are left of %d", how, n, i+1)
		}
	}
	s.Restart() // while it runs
	if n := ask[int](t, connect(t, s.DSN()), "SELECT count(*) FROM kept"); n != 3 {
		t.Errorf("after a restart %d rows are left of 3", n)
	}
}

func TestStartSaysWhyItFails(t *testing.T) {
	if os.Getenv("PGTEST_CHILD") == "start" {
		pgtest.Start(t, "no_such_setting=1")
		return
	}
	pgtest.Start(t) // skips without an installation
	out, err := child(t, "start").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "no_such_setting") {
		t.Errorf("a server with an unknown setting: %v\n%s\nwant a failure that names the setting", err, out)
	}
}

func TestWithoutAServer(t *testing.T) {
	if os.Getenv("PGTEST_CHILD") == "none" {
		pgtest.HideInstallations()
		pgtest.DSN(t)
		return
	}
	for ci, want := range map[string]string{"": "--- SKIP", "true": "--- FAIL"} {
		cmd := child(t, "none")
		cmd.Env = append(cmd.Env, "CI="+ci, "PATH=", pgtest.Env+"=")
		if out, _ := cmd.CombinedOutput(); !strings.Contains(string(out), want) || !strings.Contains(string(out), pgtest.Env) {
			t.Errorf("with CI=%q and no server: want %q and what to set in\n%s", ci, want, out)
		}
	}
}

// TestNothingOutlivesTheTestProcess ends a test process in the middle of a test.
func TestNothingOutlivesTheTestProcess(t *testing.T) {
	if file := os.Getenv("PGTEST_REPORT"); os.Getenv("PGTEST_CHILD") == "outlive" {
		s := pgtest.Start(t)
		dir := ask[string](t, connect(t, s.DSN()), "SHOW data_directory")
		if err := os.WriteFile(file, []byte(s.DSN()+"\n"+dir), 0o600); err != nil {
			t.Fatal(err)
		}
		os.Exit(7) // as a panic or the timeout does: no Cleanup runs
	}
	pgtest.Start(t) // skips without an installation
	file := filepath.Join(t.TempDir(), "report")
	cmd := child(t, "outlive")
	cmd.Env = append(cmd.Env, "PGTEST_REPORT="+file)
	out, err := cmd.CombinedOutput()
	report, readErr := os.ReadFile(file)
	dsn, dir, ok := strings.Cut(string(report), "\n")
	if err == nil || readErr != nil || !ok {
		t.Fatalf("the child: %v, %v\n%s", err, readErr, out)
	}
	waitUntil(t, "the folder is removed", func() bool {
		_, err := os.Stat(filepath.Dir(dir))
		return os.IsNotExist(err)
	})
	if conn, err := pgx.Connect(t.Context(), dsn); err == nil {
		conn.Close(t.Context())
		t.Error("the server outlived the test process that started it")
	}
}

// child runs the calling test once more in a process of its own, which finds
// PGTEST_CHILD set.
func child(t *testing.T, what string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe, "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), "PGTEST_CHILD="+what)
	return cmd
}

func waitUntil(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !done(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited a minute in vain until %s", what)
		}
	}
}
