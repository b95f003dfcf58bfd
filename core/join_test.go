package core_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/auditing-go/auditing/core"
)

// joiner is a store that can write in a transaction, which is any value.
type joiner struct {
	memory
	join func(ctx context.Context, tx any, events []core.Event) error
}

func (j *joiner) Join(ctx context.Context, tx any, events ...core.Event) error {
	return j.join(ctx, tx, events)
}

func newJoiner(t *testing.T, cfg core.Config, join func(ctx context.Context, tx any, events []core.Event) error) *core.Recorder {
	t.Helper()
	rec, err := core.New(&joiner{memory: *newMemory(), join: join}, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { rec.Close(context.Background()) })
	return rec
}

func wantStats(t *testing.T, rec *core.Recorder, want core.Stats) {
	t.Helper()
	if got := rec.Stats(); got != want {
		t.Errorf("counted %+v, want %+v", got, want)
	}
}

func TestIn(t *testing.T) {
	type tx struct{}
	mine := &tx{}
	var got []core.Event
	rec := newJoiner(t, core.Config{Service: "shop"}, func(ctx context.Context, tx any, events []core.Event) error {
		if _, bounded := ctx.Deadline(); tx != mine || !bounded || ctx.Err() != nil {
			t.Errorf("joined %v with the context %v", tx, ctx)
		}
		got = append(got, events...)
		return nil
	})
	ctx, cancel := context.WithCancel(core.NewContext(t.Context(), rec, session{user: "alice"}))
	cancel() // a client that has left
	if err := core.Audit(ctx, "refund", core.Fields{"n": 1}, core.In(mine), core.On("order", 42)); err != nil {
		t.Fatal(err)
	}
	if err := rec.AuditAll(ctx, "refund", []core.Entry{
		{Fields: core.Fields{"n": 2}, Options: []core.Option{core.On("order", 1)}},
		{Fields: core.Fields{"n": 3}, Options: []core.Option{core.On("order", 2)}},
	}, core.In(mine)); err != nil {
		t.Fatal(err)
	}
	if err := rec.AuditAll(ctx, "refund", nil, core.In(mine)); err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"order/42", "order/1", "order/2"} {
		if e := got[i]; e.User != "alice" || e.Target != want || e.Fields["n"] != int64(i+1) || e.Request.Path != "/refund" || e.Service != "shop" || !e.First {
			t.Errorf("event %d is %+v", i, e)
		}
	}
	wantStats(t, rec, core.Stats{Attempted: 3, Joined: 3})
}

