package nodriver

import (
	"context"

	"gorm.io/gorm"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/stores/internal/sqlstore"
)

// Store keeps audits in an SQLite database file. It is safe for concurrent use.
//
// With a tag Read reads what has the name of that tag's table, a view too, and the overflow
// table; without one every table of audits. A table whose columns were changed is read as
// far as it goes; one that cannot be read is named in the error, beside the events of the
// others. A row that has no time or id, or none that an event can have, is read last, as of
// the first microsecond of the year 1. In place of a missing id it has one that holds for as
// long as the row stays where it is.
//
// Close ends the growing of tables, and itself soon after its context; what is still under
// way then is named by the error, and closed when it ends.
type Store struct {
	*tables
	db *gorm.DB
}

type tables = sqlstore.Store

var (
	_ core.Store     = (*Store)(nil)
	_ core.Reader    = (*Store)(nil)
	_ core.TagLister = (*Store)(nil)
	_ core.Closer    = (*Store)(nil)
	_ core.Prompter  = (*Store)(nil)
	_ core.Joiner    = (*Store)(nil)
)

// DDL returns the statements that make the table for tag with columns for fields, for
// a database in which the application's role may not create. They make what is missing
// and leave alone what is there.
func (s *Store) DDL(tag string, fields core.Fields) string { return s.tables.DDL(tag, fields) }

// Declare makes the table for tag ahead of its first event, with columns for fields and for
// who, on what, for whom and with what result. It waits for it until ctx ends. A store that
// is Fixed looks whether all is there instead: the error names the statements that
// are to be run. It may be called again, and with other fields, whose values say no more than
// the types of the columns.
func (s *Store) Declare(ctx context.Context, tag string, fields core.Fields) error {
	return s.tables.Declare(ctx, tag, fields)
}

// ViewDDL returns the statements that make the view audit_events, or make it anew, on all
// tables of audits as they are now: one place to query, with the columns that every table has,
// and audit_outcome, audit_reason, audit_for, audit_target and audit_tenant wherever they
// stand. Fields are in it only as far as they stand in audit_extra. A table that comes later
// is in it when the statements are asked for and run again.
//
// A table that cannot be in it is named in the error, beside the statements for the others.
func (s *Store) ViewDDL(ctx context.Context) (string, error) { return s.tables.ViewDDL(ctx) }

// Refile moves what was stored where there was room, because its own place was not there, to
// that place: events of the overflow table to the tables of their tags, and what stands in
// audit_extra and audit_request to columns that would keep it. Unless the store is Fixed it
// makes those first, within MaxTables and MaxColumns. What still fits nowhere else stays.
//
// It returns how many rows it has moved or changed, and hands that to progress, unless that is
// nil, behind each transaction. Each event is in one place at every moment, and Read gives the
// same before, meanwhile and after, numbers by value. Audits may be written meanwhile. It can be
// ended by ctx, and run again. What a table does not take stays too, and the error says why.
//
// It is for a role that may update and delete; the application's need not.
func (s *Store) Refile(ctx context.Context, progress func(moved int)) (moved int, err error) {
	return s.tables.Refile(ctx, progress)
}

// DB returns the GORM handle that [New] was given, to query audits with models of your
// own. A store that was opened has none, and it is nil: GORM's dialect of SQLite would
// compile a second SQLite, with cgo.
func (s *Store) DB() *gorm.DB { return s.db }

// Prompt implements [core.Prompter]: a disk that hangs hangs whoever syncs it.
func (s *Store) Prompt() bool { return false }
