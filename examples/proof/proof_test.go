package proof_test

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/stores/postgres/pgtest"
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

var roles = map[string]func(order) error{"kill": beKilled, "write": beWriter, "change": beChanging, "relay": beRelaying}

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
