package postgres

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/auditing-go/auditing/stores/internal/sqlstore"
)

// errAdopting is why a table of the Python library is not written to yet.
var errAdopting = fmt.Errorf("%w: it is of the Python library and is being taken over", sqlstore.ErrUnderWay)

// adopt starts to take over a table of the Python library, which may go on writing to it:
// our columns are added, then the indexes without locking it, then ids for the rows that
// are there, in small steps. That goes on in the background; until it is through, events
// go to the overflow table.
func (b *backend) adopt(table string) error {
	done := b.startTakeOver(table)
	if done == nil {
		return errAdopting
	}
	// Most tables are small: then nobody has to notice.
	select {
	case err := <-done:
		return err
	case <-time.After(adoptWait):
		return errAdopting
	}
}

// adoptWait is how long growing waits for a table to be taken over.
const adoptWait = 2 * time.Second

// startTakeOver returns a channel for the outcome, nil when the table is being taken over
// already or the backend is closed.
func (b *backend) startTakeOver(table string) <-chan error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.adopting[table] || b.ctx.Err() != nil {
		return nil
	}
	b.adopting[table] = true
	b.wg.Add(1)
	done := make(chan error, 1)
	go func() {
		defer b.wg.Done()
		err := b.takeOver(b.ctx, table)
		b.mu.Lock()
		delete(b.adopting, table)
		b.mu.Unlock()
		done <- err
	}()
	return done
}

// takeOver does the work of adopt on one connection, while a transaction on another
// holds a lock, so that one process does it: a session's lock could stay with a pooler.
func (b *backend) takeOver(ctx context.Context, table string) error {
	conn, err := b.pool.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	// CREATE INDEX CONCURRENTLY waits for older snapshots: between two statements that
	// are not prepared this transaction has none.
	lock, err := b.pool.BeginTx(ctx, readCommitted)
	if err != nil {
		return err
	}
	defer lock.Rollback()
	key := lockKey("adopt", b.cfg.Schema+"\x00"+table)
	var locked bool
	if err := lock.QueryRowContext(ctx, "SELECT pg_try_advisory_xact_lock($1)", pgx.QueryExecModeSimpleProtocol, key).Scan(&locked); err != nil {
		return err
	}
	if !locked {
		return errAdopting
	}
	if err := b.adoptColumns(ctx, conn, table); err != nil {
		return err
	}
	if err := b.adoptIndexes(ctx, conn, table); err != nil {
		return err
	}
	return b.backfill(ctx, conn, table)
}

// maxTableColumns is how many a table can have.
const maxTableColumns = 1600

// adoptColumns adds our columns in one short transaction.
func (b *backend) adoptColumns(ctx context.Context, conn *sql.Conn, table string) error {
	tx, err := conn.BeginTx(ctx, readCommitted)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	rel, err := b.lockAndLook(ctx, tx, table)
	if err != nil {
		return err
	}
	if rel == nil || !rel.Adoptable() {
		return nil
	}
	if lacking := sqlstore.Lacking(rel.Columns, sqlstore.BaseColumns(), maxTableColumns); len(lacking) > 0 {
		// The default is set apart from the column, for then no row is rewritten.
		for _, s := range []string{
			b.AddColumns(table, lacking),
			"ALTER TABLE " + b.Table(table) + ` ALTER COLUMN "audit_id" SET DEFAULT gen_random_uuid()`,
		} {
			if _, err := tx.ExecContext(ctx, s); err != nil {
				return fmt.Errorf("%s: %w", s, err)
			}
		}
	}
	return tx.Commit()
}

// adoptIndexes makes the indexes that are missing. CONCURRENTLY leaves an invalid
// one behind when it fails; it is dropped first.
func (b *backend) adoptIndexes(ctx context.Context, conn *sql.Conn, table string) error {
	const invalid = `SELECT c.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
		WHERE i.indrelid = $1::regclass AND NOT i.indisvalid`
	const valid = `SELECT string_agg(a.attname, ',' ORDER BY k.n) || CASE WHEN i.indpred IS NULL THEN '' ELSE ' WHERE' END FROM pg_index i
		CROSS JOIN unnest(i.indkey::int2[]) WITH ORDINALITY AS k(attnum, n)
		JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
		WHERE i.indrelid = $1::regclass AND i.indisvalid GROUP BY i.indexrelid, i.indpred IS NULL`
	name := b.Table(table)
	relations, err := b.relations(ctx, conn, []string{table})
	if err != nil || len(relations) == 0 {
		return err
	}
	indexes := indexesOf(sqlstore.Targets(relations[0].Columns))
	broken, err := texts(ctx, conn, invalid, b.args(name)...)
	if err != nil {
		return err
	}
	for _, index := range indexes {
		if !slices.Contains(broken, indexName(index.purpose, table)) {
			continue // somebody else may be making it
		}
		if _, err := conn.ExecContext(ctx, "DROP INDEX CONCURRENTLY IF EXISTS "+b.Table(indexName(index.purpose, table))); err != nil {
			return err
		}
	}
	have, err := texts(ctx, conn, valid, b.args(name)...)
	if err != nil {
		return err
	}
	for n, index := range indexes {
		if slices.Contains(have, index.key) {
			continue
		}
		kind := "INDEX"
		if n == 0 {
			kind = "UNIQUE INDEX"
		}
		s := "CREATE " + kind + " CONCURRENTLY IF NOT EXISTS " + sqlstore.Quote(indexName(index.purpose, table)) + " ON " + name + " " + index.on
		if _, err := conn.ExecContext(ctx, s); err != nil {
			return fmt.Errorf("%s: %w", s, err)
		}
	}
	return nil
}

func texts(ctx context.Context, q querier, query string, args ...any) ([]string, error) {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []string
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, rows.Err()
}

// backfillStep is how many old rows get their ids in one transaction.
const backfillStep = 2000

// backfill gives ids to the rows that were there before.
func (b *backend) backfill(ctx context.Context, conn *sql.Conn, table string) error {
	name := b.Table(table)
	step := fmt.Sprintf(`UPDATE %s SET "audit_id" = gen_random_uuid() WHERE ctid = ANY (ARRAY(
		SELECT ctid FROM %s WHERE "audit_id" IS NULL LIMIT %d FOR UPDATE SKIP LOCKED))`, name, name, backfillStep)
	for {
		result, err := conn.ExecContext(ctx, step)
		if err != nil {
			return err
		}
		if n, err := result.RowsAffected(); err != nil || n == 0 {
			return err
		}
	}
}

// resume goes on with tables whose taking over was interrupted after their indexes were
// made, or before they had those of a new column. What cannot be done now is done at the
// next start.
func (b *backend) resume(ctx context.Context) {
	if b.cfg.Fixed {
		return
	}
	// Those that got the column of a target, and the program ended before they had its index.
	unindexed, _ := texts(ctx, b.pool, `SELECT c.relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
		WHERE c.relnamespace = to_regnamespace(quote_ident($1)) AND c.relkind = 'r' AND a.attname = $2 AND NOT a.attisdropped
		AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indkey[0] = a.attnum AND i.indisvalid)`,
		b.args(b.cfg.Schema, sqlstore.Target.Name)...)
	for _, table := range unindexed {
		if strings.HasPrefix(table, b.cfg.Prefix) {
			b.startTakeOver(table)
		}
	}
	relations, err := b.relations(ctx, b.pool, nil)
	if err != nil {
		return
	}
	for _, rel := range relations {
		if rel.Local() && rel.Ours() && strings.HasPrefix(rel.Name, b.cfg.Prefix) {
			b.startTakeOver(rel.Name)
		}
	}
}
