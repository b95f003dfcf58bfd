// Package postgres keeps audits in PostgreSQL. Importing it registers the drivers
// "postgres_auto", which creates the database, the tables and the columns, and
// "postgres", which creates nothing: a role that may only INSERT and SELECT is
// enough for it.
//
// # Tables
//
// A table is named after its tag, user_login for the tag user.login, and holds the columns
// username, datetime, ip, host and path, one column for every field, and audit_id (the
// primary key), audit_tag, audit_request and audit_extra. A field's column is typed after
// its first value. What does not fit is stored all the same: a value in the column
// audit_extra, an event in the table audit_overflow.
//
// What others do to a table is noticed at once when the database then refuses a write,
// and within a minute otherwise: a column that was given another type meanwhile may take
// values as its new type has them, a number as text or with fewer digits.
//
// # Durability
//
// Each write raises synchronous_commit to on, in its own transaction, where the server
// says off or local; on, remote_write and remote_apply stay as they are. An audit that
// returned nil has therefore reached the disk of the server that answered. A standby has
// it for certain only if the server waits for one (synchronous_standby_names): failing
// over to a standby that follows asynchronously loses the last audits that were
// acknowledged, as it loses the application's own commits.
//
// # Transactions
//
// With the option [In], [InSQL] or [InPgx] an audit is written in a transaction of the
// application's, and is there if and only if that commits:
//
//	err := db.Transaction(func(tx *gorm.DB) error {
//		if err := tx.Model(&order).Update("state", "refunded").Error; err != nil {
//			return err
//		}
//		return rec.Audit(ctx, "refund", core.Fields{"order": order.ID}, postgres.In(tx))
//	})
//
// The transaction may come from any pool of pgx on the store's database; its role needs the
// right to INSERT into the tables of audits. Nothing is created in it and nothing is set:
// its synchronous_commit decides how durable it is. What an audit that fails has done is taken back to a
// savepoint, so that the transaction can go on.
//
// # Connections and poolers
//
// One connection is kept for writing. It is probed after a second of silence, replaced
// after half an hour, and replaced at once when its session may not do what a new one
// might: it began read-only, or its role lost its rights. Nothing is set on a session, and no lock is kept by one.
//
// So a store works through PgBouncer in transaction or session mode, with every driver
// and with [New]. A pooler is recognised by the server's process number, which differs
// from the one that it told: then no statement is prepared, whatever
// default_query_exec_mode says. Through a pooler that hides behind the server's own
// number, writing finds that out by itself; say default_query_exec_mode=exec for the
// rest. In statement mode tables cannot grow. Taking over a table of the Python library
// needs two connections of the pooler to the server at once. The database has to be
// there: none is created through a pooler.
//
// The connections say client_encoding=UTF8. A database that cannot hold every text, as
// one in LATIN1, is refused.
package postgres

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	gormpostgres "gorm.io/driver/postgres"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/stores"
	"github.com/auditing-go/auditing/stores/internal/sqlstore"
)

func init() {
	for name, fixed := range map[string]bool{"postgres_auto": false, "postgres": true} {
		stores.Register(name, func(ctx context.Context, dsn string) (core.Store, error) {
			return Open(ctx, dsn, Config{Fixed: fixed})
		})
	}
}

// Config sets up a store. Its zero value creates what is missing.
type Config struct {
	// Fixed forbids to create or alter anything, as the driver "postgres" does. An event
	// without a table goes to audit_overflow, a field without a column to audit_extra, and
	// a warning or the error shows the statement that is missing.
	Fixed bool
	// Schema holds the tables. Defaults to the first schema of the search_path; in a
	// DSN it is audit_schema=NAME.
	Schema string
	// Prefix begins the name of every table, to keep them apart in a shared database. It
	// may hold a-z, 0-9 and _, at most 32 of them. No store's prefix may begin with
	// another's, and none at all begins every one: such stores would share tables. A
	// schema of its own keeps a store apart in any case. In a DSN it is audit_prefix=NAME.
	Prefix string
	// Zone is the time zone, by its IANA name, in which the Python library wrote the
	// times of tables that are taken over from it. Defaults to UTC; in a DSN it is
	// audit_zone=NAME. The program has to know it too, see [time.LoadLocation]. What is
	// of the hour that comes twice when clocks are put back is stored beside such a
	// table: an event in audit_overflow, a field in audit_extra.
	Zone string
	// MaxTables is how many tables of audits there may be; further tags share
	// audit_overflow. Defaults to 1,000.
	MaxTables int
	// MaxColumns is how many columns a table may have; further fields share audit_extra.
	// Defaults to 250.
	MaxColumns int
	// Logger receives warnings; never values. Defaults to [slog.Default].
	Logger *slog.Logger
}

// Open connects to the database that dsn names, in keyword or URL form, and
// creates it first when it is missing and cfg allows it. Settings in the DSN
// beat those of cfg. No error shows the password.
func Open(ctx context.Context, dsn string, cfg Config) (*Store, error) {
	conn, err := parseDSN(dsn, &cfg)
	if err != nil {
		return nil, err
	}
	if err := look(ctx, conn, !cfg.Fixed); err != nil {
		return nil, err
	}
	pool := stdlib.OpenDB(*conn, stdlib.OptionShouldPing(func(ctx context.Context, p stdlib.ShouldPingParams) bool {
		// It is asked here, in a time of its own; the ping that comes then only closes it.
		return p.IdleDuration > idleLong && probe(ctx, p.Conn) != nil
	}))
	pool.SetMaxOpenConns(openConns)
	pool.SetConnMaxLifetime(maxAge)
	db, err := gorm.Open(gormpostgres.New(gormpostgres.Config{Conn: pool}), &gorm.Config{Logger: logger.Discard})
	if err != nil {
		pool.Close()
		return nil, err
	}
	return open(ctx, db, pool, cfg, &connector{kept: stdlib.OpenDB(*conn)})
}

