package core_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"go.uber.org/goleak"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/core/auditjson"
)

func ExampleNewConsole() {
	store := core.NewConsole(os.Stdout)
	e := core.Event{
		Tag:     "refund",
		User:    "alice",
		Time:    time.Date(2019, 12, 5, 13, 55, 55, 636742000, time.UTC),
		Request: &core.Request{Path: "/some/path", Host: "example.com", IP: "203.0.113.9", Method: "POST"},
		Fields:  core.Fields{"order": 42, "amount": 9.5, "note": "two\nlines"},
	}
	if err := store.Save(context.Background(), []core.Event{e.Normalize(0)}); err != nil {
		fmt.Println(err)
	}
	// Output:
	// 2019-12-05 13:55:55.636742Z refund: alice from 203.0.113.9 POST example.com/some/path {amount: 9.5, note: "two\nlines", order: 42}
}

func TestConsoleLine(t *testing.T) {
	fields := core.Fields{
		"i": -1, "u": uint64(math.MaxUint64), "f": 1e21, "nan": math.NaN(), "inf": math.Inf(-1), "b": true, "s": "a \"b\" \\ ž", "none": nil,
		"t": noon.Add(time.Microsecond), "bytes": []byte("\x00\xff"), "list": []any{1, nil, "x", []any{}}, "map": map[string]any{"b": 1, "a": map[string]any{}},
	}
	tests := []struct {
		name string
		e    core.Event
		want string
	}{
		{"bare", core.Event{Tag: "mytag", User: "me"}, `mytag: me {}`},
		{"every kind", core.Event{Tag: "kinds", User: "me", Fields: fields}, `kinds: me {b: true, bytes: 0x00ff, f: 1e+21, i: -1, inf: -Inf, ` +
			`list: [1, null, "x", []], map: {a: {}, b: 1}, nan: NaN, s: "a \"b\" \\ ž", t: 2026-07-08T12:00:00.000001Z, u: 18446744073709551615}`},
		{"usual names", core.Event{Tag: "user.log-in_2", User: "jan.novák+x@example.com", Fields: core.Fields{"a.b-c": 1}}, `user.log-in_2: jan.novák+x@example.com {a.b-c: 1}`},
		{"no names", core.Event{Fields: core.Fields{"": ""}}, `"": "" {"": ""}`},
		{"forged tag", core.Event{Tag: "login: root {}\n2026", User: "me"}, `"login: root {}\n2026": me {}`},
		{"forged user", core.Event{Tag: "login", User: "root from 127.0.0.1"}, `login: "root from 127.0.0.1" {}`},
		{"forged field", core.Event{Tag: "a", User: "me", Fields: core.Fields{"x: 1, y": "1, z: 2"}}, `a: me {"x: 1, y": "1, z: 2"}`},
		{"hidden characters", core.Event{Tag: "a\u202eb", User: "m\u200be", Fields: core.Fields{"\x1b[2J": "\u2028\r\x1b\ufeff"}}, `"a\u202eb": "m\u200be" {"\x1b[2J": "\u2028\r\x1b\ufeff"}`},
		{"who, what and result", core.Event{Tag: "a", User: "root", OnBehalfOf: "me", Target: "order/A-1", Outcome: core.OutcomeDenied, Reason: "over the\nlimit"}, `a: root for me on order/A-1 denied because "over the\nlimit" {}`},
		{"forged target", core.Event{Tag: "a", User: "me", Target: "order/1 success", Outcome: core.OutcomeDenied}, `a: me on "order/1 success" denied {}`},
		{"request", core.Event{Tag: "a", User: "me", Request: &core.Request{Path: "/a/b", Host: "::1", IP: "fe80::1", Method: "GET", Peer: "p", Forwarded: "f", UserAgent: "u", ID: "i"}}, `a: me from fe80::1 GET ::1/a/b {}`},
		{"empty request", core.Event{Tag: "a", User: "me", Request: &core.Request{}}, `a: me {}`},
		{"forged request", core.Event{Tag: "a", User: "me", Request: &core.Request{Path: "/x {}\nb", Host: "h/y", IP: "1 POST", Method: "GET h"}}, `a: me from "1 POST" "GET h" "h/y""/x {}\nb" {}`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var out bytes.Buffer
			test.e.Time = noon
			if err := core.NewConsole(&out).Save(t.Context(), []core.Event{test.e.Normalize(0)}); err != nil {
				t.Fatal(err)
			}
			if want := "2026-07-08 12:00:00.000000Z " + test.want + "\n"; out.String() != want {
				t.Errorf("got  %swant %s", out.String(), want)
			}
		})
	}
}

