package stores_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/stores"
	"github.com/auditing-go/auditing/stores/storetest"
)

func TestContractOfAll(t *testing.T) {
	storetest.Run(t, func(t *testing.T) core.Store { return stores.All(newKeeper(), newKeeper()) })
}

// keeper keeps events in memory, and answers as told.
type keeper struct {
	mu     sync.Mutex
	has    map[uuid.UUID]core.Event
	answer func(e core.Event) (keep bool, f *core.Failure)
	whole  error // in place of a BatchError
	closed bool
}

func newKeeper() *keeper { return &keeper{has: map[uuid.UUID]core.Event{}} }

func (k *keeper) Save(_ context.Context, events []core.Event) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closed {
		return core.ErrClosed
	}
	var batch core.BatchError
	for i, e := range events {
		keep, f := true, (*core.Failure)(nil)
		if k.answer != nil {
			keep, f = k.answer(e)
		}
		if keep {
			var own core.Event
			if err := own.UnmarshalJSON(e.AppendJSON(nil)); err != nil {
				return err
			}
			k.has[e.ID] = own
		}
		if f != nil {
			f.Index = i
			batch.Failures = append(batch.Failures, *f)
		}
	}
	if k.whole != nil {
		return k.whole
	}
	if len(batch.Failures) > 0 {
		return &batch
	}
	return nil
}

func (k *keeper) Read(_ context.Context, q core.Query) (core.Page, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closed {
		return core.Page{}, core.ErrClosed
	}
	return q.Page(slices.Collect(maps.Values(k.has)))
}

func (k *keeper) Tags(context.Context) ([]string, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closed {
		return nil, core.ErrClosed
	}
	tags := map[string]bool{}
	for _, e := range k.has {
		tags[e.Tag] = true
	}
	return slices.Sorted(maps.Keys(tags)), nil
}

func (k *keeper) Close(context.Context) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.closed = true
	return nil
}

// saver is a store that does nothing else.
type saver struct{ core.Store }

// joiner is a store that takes part in any transaction.
type joiner struct{ core.Store }

func (joiner) Join(context.Context, any, ...core.Event) error { return nil }

// TestAllWithFaults: what is acknowledged is in every one, and what fails as certainly not
// stored is in none.
func TestAllWithFaults(t *testing.T) {
	faulty := func(core.Event) (bool, *core.Failure) {
		why := errors.New("a fault")
		switch rand.N(6) {
		case 0:
			return false, &core.Failure{Err: why}
		case 1:
			return false, &core.Failure{Err: why, Retry: true}
		case 2:
			return rand.N(2) == 0, &core.Failure{Err: why, Unknown: true}
		}
		return true, nil
	}
	for round := range 300 {
		var keepers []*keeper
		var all []core.Store
		for range 3 {
			k := newKeeper()
			k.answer = faulty
			if rand.N(10) == 0 {
				k.whole = errors.New("nobody knows")
			}
			keepers, all = append(keepers, k), append(all, k)
		}
		events := make([]core.Event, 20)
		for i := range events {
			events[i] = core.Event{Tag: "ev", User: "me"}.Normalize(0)
		}
		failed := map[int]core.Failure{}
		if err := stores.All(all[0], all[1:]...).Save(t.Context(), events); err != nil {
			var batch *core.BatchError
			if !errors.As(err, &batch) {
				t.Fatalf("round %d: %v", round, err)
			}
			for _, f := range batch.Failures {
				failed[f.Index] = f
			}
		}
		for i, e := range events {
			n := 0
			for _, k := range keepers {
				if _, has := k.has[e.ID]; has {
					n++
				}
			}
			f, isFailure := failed[i]
			switch {
			case !isFailure && n < len(keepers):
				t.Errorf("round %d: an acknowledged event is in %d of %d", round, n, len(keepers))
			case isFailure && !f.Unknown && n > 0:
				t.Errorf("round %d: an event that fails as certainly not stored is in %d: %v", round, n, f.Err)
			case isFailure && f.Err == nil:
				t.Errorf("round %d: a failure without a reason", round)
			}
		}
	}
}

type panicking struct{}

func (panicking) Save(context.Context, []core.Event) error { panic("oh") }

func TestAllWithAPanic(t *testing.T) {
	err := stores.All(newKeeper(), panicking{}).Save(t.Context(), []core.Event{{Tag: "ev"}})
	var batch *core.BatchError
	if !errors.As(err, &batch) || !batch.Failures[0].Unknown || !strings.Contains(err.Error(), "panicked: oh") {
		t.Errorf("Save = %v", err)
	}
}

// TestAllDoesForEach: what the first only takes is asked of it, the rest of all.
func TestAllDoesForEach(t *testing.T) {
	one, two := newKeeper(), newKeeper()
	s := stores.All(one, two)
	blind := stores.All(saver{one}, two)
	if _, err := blind.(core.Reader).Read(t.Context(), core.Query{}); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("Read of a first that cannot: %v", err)
	}
	if _, err := blind.(core.TagLister).Tags(t.Context()); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("Tags of a first that cannot: %v", err)
	}
	if err := s.(core.Closer).Close(t.Context()); err != nil || !one.closed || !two.closed {
		t.Errorf("Close = %v; closed are %v and %v", err, one.closed, two.closed)
	}
	if err := s.(core.Joiner).Join(t.Context(), "tx"); !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(err.Error(), "core.In") {
		t.Errorf("Join of a first that cannot: %v", err)
	}
	err := stores.All(joiner{one}, two).(core.Joiner).Join(t.Context(), "tx")
	if !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(err.Error(), "outbox") {
		t.Errorf("Join with another that cannot: %v", err)
	}
}

// Two trails, one of which the application's own people cannot change.
func ExampleAll() {
	ctx := context.Background()
	ours, theirs := newKeeper(), newKeeper() // a database of the application's, and Elasticsearch, say
	rec, err := core.New(stores.All(ours, theirs), core.Config{})
	if err != nil {
		panic(err)
	}
	defer rec.Close(ctx) // closes both
	if err := rec.Audit(ctx, "refund", core.Fields{"order": "A-1"}, core.As("alice")); err != nil {
		panic(err)
	}
	page, err := theirs.Read(ctx, core.Query{})
	fmt.Println(page.Events[0].User, page.Events[0].Fields, err)
	// Output: alice map[order:A-1] <nil>
}
