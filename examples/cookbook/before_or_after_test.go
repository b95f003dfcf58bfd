package cookbook

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/auditing-go/auditing/core"
)

// Before: what is not audited does not happen. An attempt that then fails is audited as
// well, so the trail tells both. Auditing only afterwards, a program that dies in between
// has changed something of which the trail knows nothing.
func Example_beforeOrAfterTheChange() {
	refund := func(ctx context.Context, order string, change func() error) error {
		if err := core.Audit(ctx, "refund", core.Fields{"order": order}); err != nil {
			return fmt.Errorf("not refunded: %w", err)
		}
		err := change()
		if err == nil {
			return nil
		}
		// The change has failed already; that this is not audited comes on top.
		return errors.Join(err, core.Audit(ctx, "refund_failed", core.Fields{"order": order, "reason": err}))
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
	// refund by job:example outside a request map[order:A-1]
	// refund by job:example outside a request map[order:A-2]
	// refund_failed by job:example outside a request map[order:A-2 reason:the bank is closed]
}
