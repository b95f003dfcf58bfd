package spool

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/stores"
)

func init() { stores.RegisterWrapper("spool", openDriver) }

// openTime is how long the next store may take to open before it is opened later.
const openTime = 3 * time.Second

// openDriver opens the driver's store with a spool in front of it. A store that cannot
// be opened is opened later, and audits are taken all the same: an application may start
// while its database is away.
func openDriver(ctx context.Context, driver, dsn string) (core.Store, error) {
	dir, rest, cfg, err := parseDSN(dsn)
	if err != nil {
		return nil, err
	}
	next, err := openNext(ctx, dir, driver, rest)
	if err != nil {
		return nil, err
	}
	s, err := Open(dir, next, cfg)
	if err != nil {
		_ = closeStore(ctx, next) // the error of opening says more
		return nil, err
	}
	return s, nil
}

func openNext(ctx context.Context, dir, driver, dsn string) (core.Store, error) {
	bounded, cancel := context.WithTimeout(ctx, openTime)
	defer cancel()
	next, err := stores.Open(bounded, driver, dsn)
	if err == nil {
		return next, nil
	}
	// Whether it is the dsn shows when there is no time to connect.
	ended, cancel := context.WithCancel(ctx)
	cancel()
	store, err2 := stores.Open(ended, driver, dsn)
	_ = closeStore(ctx, store)
	if err2 != nil && !errors.Is(err2, context.Canceled) {
		return nil, err
	}
	slog.Warn("auditing: spool: the next store cannot be opened yet: events wait on disk", "dir", dir, "error", err)
	return &later{driver: driver, dsn: dsn}, nil
}

// parseDSN splits "dir=DIRECTORY;SETTING=VALUE;DSN of the next store". What follows the
// settings may hold any character.
func parseDSN(dsn string) (dir, next string, cfg Config, err error) {
	head, next, found := strings.Cut(dsn, ";")
	dir, named := strings.CutPrefix(head, "dir=")
	if !found || !named || dir == "" || strings.TrimSpace(dir) != dir {
		return "", "", cfg, errors.New(`auditing: the DSN of a spool is dir=, its directory, a semicolon, and the next store's DSN, as in "dir=/var/lib/app/audits;host=127.0.0.1 dbname=mydb"`)
	}
	for {
		setting, rest, found := strings.Cut(next, ";")
		name, value, _ := strings.Cut(setting, "=")
		var err error
		switch name {
		case "max_bytes":
			cfg.MaxBytes, err = parseBytes(value)
		case "wait_for_room":
			cfg.WaitForRoom, err = strconv.ParseBool(value)
		case "warn_age":
			if cfg.WarnAge, err = time.ParseDuration(value); err == nil && cfg.WarnAge <= 0 {
				err = errors.New("it must be more than 0")
			}
		default:
			return dir, next, cfg, nil
		}
		if err == nil && !found {
			err = errors.New("a semicolon and the next store's DSN have to follow")
		}
		if err != nil {
			return "", "", cfg, fmt.Errorf("auditing: %s in the DSN of a spool: %w; as in max_bytes=4GiB, wait_for_room=true, warn_age=10m", name, err)
		}
		next = rest
	}
}

// parseBytes reads a number of bytes, KiB, MiB, GiB or TiB.
func parseBytes(text string) (int64, error) {
	digits, shift := text, 0
	for i, unit := range []string{"KiB", "MiB", "GiB", "TiB"} {
		if d, ok := strings.CutSuffix(text, unit); ok {
			digits, shift = d, 10*(i+1)
		}
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err == nil && (n <= 0 || n > math.MaxInt64>>shift) {
		err = errors.New("it must be more than 0, and less than 8 EiB")
	}
	return n << shift, err
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
		return nil, core.ErrClosed
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
	return closeStore(ctx, l.store)
}

// closeStore closes what can be closed; store may be nil.
func closeStore(ctx context.Context, store core.Store) error {
	if c, ok := store.(core.Closer); ok {
		return c.Close(ctx)
	}
	return nil
}
