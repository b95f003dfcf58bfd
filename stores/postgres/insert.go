package postgres

import (
	"strconv"
	"strings"

	"github.com/auditing-go/auditing/stores/internal/sqlstore"
)

// statementKey is what an INSERT depends on besides its arguments.
type statementKey struct {
	table, twin, columns string
	single               bool
	once                 bool // it passes over ids that the table has; without, it fails on them, which is faster
}

// maxStatements bounds the statements that are remembered.
const maxStatements = 4096

// insert is a statement and its arguments in the binary format.
type insert struct {
	sql    string
	params [][]byte
}

// sizeOf is about how many bytes the messages take that run inserts.
func sizeOf(inserts []insert) int {
	size := 0
	for _, in := range inserts {
		size += 128
		for _, p := range in.params {
			size += len(p) + 4
		}
	}
	return size
}

// insertOf returns the insert that stores a batch as key says, its arguments in w.
func (b *backend) insertOf(batch sqlstore.Batch, key statementKey, w *binaryArgs) insert {
	columns := columnsOf(batch)
	key.table, key.twin, key.columns = batch.Table.Name, batch.Twin, columnKey(columns)
	key.single = len(batch.Rows) == 1
	return insert{b.statement(key, columns), w.params(columns, batch.Rows)}
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
	b.statementsMu.Lock()
	defer b.statementsMu.Unlock()
	s, ok := b.statements[key]
	if !ok {
		s = b.writeInsert(columns, key)
		if len(b.statements) >= maxStatements {
			clear(b.statements)
		}
		b.statements[key] = s
	}
	return s
}

// writeInsert writes the statement. It has one argument for each column: a value
// for a single row, else an array, so that the text does not change with the
// number of rows. Arrays unnested side by side in the SELECT list give one row
// after the other; in FROM each of them would be stored on its own first.
//
// A column that was retyped since the catalogue was read, at most a minute ago, may take
// the value in the form of its new type: an INSERT rounds, pads and formats.
func (b *backend) writeInsert(columns []filled, key statementKey) string {
	names := make([]string, len(columns))
	unnested := make([]string, len(columns))
	values := make([]string, len(columns))
	table := b.Table(key.table)
	id := ""
	for i, c := range columns {
		n := strconv.Itoa(i + 1)
		names[i] = sqlstore.Quote(c.Name)
		typ, cast := c.Kind.String(), ""
		switch c.Kind {
		case sqlstore.JSON:
			typ, cast = "text", "::jsonb"
		case sqlstore.LocalTime:
			typ, cast = sqlstore.Time.String(), " AT TIME ZONE "+b.zone
		}
		if key.single {
			values[i] = "$" + n + "::" + typ + cast
		} else {
			unnested[i] = "unnest($" + n + "::" + typ + "[]) AS c" + n
			values[i] = "u.c" + n + cast
		}
		if c.Name == "audit_id" {
			id = values[i]
		}
	}
	var s strings.Builder
	s.WriteString("INSERT INTO " + table + " (" + strings.Join(names, ", ") + ") SELECT " + strings.Join(values, ", "))
	if !key.single {
		s.WriteString(" FROM (SELECT " + strings.Join(unnested, ", ") + ") AS u")
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
	sqlstore.Column
	value func(*sqlstore.Row) any
}

// columnsOf returns the columns that a batch fills: the base columns, without
// those that are NULL in every row, and its fields.
func columnsOf(batch sqlstore.Batch) []filled {
	base := sqlstore.BaseColumns()
	columns := make([]filled, 0, len(base)+len(batch.Fields))
	for i, c := range base {
		value := func(r *sqlstore.Row) any { return r.Base(i) }
		if c.Name == "datetime" && batch.Table.Local {
			c.Kind = sqlstore.LocalTime
		}
		for n := range batch.Rows {
			if value(&batch.Rows[n]) != nil {
				columns = append(columns, filled{c, value})
				break
			}
		}
	}
	for i, c := range batch.Fields {
		columns = append(columns, filled{c, func(r *sqlstore.Row) any { return r.Values[i] }})
	}
	return columns
}
