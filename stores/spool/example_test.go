package spool_test

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/stores/spool"
)

// picky refuses events without an order.
type picky struct{}

func (picky) Save(_ context.Context, events []core.Event) error {
	var failures []core.Failure
	for i, e := range events {
		if e.Fields["order"] == nil {
			failures = append(failures, core.Failure{Index: i, Err: errors.New("an order is needed")})
		}
	}
	if failures == nil {
		return nil
	}
	return &core.BatchError{Failures: failures}
}

// A store that refuses an event for good holds up nothing: the event is set aside.
func ExampleStore_SetAside() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "spool")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	store, err := spool.Open(dir, picky{}, spool.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	rec, err := core.New(store, core.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer rec.Close(ctx)
	for _, fields := range []core.Fields{{"order": 41}, {}, {"order": 42}} {
		if err := rec.Audit(ctx, "refund", fields, core.As("alice")); err != nil {
			fmt.Println(err)
		}
	}
	if err := rec.Flush(ctx); err != nil {
		fmt.Println(err)
	}
	for r, err := range store.SetAside(ctx) {
		fmt.Println(r.Event.Tag, r.Event.User, r.Reason, err)
	}
	st := store.Stats()
	fmt.Println(st.Waiting, st.SetAside)
	// Output:
	// refund alice an order is needed <nil>
	// 0 1
}
