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
	next := &nextStore{open: func(ctx context.Context) (core.Store, error) { return stores.Open(ctx, driver, rest) }}
	bounded, cancel := context.WithTimeout(ctx, openTime)
	defer cancel()
	if _, err := next.get(bounded); err != nil {
		// Whether it is the dsn shows when there is no time to connect.
		ended, cancel := context.WithCancel(ctx)
		cancel()
		if _, err2 := next.get(ended); err2 != nil && !errors.Is(err2, context.Canceled) {
			return nil, err
		}
		slog.Warn("auditing: spool: the next store cannot be opened yet: events wait on disk", "dir", dir, "error", err)
	}
	s, err := open(dir, next, cfg, defaultTuning)
	if err != nil {
		_ = next.close(ctx) // the error of opening says more
		return nil, err
	}
	return s, nil
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

// nextStore is the next store, which is opened when it is first needed and can be.
type nextStore struct {
	open func(context.Context) (core.Store, error)

	mu     sync.Mutex
	store  core.Store // nil until it is open
	closed bool
}

func (n *nextStore) get(ctx context.Context) (_ core.Store, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return nil, core.ErrClosed
	}
	if n.store == nil {
		n.store, err = n.open(ctx)
	}
	return n.store, err
}

// close closes the store if it is open and can be closed.
func (n *nextStore) close(ctx context.Context) (err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("auditing: the next store's Close panicked: %v", p)
		}
	}()
	n.closed = true
	if c, ok := n.store.(core.Closer); ok {
		return c.Close(ctx)
	}
	return nil
}
