package nodriver

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/auditing-go/auditing/stores/internal/sqlstore"
)

// kinds are the kinds of the declared types: SQLite keeps any, and they tell a later
// process what a column holds.
var kinds = func() map[string]sqlstore.Kind {
	m := map[string]sqlstore.Kind{}
	for k := sqlstore.Text; k <= sqlstore.UUID; k++ {
		m[k.String()] = k
	}
	return m
}()

// timeLayout sorts as text and is understood by SQLite's date functions.
const timeLayout = "2006-01-02 15:04:05.000000+00:00"

// Relations implements [sqlstore.Backend]. All tables are read again only when
// something in the schema has changed.
func (b *backend) Relations(ctx context.Context, names []string) ([]sqlstore.Relation, error) {
	d, err := b.toRead(ctx)
	if err != nil {
		return nil, err
	}
	if names != nil {
		found, err := relations(ctx, d.pool, names)
		return found, d.explain(err)
	}
	var version int64
	if err := d.pool.QueryRowContext(ctx, "PRAGMA schema_version").Scan(&version); err != nil {
		return nil, d.explain(err)
	}
	d.schema.Lock()
	defer d.schema.Unlock()
	if d.schema.all == nil || d.schema.version != version {
		all, err := relations(ctx, d.pool, nil)
		if err != nil {
			return nil, d.explain(err)
		}
		d.schema.all, d.schema.version = all, version
	}
	return d.schema.all, nil
}

// Guess implements [sqlstore.Backend]: to ask is as fast.
func (b *backend) Guess([]string) *sqlstore.Guess { return nil }

// Lookup implements [sqlstore.Backend].
func (b *backend) Lookup(ctx context.Context, names []string) ([]sqlstore.Relation, error) {
	return b.Relations(ctx, names)
}

// Locked implements [sqlstore.Backend]: readers wait for nobody.
func (b *backend) Locked(context.Context) (map[string]bool, error) { return nil, nil }

// querier is a pool or a connection.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// place is an id for a row that has none.
const place = `printf('00000000-0000-8000-8000-%012x', rowid)`

