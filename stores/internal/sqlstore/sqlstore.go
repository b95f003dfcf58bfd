// Package sqlstore keeps audits in SQL tables, one table a tag and one column a field: it
// plans what goes where, lets tables grow, and reads. What differs between databases it
// asks of a [Backend]; packages postgres and sqlite have one each. Of GORM it uses no more
// than the handle that an application passes: SQL is written by the backends.
package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"gorm.io/gorm"

	"github.com/auditing-go/auditing/core"
)

// Defaults of [Config].
const (
	DefaultMaxTables  = 1000
	DefaultMaxColumns = 250
)

// Config sets up a [Store]. Its zero value works.
type Config struct {
	// Prefix begins the name of every table, to keep them apart in a shared
	// database. It may hold a-z, 0-9 and _, at most 32 of them. No store's prefix may
	// begin with another's, and none at all begins every one: such stores would share
	// tables. A schema of its own keeps a store apart in any case.
	Prefix string
	// Fixed forbids to create or alter anything. An event without a table goes to
	// audit_overflow, a field without a column to audit_extra, and a warning or the
	// error shows the statement that is missing.
	Fixed bool
	// MaxTables is how many tables of audits there may be; further tags share
	// audit_overflow. Defaults to [DefaultMaxTables].
	MaxTables int
	// MaxColumns is how many columns a table may have; further fields share
	// audit_extra. Defaults to [DefaultMaxColumns].
	MaxColumns int
	// Logger receives warnings; never values. Defaults to [slog.Default].
	Logger *slog.Logger
}

// Store is a [core.Store] and a [core.Reader] over SQL tables. It is safe for
// concurrent use.
type Store struct {
	backend Backend
	cfg     Config
	catalog catalog
	grower  grower
	arenas  sync.Pool // of *arena

	mu     sync.Mutex
	closed bool
	warned map[string]map[string]bool // by kind, by key
}

var (
	_ core.Store    = (*Store)(nil)
	_ core.Reader   = (*Store)(nil)
	_ core.Closer   = (*Store)(nil)
	_ core.Prompter = (*Store)(nil)
)

// Pool returns the connection pool of a handle that applications have, for a [Backend].
func Pool(db *gorm.DB) (*sql.DB, error) {
	if _, ok := db.Statement.ConnPool.(gorm.TxCommitter); ok {
		return nil, errors.New("the *gorm.DB is a transaction, and what is audited is no part of it: pass the one from gorm.Open")
	}
	pool, err := db.DB()
	if err != nil {
		return nil, fmt.Errorf("the *gorm.DB has no connection pool: pass the one from gorm.Open: %w", err)
	}
	return pool, nil
}

// New returns a store on backend and reads its catalogue. [Store.Close] closes
// the backend.
func New(ctx context.Context, backend Backend, cfg Config) (*Store, error) {
	if err := checkPrefix(cfg.Prefix); err != nil {
		return nil, err
	}
	if cfg.MaxTables <= 0 {
		cfg.MaxTables = DefaultMaxTables
	}
	if cfg.MaxColumns <= 0 {
		cfg.MaxColumns = DefaultMaxColumns
	}
	s := &Store{backend: backend, cfg: cfg, warned: map[string]map[string]bool{}}
	s.arenas.New = func() any { return new(arena) }
	s.grower.init(s)
	s.catalog.now.Store(&snapshot{})
	if err := s.lookUp(ctx, nil); err != nil {
		return nil, fmt.Errorf("auditing: reading the catalogue: %w", err)
	}
	if !cfg.Fixed {
		// Without it an event that fits nowhere would be lost, so it is there first.
		if err := s.growNow(ctx, s.overflowName(), nil); err != nil && s.catalog.table(s.overflowName()) == nil {
			s.logger().Warn("auditing: the overflow table cannot be made: audits that fit no table will fail",
				"error", err, "statement", backend.DDL(s.overflowName(), nil))
		}
	}
	s.warnUnfit()
	return s, nil
}

// DB returns the GORM handle on the tables, to query audits with models of your
// own: the one that the store was given, or its own, which Close closes. It is nil
// for an SQLite database that the store opened itself.
func (s *Store) DB() *gorm.DB { return s.backend.DB() }

// Prompt implements [core.Prompter].
func (s *Store) Prompt() bool { return s.backend.Prompt() }

// DDL returns the statements that make the table for tag with columns for
// fields, for a database in which the application's role may not create. They make
// what is missing, the schema too, and leave alone what is there.
func (s *Store) DDL(tag string, fields core.Fields) string {
	e := core.Event{Tag: tag, Fields: fields}.Normalize(0)
	name, ok := s.tableName(e.Tag)
	if !ok {
		return s.backend.DDL(s.overflowName(), nil)
	}
	return s.backend.DDL(name, wantedColumns(nil, e.Fields, s.cfg.MaxColumns))
}

func (s *Store) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

func (s *Store) logger() *slog.Logger {
	if s.cfg.Logger != nil {
		return s.cfg.Logger
	}
	return slog.Default()
}
