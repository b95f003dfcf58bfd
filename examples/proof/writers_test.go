package proof_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/stores"
)

const processes = 8

// TestWriters has eight processes create and extend the same and different tables at
// the same moment, while in every other round a reader holds a transaction open.
func TestWriters(t *testing.T) {
	p := newPlace(t, "postgres_auto")
	var children []*child
	var outs []*bufio.Reader
	for n := range processes {
		c := start(t, order{Role: "write", Driver: p.driver, DSN: p.dsn, Number: n})
		children, outs = append(children, c), append(outs, bufio.NewReader(c.out))
	}
	attempted, acknowledged := map[string]bool{}, map[string]bool{}
	reader := connect(t, p.dsn)
	round := 0
	for goesOn := more(); goesOn() && !t.Failed(); round++ {
		held := round%2 == 1
		if held {
			execute(t, reader, "BEGIN")
			execute(t, reader, fmt.Sprintf("SELECT * FROM own_%d", round/2%processes))
		}
		for _, c := range children {
			fmt.Fprintln(c.in, round)
		}
		for n, out := range outs {
			for done := false; !done; {
				line, err := out.ReadString('\n')
				if err != nil {
					t.Fatalf("process %d ended: %v\n%s", n, children[n].Wait(), children[n].stderr.String())
				}
				verb, key, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
				switch verb {
				case "try":
					attempted[key] = true
				case "ack":
					acknowledged[key] = true
				case "done":
					done = true
				default:
					t.Errorf("process %d says: %s", n, line)
				}
			}
		}
		if held {
			execute(t, reader, "COMMIT")
		}
		from := fmt.Sprintf("%06d", round)
		check(t, attempted, since(acknowledged, from), p.stored(t, from))
	}
	for n, c := range children {
		c.in.Close()
		if err := c.Wait(); err != nil {
			t.Errorf("process %d: %v\n%s", n, err, c.stderr.String())
		}
	}
	check(t, attempted, acknowledged, p.stored(t, ""))
	t.Logf("%d rounds of %d processes, %d audits", round, processes, len(acknowledged))
}

// beWriter audits whenever the parent names a round: in tables that are new to all,
// to every other process, and in its own, with columns that all bring and columns
// that only it brings, and one on whose type they do not agree.
func beWriter(o order) error {
	ctx := context.Background()
	store, err := stores.Open(ctx, o.Driver, o.DSN)
	if err != nil {
		return err
	}
	rec, err := core.New(store, core.Config{})
	if err != nil {
		return err
	}
	var disputed any = o.Number
	if o.Number%2 == 1 {
		disputed = fmt.Sprint("text ", o.Number)
	}
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		var round int
		if _, err := fmt.Sscan(in.Text(), &round); err != nil {
			return err
		}
		tags := []string{fmt.Sprint("all_", round), fmt.Sprint("half_", round, "_", o.Number%2), fmt.Sprint("own_", o.Number)}
		var all sync.WaitGroup
		for g := range 4 {
			all.Go(func() {
				for n := range 6 {
					key := fmt.Sprintf("%06d-%d-%d-%d", round, o.Number, g, n)
					fields := core.Fields{"n": n, "disputed": disputed, fmt.Sprint("new_", n): key, fmt.Sprint("of_", o.Number, "_", n/3): n}
					if n == 5 {
						fields[fmt.Sprint("round_", round%100)] = round
					}
					say("try", key)
					if err := rec.Audit(ctx, tags[(g+n)%len(tags)], fields, core.As(key)); err != nil {
						say("err", key, err)
					} else {
						say("ack", key)
					}
				}
			})
		}
		all.Wait()
		say("done")
	}
	return rec.Close(ctx)
}
