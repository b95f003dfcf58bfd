package nodriver

import (
	"cmp"
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"sync"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/stores/internal/fileid"
	"github.com/auditing-go/auditing/stores/internal/sqlstore"
)

// database is a file as the connections of a pool have it open. A file that is moved
// or removed takes what they write along, so that each write looks whether it is still
// at its path, and once more after its commit.
type database struct {
	pool   *sql.DB
	path   string      // "" when there is no file
	file   fileid.File // as it was when it was opened; zero when there is none
	wal    fileid.File // the log of a file of ours; zero when there is none
	shm    fileid.File // the index of that log
	keeper *sql.Conn   // the connection that writes to a file of ours; nil when it is not

	schema struct { // all tables, as they were at a version of the schema
		sync.Mutex
		version int64
		all     []sqlstore.Relation
	}
}

// none is the file that is not there.
var none fileid.File

// openConns is how many connections read while one writes.
const openConns = 4

// openDatabase opens a pool of our own.
func openDatabase(ctx context.Context, dsn dsn) (*database, error) {
	registered, err := sql.Open("sqlite", "")
	if err != nil {
		return nil, err
	}
	defer registered.Close()
	d := &database{path: dsn.path}
	if d.path != "" {
		if err := d.find(dsn.create); err != nil {
			return nil, err
		}
	}
	d.pool = sql.OpenDB(&connector{driver: registered.Driver(), dsn: dsn.full, database: d})
	if dsn.memory {
		d.pool.SetMaxOpenConns(1) // each connection to it would be another database
		return d, nil
	}
	d.pool.SetMaxOpenConns(openConns + 1)
	d.pool.SetMaxIdleConns(openConns)
	if d.keeper, err = d.pool.Conn(ctx); err == nil {
		_, err = d.keeper.ExecContext(ctx, "PRAGMA schema_version")
	}
	if err == nil && d.path != "" {
		d.wal, _ = fileid.At(d.path + "-wal")
		d.shm, _ = fileid.At(d.path + "-shm")
		var moved bool
		if moved, err = d.check(); moved {
			err = errors.Join(err, d.settle(ctx))
		}
	}
	if err != nil {
		d.close()
		return nil, d.explain(err)
	}
	return d, nil
}

