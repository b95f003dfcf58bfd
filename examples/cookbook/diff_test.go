package cookbook

import (
	"context"
	"fmt"
	"log"

	"github.com/auditing-go/auditing/core"
)

// Diff keeps what changed, and nothing of what did not. The recorder hides the password
// in it as it does everywhere else.
func Example_diff() {
	type customer struct {
		ID       int    `json:"-"`
		Name     string `json:"name"`
		Limit    int    `json:"limit"`
		Password string `json:"password"`
	}
	rec := newTrail()
	ctx := core.NewContext(context.Background(), rec, job("example"))

	before := customer{7, "Ada", 100, "old secret"}
	after := customer{7, "Ada", 250, "new secret"}
	if err := core.Audit(ctx, "customer_update", core.Diff(before, after), core.On("customer", after.ID)); err != nil {
		log.Print(err)
	}
	page, err := rec.Read(ctx, core.Query{Target: "customer/7"})
	fmt.Println(len(page.Events), err)
	show(rec)
	// Output:
	// 1 <nil>
	// customer_update by job:example on customer/7 outside a request map[limit:map[new:250 old:100] password:map[new:(hidden) old:(hidden)]]
}
