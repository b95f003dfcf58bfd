package postgres

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"hash/fnv"
	"strings"
	"time"

	"github.com/auditing-go/auditing/stores/internal/sqlstore"
)

// ddlLockTimeout is how long a statement waits for a table that others use.
// Everybody who comes to the table after it waits too, so it is short.
const ddlLockTimeout = "SET LOCAL lock_timeout = '200ms'"

// Grow implements [sqlstore.Backend]. It runs in one transaction under a lock
// that all processes share: without it CREATE TABLE IF NOT EXISTS fails when
// several do it at once.
func (b *backend) Grow(ctx context.Context, table string, fields []sqlstore.Column, maxColumns int) error {
	for try := 1; ; try++ {
		conn, err := b.pool.Conn(ctx)
		if err != nil {
			return err
		}
		err = b.grow(ctx, conn, table, fields, maxColumns)
		again := isSession(err) && try < growTries
		if again {
			// It may be of this session alone, which began when all was otherwise.
			_ = conn.Raw(func(any) error { return driver.ErrBadConn })
		}
		_ = conn.Close()
		switch state := sqlState(err); {
		case again:
		case state == "42501" || state == "3F000":
			return fmt.Errorf("%w: %w", sqlstore.ErrDenied, err)
		default:
			return err
		}
	}
}

// growTries is how many connections grow at most: as many may lie in a pool, and then a
// new one.
const growTries = 3

// readCommitted is the isolation of a transaction that waits for a lock and then looks:
// a stricter one, which may be the server's default, would look as before the waiting.
var readCommitted = &sql.TxOptions{Isolation: sql.LevelReadCommitted}

