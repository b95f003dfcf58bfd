package postgres

import (
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/stores/gormstore"
)

// statementKey is what an INSERT depends on besides its arguments.
type statementKey struct {
	table, twin, columns string
	single, once         bool
}

// maxStatements bounds the statements that are remembered.
const maxStatements = 4096

// insert returns the statement that stores a batch, and its arguments; with once
// it passes over ids that the table has, without it fails on them, which is faster.
func (b *backend) insert(batch gormstore.Batch, once bool) (string, []any) {
	columns := columnsOf(batch)
	key := statementKey{
		table: batch.Table.Name, twin: batch.Twin, columns: columnKey(columns),
		single: len(batch.Rows) == 1, once: once,
	}
	return b.statement(key, columns), insertArgs(columns, batch.Rows)
}

func columnKey(columns []filled) string {
	var key strings.Builder
	for _, c := range columns {
		key.WriteString(c.Name)
		key.WriteByte(byte(c.Kind))
	}
	return key.String()
}

// statement returns a statement. Writing one costs more than the rest of a small
// batch, so they are remembered.
func (b *backend) statement(key statementKey, columns []filled) string {
	b.mu.Lock()
	s, ok := b.statements[key]
	b.mu.Unlock()
	if ok {
		return s
	}
	s = b.writeInsert(columns, key)
	b.mu.Lock()
	if len(b.statements) >= maxStatements {
		clear(b.statements)
	}
	b.statements[key] = s
	b.mu.Unlock()
	return s
}

// writeInsert writes the statement. It has one argument for each column: a value
// for a single row, else an array, so that the text does not change with the
// number of rows.
func (b *backend) writeInsert(columns []filled, key statementKey) string {
	names := make([]string, len(columns))
	params := make([]string, len(columns))
	aliases := make([]string, len(columns))
	values := make([]string, len(columns))
	id := ""
	for i, c := range columns {
		n := strconv.Itoa(i + 1)
		names[i] = gormstore.Quote(c.Name)
		aliases[i] = "c" + n
		typ := types[c.Kind]
		cast := ""
		switch c.Kind {
		case gormstore.JSON:
			typ, cast = "text", "::jsonb"
		case gormstore.LocalTime:
			typ, cast = types[gormstore.Time], " AT TIME ZONE "+b.zone
		}
		params[i] = "$" + n + "::" + typ
		values[i] = "u.c" + n + cast
		if key.single {
			values[i] = params[i] + cast
		}
		if c.Name == "audit_id" {
			id = values[i]
		}
	}
	var s strings.Builder
	s.WriteString("INSERT INTO " + b.Table(key.table) + " (" + strings.Join(names, ", ") + ") SELECT " + strings.Join(values, ", "))
	if !key.single {
		s.WriteString(" FROM unnest(" + strings.Join(params, "[], ") + "[]) AS u(" + strings.Join(aliases, ", ") + ")")
	}
	if key.twin != "" {
		s.WriteString(" WHERE NOT EXISTS (SELECT 1 FROM " + b.Table(key.twin) + ` o WHERE o."audit_id" = ` + id + ")")
	}
	if key.once {
		s.WriteString(` ON CONFLICT ("audit_id") DO NOTHING`)
	}
	return s.String()
}

// filled is a column that a batch fills, and where its values are.
type filled struct {
	gormstore.Column
	value func(*gormstore.Row) any
}

// columnsOf returns the columns that a batch fills: the base columns, without
// those that are NULL in every row, and its fields.
func columnsOf(batch gormstore.Batch) []filled {
	base := gormstore.BaseColumns()
	columns := make([]filled, 0, len(base)+len(batch.Fields))
	for i, c := range base {
		value := func(r *gormstore.Row) any { return r.Base(i) }
		if c.Name == "datetime" && batch.Table.Local {
			c.Kind = gormstore.LocalTime
		}
		for n := range batch.Rows {
			if value(&batch.Rows[n]) != nil {
				columns = append(columns, filled{c, value})
				break
			}
		}
	}
	for i, c := range batch.Fields {
		columns = append(columns, filled{c, func(r *gormstore.Row) any { return r.Values[i] }})
	}
	return columns
}

// insertArgs returns the arguments of the statement.
func insertArgs(columns []filled, rows []gormstore.Row) []any {
	args := make([]any, len(columns))
	for i, c := range columns {
		if len(rows) == 1 {
			args[i] = scalar(c.value(&rows[0]), c.Kind)
		} else {
			args[i] = array(rows, c.Kind, c.value)
		}
	}
	return args
}

// scalar returns one value as an argument.
func scalar(v any, k gormstore.Kind) any {
	switch {
	case v == nil:
		return nil
	case k == gormstore.JSON:
		return jsonText(v)
	case k == gormstore.UUID:
		return pgtype.UUID{Bytes: v.(uuid.UUID), Valid: true}
	}
	return v
}

// array returns one column of the rows as an array of its kind.
func array(rows []gormstore.Row, k gormstore.Kind, value func(*gormstore.Row) any) any {
	switch k {
	case gormstore.Text:
		return fill(rows, value, func(v string) pgtype.Text { return pgtype.Text{String: v, Valid: true} })
	case gormstore.Int:
		return fill(rows, value, func(v int64) pgtype.Int8 { return pgtype.Int8{Int64: v, Valid: true} })
	case gormstore.Float:
		return fill(rows, value, func(v float64) pgtype.Float8 { return pgtype.Float8{Float64: v, Valid: true} })
	case gormstore.Bool:
		return fill(rows, value, func(v bool) pgtype.Bool { return pgtype.Bool{Bool: v, Valid: true} })
	case gormstore.Time, gormstore.LocalTime:
		return fill(rows, value, func(v time.Time) pgtype.Timestamptz { return pgtype.Timestamptz{Time: v, Valid: true} })
	case gormstore.UUID:
		return fill(rows, value, func(v uuid.UUID) pgtype.UUID { return pgtype.UUID{Bytes: v, Valid: true} })
	case gormstore.Bytes:
		return fill(rows, value, func(v []byte) []byte { return v })
	}
	// jsonb: the JSON is text on its way, so that its array is encoded only once.
	out := make(pgtype.FlatArray[pgtype.Text], len(rows))
	for i := range rows {
		if v := value(&rows[i]); v != nil {
			out[i] = pgtype.Text{String: jsonText(v), Valid: true}
		}
	}
	return out
}

// fill converts a column; a missing value is NULL, the zero of To. A FlatArray
// spares pgx to look at each element by reflection.
func fill[From, To any](rows []gormstore.Row, value func(*gormstore.Row) any, convert func(From) To) pgtype.FlatArray[To] {
	out := make(pgtype.FlatArray[To], len(rows))
	for i := range rows {
		if v, ok := value(&rows[i]).(From); ok {
			out[i] = convert(v)
		}
	}
	return out
}

// jsonText returns what a jsonb column gets: JSON that stands already, or the JSON
// of a field's value.
func jsonText(v any) string {
	if b, ok := v.([]byte); ok {
		return string(b)
	}
	return string(core.AppendJSON(nil, v))
}
