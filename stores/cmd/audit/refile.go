package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
)

// refile moves what was stored where there was room to where it belongs by now.
func refile(set *flag.FlagSet, a *app) func(context.Context) error {
	usage := set.Usage
	set.Usage = func() {
		fmt.Fprint(a.stderr, `audit refile moves events from audit_overflow to the tables of their tags, and fields from audit_extra to
columns. It is for a role that may update and delete. With postgres_auto and sqlite it makes the tables and
columns that are missing, with postgres only what has a place moves. Audits may be written meanwhile, and it can be
ended and run again.

`)
		usage()
	}
	return func(ctx context.Context) error {
		// A database that is not there is an error here, for any driver.
		store, err := a.open(ctx, a.warnings())
		if err != nil {
			return err
		}
		closeStore(ctx, store)
		if store, err = a.openAs(ctx, a.warnings(), a.driver); err != nil {
			return err
		}
		defer closeStore(ctx, store)
		refiler, ok := store.(interface {
			Refile(ctx context.Context, progress func(moved int)) (moved int, err error)
		})
		if !ok {
			return fmt.Errorf("%s has nothing to refile", a.driver)
		}
		var progress func(int)
		if isTerminal(a.stderr) {
			progress = func(moved int) { fmt.Fprintf(a.stderr, "\r\033[K%d moved", moved) }
		}
		moved, err := refiler.Refile(ctx, progress)
		if progress != nil {
			fmt.Fprint(a.stderr, "\r\033[K")
		}
		_, printing := fmt.Fprintf(a.stdout, "%d moved\n", moved)
		return errors.Join(err, printing)
	}
}
