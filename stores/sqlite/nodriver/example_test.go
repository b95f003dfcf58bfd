package nodriver_test

import (
	"context"
	"fmt"
	"log"

	_ "modernc.org/sqlite" // the application's own driver "sqlite"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/stores/sqlite/nodriver"
)

func ExampleOpen() {
	ctx := context.Background()
	store, err := nodriver.Open(ctx, ":memory:", nodriver.Config{})
	if err != nil {
		log.Fatal(err)
	}
	rec, err := core.New(store, core.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer rec.Close(ctx)

	err = rec.Audit(ctx, "refund", core.Fields{"order": "A-1"}, core.As("alice"))
	fmt.Println(err, rec.Stats().Stored, "stored")
	// Output: <nil> 1 stored
}
