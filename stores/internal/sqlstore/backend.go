package sqlstore

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/auditing-go/auditing/core"
)

// Backend is what a [Store] asks of one kind of database. It is safe for
// concurrent use.
type Backend interface {
	// Relations reads the catalogue for a Read: the relations of these names, or with nil
	// names every table that [Relation.Audits], no views.
	Relations(ctx context.Context, names []string) ([]Relation, error)
	// Guess returns what Relations said of these names before, nil when it is to be asked.
	Guess(names []string) *Guess
	// Locked returns the names of relations that another session keeps everybody from
	// reading just now.
	Locked(ctx context.Context) (map[string]bool, error)
	// Lookup reads the same for a Save: like Write, it does not wait for connections
	// that others hold.
	Lookup(ctx context.Context, names []string) ([]Relation, error)
	// Grow makes the table with the base columns and these fields, or adds to it
	// the columns that it lacks. Other processes may do the same at the same time.
	// No table gets more than maxColumns, counted in the database and not in what this
	// process knows of it. A relation that is not [Relation.Ours] is left alone, unless it
	// is [Relation.Adoptable].
	// [ErrUnderWay] says that nothing is wrong, but the table is not ready yet,
	// [ErrDenied] that somebody has to grant something first.
	Grow(ctx context.Context, table string, fields []Column, maxColumns int) error
	// Patience is how long a Save waits for Grow while nothing has grown, before it stores
	// the rows where there is room.
	Patience() time.Duration
	// DDL returns the statements with which Grow makes that table.
	DDL(table string, fields []Column) string
	// Grant returns the statement that lets this role write to a table that another has
	// made, "" when none is needed.
	Grant(table string) string
	// AddColumns returns the statement with which Grow adds these columns.
	AddColumns(table string, fields []Column) string
	// View returns the statements that make a view of a query, in place of an older one.
	View(name, query string) string
	// Detail is the text that stands under a name in an object of JSON, NULL when none does.
	Detail(object, name string) string
	// Write stores the rows, except those whose id is in the table or in the batch's Twin
	// already. It returns the rows that are not known to be stored.
	Write(ctx context.Context, batches []Batch) []RowFailure
	// Apply runs changes in one durable transaction, beside which nobody writes to the table
	// unless that is "", and returns how many rows each has changed. It may be long until the
	// table is free. Their values are made by Arg, JSON as text. [ErrDenied] says that a right
	// is missing.
	Apply(ctx context.Context, table string, changes []Change) ([]int64, error)
	// Keeps reports whether a column of that kind keeps the value exactly. A [LocalTime]
	// does not keep a time of the hour that comes twice when clocks are put back.
	Keeps(v any, k Kind) bool

	// Query runs a SELECT whose columns are all made by Select, or are numbers, and
	// returns its rows. often says that the same text is likely to come again. It does
	// not wait for long for a table that somebody has locked. [ErrChanged] says that the
	// Guess, unless it is nil, is not what Relations says now, behind the statement.
	Query(ctx context.Context, often bool, guess *Guess, query string, args ...any) ([][]any, error)
	// Table returns the quoted and qualified name of a table.
	Table(name string) string
	// Unordered follows a table's name where its rows are not to be looked up in the order
	// of an index; "" when the database knows best.
	Unordered() string
	// Typed turns a quoted column of that kind into an expression of the kind's own
	// type, which for a [LocalTime] is the type of a [Time].
	Typed(column string, k Kind) string
	// Select turns a Typed expression into what [Backend.Value] reads, the same whatever
	// the session is set to, and in one type for every kind.
	Select(typed string, k Kind) string
	// Param returns the placeholder of the nth argument, from 1, for a comparison
	// with a column of that kind.
	Param(n int, k Kind) string
	// Arg returns v as an argument for a Param of that kind. For a [LocalTime] it keeps
	// the order of what Select reads: a time that it never reads becomes the next that
	// it may.
	Arg(v any, k Kind) any
	// Moment spells a time as a constant, for a comparison with a column of that kind.
	Moment(t time.Time, k Kind) string
	// Null spells NULL behind IS, for a search in an index.
	Null() string
	// Odd says which rows lie among the others although their datetime or audit_id is
	// none that orders as times and ids do.
	Odd() Odd
	// Member is a condition on at least the rows whose object, audit_extra or audit_request,
	// has v as the field name, nil when it lacks it, and few others; "" when SQL cannot tell.
	// param adds an argument.
	Member(object, name string, v any, param func(v any, k Kind) string) string
	// Diverted is the condition of the index that goes with [Target]: a target stands in
	// audit_request.
	Diverted() string
	// Value returns what Select read as a normalised value.
	Value(raw any, k Kind) (any, error)
	// WhyUnread sorts the error of a Query: Stale means that a table is locked or not
	// what the catalogue says, Refused that one cannot be read.
	WhyUnread(err error) Reason
	// Retype returns the statement that gives a column the type of its kind, "" when
	// the database has none.
	Retype(table string, c Column) string
	// Reason says why a row was refused, without any value of it.
	Reason(err error) string

	// Close closes what is the backend's own, see [CloseWithin].
	Close(ctx context.Context) error
}

// ErrUnderWay is what a [Backend] answers when a table grows by other hands, or
// takes long: it is asked again later.
var ErrUnderWay = errors.New("the table is growing")