func FuzzConsoleLine(f *testing.F) {
	f.Add("mytag", "me", "/path", "a", "some data")
	f.Add("a\nb", "c\r", "\x85", "\u2028", "\x00\xff\x1b[0m\u202e")
	f.Add(`"`, `\`, `": "`, `{}`, `\n`)
	f.Fuzz(func(t *testing.T, tag, user, path, name, value string) {
		e := core.Event{Tag: tag, User: user, Request: &core.Request{Path: path}, Fields: core.Fields{name: value, "nested": map[string]any{name: []string{value}}}}.Normalize(0)
		var out bytes.Buffer
		if err := core.NewConsole(&out).Save(context.Background(), []core.Event{e}); err != nil {
			t.Fatal(err)
		}
		line, ended := strings.CutSuffix(out.String(), "\n")
		if !ended || !utf8.ValidString(line) || strings.ContainsFunc(line, func(r rune) bool { return !unicode.IsPrint(r) }) {
			t.Fatalf("the line %q is not one line of printable text", out.String())
		}
		// Outside of quotes there is nothing but what the console wrote itself.
		for part := range strings.SplitSeq(outsideQuotes(line), "nested") {
			if strings.Count(part, "{") > 1 || strings.Count(part, "\\") > 0 {
				t.Fatalf("a text in %q got out of its quotes", line)
			}
		}
	})
}

// outsideQuotes is what is left of a line without its quoted texts.
func outsideQuotes(line string) string {
	var b strings.Builder
	quoted := false
	for i := 0; i < len(line); i++ {
		switch {
		case quoted && line[i] == '\\':
			i++
		case line[i] == '"':
			quoted = !quoted
		case !quoted:
			b.WriteByte(line[i])
		}
	}
	return b.String()
}

func TestConsoleJSONLines(t *testing.T) {
	events := trail(20)
	events[3].Request = &core.Request{Path: "/x\ny", Forwarded: "evidence", UserAgent: "u", ID: "id"}
	var out bytes.Buffer
	if err := core.NewConsole(&out, core.JSONLines(), nil).Save(t.Context(), events); err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(out.String(), "\n")
	if len(lines) != len(events)+1 || lines[len(events)] != "" {
		t.Fatalf("%d events are %d lines", len(events), len(lines)-1)
	}
	for i, e := range events {
		var got core.Event
		err := got.UnmarshalJSON([]byte(lines[i]))
		if err != nil {
			t.Fatalf("line %d: %v", i, err)
		}
		sameRequest := (got.Request == nil) == (e.Request == nil) && (e.Request == nil || *got.Request == *e.Request)
		if got.ID != e.ID || !got.Time.Equal(e.Time) || !sameRequest || !auditjson.Equal(map[string]any(got.Fields), map[string]any(e.Fields)) {
			t.Errorf("line %d gives %+v, was %+v", i, got, e)
		}
	}
}

func TestConsoleOfNoWriterIsStandardOutputAtEachWrite(t *testing.T) {
	store := core.NewConsole(nil)
	file, err := os.Create(t.TempDir() + "/out")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	was := os.Stdout
	os.Stdout = file
	err = store.Save(nil, trail(1)) //lint:ignore SA1012 a nil context must work
	os.Stdout = was
	out, _ := os.ReadFile(file.Name())
	if err != nil || bytes.Count(out, []byte("\n")) != 1 {
		t.Errorf("Save = %v, standard output got %q", err, out)
	}
}

// scripted is a writer whose writes take what the script says, in bytes, and fail.
type scripted struct {
	out    bytes.Buffer
	script []int
	err    error
	writes int
}

func (w *scripted) Write(p []byte) (int, error) {
	w.writes++
	if len(w.script) == 0 {
		return w.out.Write(p)
	}
	n := w.script[0]
	w.script = w.script[1:]
	if n > 0 {
		w.out.Write(p[:min(n, len(p))])
	}
	return n, w.err
}

func TestConsoleAfterAWriteThatFails(t *testing.T) {
	events := []core.Event{}
	for _, tag := range []string{"a", "b", "c"} {
		events = append(events, core.Event{Tag: tag, User: "me", Time: noon}.Normalize(0))
	}
	const line = len("2026-07-08 12:00:00.000000Z a: me {}\n")
	full := errors.New("no space left")
	tests := []struct {
		name    string
		n       int
		err     error
		failed  []int
		retry   bool
		leftEnd string // what the output ends in, after the next event
	}{
		{"nothing written", 0, full, []int{0, 1, 2}, true, "\n"},
		{"in the first line", 5, full, []int{0, 1, 2}, true, "2026-\n"},
		{"the first line", line, full, []int{1, 2}, true, "a: me {}\n"},
		{"the first line without its end", line - 1, full, []int{1, 2}, true, "a: me {}\n"},
		{"in the last line", 3*line - 5, full, []int{2}, true, "c: m\n"},
		{"everything, and an error", 3 * line, full, nil, true, "c: me {}\n"},
		{"short without an error", line + 1, nil, []int{1, 2}, true, "\n2\n"},
		{"a closed file", 0, os.ErrClosed, []int{0, 1, 2}, false, "\n"},
		{"a closed pipe", 0, io.ErrClosedPipe, []int{0, 1, 2}, false, "\n"},
		{"fewer than none", -1, full, []int{0, 1, 2}, true, "\n"},
		{"more than there was", 1000, full, nil, true, "c: me {}\n"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := &scripted{script: []int{test.n}, err: test.err}
			w.out.WriteString("\n")
			store := core.NewConsole(w)
			err := store.Save(t.Context(), events)
			var failed []int
			var batch *core.BatchError
			if errors.As(err, &batch) {
				for _, f := range batch.Failures {
					failed = append(failed, f.Index)
					if f.Retry != test.retry || f.Unknown || test.err != nil && !errors.Is(f.Err, test.err) || f.Err == nil {
						t.Errorf("failure %+v; want Retry %t, not Unknown, and %v", f, test.retry, test.err)
					}
				}
			} else if err != nil {
				t.Fatalf("Save: %v; want a *core.BatchError", err)
			}
			if !slices.Equal(failed, test.failed) {
				t.Errorf("the failed events are %v, want %v", failed, test.failed)
			}
			// The next event stands in a line of its own.
			if err := store.Save(t.Context(), events[1:2]); err != nil {
				t.Fatal(err)
			}
			before, ok := strings.CutSuffix(w.out.String(), "2026-07-08 12:00:00.000000Z b: me {}\n")
			if !ok || !strings.HasSuffix(before, test.leftEnd) {
				t.Errorf("the output %q; want %q before the next event", w.out.String(), test.leftEnd)
			}
		})
	}
	w := &scripted{script: []int{5, 0}, err: full}
	store := core.NewConsole(w)
	for range 2 { // the second fails where it ends the torn line
		var batch *core.BatchError
		if err := store.Save(t.Context(), events); !errors.As(err, &batch) || len(batch.Failures) != 3 {
			t.Errorf("Save = %v, want all three to fail", err)
		}
	}
	if err := store.Save(t.Context(), nil); err != nil || w.writes != 2 {
		t.Errorf("Save of nothing = %v after %d writes; want no write", err, w.writes-2)
	}
}

// stuck is a writer that takes a byte only when it is told to.
type stuck struct {
	entered, release chan struct{}
	out              bytes.Buffer
}

func (w *stuck) Write(p []byte) (int, error) {
	w.entered <- struct{}{}
	<-w.release
	return w.out.Write(p)
}

func TestConsoleEndsWithItsContext(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	w := &stuck{entered: make(chan struct{}), release: make(chan struct{})}
	store := core.NewConsole(w)
	events := trail(3)

	ctx, cancel := context.WithCancel(t.Context())
	first := make(chan error)
	go func() { first <- store.Save(ctx, events[:1]) }()
	<-w.entered
	cancel()
	var batch *core.BatchError
	if err := <-first; !errors.Is(err, context.Canceled) || errors.As(err, &batch) {
		t.Errorf("Save whose write hangs = %v; want the context's error: nothing is known", err)
	}
	if err := store.Save(ctx, events[1:2]); !errors.As(err, &batch) || batch.Failures[0].Unknown || !errors.Is(err, context.Canceled) {
		t.Errorf("Save after its context = %v; want an event that is certainly not stored", err)
	}
	third := make(chan error)
	go func() { third <- store.Save(context.Background(), events[2:]) }()
	w.release <- struct{}{}
	<-w.entered
	w.release <- struct{}{}
	if err := <-third; err != nil {
		t.Error(err)
	}
	if got := strings.Count(w.out.String(), "\n"); got != 2 {
		t.Errorf("%d lines were printed, want the first and the third", got)
	}
}

func TestConsoleIsSafeForConcurrentUse(t *testing.T) {
	var out bytes.Buffer // not safe itself
	store := core.NewConsole(&out)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for _, e := range trail(25) {
				if err := store.Save(t.Context(), []core.Event{e, e}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	if len(lines) != 8*25*2 {
		t.Errorf("%d lines were printed, want %d", len(lines), 8*25*2)
	}
	for _, line := range lines {
		if !strings.HasPrefix(line, "2026-07-08 12:00:00.0000") || !strings.HasSuffix(line, "}") {
			t.Fatalf("the line %q is torn", line)
		}
	}
}
