package spool

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/stores/sqlite"
)

// TestKill kills a process that saves and drains at a random moment, again and
// again: what it had acknowledged is stored, nothing else is, and nothing twice.
func TestKill(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	attempted, acknowledged := map[string]bool{}, map[string]bool{}
	budget := max(*long, 5*time.Second)
	rounds := 0
	for began := time.Now(); time.Since(began) < budget; rounds++ {
		cmd, stdin, out := startChild(t, "audit", dir)
		first, err := out.ReadString('\n')
		if err != nil || first != "open\n" {
			cmd.Wait()
			t.Fatalf("round %d: the child did not start: %q %v", rounds, first, err)
		}
		kill := time.AfterFunc(time.Duration(rand.N(int64(80*time.Millisecond))), func() { cmd.Process.Kill() })
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			// A line that the kill cut has no id of full length.
			verb, id, _ := strings.Cut(lines.Text(), " ")
			if len(id) == 36 && verb == "try" {
				attempted[id] = true
			}
			if len(id) == 36 && verb == "ack" {
				acknowledged[id] = true
			}
		}
		kill.Stop()
		cmd.Wait()
		stdin.Close()
		if rounds%5 == 0 || time.Since(began) >= budget {
			checkKilled(t, dir, attempted, acknowledged)
		}
		if t.Failed() {
			return
		}
	}
	checkKilled(t, dir, attempted, acknowledged)
	t.Logf("%d rounds, %d attempted, %d acknowledged", rounds, len(attempted), len(acknowledged))
	if len(acknowledged) < 100 {
		t.Error("so few that the test proves nothing")
	}
}

func openSQLite(dir string) (core.Store, error) {
	return sqlite.Open(context.Background(), filepath.Join(dir, "next.sqlite"), sqlite.Config{})
}

func checkKilled(t *testing.T, dir string, attempted, acknowledged map[string]bool) {
	t.Helper()
	next, err := openSQLite(dir)
	if err != nil {
		t.Fatal(err)
	}
	s := openSpool(t, filepath.Join(dir, "spool"), next, Config{}, quick())
	defer closeSpool(t, s)
	found := map[string]bool{}
	note := func(where string, events []core.Event) {
		for _, e := range events {
			if id := e.ID.String(); found[id] {
				t.Errorf("%s: event %s is there twice", where, id)
			} else if found[id] = true; !attempted[id] {
				t.Errorf("%s: event %s was never saved", where, id)
			}
		}
		for id := range acknowledged {
			if !found[id] {
				t.Errorf("%s: event %s was acknowledged and is not there", where, id)
			}
		}
	}
	note("through the spool", readAll(t, s, core.Query{Limit: core.MaxLimit}))
	flush(t, s)
	clear(found)
	note("in the next store", readAll(t, next.(core.Reader), core.Query{Limit: core.MaxLimit}))
}

func init() {
	children["audit"] = func(dir string) error {
		next, err := openSQLite(dir)
		if err != nil {
			return err
		}
		tune := quick()
		s, err := open(filepath.Join(dir, "spool"), &nextStore{store: next}, Config{Logger: slog.New(slog.DiscardHandler)}, tune)
		if err != nil {
			return err
		}
		fmt.Println("open")
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				for {
					events := make([]core.Event, 1+rand.N(5))
					var try, ack strings.Builder
					for i := range events {
						events[i] = core.Event{ID: uuid.Must(uuid.NewV7()), Tag: "kill", User: "me", Fields: core.Fields{"i": i}}.Normalize(0)
						fmt.Fprintln(&try, "try", events[i].ID)
						fmt.Fprintln(&ack, "ack", events[i].ID)
					}
					io.WriteString(os.Stdout, try.String())
					if err := s.Save(context.Background(), events); err == nil {
						io.WriteString(os.Stdout, ack.String())
					}
				}
			})
		}
		all.Wait()
		return nil
	}
}
