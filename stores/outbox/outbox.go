// Package outbox keeps audits in a table of a database until another store has taken them: what
// package spool does on a disk.
//
//	target, err := stores.Open(ctx, "elasticsearch", "https://elastic:9200/audits")
//	store, err := outbox.New(ctx, db, target, outbox.Config{})
//
// db is the application's own *gorm.DB, on PostgreSQL or SQLite. An audit is stored when its row
// is committed, and with [In] or [InSQL] that is in a transaction of the application's: so a row in
// the database and its event in Elasticsearch agree for good, whichever of the two is away
// meanwhile.
//
// # Passing on
//
// In the background events are leased, passed on, and deleted once the target has acknowledged
// them. No transaction is open while the target works. Several processes do it side by side, each
// with other events; those of a process that was killed are passed on by another one when their
// lease is over, after half a minute. So an event may be passed on twice, and by its ID the target
// keeps it once. No order is promised. What a transaction commits late is not missed: what waits
// is what the table has.
//
// An event that the target refuses for its own content is set aside with the reason: see
// [Store.SetAside] and [Store.Retry]. For any other reason events wait, and [Stats.Outage] says why.
//
// # The table
//
// [New] makes the table audit_outbox where it is missing. A role that may not create needs
// SELECT, INSERT, UPDATE and DELETE on it, and [DDL] gives the statement. Its rows come and go: an
// autovacuum of Postgres that is switched off makes it slow.
package outbox

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"sync"
	"sync/atomic"
	"time"

	"gorm.io/gorm"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/stores/internal/sqlstore"
)

const (
	// DefaultTable is the table when [Config.Table] is not set.
	DefaultTable = "audit_outbox"
	// DefaultMaxEvents is how many events an outbox holds when [Config.MaxEvents] is not set.
	DefaultMaxEvents = 1_000_000
	// DefaultInterval is how often an outbox looks when [Config.Interval] is not set.
	DefaultInterval = time.Second
)

// Config sets up a [Store]. Its zero value works.
type Config struct {
	// Table is the name of the table, of small letters, digits and underscores. Outboxes with
	// different targets need one each. Defaults to [DefaultTable].
	Table string
	// MaxEvents bounds how many events wait or are set aside: what comes then fails with
	// [ErrFull]. They are counted every second or so, so that several processes may exceed it
	// by what they take in that time. Defaults to [DefaultMaxEvents].
	MaxEvents int
	// Interval is how often the table is looked at for events that other processes left, or that
	// transactions committed; an event that is audited here without one is passed on at once.
	// Defaults to [DefaultInterval].
	Interval time.Duration
	// Logger receives warnings; never values. Defaults to [slog.Default].
	Logger *slog.Logger
}

// ErrFull means that the outbox has no room; the event is not stored.
var ErrFull = errors.New("the outbox is full: its target has taken too little for too long, see its errors, or raise Config.MaxEvents")

// Store is a [core.Store] that keeps events in a table until its target has them. It is safe for
// concurrent use. Make it with [New] and end it with [Store.Close].
type Store struct {
	db      *sql.DB
	dialect dialect
	table   string // quoted
	target  core.Store
	cfg     Config
	place   string // what tells the database from others, see dialect.place

	size atomic.Int64 // of the table when it was last counted, and what came and went here since

	base     context.Context // ends when Close gives up on the target
	cancel   context.CancelFunc
	wake     chan struct{} // has the relay look at once
	stop     chan struct{} // closed by Close
	stopped  chan struct{} // closed when the relay has ended
	closing  sync.Once
	closed   chan struct{} // closed when Close is through
	closeErr error         // valid then

	mu     sync.Mutex
	outage error // why the target takes nothing, or not all
	since  time.Time
}

var (
	_ core.Store     = (*Store)(nil)
	_ core.Reader    = (*Store)(nil)
	_ core.TagLister = (*Store)(nil)
	_ core.Flusher   = (*Store)(nil)
	_ core.Closer    = (*Store)(nil)
	_ core.Joiner    = (*Store)(nil)
)

var tableName = regexp.MustCompile(`^[a-z_][a-z0-9_]{0,62}$`)

// New returns a store that keeps events in a table of db until target has them, and begins to pass
// them on. db must not be a transaction; Close leaves it open and closes target.
func New(ctx context.Context, db *gorm.DB, target core.Store, cfg Config) (*Store, error) {
	if target == nil {
		return nil, errors.New("auditing: an outbox needs a target: pass the store that is to have the events in the end")
	}
	if db == nil {
		return nil, errors.New("auditing: the *gorm.DB is nil: pass one from gorm.Open")
	}
	d, err := dialectOf(db.Name())
	if err != nil {
		return nil, err
	}
	pool, err := sqlstore.Pool(db, d.name)
	if err != nil {
		return nil, err
	}
	cfg.Table = cmp.Or(cfg.Table, DefaultTable)
	if !tableName.MatchString(cfg.Table) {
		return nil, fmt.Errorf("auditing: the outbox cannot have a table %q: take small letters, digits and underscores, at most 63", cfg.Table)
	}
	cfg.Interval = cmp.Or(cfg.Interval, DefaultInterval)
	cfg.MaxEvents = cmp.Or(cfg.MaxEvents, DefaultMaxEvents)
	if cfg.Interval < 0 || cfg.MaxEvents < 0 {
		return nil, errors.New("auditing: MaxEvents and Interval of an outbox cannot be negative")
	}
	s := &Store{
		db: pool, dialect: d, target: target, cfg: cfg,
		wake: make(chan struct{}, 1), stop: make(chan struct{}), stopped: make(chan struct{}), closed: make(chan struct{}),
	}
	if err := s.prepare(ctx); err != nil {
		return nil, fmt.Errorf("auditing: the outbox: %w", err)
	}
	s.base, s.cancel = context.WithCancel(context.Background())
	go s.relay()
	return s, nil
}

// prepare finds out where the table is, makes it where it is missing, and counts its rows.
func (s *Store) prepare(ctx context.Context) (err error) {
	if s.place, err = s.dialect.place(ctx, s.db); err != nil {
		return err
	}
	if s.table, err = s.dialect.qualified(ctx, s.db, s.cfg.Table); err != nil {
		return err
	}
	look := func() error {
		_, err := s.db.ExecContext(ctx, "SELECT audit_id, event, due, attempts, reason, refused FROM "+s.table+" WHERE false")
		return err
	}
	if missing := look(); missing != nil {
		if err := s.dialect.create(ctx, s.db, s.dialect.ddl(s.table)); err != nil {
			return fmt.Errorf("%w; its table cannot be made: %w: have somebody run %s", missing, err, s.dialect.ddl(s.table))
		}
		if err := look(); err != nil {
			return err
		}
	}
	return s.count(ctx)
}

// DDL returns the statement that makes the table of an outbox, which is [DefaultTable] when
// that is "", in a database of the dialect "postgres" or "sqlite".
func DDL(dialect, table string) (string, error) {
	d, err := dialectOf(dialect)
	if err != nil {
		return "", err
	}
	return d.ddl(`"` + cmp.Or(table, DefaultTable) + `"`), nil
}

// count counts the rows of the table.
func (s *Store) count(ctx context.Context) error {
	var n int64
	if err := s.db.QueryRowContext(ctx, "SELECT count(*) FROM "+s.table).Scan(&n); err != nil {
		return err
	}
	s.size.Store(n)
	return nil
}

func (s *Store) isClosed() bool {
	select {
	case <-s.stop:
		return true
	default:
		return false
	}
}

func (s *Store) logger() *slog.Logger { return cmp.Or(s.cfg.Logger, slog.Default()) }
