package cookbook

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/auditing-go/auditing/core"
)

// Before: what is not audited does not happen. What came of the attempt is audited as
// well, so the trail tells both. Auditing only afterwards, a program that dies in between
// has changed something of which the trail knows nothing.
func Example_beforeOrAfterTheChange() {
	refund := func(ctx context.Context, order string, change func() error) error {
		if err := core.Audit(ctx, "refund", nil, core.On("order", order)); err != nil {
			return fmt.Errorf("not refunded: %w", err)
		}
		err := change()
		// A change that has failed and is not audited has failed twice.
		return errors.Join(err, core.Audit(ctx, "refund", nil, core.On("order", order), core.Result(err)))
	}
	rec := newTrail()
	ctx := core.NewContext(context.Background(), rec, job("example"))
	if err := refund(ctx, "A-1", func() error { return nil }); err != nil {
		log.Print(err)
	}
	fmt.Println(refund(ctx, "A-2", func() error { return errors.New("the bank is closed") }))
	show(rec)
	// Output:
	// the bank is closed
	// refund by job:example on order/A-1 outside a request map[]
	// refund by job:example on order/A-1 success  outside a request map[]
	// refund by job:example on order/A-2 outside a request map[]
	// refund by job:example on order/A-2 failure the bank is closed outside a request map[]
}
