package gormstore

import (
	"context"
	"database/sql"
	"errors"

	"gorm.io/gorm"

	"github.com/auditing-go/auditing/core"
)

// Backend is what a [Store] asks of one kind of database. It is safe for
// concurrent use.
type Backend interface {
	// Relations reads the catalogue: the relations of these names, or with nil
	// names every one that has a column audit_id.
	Relations(ctx context.Context, names []string) ([]Relation, error)
	// Lookup is Relations of these names for a Save: like Write, it does not wait for
	// connections that others hold.
	Lookup(ctx context.Context, names []string) ([]Relation, error)
	// Grow makes the table with the base columns and these fields, or adds to it
	// the columns that it lacks. Other processes may do the same at the same time.
	// A relation that is not [Ours] is left alone, unless it can be [Adoptable].
	// [ErrUnderWay] says that nothing is wrong, but the table is not ready yet.
	Grow(ctx context.Context, table string, fields []Column) error
	// DDL returns the statements with which Grow makes that table.
	DDL(table string, fields []Column) string
	// AddColumns returns the statement with which Grow adds these columns.
	AddColumns(table string, fields []Column) string
	// Write stores the rows, each id once, also when the id is stored in the
	// table's or the batch's Twin already. It returns the rows that are not known to
	// be stored.
	Write(ctx context.Context, batches []Batch) []RowFailure
	// Keeps reports whether a column of that kind keeps the value exactly. A [LocalTime]
	// does not keep a time of the hour that comes twice when clocks are put back.
	Keeps(v any, k Kind) bool

	// DB returns the GORM handle, nil when there is none.
	DB() *gorm.DB
	// Query runs a SELECT.
	Query(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	// Table returns the quoted and qualified name of a table.
	Table(name string) string
	// Select returns the expression that reads a column of that kind.
	Select(column string, k Kind) string
	// Param returns the placeholder of the nth argument, from 1, for a comparison
	// with a column of that kind.
	Param(n int, k Kind) string
	// Arg returns v as an argument for a Param of that kind. For a [LocalTime] it keeps
	// the order of what Select reads: a time that it never reads becomes the next that
	// it may.
	Arg(v any, k Kind) any
	// Value returns what Select read as a normalised value.
	Value(raw any, k Kind) (any, error)
	// SchemaChanged reports whether err says that a table or column is not what the
	// catalogue says.
	SchemaChanged(err error) bool
	// Reason says why a row was refused, without any value of it.
	Reason(err error) string

	// Prompt reports whether every call is certain to return when its ctx ends.
	Prompt() bool
	// Overlaps reports whether two Writes at once get more done than one.
	Overlaps() bool
	// Close closes what is the backend's own, see [CloseWithin].
	Close(ctx context.Context) error
}

// ErrUnderWay is what a [Backend] answers when a table grows by other hands, or
// takes long: it is asked again later.
var ErrUnderWay = errors.New("the table is growing")

// Relation is an entry of the catalogue: a table or anything else that takes its name.
type Relation struct {
	Name    string
	Columns []Column
	// Table says that it is an ordinary table; a view takes the name all the same.
	Table bool
	// UniqueID says that audit_id is unique.
	UniqueID bool
	// Plain says that it has no key, index, constraint, default or NOT NULL.
	Plain bool
}

// Ours reports whether a relation is a table of audits: it has all base columns,
// and audit_id is unique.
func (r Relation) Ours() bool {
	if !r.Table || !r.UniqueID {
		return false
	}
	kinds := map[string]Kind{}
	for _, c := range r.Columns {
		kinds[c.Name] = c.Kind
	}
	for _, c := range baseColumns {
		k, ok := kinds[c.Name]
		if !ok || k != c.Kind && !(c.Name == "datetime" && k == LocalTime) {
			return false
		}
	}
	return true
}

// Adoptable reports whether a relation can only have been made by the Python
// library: its first columns are username and a datetime without zone, all others
// are of the types that it makes, and nothing else was ever added. A table whose
// adoption was interrupted is one too: it has all base columns besides.
func (r Relation) Adoptable() bool {
	if !r.Table || len(r.Columns) < 2 ||
		r.Columns[0] != (Column{"username", Text}) || r.Columns[1] != (Column{"datetime", LocalTime}) {
		return false
	}
	unique := r
	unique.UniqueID = true
	if unique.Ours() {
		return !r.UniqueID
	}
	if !r.Plain {
		return false
	}
	for _, c := range r.Columns[2:] {
		switch c.Name {
		case "ip", "host", "path":
			if c.Kind != Text {
				return false
			}
		case "audit_id", "audit_tag", "audit_request", "audit_extra":
			return false
		}
		switch c.Kind {
		case Text, Int, Float, Bool, LocalTime, Interval:
		default:
			return false
		}
	}
	return true
}

// Batch is rows for one table.
type Batch struct {
	Table *Table
	// Fields are the columns, besides the base columns, that the rows fill.
	Fields []Column
	Rows   []Row
	// Twin names the other table in which these events may be stored already by an
	// earlier attempt; "" when there is none.
	Twin string
	// Looked says that this Save read the catalogue after the table had seemed Stale: a
	// value that the table does not take is not a column's fault now but Refused.
	Looked bool
}

// Row is one event as it is written.
type Row struct {
	// Index is the event's place in the batch that was saved.
	Index int
	Event *core.Event
	// Values are those of the batch's Fields; nil is NULL.
	Values []any
	// Request and Extra are the JSON of audit_request and audit_extra; nil is NULL.
	Request, Extra []byte
}

// Base returns the value of the nth base column, as a pointer so that nothing is
// copied: a *string, *time.Time, *uuid.UUID or, of JSON, *[]byte. nil is NULL.
func (r *Row) Base(n int) any {
	e := r.Event
	switch baseColumns[n].Name {
	case "username":
		return &e.User
	case "datetime":
		return &e.Time
	case "audit_id":
		return &e.ID
	case "audit_tag":
		return &e.Tag
	case "audit_request":
		if r.Request != nil {
			return &r.Request
		}
		return nil
	case "audit_extra":
		if r.Extra != nil {
			return &r.Extra
		}
		return nil
	}
	if e.Request == nil {
		return nil
	}
	switch baseColumns[n].Name {
	case "ip":
		return &e.Request.IP
	case "host":
		return &e.Request.Host
	default:
		return &e.Request.Path
	}
}

// RowFailure is a row that is not known to be stored.
type RowFailure struct {
	// Index is the [Row.Index].
	Index int
	Err   error
	Why   Reason
	// Unknown says that the row may be stored all the same.
	Unknown bool
}

// Reason is why a row was not stored.
type Reason uint8

// The reasons of a [RowFailure].
const (
	// Unavailable: the database cannot be reached or is busy; trying again can help.
	Unavailable Reason = iota
	// Stale: the table is not what the catalogue says.
	Stale
	// Refused: the table does not take this row.
	Refused
)
