// Package nodriver is package sqlite without its driver: it runs on the application's own, such as
// that of github.com/glebarez/sqlite. That one is registered with database/sql as "sqlite",
// as package sqlite's is, and a program that imports both panics at its start.
package nodriver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"gorm.io/gorm"

	"github.com/auditing-go/auditing/stores/internal/fileid"
	"github.com/auditing-go/auditing/stores/internal/sqlstore"
)

// Config sets up a store. Its zero value creates what is missing.
type Config struct {
	// Fixed forbids to create or alter tables. An event without a table goes to
	// audit_overflow, a field without a column to audit_extra, and a warning or the error
	// shows the statement that is missing.
	Fixed bool
	// Prefix begins the name of every table, to keep them apart in a shared database. It
	// may hold a-z, 0-9 and _, at most 32 of them. No store's prefix may begin with
	// another's, and none at all begins every one: such stores would share tables.
	Prefix string
	// MaxTables is how many tables of audits there may be; further tags share
	// audit_overflow. Defaults to 1,000.
	MaxTables int
	// MaxColumns is how many columns a table may have; further fields share audit_extra.
	// Defaults to 250.
	MaxColumns int
	// Logger receives warnings; never values. Defaults to [slog.Default].
	Logger *slog.Logger
}

// Open opens the database file that dsn names and creates it when it is missing:
// a path, a file: URL, or ":memory:" for one that ends with the store. Parameters
// of the driver may follow behind a question mark; unless they say otherwise the
// database is in WAL mode, waits five seconds for locks, and every commit is synced.
// The program has to import a driver "sqlite" of database/sql that takes the
// parameter _pragma.
func Open(ctx context.Context, dsn string, cfg Config) (*Store, error) {
	parsed, err := parseDSN(dsn)
	if err != nil {
		return nil, err
	}
	file, err := openDatabase(ctx, parsed)
	if err != nil {
		return nil, fmt.Errorf("auditing: opening SQLite: %w", err)
	}
	// GORM's dialect of SQLite compiles a second SQLite with cgo, so none is opened here.
	store, err := open(ctx, &backend{file: file, own: true, dsn: parsed}, nil, cfg)
	if err != nil {
		file.close()
		return nil, err
	}
	return store, nil
}

// New returns a store on the application's own connection pool, which Close
// leaves open. db must not be a transaction: an audit is part of one with the option [In].
//
// SQLite has one writer at a time. An audit without In that is made while the same goroutine
// holds a transaction which has written to this database waits for itself, and fails when its
// time is over: audit in the transaction, or after it.
func New(ctx context.Context, db *gorm.DB, cfg Config) (*Store, error) {
	pool, err := sqlstore.Pool(db, "sqlite")
	if err != nil {
		return nil, err
	}
	file := &database{pool: pool}
	if err := pool.QueryRowContext(ctx, "SELECT coalesce(max(file), '') FROM pragma_database_list WHERE name = 'main'").Scan(&file.path); err != nil {
		return nil, fmt.Errorf("auditing: SQLite: %w", err)
	}
	if file.path != "" {
		// A VFS of the application may keep it elsewhere than in a file of that name.
		file.file, _ = fileid.At(file.path)
	}
	return open(ctx, &backend{file: file}, db, cfg)
}

func open(ctx context.Context, b *backend, db *gorm.DB, cfg Config) (*Store, error) {
	b.turn, b.log = make(chan struct{}, 1), cfg.Logger
	s, err := sqlstore.New(ctx, b, sqlstore.Config(cfg))
	if err != nil {
		return nil, err
	}
	return &Store{s, db}, nil
}

// backend implements [sqlstore.Backend].
type backend struct {
	own bool // the file was opened by us, with this dsn
	dsn dsn
	log *slog.Logger

	turn   chan struct{} // held while writing: SQLite's own waiting is by polling
	broken bool          // the file is to be opened anew before the next write; of whoever has the turn

	mu     sync.Mutex
	file   *database
	closed bool
}

var _ sqlstore.Backend = (*backend)(nil)

// busyTimeout is how long SQLite waits for another process, unless the DSN says otherwise.
const busyTimeout = 5 * time.Second

// dsn is what the DSN of a user means.
type dsn struct {
	full   string // with the settings that audits want
	path   string // of the file, "" when there is none
	create bool   // the file when it is missing
	memory bool
}

// parseDSN adds the settings that audits want where text says nothing of them.
func parseDSN(text string) (dsn, error) {
	if text == "" {
		return dsn{}, errors.New(`auditing: the DSN of SQLite is empty: name a file, such as "audits.db", or ":memory:"`)
	}
	name, query, _ := strings.Cut(text, "?")
	params, err := url.ParseQuery(query)
	if err != nil {
		return dsn{}, errors.New(`auditing: the parameters of the DSN of SQLite cannot be parsed: use "audits.db?_pragma=cache_size(-4000)"`)
	}
	set := map[string]bool{}
	for _, p := range params["_pragma"] {
		pragma, _, _ := strings.Cut(strings.ToLower(p), "(")
		pragma, _, _ = strings.Cut(pragma, "=")
		set[strings.TrimSpace(pragma)] = true
	}
	for _, p := range []struct{ name, value string }{{"busy_timeout", strconv.FormatInt(busyTimeout.Milliseconds(), 10)}, {"journal_mode", "WAL"}, {"synchronous", "EXTRA"}} {
		if !set[p.name] {
			params.Add("_pragma", p.name+"("+p.value+")")
		}
	}
	d := dsn{memory: strings.HasSuffix(name, ":memory:") || params.Get("mode") == "memory"}
	file, isURL := strings.CutPrefix(name, "file:")
	if isURL {
		file = strings.TrimPrefix(strings.TrimPrefix(file, "//localhost"), "//")
		if plain, err := url.PathUnescape(file); err == nil {
			file = plain
		}
	}
	if file == "" || d.memory || params.Has("vfs") {
		d.full = name + "?" + params.Encode()
		return d, nil
	}
	// Connections that are made later are to the same file, wherever the program is then.
	if d.path, err = filepath.Abs(file); err != nil {
		return dsn{}, fmt.Errorf("auditing: the file of the DSN of SQLite: %w", err)
	}
	if mode := params.Get("mode"); mode == "" || mode == "rwc" {
		d.create = true
		params.Set("mode", "rw")
	}
	location := url.URL{Scheme: "file", Path: "/" + strings.TrimPrefix(filepath.ToSlash(d.path), "/")}
	d.full = location.String() + "?" + params.Encode()
	return d, nil
}
