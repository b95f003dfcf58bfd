// Package sqlstore keeps audits in SQL tables, one table a tag and one column a field: it
// plans what goes where, lets tables grow, and reads. What differs between databases it
// asks of a [Backend]; packages postgres and sqlite have one each. Of GORM it uses no more
// than the handle that an application passes: SQL is written by the backends.
package sqlstore

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"gorm.io/gorm"

	"github.com/auditing-go/auditing/core"
)

// Config is what the packages' own have in common, where the fields are explained.
type Config struct {
	Fixed      bool
	Prefix     string
	MaxTables  int
	MaxColumns int
	Logger     *slog.Logger
}

// Store is what the packages' own have in common. It is safe for concurrent use.
type Store struct {
	backend Backend
	cfg     Config
	catalog catalog
	grower  grower
	arenas  sync.Pool // of *arena

	closed atomic.Bool

	mu     sync.Mutex
	warned map[string]map[string]bool // by kind, by key
}

// Pool returns the connection pool of an application's handle on a database of that dialect.
func Pool(db *gorm.DB, dialect string) (*sql.DB, error) {
	if db == nil {
		return nil, errors.New("auditing: the *gorm.DB is nil: pass one from gorm.Open")
	}
	if name := db.Dialector.Name(); name != dialect {
		return nil, fmt.Errorf("auditing: the *gorm.DB is of %s, not of %s", name, dialect)
	}
	if _, ok := db.Statement.ConnPool.(gorm.TxCommitter); ok {
		return nil, errors.New("auditing: the *gorm.DB is a transaction: pass the one from gorm.Open, and give each audit that is to be part of a transaction the option In(tx) of this package")
	}
	pool, err := db.DB()
	if err != nil {
		return nil, fmt.Errorf("auditing: the *gorm.DB has no connection pool: pass the one from gorm.Open: %w", err)
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
		cfg.MaxTables = 1000
	}
	if cfg.MaxColumns <= 0 {
		cfg.MaxColumns = 250
	}
	s := &Store{backend: backend, cfg: cfg, warned: map[string]map[string]bool{}}
	s.arenas.New = func() any { return new(arena) }
	s.grower.init(s)
	s.catalog.now.Store(&snapshot{})
	if err := s.lookUp(ctx, nil, backend.Lookup); err != nil {
		return nil, fmt.Errorf("auditing: reading the catalogue: %w", err)
	}
	if !cfg.Fixed {
		// Without it an event that fits nowhere would be lost, so it is there first.
		if err := s.growNow(ctx, s.overflowName(), nil); err != nil && s.catalog.table(s.overflowName()) == nil {
			s.logger().Warn("auditing: the overflow table cannot be made: audits that fit no table will fail",
				"error", err, "statement", s.creation(s.overflowName(), nil))
		}
	}
	s.warnUnfit()
	return s, nil
}

// DDL returns the statements that make what is missing of the table for tag with columns
// for fields, and for what an event says beside them.
func (s *Store) DDL(tag string, fields core.Fields) string {
	e := core.Event{Tag: tag, Fields: fields}.Normalize(0)
	name, ok := s.tableName(e.Tag)
	if !ok {
		return s.backend.DDL(s.overflowName(), nil)
	}
	return s.backend.DDL(name, s.declared("", e))
}

func (s *Store) logger() *slog.Logger { return cmp.Or(s.cfg.Logger, slog.Default()) }
