package main

import (
	"context"
	"errors"
	"flag"
	"fmt"

	"github.com/auditing-go/auditing/core"
)

// search prints the newest events that match.
func search(set *flag.FlagSet, a *app) func(context.Context) error {
	a.readFlags(set)
	q := queryFlags(set)
	limit := set.Int("limit", core.DefaultLimit, "`how many` events at most")
	asJSON := set.Bool("json", false, "print all that is known of each event, as a line of JSON")
	return func(ctx context.Context) error {
		if *limit <= 0 {
			return a.usage("-limit has to be more than 0")
		}
		r, err := a.begin(ctx, "search", *q)
		if err != nil {
			return err
		}
		q.To = r.until(q.To)
		var options []core.ConsoleOption
		if *asJSON {
			options = append(options, core.JSONLines())
		}
		console := core.NewConsole(a.stdout, options...)
		found := core.Fields{"events": 0}
		n, more := 0, false
		for err == nil {
			q.Limit = min(*limit-n, core.MaxLimit)
			var page core.Page
			page, err = r.Read(ctx, *q)
			if len(page.Events) > 0 {
				if n == 0 {
					found["first"] = page.Events[0].ID
				}
				n += len(page.Events)
				found["events"], found["last"] = n, page.Events[len(page.Events)-1].ID
				err = errors.Join(err, console.Save(context.WithoutCancel(ctx), page.Events))
			}
			if q.After = page.Next; q.After == "" || n >= *limit {
				more = q.After != ""
				break
			}
		}
		if more {
			fmt.Fprintf(a.stderr, "audit: there are more than these %d events: -limit or -to\n", n)
		}
		return r.end(ctx, err, found)
	}
}