func (b *backend) grow(ctx context.Context, conn *sql.Conn, table string, fields []sqlstore.Column, maxColumns int) error {
	tx, err := conn.BeginTx(ctx, readCommitted)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	rel, err := b.lockAndLook(ctx, tx, table)
	if err != nil {
		return err
	}
	var statements []string
	large := false // so that its indexes are not made while it is locked
	switch {
	case rel == nil:
		statements = b.create(table, sqlstore.Lacking(sqlstore.BaseColumns(), fields, maxColumns))
	case rel.Ours():
		if lacking := sqlstore.Lacking(rel.Columns, fields, maxColumns); len(lacking) > 0 {
			statements = []string{b.AddColumns(table, lacking)}
			if sqlstore.Targets(lacking) {
				if err := tx.QueryRowContext(ctx, "SELECT pg_table_size($1::regclass) > $2", b.args(b.Table(table), maxLockedBytes)...).Scan(&large); err != nil {
					return err
				}
				if !large {
					statements = append(statements, b.createIndexes(table, indexesOf(true)[3:])...)
				}
			}
		}
	case rel.Adoptable():
		// It is finished outside this transaction, which would hold up its readers.
		tx.Rollback()
		return b.adopt(table)
	}
	for _, s := range statements {
		if _, err := tx.ExecContext(ctx, s); err != nil {
			return err // growing says which table and columns
		}
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	if large {
		b.startTakeOver(table)
	}
	return nil
}

// maxLockedBytes is how large a table may be that is locked while its indexes are made: that
// takes some tenths of a second.
const maxLockedBytes = 64 << 20

// lockAndLook takes the lock for growing and reads the catalogue under it.
func (b *backend) lockAndLook(ctx context.Context, tx *sql.Tx, table string) (*sqlstore.Relation, error) {
	if _, err := tx.ExecContext(ctx, "SELECT pg_advisory_xact_lock($1)", b.args(b.ddlKey)...); err != nil {
		return nil, err
	}
	if _, err := tx.ExecContext(ctx, ddlLockTimeout); err != nil {
		return nil, err
	}
	relations, err := b.relations(ctx, tx, []string{table})
	if err != nil || len(relations) == 0 {
		return nil, err
	}
	return &relations[0], nil
}

// create returns the statements that make a table and its indexes where they are missing.
func (b *backend) create(table string, fields []sqlstore.Column) []string {
	statements := []string{sqlstore.CreateTable(b.Table(table), "PRIMARY KEY", fields)}
	return append(statements, b.createIndexes(table, indexesOf(sqlstore.Targets(fields))[1:])...)
}

func (b *backend) createIndexes(table string, indexes []index) []string {
	statements := make([]string, len(indexes))
	for n, i := range indexes {
		statements[n] = "CREATE INDEX IF NOT EXISTS " + sqlstore.Quote(indexName(i.purpose, table)) + " ON " + b.Table(table) + " " + i.on
	}
	return statements
}

// index is one that a table has.
type index struct {
	purpose string // begins its name
	key     string // its columns, and WHERE when not all rows are in it
	on      string
}

// indexesOf returns the indexes of a table, the key first; targets says that it has the column
// of [sqlstore.Target].
func indexesOf(targets bool) []index {
	all := []index{
		{"audit_id_", "audit_id", `("audit_id")`},
		{"audit_time_", "datetime", `("datetime")`},
		{"audit_user_", "username,datetime", `("username", "datetime")`},
	}
	if targets {
		all = append(all,
			index{"audit_target_", "audit_target,datetime WHERE", `("audit_target", "datetime" DESC) WHERE "audit_target" IS NOT NULL`},
			index{"audit_diverted_", "datetime WHERE", `("datetime") WHERE "audit_target" IS NULL AND ` + diverted})
	}
	return all
}

// diverted says that a target stands in audit_request.
const diverted = `"audit_request" ? 'target'`

// indexName returns the name of an index: IF NOT EXISTS wants one.
func indexName(purpose, table string) string {
	if name := purpose + table; len(name) <= sqlstore.MaxName {
		return name
	}
	return fmt.Sprintf("%s%.32s_%016x", purpose, table, uint64(lockKey(purpose, table)))
}

// DDL implements [sqlstore.Backend].
func (b *backend) DDL(table string, fields []sqlstore.Column) string {
	statements := b.create(table, fields)
	if b.noSchema {
		statements = append([]string{"CREATE SCHEMA IF NOT EXISTS " + sqlstore.Quote(b.cfg.Schema)}, statements...)
	}
	return strings.Join(statements, ";\n") + ";"
}

// Patience implements [sqlstore.Backend]: a table that somebody has locked must not hold up
// the audits of others.
func (b *backend) Patience() time.Duration { return time.Second }

// Grant implements [sqlstore.Backend].
func (b *backend) Grant(table string) string {
	grant, to := "", " TO "+sqlstore.Quote(b.role)
	if b.noSchema {
		grant = "GRANT USAGE ON SCHEMA " + sqlstore.Quote(b.cfg.Schema) + to + ";\n"
	}
	return grant + "GRANT INSERT, SELECT ON " + b.Table(table) + to
}

// View implements [sqlstore.Backend].
func (b *backend) View(name, query string) string {
	return "CREATE OR REPLACE VIEW " + b.Table(name) + " AS\n" + query + ";"
}

// Detail implements [sqlstore.Backend].
func (b *backend) Detail(object, name string) string {
	return "(" + sqlstore.Quote(object) + " ->> " + literal(name) + ")"
}

// AddColumns implements [sqlstore.Backend].
func (b *backend) AddColumns(table string, fields []sqlstore.Column) string {
	adds := make([]string, len(fields))
	for i, c := range fields {
		adds[i] = sqlstore.AddColumn(c)
	}
	return "ALTER TABLE " + b.Table(table) + " " + strings.Join(adds, ", ")
}

// lockKey is the key of an advisory lock of ours.
func lockKey(purpose, name string) int64 {
	h := fnv.New64a()
	h.Write([]byte("auditing\x00" + purpose + "\x00" + name))
	return int64(h.Sum64())
}
