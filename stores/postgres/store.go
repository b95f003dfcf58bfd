package postgres

import (
	"gorm.io/gorm"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/stores/internal/sqlstore"
)

// Store keeps audits in PostgreSQL. It is safe for concurrent use.
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
	_ core.Store    = (*Store)(nil)
	_ core.Reader   = (*Store)(nil)
	_ core.Closer   = (*Store)(nil)
	_ core.Prompter = (*Store)(nil)
)

// DDL returns the statements that make the table for tag with columns for fields, for a
// database in which the application's role may not create. They make what is missing, the
// schema too, and leave alone what is there.
func (s *Store) DDL(tag string, fields core.Fields) string { return s.tables.DDL(tag, fields) }

// DB returns the GORM handle on the tables, to query audits with models of your own: the
// one that [New] was given, or the store's own, which Close closes.
func (s *Store) DB() *gorm.DB { return s.db }

// Prompt implements [core.Prompter]: pgx gives a connection up when the context ends.
func (s *Store) Prompt() bool { return true }