func relations(ctx context.Context, q querier, names []string) ([]sqlstore.Relation, error) {
	query := `SELECT lower(m.name), m.type = 'table', EXISTS (SELECT 1 FROM pragma_index_list(m.name) i
			WHERE i."unique" AND NOT i.partial AND (SELECT group_concat(k.name) FROM pragma_index_info(i.name) k) = 'audit_id'),
		(SELECT group_concat(c.name || char(30) || CASE c.hidden WHEN 0 THEN lower(c.type) ELSE 'generated' END, char(30))
			FROM pragma_table_xinfo(m.name) c)
		FROM sqlite_schema m WHERE m.type IN ('table', 'view', 'index') AND `
	args := make([]any, len(names))
	if names == nil {
		query += `m.type = 'table' AND m.sql LIKE '%audit\_%' ESCAPE '\'`
	} else {
		query += "lower(m.name) IN (" + strings.TrimSuffix(strings.Repeat("?,", len(names)), ",") + ")"
		for i, name := range names {
			args[i] = name
		}
	}
	rows, err := q.QueryContext(ctx, query+" ORDER BY lower(m.name)", args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	all := []sqlstore.Relation{}
	for rows.Next() {
		var rel sqlstore.Relation
		var columns sql.NullString
		if err := rows.Scan(&rel.Name, &rel.Table, &rel.UniqueID, &columns); err != nil {
			return nil, err
		}
		if rel.Table {
			rel.Place = place
		}
		rel.Columns = sqlstore.ColumnsIn(columns.String, columnOf)
		if names != nil || rel.Audits() {
			all = append(all, rel)
		}
	}
	return all, rows.Err()
}

// columnOf is a column that was declared with a type. As any column keeps any value,
// those that every table has are read as they are meant whatever their type is.
func columnOf(name, typ string) sqlstore.Column {
	if k, ok := kinds[typ]; ok {
		return sqlstore.Column{Name: name, Kind: k}
	}
	c := sqlstore.Column{Name: name, Type: cmp.Or(typ, "none")}
	for _, base := range sqlstore.BaseColumns() {
		if base.Name == name {
			c.Kind = base.Kind
		}
	}
	return c
}

// Grow implements [sqlstore.Backend].
func (b *backend) Grow(ctx context.Context, table string, fields []sqlstore.Column, maxColumns int) error {
	var failed error
	err := b.immediate(ctx, func(conn *sql.Conn) error {
		failed = nil
		found, err := relations(ctx, conn, []string{table})
		if err != nil {
			return err
		}
		if len(found) == 0 {
			fields := sqlstore.Lacking(sqlstore.BaseColumns(), fields, maxColumns)
			if _, err := conn.ExecContext(ctx, b.create(table, fields)); err != nil {
				return err
			}
			return b.indexTargets(ctx, conn, table, fields)
		}
		if !found[0].Ours() {
			return nil
		}
		lacking := sqlstore.Lacking(found[0].Columns, fields, maxColumns)
		for _, add := range b.adds(table, lacking) {
			// A column that SQLite does not take must not stand in the way of the others.
			if _, err := conn.ExecContext(ctx, add); isOutage(err) {
				return err
			} else if err != nil {
				failed = errors.Join(failed, fmt.Errorf("%s: %w", add, err))
			}
		}
		return b.indexTargets(ctx, conn, table, lacking)
	})
	return errors.Join(err, failed)
}

// Patience implements [sqlstore.Backend]: as long as SQLite waits for the file's one writer.
// Until then nothing else is written either, so that no audit is held up for a table.
func (b *backend) Patience() time.Duration { return busyTimeout }

// targetIndexes are those that go with the column of a target. Unlike those of create they
// are no constraints, as they do not hold all rows.
var targetIndexes = []struct{ purpose, on string }{
	{"audit_target_", ` ("audit_target", "datetime", "audit_id") WHERE "audit_target" IS NOT NULL`},
	{"audit_diverted_", ` ("datetime", "audit_id") WHERE "audit_target" IS NULL AND ` + diverted},
}

// diverted says that a target stands in audit_request.
const diverted = `instr("audit_request", '"target":')`

// indexTargets makes them if the table has just got the column. A table that was renamed has
// kept the names of its own.
func (b *backend) indexTargets(ctx context.Context, conn *sql.Conn, table string, fields []sqlstore.Column) error {
	if !sqlstore.Targets(fields) {
		return nil
	}
	for _, index := range targetIndexes {
		name := index.purpose + table
		for n, taken := 2, true; ; n++ {
			if err := conn.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE lower(name) = ?)", name).Scan(&taken); err != nil {
				return err
			}
			if !taken {
				break
			}
			name = fmt.Sprint(index.purpose, table, "_", n)
		}
		if _, err := conn.ExecContext(ctx, "CREATE INDEX "+sqlstore.Quote(name)+" ON "+b.Table(table)+index.on); err != nil {
			return err
		}
	}
	return nil
}

// create makes the indexes as constraints: these need no names, which stay behind
// when the table is renamed and would be taken when it is made again.
func (b *backend) create(table string, fields []sqlstore.Column) string {
	return sqlstore.CreateTable(b.Table(table), "NOT NULL PRIMARY KEY", fields,
		`UNIQUE ("datetime", "audit_id")`, `UNIQUE ("username", "datetime", "audit_id")`)
}

func (b *backend) adds(table string, fields []sqlstore.Column) []string {
	statements := make([]string, len(fields))
	for i, c := range fields {
		statements[i] = "ALTER TABLE " + b.Table(table) + " " + sqlstore.AddColumn(c)
	}
	return statements
}

// DDL implements [sqlstore.Backend].
func (b *backend) DDL(table string, fields []sqlstore.Column) string {
	statements := b.create(table, fields) + ";"
	if sqlstore.Targets(fields) {
		for _, index := range targetIndexes {
			statements += "\nCREATE INDEX IF NOT EXISTS " + sqlstore.Quote(index.purpose+table) + " ON " + b.Table(table) + index.on + ";"
		}
	}
	return statements
}

// Grant implements [sqlstore.Backend]: SQLite has no roles.
func (b *backend) Grant(string) string { return "" }

// View implements [sqlstore.Backend].
func (b *backend) View(name, query string) string {
	return "DROP VIEW IF EXISTS " + b.Table(name) + ";\nCREATE VIEW " + b.Table(name) + " AS\n" + query + ";"
}

// Detail implements [sqlstore.Backend].
func (b *backend) Detail(object, name string) string {
	object = sqlstore.Quote(object)
	return "CASE WHEN json_valid(" + object + ") THEN json_extract(" + object + `, '$."` + name + `"') END`
}

// AddColumns implements [sqlstore.Backend].
func (b *backend) AddColumns(table string, fields []sqlstore.Column) string {
	return strings.Join(b.adds(table, fields), ";\n")
}