// find finds the file and makes it when it is missing: SQLite, which opens it by name a
// little later, never makes it, as that may be another one by then.
func (d *database) find(create bool) error {
	if err := d.orphan(); err != nil {
		return err
	}
	if create {
		f, err := os.OpenFile(d.path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o644)
		if err == nil {
			err = f.Close()
		}
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	var err error
	if d.file, err = fileid.At(d.path); err != nil {
		return err
	}
	return d.orphan()
}

// orphan refuses a file that is missing or empty while its log is there: SQLite would delete
// that, and share its index with those who may still have the old file open.
func (d *database) orphan() error {
	if info, err := os.Stat(d.path); err == nil && info.Size() > 0 {
		return nil
	}
	for _, suffix := range []string{"-wal", "-shm"} {
		if _, err := os.Stat(d.path + suffix); err == nil {
			return fmt.Errorf("the file %s is missing or empty, but %s%s is there and may hold audits: put the file back, or move what ends with -wal and -shm to where it is now", d.path, d.path, suffix)
		}
	}
	return nil
}

func (d *database) close() error {
	if d.keeper != nil {
		d.keeper.Close()
	}
	return d.pool.Close()
}

// conn returns a connection to write on.
func (d *database) conn(ctx context.Context) (conn *sql.Conn, release func(), err error) {
	if d.keeper != nil {
		return d.keeper, func() {}, nil
	}
	if conn, err = d.pool.Conn(ctx); err != nil {
		return nil, nil, d.explain(err)
	}
	return conn, func() { conn.Close() }, nil
}

// connector makes connections to the one file that the pool was opened with.
type connector struct {
	driver   driver.Driver
	dsn      string
	database *database
}

func (c *connector) Driver() driver.Driver { return c.driver }

func (c *connector) Connect(context.Context) (driver.Conn, error) {
	if _, err := c.database.check(); err != nil {
		return nil, err
	}
	conn, err := c.driver.Open(c.dsn)
	if err != nil {
		return nil, err
	}
	if _, err := c.database.check(); err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

// check reports that the file or its log is not what it was when it was opened. What was
// moved can be opened anew.
func (d *database) check() (moved bool, err error) {
	for _, f := range []struct {
		path string
		file fileid.File
	}{{d.path, d.file}, {d.path + "-wal", d.wal}, {d.path + "-shm", d.shm}} {
		if f.file == none {
			continue
		}
		switch now, err := fileid.At(f.path); {
		case err != nil:
			return true, fmt.Errorf("%s was moved or removed while SQLite had it open: %w", f.path, err)
		case !now.Is(f.file):
			return true, fmt.Errorf("%s was moved or removed while SQLite had it open, and another is in its place", f.path)
		case now.Size == 0 && f.path == d.path && d.shm != none:
			return false, fmt.Errorf("%s was emptied while SQLite had it open: move it away and restart; to rotate it, rename it instead", f.path)
		}
	}
	return false, nil
}

// settle gives a file that was moved what is still in its log, and takes that log away
// from the path: whoever moved the file may have left the log behind. It leaves the old file
// locked, so that no other process does the same at that time.
func (d *database) settle(ctx context.Context) error {
	if _, err := os.Stat(d.path + "-shm"); err == nil && d.file.IsAt(d.path) && !d.shm.IsAt(d.path+"-shm") {
		return nil // another process has settled it, and the file came back and is in use
	}
	var busy, frames, done int
	err := d.keeper.QueryRowContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)").Scan(&busy, &frames, &done)
	if err == nil && busy != 0 {
		err = errors.New("its log cannot be written back: database is locked")
	}
	if err != nil || d.shm == none {
		return err
	}
	if _, err := d.keeper.ExecContext(ctx, "BEGIN IMMEDIATE"); err != nil {
		return err
	}
	if !d.shm.IsAt(d.path + "-shm") {
		return nil // it was moved too, or is of a new file
	}
	if err := os.Remove(d.path + "-wal"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.Remove(d.path + "-shm")
}

// database returns the file, opened anew when it was moved. The caller has the turn.
func (b *backend) database(ctx context.Context) (*database, error) {
	b.mu.Lock()
	d, closed := b.file, b.closed
	b.mu.Unlock()
	if closed {
		return nil, core.ErrClosed
	}
	moved, reason := d.check()
	switch {
	case reason == nil && !b.broken:
		return d, nil
	case d.keeper == nil:
		return nil, fmt.Errorf("%w: open the *gorm.DB anew", reason)
	case reason != nil && !moved:
		return nil, reason
	}
	var err error
	if moved {
		err = d.settle(ctx)
	}
	if err == nil && moved && d.file.IsAt(d.path) {
		// The connections of a process share the log of a file: none may be left.
		d.close()
		d = &database{path: d.path, pool: d.pool, keeper: d.keeper}
		b.mu.Lock()
		b.file, b.broken = d, true
		b.mu.Unlock()
	}
	var fresh *database
	if err == nil {
		fresh, err = openDatabase(ctx, b.dsn)
	}
	if err != nil {
		_, _ = d.keeper.ExecContext(context.WithoutCancel(ctx), "ROLLBACK") // of what settle began
		if reason != nil {
			err = fmt.Errorf("%w; opening it anew: %w", reason, err)
		}
		return nil, err
	}
	if moved {
		cmp.Or(b.log, slog.Default()).Warn("auditing: the SQLite file was opened anew", "file", d.path, "reason", reason)
	}
	b.mu.Lock()
	b.file = fresh
	b.mu.Unlock()
	b.broken = false
	d.close()
	return fresh, nil
}

// toRead returns the file without waiting for a write under way, unless it was moved.
func (b *backend) toRead(ctx context.Context) (*database, error) {
	b.mu.Lock()
	d := b.file
	b.mu.Unlock()
	if _, err := d.check(); err == nil {
		return d, nil
	}
	if err := b.take(ctx); err != nil {
		return nil, err
	}
	defer b.give()
	return b.database(ctx)
}

// take waits for the turn to write.
func (b *backend) take(ctx context.Context) error {
	select {
	case b.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (b *backend) give() { <-b.turn }

// Close waits for the write under way and closes the pool when it is ours.
func (b *backend) Close(ctx context.Context) error {
	if !b.own {
		return nil
	}
	end := func() error {
		b.turn <- struct{}{}
		defer b.give()
		b.mu.Lock()
		d := b.file
		b.closed = true
		b.mu.Unlock()
		var err error
		if moved, _ := d.check(); moved {
			err = d.settle(context.WithoutCancel(ctx))
		}
		return errors.Join(err, d.close())
	}
	return sqlstore.CloseWithin(ctx, end, func() string { return "a write" })
}

// explain adds to an error of the database which file it is of, and what SQLite does not say.
func (d *database) explain(err error) error {
	if d.path == "" || err == nil || !isOutage(err) {
		return err
	}
	switch {
	case textOf(err, []string{"unable to open database"}) != "":
		return fmt.Errorf("the SQLite file %s: %w: %w", d.path, err, d.whyNotOpened())
	case textOf(err, lockedTexts) != "":
		return fmt.Errorf("the SQLite file %s: %w: another process, or a transaction in this one, is writing to it: give an audit that is made while its own goroutine holds the transaction the option In(tx)", d.path, err)
	case textOf(err, []string{"not a database"}) != "":
		return fmt.Errorf("the SQLite file %s: %w: name another file, or move this one away", d.path, err)
	case textOf(err, []string{"readonly database"}) != "":
		return fmt.Errorf("the SQLite file %s: %w: this process needs the right to write it and its folder", d.path, err)
	}
	return fmt.Errorf("the SQLite file %s: %w", d.path, err)
}

// whyNotOpened finds the reason by looking around. It does not open the file itself:
// closing it again would end the locks that this process has on it.
func (d *database) whyNotOpened() error {
	info, err := os.Stat(d.path)
	switch {
	case err != nil:
		return err
	case info.IsDir():
		return errors.New("it is a folder")
	}
	return errors.New("this process needs the right to read and write it and its folder")
}
