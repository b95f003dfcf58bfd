package cookbook

import (
	"context"
	"log"

	"github.com/auditing-go/auditing/core"
)

// job is the Origin of work that no request began.
type job string

func (j job) User(context.Context) (string, error)           { return "job:" + string(j), nil }
func (j job) Request(context.Context) (*core.Request, error) { return nil, nil }

// deleteOld is called by handlers and by the job: it audits with its context, and need
// not know who acts.
func deleteOld(ctx context.Context, days int) error {
	return core.Audit(ctx, "delete_old", core.Fields{"days": days})
}

// A job puts itself where a request puts its user.
func Example_nightlyJob() {
	rec := newTrail()
	ctx := core.NewContext(context.Background(), rec, job("nightly"))
	if err := deleteOld(ctx, 90); err != nil {
		log.Print(err)
	}
	show(rec)
	// Output: delete_old by job:nightly outside a request map[days:90]
}
