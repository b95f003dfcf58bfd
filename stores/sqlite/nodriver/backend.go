package nodriver

import (
	"context"
	"database/sql"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"

	"github.com/auditing-go/auditing/core/auditjson"
	"github.com/auditing-go/auditing/stores/gormstore"
)

// types are the declared types of columns: SQLite keeps any, and they tell a
// later process what a column holds.
var types = map[gormstore.Kind]string{
	gormstore.Text: "text", gormstore.Int: "bigint", gormstore.Float: "double precision", gormstore.Bool: "boolean",
	gormstore.Time: "timestamptz", gormstore.Bytes: "bytea", gormstore.JSON: "jsonb", gormstore.UUID: "uuid",
}

var kinds = func() map[string]gormstore.Kind {
	m := map[string]gormstore.Kind{}
	for k, t := range types {
		m[t] = k
	}
	return m
}()

// timeLayout sorts as text and is understood by SQLite's date functions.
const timeLayout = "2006-01-02 15:04:05.000000+00:00"

// Relations implements [gormstore.Backend].
func (b *backend) Relations(ctx context.Context, names []string) ([]gormstore.Relation, error) {
	return relations(ctx, b.pool, names)
}

// Lookup implements [gormstore.Backend].
func (b *backend) Lookup(ctx context.Context, names []string) ([]gormstore.Relation, error) {
	return b.Relations(ctx, names)
}

// querier is a pool or a connection.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

func relations(ctx context.Context, q querier, names []string) ([]gormstore.Relation, error) {
	query := `SELECT lower(m.name), m.type = 'table', c.name, lower(c.type), c.pk
		FROM sqlite_schema m LEFT JOIN pragma_table_info(m.name) c
		WHERE m.type IN ('table', 'view', 'index') AND `
	args := make([]any, len(names))
	if names == nil {
		query += `m.type = 'table' AND EXISTS (SELECT 1 FROM pragma_table_info(m.name) a WHERE a.name = 'audit_id')`
	} else {
		query += "lower(m.name) IN (" + strings.TrimSuffix(strings.Repeat("?,", len(names)), ",") + ")"
		for i, name := range names {
			args[i] = name
		}
	}
	rows, err := q.QueryContext(ctx, query+" ORDER BY lower(m.name), c.cid", args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []gormstore.Relation
	keys := 0
	for rows.Next() {
		var rel gormstore.Relation
		var column, typ sql.NullString
		var pk sql.NullInt64
		if err := rows.Scan(&rel.Name, &rel.Table, &column, &typ, &pk); err != nil {
			return nil, err
		}
		if n := len(all); n == 0 || all[n-1].Name != rel.Name {
			all = append(all, rel)
			keys = 0
		}
		last := &all[len(all)-1]
		if pk.Int64 > 0 {
			keys++
			last.UniqueID = keys == 1 && column.String == "audit_id"
		}
		if column.Valid {
			last.Columns = append(last.Columns, gormstore.Column{Name: column.String, Kind: kinds[typ.String]})
		}
	}
	return all, rows.Err()
}

// Grow implements [gormstore.Backend].
func (b *backend) Grow(ctx context.Context, table string, fields []gormstore.Column) error {
	return b.immediate(ctx, func(conn *sql.Conn) error {
		found, err := relations(ctx, conn, []string{table})
		if err != nil {
			return err
		}
		var statements []string
		switch {
		case len(found) == 0:
			statements = b.create(table, fields)
		case found[0].Ours():
			statements = b.adds(table, gormstore.Lacking(found[0].Columns, fields))
		}
		for _, s := range statements {
			if _, err := conn.ExecContext(ctx, s); err != nil {
				return fmt.Errorf("%s: %w", s, err)
			}
		}
		return nil
	})
}

func (b *backend) create(table string, fields []gormstore.Column) []string {
	name := b.Table(table)
	return []string{
		gormstore.CreateTable(name, types, "NOT NULL PRIMARY KEY", fields),
		"CREATE INDEX IF NOT EXISTS " + gormstore.Quote("audit_time_"+table) + " ON " + name + ` ("datetime", "audit_id")`,
		"CREATE INDEX IF NOT EXISTS " + gormstore.Quote("audit_user_"+table) + " ON " + name + ` ("username", "datetime", "audit_id")`,
	}
}

func (b *backend) adds(table string, fields []gormstore.Column) []string {
	statements := make([]string, len(fields))
	for i, c := range fields {
		statements[i] = "ALTER TABLE " + b.Table(table) + " ADD COLUMN " + gormstore.Quote(c.Name) + " " + types[c.Kind]
	}
	return statements
}

// DDL implements [gormstore.Backend].
func (b *backend) DDL(table string, fields []gormstore.Column) string {
	return strings.Join(b.create(table, fields), ";\n") + ";"
}

// AddColumns implements [gormstore.Backend].
func (b *backend) AddColumns(table string, fields []gormstore.Column) string {
	return strings.Join(b.adds(table, fields), ";\n")
}

// Query implements [gormstore.Backend].
func (b *backend) Query(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	return b.pool.QueryContext(ctx, query, args...)
}

// DB implements [gormstore.Backend].
func (b *backend) DB() *gorm.DB { return b.db }

// Table implements [gormstore.Backend].
func (b *backend) Table(name string) string { return gormstore.Quote(name) }

// Select implements [gormstore.Backend].
func (b *backend) Select(column string, _ gormstore.Kind) string { return column }

// Param implements [gormstore.Backend].
func (b *backend) Param(n int, _ gormstore.Kind) string { return "?" + strconv.Itoa(n) }

// Keeps implements [gormstore.Backend]. SQLite turns NaN into NULL.
func (b *backend) Keeps(v any, _ gormstore.Kind) bool {
	f, ok := v.(float64)
	return !ok || !math.IsNaN(f)
}

// Arg implements [gormstore.Backend].
func (b *backend) Arg(v any, _ gormstore.Kind) any {
	switch v := v.(type) {
	case time.Time:
		return v.UTC().Format(timeLayout)
	case uuid.UUID:
		return v.String()
	case bool:
		if v {
			return int64(1)
		}
		return int64(0)
	case []any, map[string]any:
		return string(auditjson.Append(nil, v))
	}
	return v
}

// Value implements [gormstore.Backend].
func (b *backend) Value(raw any, k gormstore.Kind) (any, error) {
	text, isText := raw.(string)
	if bytes, ok := raw.([]byte); ok && k != gormstore.Bytes {
		text, isText = string(bytes), true
	}
	switch {
	case raw == nil:
		return nil, nil
	case k == gormstore.Bytes:
		if bytes, ok := raw.([]byte); ok {
			return append([]byte{}, bytes...), nil
		}
	case isText && k == gormstore.JSON:
		return auditjson.Parse([]byte(text))
	case isText && k == gormstore.Time:
		t, err := time.Parse(timeLayout, text)
		return t.UTC(), err
	case isText && k == gormstore.UUID:
		return uuid.Parse(text)
	case isText:
		return text, nil
	}
	switch v := raw.(type) {
	case time.Time:
		return v.UTC(), nil
	case int64:
		switch k {
		case gormstore.Bool:
			return v != 0, nil
		case gormstore.Float:
			return float64(v), nil
		}
		return v, nil
	case float64, bool:
		return v, nil
	}
	return nil, fmt.Errorf("unexpected %T", raw)
}

// Prompt implements [gormstore.Backend]: a disk that hangs hangs whoever syncs it.
func (b *backend) Prompt() bool { return false }

// Overlaps implements [gormstore.Backend]: there is one writer.
func (b *backend) Overlaps() bool { return false }
