package sqlstore

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/auditing-go/auditing/core"
)

// Kind is what a column holds.
type Kind uint8

// The kinds of columns. Every field's column is of one of Text to JSON.
const (
	Other Kind = iota // a type that this package does not write
	Text
	Int
	Float
	Bool
	Time
	Bytes
	JSON
	UUID
	LocalTime // a time without its zone, as in tables of the Python library
	Interval  // a span of time, as in tables of the Python library
)

// String returns the type of a kind's columns, as statements and messages name it.
func (k Kind) String() string {
	return [...]string{"another", "text", "bigint", "double precision", "boolean", "timestamptz", "bytea", "jsonb", "uuid", "timestamp", "interval"}[k]
}

// typeName is the type of a column as messages name it.
func (c Column) typeName() string { return cmp.Or(c.Type, c.Kind.String()) }

// Column is a column of a table.
type Column struct {
	Name string
	Kind Kind
	// Type is the database's name of a type that reads as the Kind and does not keep
	// all of its values, or that no kind has: nothing is written into it. It is "" for
	// the types that a store makes.
	Type string
}

// The columns that every table has. Their order is the one of a new table, whose
// fields come between path and audit_id.
var baseColumns = []Column{
	{Name: "username", Kind: Text}, {Name: "datetime", Kind: Time}, {Name: "ip", Kind: Text}, {Name: "host", Kind: Text}, {Name: "path", Kind: Text},
	{Name: "audit_id", Kind: UUID}, {Name: "audit_tag", Kind: Text}, {Name: "audit_request", Kind: JSON}, {Name: "audit_extra", Kind: JSON},
}

// isBase are the names of the base columns.
var isBase = func() map[string]bool {
	m := map[string]bool{}
	for _, c := range baseColumns {
		m[c.Name] = true
	}
	return m
}()

// leadingColumns is how many of the base columns stand before the fields.
const leadingColumns = 5

// BaseColumns returns the columns that every table has.
func BaseColumns() []Column { return slices.Clone(baseColumns) }

// CreateTable returns the statement that makes a table, unless it is there, with the
// base columns and these fields. name is quoted, key is what makes audit_id the key, and
// constraints follow the columns.
func CreateTable(name, key string, fields []Column, constraints ...string) string {
	base := BaseColumns()
	columns := slices.Concat(base[:leadingColumns], fields, base[leadingColumns:])
	lines := make([]string, len(columns))
	for i, c := range columns {
		lines[i] = c.definition()
		switch c.Name {
		case "audit_id":
			lines[i] += " " + key
		case "username", "datetime", "audit_tag":
			lines[i] += " NOT NULL"
		}
	}
	return "CREATE TABLE IF NOT EXISTS " + name + " (" + strings.Join(append(lines, constraints...), ", ") + ")"
}

// AddColumn returns what adds a column in an ALTER TABLE.
func AddColumn(c Column) string { return "ADD COLUMN " + c.definition() }

func (c Column) definition() string { return Quote(c.Name) + " " + c.Kind.String() }

// ColumnsIn returns the columns that a query for [Relation]s has put into one text: their
// names and types in turn, as columnOf understands them, between characters that no name has.
func ColumnsIn(text string, columnOf func(name, typ string) Column) (columns []Column) {
	words := strings.Split(text, "\x1e")
	for i := 0; i+1 < len(words); i += 2 {
		columns = append(columns, columnOf(words[i], words[i+1]))
	}
	return columns
}

// Lacking returns those of want that have lacks, whatever their case, and only so many
// that there are no more than most with them.
func Lacking(have, want []Column, most int) []Column {
	var lacking []Column
	for _, c := range want {
		if !twin(have, c.Name) {
			lacking = append(lacking, c)
		}
	}
	return lacking[:max(0, min(len(lacking), most-len(have)))]
}

// Table is a table of audits that is written to, as the catalogue has it. It does not change.
type Table struct {
	Name string
	// Fields are the columns that are not base columns; Other is what is not written.
	Fields []Column
	// Local says that datetime is a [LocalTime].
	Local bool

	byName  map[string]int  // places in Fields
	byLower map[string]bool // of every column
	facts   [len(facts)]int // places in Fields, -1 where there is no column
	total   int
}

func newTable(rel Relation) *Table {
	t := &Table{Name: rel.Name, Local: rel.Local(), byName: map[string]int{}, byLower: map[string]bool{}, total: len(rel.Columns)}
	for n := range t.facts {
		t.facts[n] = -1
	}
	for _, c := range rel.Columns {
		t.byLower[strings.ToLower(c.Name)] = true
		if isBase[c.Name] {
			continue
		}
		if c.Type != "" {
			c.Kind = Other
		}
		if n := factOf(c); n >= 0 {
			t.facts[n] = len(t.Fields)
		}
		if !isOwn(c.Name) {
			t.byName[c.Name] = len(t.Fields)
		}
		t.Fields = append(t.Fields, c)
	}
	return t
}

// kindOf is the kind of column that a first value makes; Other when it makes none.
func kindOf(v any) Kind {
	switch v.(type) {
	case string:
		return Text
	case int64:
		return Int
	case float64:
		return Float
	case bool:
		return Bool
	case time.Time:
		return Time
	case []byte:
		return Bytes
	case []any, map[string]any:
		return JSON
	}
	return Other // nil, and uint64: no integer column is wide enough
}

// fits reports whether a column of kind k keeps v exactly, and as what.
func fits(v any, k Kind) (any, bool) {
	switch n := v.(type) {
	case int64:
		if k == Float {
			return float64(n), n > -1<<53 && n < 1<<53
		}
	case float64:
		if k == Int && n > -1<<53 && n < 1<<53 && n == math.Trunc(n) && !(n == 0 && math.Signbit(n)) {
			return int64(n), true
		}
	}
	if k == LocalTime {
		_, ok := v.(time.Time)
		return v, ok
	}
	return v, k != Other && kindOf(v) == k
}

// noTable is one that is not there yet.
var noTable = newTable(Relation{Columns: baseColumns})

// missing returns the columns that these events would add to t: those of their facts, and
// those of their fields in the order of their names. There may be no more than most with
// those that t has.
func (t *Table) missing(most int, events []core.Event, indexes []int) []Column {
	var missing []Column
	for n, at := range t.facts {
		if at < 0 && !t.byLower[facts[n].column.Name] && t.total+len(missing) < most &&
			slices.ContainsFunc(indexes, func(i int) bool { return *facts[n].of(&events[i]) != "" }) {
			missing = append(missing, facts[n].column)
		}
	}
	var kinds map[string]Kind
	for _, i := range indexes {
		for name, v := range events[i].Fields {
			if _, ok := t.byName[name]; ok || t.total >= most || kinds[name] != Other {
				continue
			}
			if k := kindOf(v); k != Other && ColumnName(name) && !t.byLower[strings.ToLower(name)] {
				if kinds == nil {
					kinds = map[string]Kind{}
				}
				kinds[name] = k
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(kinds)) {
		if !twin(missing, name) && t.total+len(missing) < most {
			missing = append(missing, Column{Name: name, Kind: kinds[name]})
		}
	}
	return missing
}

// twin reports whether one of columns has that name, whatever its case.
func twin(columns []Column, name string) bool {
	return slices.ContainsFunc(columns, func(c Column) bool { return strings.EqualFold(c.Name, name) })
}
