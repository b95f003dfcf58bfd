package cookbook

import (
	"context"
	"fmt"
	"log"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/stores"
)

// An audit is stored when both have it, and read from the first. While one of them is away audits
// fail; where that must not be, an outbox passes the events on to the second.
func Example_twoStores() {
	ctx := context.Background()
	ours, err := stores.Open(ctx, "sqlite", ":memory:")
	if err != nil {
		log.Fatal(err)
	}
	theirs, err := stores.Open(ctx, "sqlite", ":memory:") // of another department, say, which reads it there
	if err != nil {
		log.Fatal(err)
	}
	rec, err := core.New(stores.All(ours, theirs), core.Config{})
	if err != nil {
		log.Fatal(err)
	}
	if err := rec.Audit(ctx, "export", core.Fields{"rows": 12}, core.As("alice")); err != nil {
		log.Fatal(err)
	}
	page, err := theirs.(core.Reader).Read(ctx, core.Query{})
	fmt.Println(len(page.Events), "of theirs", err)
	show(rec)
	// Output:
	// 1 of theirs <nil>
	// export by alice outside a request map[rows:12]
}
