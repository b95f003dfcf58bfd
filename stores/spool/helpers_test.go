package spool

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.uber.org/goleak"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/stores/postgres/pgtest"
)

func TestMain(m *testing.M) {
	if child, ok := children[os.Getenv(childEnv)]; ok {
		if err := child(os.Args[len(os.Args)-1]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	pgtest.Main(m)
}

// noLeaks checks at the end of a test that it left no goroutine behind.
func noLeaks(t *testing.T) {
	t.Helper()
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, before) })
}

var errDown = errors.New("the database is away")

// memory is a next store. What is set changes what its Save does.
type memory struct {
	mu     sync.Mutex
	events map[uuid.UUID][]byte
	order  []uuid.UUID
	saves  int // calls of Save
	twice  int // events that came again
	most   int // events in one Save
	down   bool
	answer func(m *memory, ctx context.Context, events []core.Event) error // instead of keeping them
	closed bool
}

func (m *memory) Save(ctx context.Context, events []core.Event) error {
	m.mu.Lock()
	m.saves++
	m.most = max(m.most, len(events))
	down, answer := m.down, m.answer
	m.mu.Unlock()
	switch {
	case down:
		return core.FailAll(len(events), core.Failure{Err: errDown, Retry: true})
	case answer != nil:
		return answer(m, ctx, events)
	}
	m.keep(events...)
	return nil
}

func (m *memory) keep(events ...core.Event) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.events == nil {
		m.events = map[uuid.UUID][]byte{}
	}
	for _, e := range events {
		if m.events[e.ID] != nil {
			m.twice++
			continue
		}
		m.events[e.ID] = e.AppendJSON(nil)
		m.order = append(m.order, e.ID)
	}
}

func (m *memory) set(down bool, answer func(m *memory, ctx context.Context, events []core.Event) error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.down, m.answer = down, answer
}

func (m *memory) Read(_ context.Context, q core.Query) (core.Page, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var all []core.Event
	for _, text := range m.events {
		var e core.Event
		if err := e.UnmarshalJSON(text); err != nil {
			return core.Page{}, err
		}
		all = append(all, e)
	}
	return q.Page(all)
}

func (m *memory) Tags(ctx context.Context) ([]string, error) {
	page, err := m.Read(ctx, core.Query{Limit: core.MaxLimit})
	var tags []string
	for _, e := range page.Events {
		tags = append(tags, e.Tag)
	}
	slices.Sort(tags)
	return slices.Compact(tags), err
}

func (m *memory) Close(context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	return nil
}

func (m *memory) has(events ...core.Event) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, e := range events {
		if want := string(e.AppendJSON(nil)); string(m.events[e.ID]) != want {
			return fmt.Errorf("event %d of %d is %.200q in the next store, want %.200q", i, len(events), m.events[e.ID], want)
		}
	}
	return nil
}

// quick makes everything small and fast.
func quick() tuning {
	t := defaultTuning
	t.segmentBytes, t.overtake, t.batchEvents = 16<<10, 64<<10, 50
	t.minBackoff, t.maxBackoff = time.Millisecond, 10*time.Millisecond
	return t
}

func openSpool(t testing.TB, dir string, next core.Store, cfg Config, tune tuning) *Store {
	t.Helper()
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	s, err := open(dir, &nextStore{store: next}, cfg, tune)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeSpool(t, s) })
	return s
}

func closeSpool(t testing.TB, s *Store) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := s.Close(ctx); err != nil {
		t.Errorf("Close: %v", err)
	}
}

func save(t testing.TB, s *Store, events ...core.Event) {
	t.Helper()
	if err := s.Save(t.Context(), events); err != nil {
		t.Fatalf("Save of %d events: %v", len(events), err)
	}
}

func flush(t testing.TB, s *Store) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := s.Flush(ctx); err != nil {
		t.Fatal(err)
	}
}

var start = time.Date(2026, 1, 2, 3, 4, 5, 678901000, time.UTC)

func eventsOf(n int) []core.Event {
	events := make([]core.Event, n)
	for i := range events {
		events[i] = core.Event{
			Tag: "refund", User: "alice", Time: start.Add(time.Duration(i) * time.Second),
			Fields: core.Fields{"n": i, "text": strings.Repeat("x", 50+i%100)},
		}.Normalize(0)
	}
	return events
}

// recordOf makes the record of an event as Save does.
func recordOf(e core.Event) record {
	r := newRecord(e, time.Now())
	r.payload = e.AppendJSON(nil)
	return r
}

// readAll walks the pages.
func readAll(t testing.TB, r core.Reader, q core.Query) []core.Event {
	t.Helper()
	var all []core.Event
	for {
		page, err := r.Read(context.Background(), q)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, page.Events...)
		if q.After = page.Next; q.After == "" {
			return all
		}
	}
}

// sameIDs compares two lists of events as sets in which nothing is double.
func sameIDs(got, want []core.Event) error {
	left := map[uuid.UUID]bool{}
	for _, e := range want {
		left[e.ID] = true
	}
	for _, e := range got {
		if !left[e.ID] {
			return fmt.Errorf("event %s comes twice or was never saved", e.ID)
		}
		delete(left, e.ID)
	}
	if len(left) > 0 {
		return fmt.Errorf("%d of %d events are missing", len(left), len(want))
	}
	return nil
}

// logs collects what is logged.
type logs struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logs) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.buf.String(), text)
}

func (l *logs) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

// eventually waits for what other goroutines do.
func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !cond(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s has not happened", what)
		}
	}
}
