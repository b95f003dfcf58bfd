package proof_test

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/stores"
)

// TestKill kills a process that audits, with SIGKILL at a random moment, and goes on
// with a new one. After every round what it had acknowledged is stored once.
func TestKill(t *testing.T) {
	for _, driver := range append(drivers[:len(drivers):len(drivers)], "spool+elasticsearch") {
		t.Run(driver, func(t *testing.T) {
			k := killing{place: newPlace(t, driver), attempted: map[string]bool{}, acknowledged: map[string]bool{}}
			for goesOn := more(); goesOn() && !t.Failed(); {
				from := fmt.Sprintf("%06d", k.kills)
				k.kill(t)
				if rand.N(3) == 0 {
					k.kill(t) // one that begins on what the other left
				}
				check(t, k.attempted, since(k.acknowledged, from), k.stored(t, from))
			}
			check(t, k.attempted, k.acknowledged, k.stored(t, ""))
			t.Logf("%d kills, %d attempted, %d acknowledged", k.kills, len(k.attempted), len(k.acknowledged))
			if len(k.acknowledged) < 100 {
				t.Error("so few that nothing is proved")
			}
		})
	}
}

type killing struct {
	place
	kills                   int
	attempted, acknowledged map[string]bool
}

// kill starts a child and kills it: mostly some time after one of its
// acknowledgements, sometimes while it opens the store.
func (k *killing) kill(t *testing.T) {
	t.Helper()
	c := start(t, order{Role: "kill", Driver: k.driver, DSN: k.dsn, Number: k.kills})
	k.kills++
	kill := func(within time.Duration) {
		timer := time.AfterFunc(rand.N(within), func() { c.Process.Kill() })
		t.Cleanup(func() { timer.Stop() })
	}
	after := rand.N(500)
	if rand.N(8) == 0 {
		after = -1
		kill(200 * time.Millisecond)
	}
	acknowledged := 0
	for out := bufio.NewReader(c.out); ; {
		line, err := out.ReadString('\n')
		if err != nil {
			break // with the line that the kill cut
		}
		verb, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		switch verb {
		case "try":
			k.attempted[rest] = true
		case "ack":
			k.acknowledged[rest] = true
			if acknowledged == after {
				kill(4 * time.Millisecond)
			}
			acknowledged++
		default:
			t.Errorf("the child says: %s", line)
		}
	}
	if err := c.Wait(); err == nil || c.ProcessState.Exited() {
		t.Fatalf("the child was not killed but ended by itself: %v\n%s", err, c.stderr.String())
	}
}

func since(keys map[string]bool, from string) map[string]bool {
	later := map[string]bool{}
	for key := range keys {
		if key >= from {
			later[key] = true
		}
	}
	return later
}

// beKilled audits from 32 goroutines until it is killed: tags that share a batch, one
// that has no table of its own, and now and then a new column.
func beKilled(o order) error {
	store, err := stores.Open(context.Background(), o.Driver, o.DSN)
	if err != nil {
		return err
	}
	rec, err := core.New(store, core.Config{})
	if err != nil {
		return err
	}
	tags := []string{"kill_a", "kill_a", "kill_a", "kill_b", ""}
	var all sync.WaitGroup
	for g := range 32 {
		all.Go(func() {
			for n := 0; ; n++ {
				key := fmt.Sprintf("%06d-%02d-%d", o.Number, g, n)
				fields := core.Fields{"n": n}
				if n%50 == 7 {
					fields[fmt.Sprint("f", o.Number%40)] = key
				}
				say("try", key)
				if err := rec.Audit(context.Background(), tags[(g+n)%len(tags)], fields, core.As(key)); err != nil {
					say("err", key, err)
				} else {
					say("ack", key)
				}
			}
		})
	}
	all.Wait()
	return nil
}
