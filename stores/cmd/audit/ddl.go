package main

import (
	"context"
	"flag"
	"fmt"

	"github.com/auditing-go/auditing/core"
)

// ddl prints the statements that make the table of a tag, or the view of all tables.
func ddl(set *flag.FlagSet, a *app) func(context.Context) error {
	tag := set.String("tag", "", "the `tag` whose table is made, where it is missing, or gets the columns that it lacks")
	view := set.Bool("view", false, "make the view audit_events on all tables of audits that there are")
	fields := core.Fields{}
	set.Func("field", "a `name=value` for which the table has a column, also several times; the value is JSON, such as 42 or 9.5, else a text", func(s string) error {
		name, value, err := parseField(s)
		if err == nil {
			fields[name] = value
		}
		return err
	})
	return func(ctx context.Context) error {
		if (*tag == "") != *view {
			return a.usage("say -tag, or -view")
		}
		store, err := a.open(ctx, a.warnings())
		if err != nil {
			return err
		}
		defer closeStore(ctx, store)
		tables, ok := store.(interface {
			DDL(tag string, fields core.Fields) string
			ViewDDL(ctx context.Context) (string, error)
		})
		if !ok {
			return fmt.Errorf("%s has no tables", a.driver)
		}
		statements := ""
		if *view {
			statements, err = tables.ViewDDL(ctx)
		} else {
			statements = tables.DDL(*tag, fields)
		}
		if statements != "" {
			fmt.Fprintln(a.stdout, statements)
		}
		return err
	}
}

// closeStore closes a store that is no recorder's.
func closeStore(ctx context.Context, store core.Store) {
	if closer, ok := store.(core.Closer); ok {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTime)
		defer cancel()
		_ = closer.Close(ctx) // nothing was written
	}
}
