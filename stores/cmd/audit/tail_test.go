package main

import (
	"bufio"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/auditing-go/auditing/core"
)

// targets are those of the events that were printed, in order.
func targets(t *testing.T, out string) string {
	t.Helper()
	var all []string
	for line := range strings.Lines(out) {
		var e core.Event
		if err := e.UnmarshalJSON([]byte(line)); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		all = append(all, e.Target)
	}
	return strings.Join(all, " ")
}

func TestTailOnce(t *testing.T) {
	each(t, func(p *place) {
		state := filepath.Join(p.TempDir(), "state")
		p.refunds(3)
		args := []string{"tail", "-once", "-state", state, "-tag", "refund"}
		out, _ := p.run(0, append(args, "-from", time.Now().Add(-50*time.Hour).UTC().Format(time.RFC3339))...)
		if got := targets(p.T, out); got != "order/0 order/1 order/2" {
			p.Errorf("it prints %s", got)
		}
		if out, _ := p.run(0, "tail", "-once"); out != "" {
			p.Errorf("from now on it prints %s", out)
		}
		if out, _ := p.run(0, args...); out != "" {
			p.Errorf("it prints %s once more", out)
		}
		p.audit("refund", nil, core.On("order", "late"), core.At(time.Now().Add(-10*time.Second)))
		p.audit("refund", nil, core.On("order", "lost"), core.At(time.Now().Add(-10*time.Hour)))
		p.audit("refund", nil, core.On("order", "new"))
		out, _ = p.run(0, args...)
		if got := targets(p.T, out); got != "order/late order/new" {
			p.Errorf("then it prints %s", got)
		}
		if err := os.WriteFile(state, []byte("no state"), 0o600); err != nil {
			p.Fatal(err)
		}
		if _, stderr := p.run(1, args...); !strings.Contains(stderr, "the state in "+state) {
			p.Errorf("of a state that is none it says %s", stderr)
		}
	})
}

// TestTailFollows also sees that its own looks are not among what it prints.
func TestTailFollows(t *testing.T) {
	each(t, func(p *place) {
		p.refunds(1)
		cmd := p.command("tail", "-interval", "10ms", "-by", "shipper")
		cmd.Stderr = os.Stderr
		stdout, err := cmd.StdoutPipe()
		if err != nil {
			p.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			p.Fatal(err)
		}
		for len(p.read(core.Query{Tag: core.TagRead})) == 0 { // until it looks
			if p.Context().Err() != nil {
				p.Fatal("it never looks")
			}
		}
		lines := bufio.NewScanner(stdout)
		for _, id := range []string{"1", "2"} {
			p.audit("refund", nil, core.On("order", id))
			if !lines.Scan() || targets(p.T, lines.Text()) != "order/"+id {
				p.Fatalf("it prints %q (%v), want order/%s", lines.Text(), lines.Err(), id)
			}
		}
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			p.Fatal(err)
		}
		if lines.Scan() {
			p.Errorf("at the end it prints %s", lines.Text())
		}
		if err := cmd.Wait(); err != nil {
			p.Errorf("it ends with %v", err)
		}
		if end := p.read(core.Query{Tag: core.TagRead})[0]; end.User != "shipper" || end.Fields["step"] != "end" || end.Fields["events"] != int64(2) || end.Outcome != core.OutcomeSuccess {
			p.Errorf("the end is audited as %+v", end)
		}
	})
}

// TestTailCatchesUp goes through far more than it keeps at once.
func TestTailCatchesUp(t *testing.T) {
	const n = 3 * tailEvents
	start := time.Now().Add(-time.Hour).UTC().Truncate(time.Microsecond)
	var events []core.Event
	for i := range n {
		e := core.Event{Tag: "x", Time: start.Add(time.Duration(i) * 10 * time.Millisecond)}.Normalize(0)
		e.ID[0], e.ID[1], e.ID[2] = byte(i>>16), byte(i>>8), byte(i)
		events = append(events, e)
	}
	rec, err := core.New(readOnly{events}, core.Config{})
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	f := follower{reading: &reading{Recorder: rec}, out: bufio.NewWriter(&out), overlap: time.Second, seen: map[uuid.UUID]time.Time{}, at: start, step: time.Hour}
	for more := true; more; {
		if more, err = f.next(t.Context()); err != nil {
			t.Fatal(err)
		}
		if len(f.seen) > tailEvents {
			t.Fatalf("%d events are kept at once", len(f.seen))
		}
	}
	at, lines := start.Add(-1), 0
	for line := range strings.Lines(out.String()) {
		var e core.Event
		if err := e.UnmarshalJSON([]byte(line)); err != nil || !e.Time.After(at) {
			t.Fatalf("%s comes behind %v (%v)", line, at, err)
		}
		at, lines = e.Time, lines+1
	}
	if lines != n {
		t.Errorf("%d events, want %d", lines, n)
	}
}
