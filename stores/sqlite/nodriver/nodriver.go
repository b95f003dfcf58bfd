// Package nodriver is package sqlite without its driver: it runs on the application's own, such as
// that of github.com/glebarez/sqlite. That one is registered with database/sql as "sqlite",
// as package sqlite's is, and a program that imports both panics at its start.
package nodriver

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"sync"

	"gorm.io/gorm"

	"github.com/auditing-go/auditing/stores/gormstore"
)

// Config sets up a store. Its zero value creates what is missing.
type Config struct {
	// Fixed forbids to create or alter tables.
	Fixed bool
	// Prefix begins the name of every table.
	Prefix string
	// MaxTables and MaxColumns bound what is created; see [gormstore.Config].
	MaxTables, MaxColumns int
	// Logger receives warnings; never values. Defaults to [slog.Default].
	Logger *slog.Logger
}

// Open opens the database file that dsn names and creates it when it is missing:
// a path, a file: URL, or ":memory:" for one that ends with the store. Parameters
// of the driver may follow behind a question mark; unless they say otherwise the
// database is in WAL mode, waits five seconds for locks, and every commit is synced.
// The program has to import a driver "sqlite" of database/sql that takes the
// parameter _pragma.
func Open(ctx context.Context, dsn string, cfg Config) (*gormstore.Store, error) {
	if dsn == "" {
		return nil, errors.New(`auditing: the DSN of SQLite is empty: name a file, such as "audits.db", or ":memory:"`)
	}
	full, memory, err := withDefaults(dsn)
	if err != nil {
		return nil, err
	}
	pool, err := sql.Open("sqlite", full)
	if err != nil {
		return nil, fmt.Errorf("auditing: opening SQLite: %w", err)
	}
	pool.SetMaxOpenConns(openConns)
	if memory {
		// Each connection to it would be another database.
		pool.SetMaxOpenConns(1)
	}
	// GORM's dialect of SQLite compiles a second SQLite with cgo, so none is opened here.
	store, err := open(ctx, nil, pool, cfg, true)
	if err != nil {
		pool.Close()
		return nil, fmt.Errorf("auditing: opening SQLite: %w", err)
	}
	return store, nil
}

// openConns is how many connections read while one writes.
const openConns = 4

// New returns a store on the application's own connection pool, which Close
// leaves open. SQLite has one writer at a time: an audit made while the same
// goroutine holds a transaction on this database waits for itself and fails when
// its time is over. Audit after the commit, or use a file of its own.
func New(ctx context.Context, db *gorm.DB, cfg Config) (*gormstore.Store, error) {
	if db == nil {
		return nil, errors.New("auditing: the *gorm.DB is nil: pass one from gorm.Open")
	}
	if name := db.Dialector.Name(); name != "sqlite" {
		return nil, fmt.Errorf("auditing: the *gorm.DB is of %s, not of sqlite", name)
	}
	pool, err := gormstore.Pool(db)
	if err != nil {
		return nil, fmt.Errorf("auditing: %w", err)
	}
	return open(ctx, db, pool, cfg, false)
}

func open(ctx context.Context, db *gorm.DB, pool *sql.DB, cfg Config, own bool) (*gormstore.Store, error) {
	b := &backend{db: db, pool: pool, own: own}
	return gormstore.New(ctx, b, gormstore.Config{
		Prefix: cfg.Prefix, Fixed: cfg.Fixed, MaxTables: cfg.MaxTables, MaxColumns: cfg.MaxColumns, Logger: cfg.Logger,
	})
}

// backend implements [gormstore.Backend].
type backend struct {
	db   *gorm.DB
	pool *sql.DB
	own  bool // the pool is ours to close

	mu sync.Mutex // held while writing: SQLite's own waiting is by polling

	schema struct { // all tables, as they were at a version of the schema
		sync.Mutex
		version int64
		all     []gormstore.Relation
	}
}

var _ gormstore.Backend = (*backend)(nil)

// Close waits for the write under way and closes the pool when it is ours.
func (b *backend) Close(ctx context.Context) error {
	if !b.own {
		return nil
	}
	end := func() error {
		b.mu.Lock()
		defer b.mu.Unlock()
		return b.pool.Close()
	}
	return gormstore.CloseWithin(ctx, end, func() string { return "a write" })
}

// withDefaults adds the settings that audits want where dsn says nothing of them.
func withDefaults(dsn string) (full string, memory bool, err error) {
	name, query, _ := strings.Cut(dsn, "?")
	params, err := url.ParseQuery(query)
	if err != nil {
		return "", false, errors.New(`auditing: the parameters of the DSN of SQLite cannot be parsed: use "audits.db?_pragma=cache_size(-4000)"`)
	}
	set := map[string]bool{}
	for _, p := range params["_pragma"] {
		pragma, _, _ := strings.Cut(strings.ToLower(p), "(")
		pragma, _, _ = strings.Cut(pragma, "=")
		set[strings.TrimSpace(pragma)] = true
	}
	for _, p := range []struct{ name, value string }{{"busy_timeout", "5000"}, {"journal_mode", "WAL"}, {"synchronous", "FULL"}} {
		if !set[p.name] {
			params.Add("_pragma", p.name+"("+p.value+")")
		}
	}
	memory = strings.HasSuffix(name, ":memory:") || params.Get("mode") == "memory"
	return name + "?" + params.Encode(), memory, nil
}
