package spool

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/stores"
)

func init() { stores.RegisterWrapper("spool", openDriver) }

// openDriver opens the driver's store with a spool in front of it. When that store
// cannot be opened but the spool is there already, so that once it could, audits
// are taken all the same and the store is opened later: an application may start
// while its database is away.
func openDriver(ctx context.Context, driver, dsn string) (core.Store, error) {
	dir, rest, err := parseDSN(dsn)
	if err != nil {
		return nil, err
	}
	next, err := stores.Open(ctx, driver, rest)
	if err != nil {
		if !slices.Contains(stores.Drivers(), driver) || !exists(dir) {
			return nil, err
		}
		slog.Warn("auditing: spool: the next store cannot be opened yet: events wait on disk", "dir", dir, "error", err)
		next = &later{driver: driver, dsn: rest}
	}
	s, err := Open(dir, next, Config{})
	if err != nil {
		if c, ok := next.(core.Closer); ok {
			c.Close(ctx)
		}
		return nil, err
	}
	return s, nil
}

func exists(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, fileName))
	return err == nil
}

// parseDSN splits "dir=DIRECTORY;DSN of the next store". Only the first semicolon
// separates: what follows may hold any character.
func parseDSN(dsn string) (dir, next string, err error) {
	head, next, found := strings.Cut(dsn, ";")
	dir, named := strings.CutPrefix(head, "dir=")
	if !found || !named || dir == "" || strings.TrimSpace(dir) != dir {
		return "", "", errors.New(`auditing: the DSN of a spool is dir=, its directory, a semicolon, and the next store's DSN, as in "dir=/var/lib/app/audits;host=127.0.0.1 dbname=mydb"`)
	}
	return dir, next, nil
}

// later is a store that is opened when it is first needed and can be.
type later struct {
	driver, dsn string

	mu     sync.Mutex
	store  core.Store
	closed bool
}

func (l *later) open(ctx context.Context) (core.Store, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, ErrClosed
	}
	if l.store != nil {
		return l.store, nil
	}
	store, err := stores.Open(ctx, l.driver, l.dsn)
	if err == nil {
		l.store = store
	}
	return store, err
}

// Save implements [core.Store].
func (l *later) Save(ctx context.Context, events []core.Event) error {
	store, err := l.open(ctx)
	if err != nil {
		return notStored(len(events), err, true)
	}
	return store.Save(ctx, events)
}

// Read implements [core.Reader].
func (l *later) Read(ctx context.Context, q core.Query) (core.Page, error) {
	store, err := l.open(ctx)
	if err != nil {
		return core.Page{}, err
	}
	if reader, ok := store.(core.Reader); ok {
		return reader.Read(ctx, q)
	}
	return core.Page{}, fmt.Errorf("%T cannot be read: %w", store, errors.ErrUnsupported)
}

// Flush implements [core.Flusher].
func (l *later) Flush(ctx context.Context) error {
	store, err := l.open(ctx)
	if err != nil {
		return err
	}
	if f, ok := store.(core.Flusher); ok {
		return f.Flush(ctx)
	}
	return nil
}

// Close implements [core.Closer].
func (l *later) Close(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	if c, ok := l.store.(core.Closer); ok {
		return c.Close(ctx)
	}
	return nil
}
