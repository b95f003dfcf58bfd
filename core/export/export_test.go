package export_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/core/auditjson"
	"github.com/auditing-go/auditing/core/ecs"
	"github.com/auditing-go/auditing/core/export"
)

// trail is a store of the events that it is made of, which can be saved to and read.
type trail struct {
	events []core.Event
	before func(q core.Query)                             // of each page
	answer func(core.Query, core.Page) (core.Page, error) // instead of the page
}

func (s *trail) Save(context.Context, []core.Event) error { return errors.ErrUnsupported }

func (s *trail) Read(_ context.Context, q core.Query) (core.Page, error) {
	if s.before != nil {
		s.before(q)
	}
	page, err := q.Page(s.events)
	if s.answer != nil {
		return s.answer(q, page)
	}
	return page, err
}

var noon = time.Date(2026, 11, 26, 9, 30, 0, 0, time.UTC)

func numbered(n int, tag string, fields core.Fields) core.Event {
	return core.Event{ID: uuid.MustParse(fmt.Sprintf("0198c0de-0000-7000-8000-%012d", n)), Tag: tag, User: "bob", Time: noon.Add(-time.Duration(n/3) * time.Second), Fields: fields}.Normalize(0)
}

// example is a recorder whose store has one refund.
func example() *core.Recorder {
	e := numbered(1, "refund", core.Fields{"amount": 900})
	e.Target, e.Outcome, e.Reason = "order/42", core.OutcomeDenied, "over the limit"
	rec, err := core.New(&trail{events: []core.Event{e}}, core.Config{})
	if err != nil {
		panic(err)
	}
	return rec
}