// openConns is how many connections a store that opened its own pool uses at most,
// besides the one that writes: one grows tables, the others read.
const openConns = 4

// New returns a store on the application's own connection pool and keeps one
// connection of it, so that handlers which hold all others cannot starve their
// audits. Should that one be lost while they hold all, its successor is made beside the
// pool, in the same way but without the pool's hooks. The pool must allow at least
// three; Close leaves it open. db must not be a transaction: an audit is part of one with the
// option [In].
func New(ctx context.Context, db *gorm.DB, cfg Config) (*Store, error) {
	pool, err := sqlstore.Pool(db, "postgres")
	if err != nil {
		return nil, err
	}
	if n := pool.Stats().MaxOpenConnections; n > 0 && n < 3 {
		return nil, fmt.Errorf("auditing: the pool allows %d connections and audits keep one: raise SetMaxOpenConns to at least 3, or use Open", n)
	}
	return open(ctx, db, pool, cfg, &connector{app: pool})
}

func open(ctx context.Context, db *gorm.DB, pool *sql.DB, cfg Config, conns *connector) (*Store, error) {
	b := &backend{
		pool: pool, conns: conns, cfg: cfg, writer: make(chan *writeConn, 1),
		adopting: map[string]bool{}, guesses: map[string]*sqlstore.Guess{}, statements: map[statementKey]string{},
	}
	b.ctx, b.cancel = context.WithCancel(context.Background())
	b.give(&writeConn{connect: conns.connect, lost: map[int64]time.Time{}})
	s, err := b.start(ctx)
	if err != nil {
		b.Close(context.WithoutCancel(ctx))
		return nil, err
	}
	return &Store{s, db}, nil
}

func (b *backend) start(ctx context.Context) (*sqlstore.Store, error) {
	if err := b.connect(ctx); err != nil {
		return nil, err
	}
	if err := b.prepare(ctx); err != nil {
		return nil, err
	}
	s, err := sqlstore.New(ctx, b, sqlstore.Config{
		Prefix: b.cfg.Prefix, Fixed: b.cfg.Fixed, MaxTables: b.cfg.MaxTables, MaxColumns: b.cfg.MaxColumns, Logger: b.cfg.Logger,
	})
	if err == nil {
		b.resume(ctx)
	}
	return s, err
}

// backend implements [sqlstore.Backend].
type backend struct {
	pool *sql.DB
	cfg  Config

	conns  *connector
	pooled bool // a pooler stands before the server

	role     string
	noSchema bool // there was none at the start, and it may not be created

	zone     string // quoted as a literal
	location *time.Location
	writer   chan *writeConn // holds the connection that writes while nobody uses it
	ddlKey   int64           // of the lock under which tables grow
	locks    locks

	statementsMu sync.Mutex
	statements   map[statementKey]string // written so far

	mu       sync.Mutex
	adopting map[string]bool            // tables that are taken over just now
	guesses  map[string]*sqlstore.Guess // by names
	database string                     // what databaseOf says of it; "" until it is asked

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	wg     sync.WaitGroup // of adopting
	closed atomic.Bool    // by Close: the connection that writes
}

var _ sqlstore.Backend = (*backend)(nil)

// prepare finds the schema and checks that the server understands the settings.
func (b *backend) prepare(ctx context.Context) error {
	if b.cfg.Schema == "" {
		if err := b.findSchema(ctx); err != nil {
			return err
		}
	}
	zone := b.cfg.Zone
	if zone == "" {
		zone = "UTC"
	}
	b.zone = literal(zone)
	if err := b.pool.QueryRowContext(ctx, "SELECT current_user FROM (SELECT now() AT TIME ZONE "+b.zone+") AS t", b.args()...).Scan(&b.role); err != nil {
		return fmt.Errorf("auditing: time zone %q: %w", zone, err)
	}
	var err error
	if b.location, err = loadZone(zone); err != nil {
		return err
	}
	b.ddlKey = lockKey("grow", b.cfg.Schema)
	return b.createSchema(ctx)
}

// args are the arguments of a query on the pool. Through a pooler the next statement may
// come to another session, which knows nothing of what this one has prepared.
func (b *backend) args(args ...any) []any {
	if b.pooled {
		return append([]any{pgx.QueryExecModeExec}, args...)
	}
	return args
}

// connect makes the connection that writes at the start: later the application may hold
// all others. It shows what stands at the other end, and how others are made beside the
// application's pool.
func (b *backend) connect(ctx context.Context) error {
	l, err := b.take(ctx)
	if err != nil {
		return notConnected(err)
	}
	defer b.give(l)
	if err := l.use(ctx, func(c *pgx.Conn) error {
		if b.conns.kept == nil {
			b.conns.kept = stdlib.OpenDB(*c.Config())
		}
		return nil
	}); err != nil {
		return notConnected(err)
	}
	b.pooled = l.pooled
	return nil
}

// take waits for the connection to write on, which is to be given back.
func (b *backend) take(ctx context.Context) (*writeConn, error) {
	select {
	case l := <-b.writer:
		if b.ctx.Err() != nil {
			b.give(l) // to Close
			return nil, notSent{core.ErrClosed}
		}
		return l, nil
	case <-b.ctx.Done():
		return nil, notSent{core.ErrClosed}
	case <-ctx.Done():
		return nil, notSent{context.Cause(ctx)}
	}
}

func (b *backend) give(l *writeConn) { b.writer <- l }
