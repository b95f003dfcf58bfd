package proof_test

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/stores"
	_ "github.com/auditing-go/auditing/stores/postgres"
	"github.com/auditing-go/auditing/stores/postgres/pgtest"
	"github.com/auditing-go/auditing/stores/spool"
	_ "github.com/auditing-go/auditing/stores/sqlite"
)

var (
	duration = flag.Duration("proof.for", 8*time.Second, "how long each random test goes on, on each store")
	rounds   = flag.Int("proof.rounds", 0, "how many rounds each random test makes on each store, instead of -proof.for")
	clients  = flag.Int("proof.clients", 200, "how many HTTP clients there are at once")
)

// more returns a function that says whether a random test goes on.
func more() func() bool {
	began, round := time.Now(), 0
	return func() bool {
		round++
		if *rounds > 0 {
			return round <= *rounds
		}
		return round == 1 || time.Since(began) < *duration
	}
}

// order is what a child process is told to do.
type order struct {
	Role        string
	Driver, DSN string
	Number      int
}

const childEnv = "PROOF_CHILD"

var roles = map[string]func(order) error{"kill": beKilled, "write": beWriter}

func TestMain(m *testing.M) {
	if text := os.Getenv(childEnv); text != "" {
		var o order
		err := json.Unmarshal([]byte(text), &o)
		if err == nil {
			err = roles[o.Role](o)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	// What the stores log about the faults that the tests make is not what they say.
	slog.SetDefault(slog.New(slog.DiscardHandler))
	pgtest.Main(m)
}

// child is this test binary again, in another process. It ends at the latest when
// the test does.
type child struct {
	*exec.Cmd
	in     io.WriteCloser
	out    io.Reader
	stderr bytes.Buffer // to be read after Wait
}

func start(t *testing.T, o order) *child {
	t.Helper()
	text, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	c := &child{Cmd: exec.CommandContext(t.Context(), os.Args[0])}
	c.Env = append(os.Environ(), childEnv+"="+string(text))
	c.Stderr = &c.stderr
	if c.in, err = c.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if c.out, err = c.StdoutPipe(); err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	return c
}

// say writes one line to the parent. So short a write to a pipe is never mixed with
// another or torn.
func say(words ...any) { io.WriteString(os.Stdout, fmt.Sprintln(words...)) }

// place is where events are stored in the end.
type place struct{ driver, dsn string }

// drivers are those that each test of stores takes.
var drivers = []string{"sqlite", "postgres_auto", "spool+sqlite", "spool+postgres_auto"}

// newPlace returns an empty one.
func newPlace(t *testing.T, driver string) place {
	t.Helper()
	dsn := t.TempDir() + "/audits.db"
	if strings.HasSuffix(driver, "postgres_auto") {
		dsn = pgtest.DSN(t)
	}
	if strings.HasPrefix(driver, "spool+") {
		dsn = "dir=" + t.TempDir() + ";" + dsn
	}
	return place{driver, dsn}
}

func (p place) open(t *testing.T) core.Store {
	t.Helper()
	s, err := stores.Open(t.Context(), p.driver, p.dsn)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func record(t *testing.T, s core.Store, cfg core.Config) *core.Recorder {
	t.Helper()
	cfg.Logger = slog.New(slog.DiscardHandler)
	rec, err := core.New(s, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { rec.Close(context.Background()) })
	return rec
}

// stored returns how often each key from the given one on is stored. A key is the
// user of an event: every table has that column. A spool is emptied first.
func (p place) stored(t *testing.T, from string) map[string]int {
	t.Helper()
	driver, dsn, spooled := strings.Cut(p.driver, "+")
	if spooled {
		s := p.open(t)
		flush(t, s.(*spool.Store))
		if err := s.(core.Closer).Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		driver = dsn
		_, dsn, _ = strings.Cut(p.dsn, ";")
	} else {
		dsn = p.dsn
	}
	if driver == "sqlite" {
		return storedInSQLite(t, dsn, from)
	}
	return storedInPostgres(t, dsn, from)
}

func flush(t *testing.T, s *spool.Store) {
	t.Helper()
	if err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if st := s.Stats(); st.Waiting > 0 || st.SetAside > 0 {
		t.Fatalf("after a flush %d events wait in the spool and %d are set aside", st.Waiting, st.SetAside)
	}
}

func storedInPostgres(t *testing.T, dsn, from string) map[string]int {
	t.Helper()
	conn := connect(t, dsn)
	defer conn.Close(context.Background())
	rows, _ := conn.Query(t.Context(), `SELECT attrelid::regclass::text FROM pg_attribute JOIN pg_class c ON c.oid = attrelid
		WHERE attname = 'audit_id' AND relkind = 'r'`)
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]int{}
	for _, table := range tables {
		rows, _ := conn.Query(t.Context(), "SELECT username FROM "+table+" WHERE username >= $1", from)
		keys, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			t.Fatal(err)
		}
		for _, key := range keys {
			found[key]++
		}
	}
	return found
}

func connect(t *testing.T, dsn string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

func execute(t *testing.T, conn *pgx.Conn, statement string, args ...any) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), statement, args...); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

func storedInSQLite(t *testing.T, path, from string) map[string]int {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	column := func(query string, args ...any) (values []string) {
		rows, err := db.QueryContext(t.Context(), query, args...)
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		for rows.Next() {
			var v string
			if err := rows.Scan(&v); err != nil {
				t.Fatal(err)
			}
			values = append(values, v)
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
		return values
	}
	found := map[string]int{}
	for _, table := range column(`SELECT m.name FROM sqlite_master m, pragma_table_info(m.name) c WHERE m.type = 'table' AND c.name = 'audit_id'`) {
		for _, key := range column(`SELECT username FROM "`+table+`" WHERE username >= ?`, from) {
			found[key]++
		}
	}
	return found
}

// check fails the test unless acknowledged ⊆ stored ⊆ attempted, none twice.
func check(t *testing.T, attempted, acknowledged map[string]bool, stored map[string]int) {
	t.Helper()
	wrong := 0
	complain := func(format string, args ...any) {
		t.Helper()
		if wrong++; wrong <= 10 {
			t.Errorf(format, args...)
		}
	}
	for key := range acknowledged {
		if stored[key] == 0 {
			complain("LOST: %s was acknowledged and is not stored", key)
		}
	}
	for key, n := range stored {
		if n > 1 {
			complain("DOUBLED: %s is stored %d times", key, n)
		}
		if !attempted[key] {
			complain("INVENTED: %s is stored and was never attempted", key)
		}
	}
	if wrong > 10 {
		t.Errorf("… %d in all", wrong)
	}
}