func TestInRefused(t *testing.T) {
	var typedNil *int
	fault := errors.New("the table is full")
	rec := newJoiner(t, core.Config{}, func(context.Context, any, []core.Event) error { return fault })
	as := core.As("me")
	in := core.In(new(int))
	for name, c := range map[string]struct {
		err  error
		want string
	}{
		"nil":               {rec.Audit(t.Context(), "ev", nil, as, core.In(nil)), "is nil"},
		"a typed nil":       {rec.Audit(t.Context(), "ev", nil, as, core.In(typedNil)), "is nil"},
		"two":               {rec.Audit(t.Context(), "ev", nil, as, in, core.In(new(int))), "one transaction"},
		"denied":            {rec.Audit(t.Context(), "ev", nil, as, in, core.Denied("no")), "without core.In"},
		"failed":            {rec.Audit(t.Context(), "ev", nil, as, in, core.Failed("no")), "without core.In"},
		"one of all denied": {rec.AuditAll(t.Context(), "ev", []core.Entry{{Options: []core.Option{core.Denied("")}}}, as, in), "without core.In"},
		"all without":       {rec.AuditAll(t.Context(), "ev", make([]core.Entry, 1), as), "core.In"},
		"the store's":       {rec.Audit(t.Context(), "ev", nil, as, in), fault.Error()},
	} {
		if err := c.err; err == nil || !errors.As(err, new(*core.AuditError)) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	wantStats(t, rec, core.Stats{Attempted: 8, Failed: 8})

	plain, err := core.New(newMemory(), core.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close(t.Context())
	if err := plain.Audit(t.Context(), "ev", nil, as, in); !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(err.Error(), "after the commit") {
		t.Errorf("a store that cannot: %v", err)
	}

	panics := newJoiner(t, core.Config{}, func(context.Context, any, []core.Event) error { panic("oh") })
	if err := panics.Audit(t.Context(), "ev", nil, as, in); err == nil || !strings.Contains(err.Error(), "panicked") {
		t.Errorf("a store that panics: %v", err)
	}
	wantStats(t, panics, core.Stats{Attempted: 1, Failed: 1})
}

func TestInOfNobody(t *testing.T) {
	join := func(context.Context, any, []core.Event) error {
		t.Error("nobody's audit was joined")
		return nil
	}
	rec := newJoiner(t, core.Config{}, join)
	if err := rec.Audit(t.Context(), "ev", nil, core.In(t)); err != nil {
		t.Error(err)
	}
	if err := rec.AuditAll(t.Context(), "ev", make([]core.Entry, 3), core.In(t)); err != nil {
		t.Error(err)
	}
	wantStats(t, rec, core.Stats{Attempted: 4, Cancelled: 4})

	required := newJoiner(t, core.Config{RequireUser: true}, join)
	if err := required.AuditAll(t.Context(), "ev", make([]core.Entry, 3), core.In(t)); !errors.Is(err, core.ErrNoUser) {
		t.Errorf("a user is required: %v", err)
	}
	wantStats(t, required, core.Stats{Attempted: 3, Failed: 3})
}

// TestCloseWaitsForJoins: Close ends when the audits in transactions have, and takes no more.
func TestCloseWaitsForJoins(t *testing.T) {
	started, end := make(chan struct{}), make(chan struct{})
	rec := newJoiner(t, core.Config{}, func(context.Context, any, []core.Event) error {
		close(started)
		<-end
		return nil
	})
	var all sync.WaitGroup
	all.Go(func() {
		if err := rec.Audit(context.Background(), "ev", nil, core.As("me"), core.In(t)); err != nil {
			t.Error(err)
		}
	})
	<-started
	wantStats(t, rec, core.Stats{Attempted: 1, Pending: 1})
	flushed := make(chan error)
	go func() { flushed <- rec.Flush(context.Background()) }()
	closed := make(chan error)
	go func() { closed <- rec.Close(context.Background()) }()
	select {
	case <-closed:
		t.Error("Close did not wait for an audit in a transaction")
	case <-flushed:
		t.Error("Flush did not wait for an audit in a transaction")
	default:
	}
	for {
		if err := rec.Audit(t.Context(), "ev", nil, core.As("me")); errors.Is(err, core.ErrClosed) {
			break
		}
	}
	if err := rec.Audit(t.Context(), "ev", nil, core.As("me"), core.In(t)); !errors.Is(err, core.ErrClosed) {
		t.Errorf("an audit after Close: %v", err)
	}
	close(end)
	all.Wait()
	if err := errors.Join(<-flushed, <-closed); err != nil {
		t.Error(err)
	}
	if s := rec.Stats(); s.Joined != 1 || s.Pending != 0 {
		t.Errorf("counted %+v", s)
	}
}

// TestCloseGivesUpOnJoins: a Close whose time is over ends what a store does in a transaction.
func TestCloseGivesUpOnJoins(t *testing.T) {
	started := make(chan struct{})
	rec := newJoiner(t, core.Config{}, func(ctx context.Context, _ any, _ []core.Event) error {
		close(started)
		<-ctx.Done()
		return ctx.Err()
	})
	done := make(chan error)
	go func() { done <- rec.Audit(context.Background(), "ev", nil, core.As("me"), core.In(t)) }()
	<-started
	over, cancel := context.WithCancel(t.Context())
	cancel()
	_ = rec.Close(over)
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("an audit that Close has ended: %v", err)
	}
	wantStats(t, rec, core.Stats{Attempted: 1, Failed: 1})
}

func TestJoinedIsBalanced(t *testing.T) {
	rec := newJoiner(t, core.Config{}, func(_ context.Context, tx any, _ []core.Event) error {
		if *tx.(*int)%3 == 0 {
			return errors.New("no")
		}
		return nil
	})
	var all sync.WaitGroup
	for g := range 8 {
		all.Go(func() {
			for n := range 200 {
				tx := n
				opts := []core.Option{core.As("me"), core.In(&tx)}
				_ = rec.Audit(t.Context(), "ev", nil, opts[:1+(n+g)%2]...)
				if s := rec.Stats(); s.Attempted != s.Stored+s.Joined+s.Cancelled+s.Failed+s.Unknown+s.Pending {
					t.Errorf("does not add up: %+v", s)
				}
			}
		})
	}
	all.Wait()
	if s := rec.Stats(); s.Joined == 0 || s.Failed == 0 || s.Stored == 0 || s.Pending > 0 {
		t.Errorf("counted %+v", s)
	}
}
