package spool

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/google/uuid"

	"github.com/auditing-go/auditing/core"
)

// tries notes with which First each event is passed on, and answers what it is told to.
type tries struct {
	mu     sync.Mutex
	first  map[uuid.UUID][]bool
	answer func(try, n int) error
}

func (n *tries) Save(_ context.Context, events []core.Event) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	try := 0
	for _, e := range events {
		try = len(n.first[e.ID]) + 1
		n.first[e.ID] = append(n.first[e.ID], e.First)
	}
	return n.answer(try, len(events))
}

// had returns what it noted of an event, once those were as many tries as wanted.
func (n *tries) had(t *testing.T, e core.Event, want ...bool) {
	t.Helper()
	var got []bool
	eventually(t, "passing on", func() bool {
		n.mu.Lock()
		defer n.mu.Unlock()
		got = slices.Clone(n.first[e.ID])
		return len(got) >= len(want)
	})
	if got = got[:len(want)]; !slices.Equal(got, want) {
		t.Errorf("an event was passed on with First = %v, want %v", got, want)
	}
}

// TestFirst: only what was never passed on before, also not by a process before this
// one, says that it was not.
func TestFirst(t *testing.T) {
	noLeaks(t)
	for name, answer := range map[string]func(n int) error{
		"an outage":      func(n int) error { return core.FailAll(n, core.Failure{Err: errDown, Retry: true}) },
		"unknown":        func(int) error { return errDown },
		"refused":        func(n int) error { return core.FailAll(n, core.Failure{Err: errDown}) },
		"a part unknown": func(int) error { return &core.BatchError{Failures: []core.Failure{{Err: errDown, Unknown: true}}} },
		"a panic":        func(int) error { panic(errDown) },
	} {
		t.Run(name, func(t *testing.T) {
			next := &tries{first: map[uuid.UUID][]bool{}, answer: func(try, n int) error {
				if try > 2 {
					return nil
				}
				return answer(n)
			}}
			s := openSpool(t, t.TempDir(), next, Config{}, quick())
			events := eventsOf(3)
			events[0].First, events[1].First = true, true
			save(t, s, events...)
			if name == "refused" {
				for range 2 {
					flush(t, s)
					if n, err := s.Retry(t.Context()); n != 3 || err != nil {
						t.Fatalf("Retry = %d, %v", n, err)
					}
				}
			}
			flush(t, s)
			next.had(t, events[0], true, false, false)
			if name != "a part unknown" {
				next.had(t, events[1], true, false, false)
				next.had(t, events[2], false, false, false)
			}
		})
	}
}

// TestFirstEndsWithTheProcess: what waits at a start counts as tried before.
func TestFirstEndsWithTheProcess(t *testing.T) {
	noLeaks(t)
	dir := t.TempDir()
	hung := make(chan struct{})
	next := &memory{answer: func(_ *memory, ctx context.Context, _ []core.Event) error {
		close(hung)
		<-ctx.Done()
		return errors.New("nothing is known")
	}}
	tune := quick()
	tune.batchEvents = 1
	s := openSpool(t, dir, next, Config{}, tune)
	events := eventsOf(2)
	events[0].First, events[1].First = true, true
	save(t, s, events[0])
	<-hung
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Close(ctx); err != nil {
		t.Fatal(err)
	}
	again := &tries{first: map[uuid.UUID][]bool{}, answer: func(int, int) error { return nil }}
	s = openSpool(t, dir, again, Config{}, tune)
	save(t, s, events[1])
	flush(t, s)
	again.had(t, events[0], false)
	again.had(t, events[1], true)
}

// TestFirstEndsWithMoving: what is written once more, at the end, because it holds up
// others, was passed on before.
func TestFirstEndsWithMoving(t *testing.T) {
	noLeaks(t)
	events := eventsOf(40)
	for i := range events {
		events[i].First = true
	}
	var mu sync.Mutex
	var first []bool
	healed := false
	next := &memory{answer: func(m *memory, _ context.Context, batch []core.Event) error {
		mu.Lock()
		defer mu.Unlock()
		for _, e := range batch {
			if e.ID == events[0].ID {
				if first = append(first, e.First); !healed {
					return errDown
				}
			}
		}
		m.keep(batch...)
		return nil
	}}
	tune := quick()
	tune.batchEvents, tune.overtake = 1, 1000
	s := openSpool(t, t.TempDir(), next, Config{}, tune)
	save(t, s, events...)
	eventually(t, "passing on what is behind", func() bool { return next.has(events[1:]...) == nil })
	eventually(t, "moving", func() bool {
		save(t, s, eventsOf(1)...)
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.moved > 0
	})
	mu.Lock()
	healed = true
	mu.Unlock()
	flush(t, s)
	if slices.Index(first, true) != 0 || slices.Contains(first[1:], true) {
		t.Errorf("the event was passed on with First = %v, want it once, at first", first)
	}
}
