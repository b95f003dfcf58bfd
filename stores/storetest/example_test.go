package storetest_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/google/uuid"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/stores/storetest"
)

// memory keeps events until the process ends. What it keeps is text, so that it
// shares nothing with its callers.
type memory struct {
	mu     sync.Mutex
	events map[uuid.UUID][]byte
}

func (m *memory) Save(ctx context.Context, events []core.Event) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.events == nil {
		m.events = map[uuid.UUID][]byte{}
	}
	for _, e := range events {
		m.events[e.ID] = e.AppendJSON(nil)
	}
	return nil
}

func (m *memory) Read(ctx context.Context, q core.Query) (core.Page, error) {
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

func TestMemory(t *testing.T) {
	storetest.Run(t,
		func(t *testing.T) core.Store { return &memory{} },
		storetest.Reopen(func(t *testing.T, first core.Store) core.Store { return first }))
}

// A store of one's own needs two methods, and a test that calls storetest.Run.
func Example() {
	ctx := context.Background()
	store := &memory{}
	rec, err := core.New(store, core.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer rec.Close(ctx)
	for _, order := range []int{41, 42} {
		if err := rec.Audit(ctx, "refund", core.Fields{"order": order}, core.As("alice")); err != nil {
			fmt.Println(err)
		}
	}
	page, err := store.Read(ctx, core.Query{Fields: core.Fields{"order": 42}})
	for _, e := range page.Events {
		fmt.Println(e.Tag, e.User, e.Fields)
	}
	fmt.Println(err)
	// Output:
	// refund alice map[order:42]
	// <nil>
}