// hostile are events with everything that has broken a file somewhere.
func hostile() []core.Event {
	texts := []string{
		"", "=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "'=1", "'", `"`, `""`, "a,b", "a;b", "line\r\nline", "line\nline", "tab\ttab", "＝1", "é", "\u2028", "\u202e",
		"<script>", "a\x00b", "\\", "NULL", "null", "nan", " leading", "trailing ", strings.Repeat("long ", 5000), "\ufeff", "=cmd|' /C calc'!A0", "-2+3", "1e5", "007", "true",
	}
	var events []core.Event
	for i, text := range texts {
		e := numbered(i, []string{"refund", "login", "user.logout", text}[i%4], core.Fields{
			"text": text, "n": int64(-i), "big": uint64(math.MaxUint64), "f": -1.5 * float64(i), "yes": i%2 == 0, "at": noon, "bytes": []byte(text), "list": []any{text, int64(i), nil},
			"map": map[string]any{text: text, "$time": "x"}, text: i, fmt.Sprint("only", i): i, "nan": math.NaN(), "inf": math.Inf(-1), "id": "a field's", "fields.n": 1,
		})
		e.User, e.Reason, e.Target, e.Tenant, e.OnBehalfOf, e.Service = text, text, []string{"order/" + text, text, ""}[i%3], text, text, text
		e.Outcome = []core.Outcome{"", core.OutcomeSuccess, core.OutcomeDenied, core.OutcomeFailure, core.Outcome(text)}[i%5]
		if i%3 > 0 {
			e.Request = &core.Request{Path: "/" + text, Host: text, IP: []string{"203.0.113.9", "2001:db8::1", "fe80::1%eth0", text}[i%4], Method: "POST", Peer: text, Forwarded: text, UserAgent: text, ID: text, Route: text, Trace: text}
		}
		events = append(events, e.Normalize(0))
	}
	return events
}

// write exports to memory, which must succeed.
func write(t *testing.T, r core.Reader, q core.Query, f export.Format) (string, export.Manifest) {
	t.Helper()
	var b bytes.Buffer
	m, err := export.Write(t.Context(), &b, r, q, export.Options{Format: f, By: "alice"})
	if err != nil {
		t.Fatal(err)
	}
	checkManifest(t, m, b.Bytes())
	return b.String(), m
}

func checkManifest(t *testing.T, m export.Manifest, file []byte) {
	t.Helper()
	if sum := sha256.Sum256(file); m.Bytes != int64(len(file)) || m.SHA256 != hex.EncodeToString(sum[:]) {
		t.Errorf("the manifest says %d bytes, %s; the file has %d, %x", m.Bytes, m.SHA256, len(file), sum)
	}
	if m.By != "alice" || m.At.IsZero() || m.Ended.Before(m.At) || m.To.After(m.At) || m.Promise == "" || m.Unaudited || m.Complete != (len(m.Missing) == 0) {
		t.Errorf("the manifest is %+v", m)
	}
}

func newestFirst(events []core.Event) []core.Event {
	events = slices.Clone(events)
	slices.SortFunc(events, core.Event.Compare)
	return events
}

func TestJSONLinesAreLossless(t *testing.T) {
	events := hostile()
	file, m := write(t, &trail{events: events}, core.Query{}, export.JSONL)
	var back []core.Event
	for line := range strings.Lines(file) {
		var e core.Event
		if err := e.UnmarshalJSON([]byte(line)); err != nil {
			t.Fatal(err)
		}
		back = append(back, e)
	}
	want := newestFirst(events)
	if len(back) != len(want) || m.Events != len(want) || m.First != want[0].ID || m.Last != want[len(want)-1].ID || !m.Complete {
		t.Fatalf("%d events of %d; the manifest is %+v", len(back), len(want), m)
	}
	for i, e := range back {
		if got, want := string(e.AppendJSON(nil)), string(want[i].AppendJSON(nil)); got != want {
			t.Errorf("event %d is %s\nwant %s", i, got, want)
		}
	}
}

func TestECSIsWhatPackageECSWrites(t *testing.T) {
	events := newestFirst(hostile())
	file, _ := write(t, &trail{events: events}, core.Query{}, export.ECS)
	n := 0
	for line := range strings.Lines(file) {
		if len(events[n].Fields) > 0 { // whose labels stand in any order
			var got, want map[string]any
			if err := errors.Join(json.Unmarshal([]byte(line), &got), json.Unmarshal(ecs.Append(nil, events[n]), &want)); err != nil {
				t.Fatal(err)
			}
			if !auditjson.Equal(got, want) {
				t.Errorf("%s\nis not\n%s", line, ecs.Append(nil, events[n]))
			}
		}
		n++
	}
	if n != len(events) {
		t.Errorf("%d documents, want %d", n, len(events))
	}
}

// TestWindow: what is asked for, and what comes while it is written.
func TestWindow(t *testing.T) {
	s := &trail{}
	for i := range 100 {
		s.events = append(s.events, numbered(i, "x", nil))
	}
	late := 0
	s.before = func(core.Query) {
		// One of now, and one whose audit was under way for long.
		for _, at := range []time.Time{time.Now(), noon.Add(-10 * time.Second)} {
			e := numbered(1000+late, "x", core.Fields{"late": late})
			e.Time = at.UTC().Truncate(time.Microsecond)
			s.events = append(s.events, e)
			late++
		}
	}
	for _, f := range export.Formats() {
		start := time.Now().UTC()
		file, m := write(t, s, core.Query{Tag: "x", Limit: 1}, f)
		if m.To.Before(start.Add(-time.Microsecond)) || m.To.After(m.Ended) || !m.From.IsZero() || string(m.Query) != `{"tag":"x"}` {
			t.Errorf("%s: the manifest is %+v", f, m)
		}
		for i := range 100 {
			id := fmt.Sprintf("0198c0de-0000-7000-8000-%012d", i)
			if n := strings.Count(file, id); n != 1 {
				t.Errorf("%s: %s is there %d times", f, id, n)
			}
		}
		for _, e := range s.events[100:] {
			if n := strings.Count(file, e.ID.String()); n > 1 || n > 0 && !e.Time.Before(m.To) {
				t.Errorf("%s: an event of %v is there %d times, the window ends at %v", f, e.Time, n, m.To)
			}
		}
	}
	s.before = nil
	from, to := noon.Add(-20*time.Second), noon.Add(-10*time.Second)
	_, m := write(t, s, core.Query{From: from, To: to, Fields: core.Fields{"late": nil}}, export.JSONL)
	if m.Events != 30 || !m.From.Equal(from) || !m.To.Equal(to) || string(m.Query) != `{"fields":{}}` {
		t.Errorf("the manifest is %+v", m)
	}
	if data, err := json.Marshal(m); err != nil || !strings.Contains(string(data), `"to":"2026-11-26T09:29:50Z"`) || strings.Contains(string(data), "unaudited") {
		t.Errorf("its JSON is %s, %v", data, err)
	}
	if _, m := write(t, &trail{}, core.Query{}, export.JSONL); m.Events != 0 || m.First != uuid.Nil || !m.Complete {
		t.Errorf("the manifest of nothing is %+v", m)
	}
}

var errAway = errors.New("the table is locked")

// TestIncomplete: what cannot be read is named, and all else is there.
func TestIncomplete(t *testing.T) {
	var events []core.Event
	for i := range 100 {
		events = append(events, numbered(i, "x", core.Fields{"n": i}))
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	for name, c := range map[string]struct {
		ctx    context.Context
		answer func(core.Query, core.Page) (core.Page, error)
		w      func(io.Writer) io.Writer
		err    error
		events int
	}{
		"a page lacks something": {
			answer: func(q core.Query, p core.Page) (core.Page, error) {
				if q.After == "" {
					return p, nil
				}
				return p, errAway
			}, err: errAway, events: 100,
		},
		"nothing can be read": {answer: func(core.Query, core.Page) (core.Page, error) { return core.Page{}, errAway }, err: errAway},
		"it ends in the middle": {
			answer: func(q core.Query, p core.Page) (core.Page, error) {
				if q.After == "" {
					return p, nil
				}
				return core.Page{}, errAway
			}, err: errAway, events: 16,
		},
		"the caller has left": {ctx: cancelled, answer: func(_ core.Query, p core.Page) (core.Page, error) { return p, context.Canceled }, err: context.Canceled, events: 16},
		"the same page comes again": {answer: func(q core.Query, p core.Page) (core.Page, error) {
			if q.After != "" {
				p.Next = q.After
			}
			return p, nil
		}, events: 48},
		"the disk is full": {w: func(w io.Writer) io.Writer { return &fullDisk{w, 1000} }, err: errFull, events: -1},
	} {
		for _, f := range export.Formats() {
			var b bytes.Buffer
			w := io.Writer(&b)
			if c.w != nil {
				w = c.w(w)
			}
			ctx := c.ctx
			if ctx == nil {
				ctx = t.Context()
			}
			m, err := export.Write(ctx, w, &trail{events: events, answer: c.answer}, core.Query{}, export.Options{Format: f, By: "alice"})
			if err == nil || c.err != nil && !errors.Is(err, c.err) || m.Complete || len(m.Missing) != 1 || !strings.Contains(err.Error(), m.Missing[0]) {
				t.Errorf("%s, %s: %+v, %v", name, f, m, err)
			}
			if c.w == nil && !(f == export.CSV && c.ctx != nil) {
				checkManifest(t, m, b.Bytes())
				if n := strings.Count(b.String(), "0198c0de"); n != c.events || m.Events != c.events {
					t.Errorf("%s, %s: %d events, the manifest says %d, want %d", name, f, n, m.Events, c.events)
				}
			}
		}
	}
}

var errFull = errors.New("no space left")

type fullDisk struct {
	w    io.Writer
	room int
}

func (d *fullDisk) Write(p []byte) (int, error) {
	n, _ := d.w.Write(p[:min(len(p), d.room)])
	if d.room -= n; n < len(p) {
		return n, errFull
	}
	return n, nil
}

func TestOptionsThatAreWrong(t *testing.T) {
	for want, c := range map[string]struct {
		r core.Reader
		q core.Query
		o export.Options
	}{
		"the reader is nil":           {nil, core.Query{}, export.Options{By: "alice"}},
		"Options.By is empty":         {&trail{}, core.Query{}, export.Options{}},
		"the query has an After":      {&trail{}, core.Query{After: "x"}, export.Options{By: "alice"}},
		`one of ["jsonl" "csv" "ecs"`: {&trail{}, core.Query{}, export.Options{By: "alice", Format: "xml"}},
	} {
		var b bytes.Buffer
		if m, err := export.Write(t.Context(), &b, c.r, c.q, c.o); err == nil || !strings.Contains(err.Error(), want) || m.Complete || b.Len() > 0 {
			t.Errorf("%+v, %v; want %q", m, err, want)
		}
	}
}

// generated is a trail of n events that exist only while they are read, and notes how much
// memory is in use meanwhile.
type generated struct {
	n, pages int
	peak     uint64
}

func (g *generated) Read(_ context.Context, q core.Query) (core.Page, error) {
	at := 0
	if c, paged, err := q.Cursor(); err != nil {
		return core.Page{}, err
	} else if paged {
		at = int(noon.Sub(c.Time)/time.Second) + 1
	}
	page := core.Page{}
	for limit := q.Normalize().Limit; at < g.n && len(page.Events) < limit; at++ {
		e := core.Event{ID: uuid.New(), Tag: "refund", User: "alice", Time: noon.Add(-time.Duration(at) * time.Second), Fields: core.Fields{
			"order": int64(at), "amount": 9.5, "note": strings.Repeat("n", at%500), fmt.Sprint("field", at%3000): "x",
		}}
		if at%10_000 == 0 {
			e.Fields["document"] = strings.Repeat("d", 500<<10)
		}
		page.Events = append(page.Events, e)
		page.Next = core.Cursor{Time: e.Time, ID: e.ID}.String()
	}
	if at == g.n {
		page.Next = ""
	}
	if g.pages++; g.pages%10 == 0 {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		g.peak = max(g.peak, m.HeapInuse)
	}
	return page, nil
}

// TestBoundedMemory: AUDITING_LONG=1 makes it a million events.
func TestBoundedMemory(t *testing.T) {
	n := 30_000
	if os.Getenv("AUDITING_LONG") != "" {
		n = 1_000_000
	}
	for _, f := range export.Formats() {
		runtime.GC() // of what other tests have left
		g := &generated{n: n}
		m, err := export.Write(t.Context(), io.Discard, g, core.Query{}, export.Options{Format: f, By: "alice"})
		if err != nil || m.Events != n {
			t.Fatalf("%s: %d events, %v", f, m.Events, err)
		}
		t.Logf("%s: %d events, %d MiB, in %d pages with at most %.1f MiB of memory", f, n, m.Bytes>>20, g.pages, float64(g.peak)/(1<<20))
		if g.peak > 64<<20 {
			t.Errorf("%s: %d MiB are in use, want at most 64", f, g.peak>>20)
		}
	}
}

// TestLargeEvents: pages shrink when events are large.
func TestLargeEvents(t *testing.T) {
	s := &trail{}
	for i := range 60 {
		s.events = append(s.events, numbered(i, "x", core.Fields{"document": strings.Repeat("d", 900<<10)}))
	}
	most := 0
	s.answer = func(_ core.Query, p core.Page) (core.Page, error) {
		most = max(most, len(p.Events))
		return p, nil
	}
	write(t, s, core.Query{}, export.JSONL)
	if most > 16 {
		t.Errorf("a page had %d events of 900 KiB", most)
	}
}
