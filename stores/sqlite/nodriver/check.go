package nodriver

import (
	"context"
	"fmt"
	"os"
	"slices"

	"github.com/auditing-go/auditing/stores"
)

// Check is asked by [sqlstore.Store.Check].
func (b *backend) Check(ctx context.Context, tables []string) ([]stores.Finding, error) {
	d, err := b.toRead(ctx)
	if err != nil {
		return nil, err
	}
	var mode string
	var synchronous int
	if err := d.pool.QueryRowContext(ctx, "PRAGMA journal_mode").Scan(&mode); err != nil {
		return nil, d.explain(err)
	}
	if err := d.pool.QueryRowContext(ctx, "PRAGMA synchronous").Scan(&synchronous); err != nil {
		return nil, d.explain(err)
	}
	findings := []stores.Finding{
		{Gap: mode == "off" || mode == "memory", Text: "journal_mode is " + mode},
		// NORMAL loses the last commits of a database in WAL mode.
		{Gap: synchronous < 2, Text: fmt.Sprintf("synchronous is %d: every commit is on the disk with 2 and 3", synchronous)},
	}
	if len(tables) == 0 {
		findings = append(findings, stores.Finding{Gap: true, Text: "there is no table of audits"})
	}
	if d.path != "" {
		info, err := os.Stat(d.path)
		if err != nil {
			return nil, err
		}
		f := stores.Finding{Text: fmt.Sprintf("the file's mode is %v, and SQLite has no other rights: who may write to it may change and delete what is in it", info.Mode().Perm())}
		if info.Mode().Perm()&0o022 != 0 {
			f.Gap, f.Fix = true, "chmod go-w "+d.path
		}
		findings = append(findings, f)
	}
	rows, err := d.pool.QueryContext(ctx, "SELECT tbl_name, name FROM sqlite_schema WHERE type = 'trigger' ORDER BY tbl_name, name")
	if err != nil {
		return nil, d.explain(err)
	}
	defer rows.Close()
	for rows.Next() {
		var table, name string
		if err := rows.Scan(&table, &name); err != nil {
			return nil, d.explain(err)
		}
		if slices.Contains(tables, table) {
			findings = append(findings, stores.Finding{Gap: true, Text: fmt.Sprintf("the trigger %q of table %s may change or keep out what is written", name, table)})
		}
	}
	return findings, d.explain(rows.Err())
}