// ErrDenied is what a [Backend] answers when the role has not the rights to grow or change a table.
var ErrDenied = errors.New("this role may not do that")

// ErrChanged is what a [Backend] answers, and sorts as Stale, when a [Guess] was wrong.
var ErrChanged = errors.New("tables are not what they were")

// Guess is what the catalogue said of relations of some names.
type Guess struct {
	Relations []Relation
	Names     []string
	Rows      [][]any // as the backend has them
}

// Odd is conditions on columns, "" when no row can meet them.
type Odd struct{ Time, ID string }

// Relation is an entry of the catalogue: a table or anything else that takes its name.
type Relation struct {
	Name    string
	Columns []Column

	// What Lookup says of it: Table that it is a table; a view takes the name all the same.
	Table bool
	// UniqueID says that audit_id is unique.
	UniqueID bool
	// Plain says that it has no key, index, constraint, default or NOT NULL.
	Plain bool
	// Grant is the statement that gives the rights that writing needs, "" when they are there.
	Grant string
	// Lossy says why a crash of the database loses acknowledged rows, "" when it does not.
	Lossy string

	// What Relations says of it: Parts is how many tables it consists of beside itself.
	Parts int
	// Place is an expression of a uuid that tells a row by where it is stored, "" when
	// there is none.
	Place string
	// Denied is the statement that gives a right to read, "" when there is one.
	Denied string
}

// column returns the column of that name.
func (r Relation) column(name string) (Column, bool) {
	for _, c := range r.Columns {
		if c.Name == name {
			return c, true
		}
	}
	return Column{}, false
}

// Audits reports whether a relation holds audits, in whatever state it is: it has at
// least two of the four columns that only tables of audits have.
func (r Relation) Audits() bool {
	n := 0
	for _, c := range baseColumns {
		if _, ok := r.column(c.Name); ok && strings.HasPrefix(c.Name, "audit_") {
			n++
		}
	}
	return n >= 2
}

// Ours reports whether a relation is a table of audits as a store writes to it: it has
// all base columns, and audit_id is unique.
func (r Relation) Ours() bool {
	why, _ := r.unfit()
	return why == ""
}

// unfit says why a relation is none that a store writes to, "" when it is one, and
// which column has to be added or made of another type, if that mends it.
func (r Relation) unfit() (why string, mend Column) {
	if !r.Table {
		return "it is no table", Column{}
	}
	for _, want := range baseColumns {
		c, ok := r.column(want.Name)
		switch {
		case !ok:
			return "it has no column " + want.Name, want
		case c.Type != "" || c.Kind != want.Kind && !(want.Name == "datetime" && c.Kind == LocalTime):
			return "its column " + want.Name + " is of type " + c.typeName() + ", not " + want.typeName(), want
		}
	}
	if !r.UniqueID {
		return "its column audit_id is not unique", Column{}
	}
	return "", Column{}
}

// Local reports whether its datetime is a [LocalTime].
func (r Relation) Local() bool {
	return slices.Contains(r.Columns, Column{Name: "datetime", Kind: LocalTime})
}

// pythonKinds are those of the columns that the Python library makes.
var pythonKinds = []Kind{Text, Int, Float, Bool, LocalTime, Interval}

// Adoptable reports whether a relation can only have been made by the Python
// library: its first columns are username and a datetime without zone, all others
// are of the types that it makes, and nothing else was ever added. A table whose
// adoption was interrupted is one too: it has all base columns besides.
func (r Relation) Adoptable() bool {
	if !r.Table || len(r.Columns) < 2 ||
		r.Columns[0] != (Column{Name: "username", Kind: Text}) || r.Columns[1] != (Column{Name: "datetime", Kind: LocalTime}) {
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
	return !slices.ContainsFunc(r.Columns[2:], func(c Column) bool {
		return c.Type != "" || !slices.Contains(pythonKinds, c.Kind) ||
			isBase[c.Name] && (c.Kind != Text || strings.HasPrefix(c.Name, "audit_"))
	})
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
	// last says that no other table takes the rows.
	last bool
}

// maxRefused is how many rows a table may refuse one by one.
const maxRefused = 16

// Enough reports whether a table that has refused so many rows one by one is not to be
// tried with the rest of the batch: another table takes them.
func (b Batch) Enough(refused int) bool { return refused >= maxRefused && !b.last }

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
	switch name := baseColumns[n].Name; {
	case name == "username":
		return &e.User
	case name == "datetime":
		return &e.Time
	case name == "audit_id":
		return &e.ID
	case name == "audit_tag":
		return &e.Tag
	case name == "audit_request" && r.Request != nil:
		return &r.Request
	case name == "audit_extra" && r.Extra != nil:
		return &r.Extra
	case e.Request == nil:
		return nil
	case name == "ip":
		return &e.Request.IP
	case name == "host":
		return &e.Request.Host
	case name == "path":
		return &e.Request.Path
	}
	return nil
}

// Change is a statement that changes rows.
type Change struct {
	SQL  string
	Args []any
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
	// Unavailable: the database cannot be reached, or it or the table is busy; trying
	// again can help.
	Unavailable Reason = iota
	// Stale: the table is not what the catalogue says.
	Stale
	// Refused: the table does not take this row, for what is in it.
	Refused
	// Denied: the table takes no row now, for want of rights, say.
	Denied
)
