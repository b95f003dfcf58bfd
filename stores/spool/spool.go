// Package spool keeps audits in a file on the local disk until another store has
// taken them, so that an application goes on while its database is away.
//
//	next, err := stores.Open(ctx, "postgres_auto", "host=127.0.0.1 user=postgres dbname=mydb")
//	store, err := spool.Open("/var/lib/app/audits", next, spool.Config{})
//
// Save returns when its events are synced to disk; in the background they are
// passed on and deleted once the next store has acknowledged them. An event may be
// passed on twice, after a crash for instance; by its ID the next store keeps it
// once. An event that the next store refuses for good is set aside with its
// reason: see [Store.SetAside], [Store.Retry] and [Store.Export].
//
// Importing the package registers the drivers "spool+postgres_auto",
// "spool+sqlite" and so on, one for each other driver. Their dsn is the directory,
// a semicolon, and the other driver's dsn as it is:
//
//	stores.Open(ctx, "spool+postgres_auto", "dir=/var/lib/app/audits;host=127.0.0.1 dbname=mydb")
//
// The directory must be on a local disk; it is created when it is missing. One
// process owns it at a time.
package spool

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"go.etcd.io/bbolt"

	"github.com/auditing-go/auditing/core"
)

const (
	// DefaultMaxBytes is how much a spool holds when [Config.MaxBytes] is not set.
	DefaultMaxBytes = 1 << 30
	// DefaultWarnAge is how old an event gets before a warning when
	// [Config.WarnAge] is not set.
	DefaultWarnAge = time.Hour
)

// Config sets up a [Store]. Its zero value works.
type Config struct {
	// MaxBytes bounds the events in the spool, those set aside included, in bytes
	// as they are stored. The file itself may take up to twice as much for a while,
	// and beside it is a journal of 4 MiB. Defaults to [DefaultMaxBytes]. At 80 % a
	// warning is logged.
	MaxBytes int64
	// WaitForRoom makes audits wait for room in a full spool until their time is
	// over. Without it they fail at once with [ErrFull].
	WaitForRoom bool
	// WarnAge is the age of the oldest waiting event at which a warning is logged.
	// Nothing is ever deleted for its age. Defaults to [DefaultWarnAge].
	WarnAge time.Duration
	// Logger receives warnings; never values. Defaults to [slog.Default].
	Logger *slog.Logger
}

var (
	// ErrFull means that the spool has no room; the event is not stored.
	ErrFull = errors.New("the spool is full: the next store has taken too little for too long, see its errors, or raise Config.MaxBytes")
	// ErrClosed is what a closed spool answers.
	ErrClosed = fmt.Errorf("the spool: %w", core.ErrClosed)
)

// Store is a [core.Store] that keeps events on disk until the next store has them.
// It is safe for concurrent use. Make it with [Open] and end it with [Store.Close].
type Store struct {
	dir   string
	next  core.Store
	cfg   Config
	tune  tuning
	owner *owner

	// writer is held while writing to the disk; a channel, so that Save can give up
	// waiting for it. Only its holder changes what disk and contents are.
	writer chan struct{}
	// diskMu is held by readers, and by whoever exchanges the disk.
	diskMu sync.RWMutex
	disk   *disk
	// For the holder of writer:
	journal *journal
	broken  error // why nothing can be written any more
	unsure  bool  // whether the last commit took effect

	// base ends when Close gives up on what the next store is being given.
	base   context.Context
	cancel context.CancelFunc
	work   sync.WaitGroup
	saving chan struct{} // as many as the next store is given at once

	mu       sync.Mutex
	changed  *sync.Cond // something below has changed; on mu
	contents            // as committed
	draining
	warnings
	closing bool          // nothing more is taken
	stopped bool          // nothing more is passed on
	closed  chan struct{} // made by Close, closed when it is through
}

var (
	_ core.Store   = (*Store)(nil)
	_ core.Reader  = (*Store)(nil)
	_ core.Flusher = (*Store)(nil)
	_ core.Closer  = (*Store)(nil)
)

// tuning is what tests make smaller.
type tuning struct {
	batchEvents  int   // passed on at once
	batchBytes   int64 //
	segmentBytes int64
	journalBytes int64
	compactAbove int64 // a smaller file is left as it is
	settleEvents int   // so many are deleted without waiting for a Save to do it
	settleDelay  time.Duration
	minBackoff   time.Duration
	maxBackoff   time.Duration
	attempt      time.Duration // one Save of the next store
}

var defaultTuning = tuning{
	batchEvents: 10_000, batchBytes: 2 << 20, segmentBytes: 1 << 20, journalBytes: 4 << 20, compactAbove: 16 << 20,
	settleEvents: 5000, settleDelay: 25 * time.Millisecond,
	minBackoff: 50 * time.Millisecond, maxBackoff: 5 * time.Second, attempt: 30 * time.Second,
}

// Open opens the spool in dir, which is created when it is missing, and starts to
// pass on what it holds to next. Close closes next too.
//
// It reads all of the file first. What is damaged is an error that is [ErrDamaged]
// and says what to do; a directory that another process has open is [ErrOwned].
func Open(dir string, next core.Store, cfg Config) (*Store, error) {
	return open(dir, next, cfg, defaultTuning)
}

func open(dir string, next core.Store, cfg Config, tune tuning) (*Store, error) {
	switch {
	case dir == "":
		return nil, errors.New("auditing: the spool's directory is empty: name one, such as /var/lib/app/audits")
	case next == nil:
		return nil, errors.New("auditing: the spool's next store is nil: pass one from stores.Open or from a store's New")
	}
	if cfg.MaxBytes <= 0 {
		cfg.MaxBytes = DefaultMaxBytes
	}
	if cfg.WarnAge <= 0 {
		cfg.WarnAge = DefaultWarnAge
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("auditing: the spool's directory: %w", err)
	}
	o, err := own(dir)
	if err != nil {
		return nil, err
	}
	s := &Store{dir: dir, next: next, cfg: cfg, tune: tune, owner: o, writer: make(chan struct{}, 1), saving: make(chan struct{}, inFlight)}
	s.changed = sync.NewCond(&s.mu)
	s.base, s.cancel = context.WithCancel(context.Background())
	if err := s.openFile(); err != nil {
		o.release(false)
		return nil, err
	}
	s.draining.init(s.first)
	for range drainers {
		s.work.Go(s.drain)
	}
	return s, nil
}

// openFile makes the files when there never were any, checks and opens them.
func (s *Store) openFile() (err error) {
	path := s.path()
	_, err = os.Stat(path)
	missing := errors.Is(err, fs.ErrNotExist)
	_, err = os.Stat(filepath.Join(s.dir, journalName))
	noJournal := errors.Is(err, fs.ErrNotExist)
	if missing && (s.owner.had(fileName) || !noJournal && !isNew(s.dir)) {
		return damaged(path, errors.New("the file is missing"))
	}
	if noJournal && !s.owner.had(journalName) {
		// Nothing was saved yet, or by a version that had no journal.
		if err := createJournal(s.dir, s.tune.journalBytes); err != nil {
			return fmt.Errorf("auditing: making the spool's journal: %w", err)
		}
	}
	if missing {
		if _, err := writeFile(s.dir, state{}, s.tune.segmentBytes, nothing, nothing); err != nil {
			return fmt.Errorf("auditing: making the spool: %w", err)
		}
	}
	c, err := check(path)
	if err != nil {
		return err
	}
	j, records, err := openJournal(s.dir)
	if err != nil {
		return err
	}
	defer func() {
		if err == nil {
			return
		}
		j.file.Close()
		if s.disk != nil {
			s.disk.close()
		}
	}()
	if err := c.replay(j, records); err != nil {
		return damaged(filepath.Join(s.dir, journalName), err)
	}
	if s.disk, err = openDisk(path, s.room()); err != nil {
		return err
	}
	s.contents, s.journal = *c, j
	if err := s.empty(); err != nil {
		if s.broken != nil {
			return err
		}
		// There is no space: what the journal holds can be passed on all the same.
		s.logger().Error("auditing: spool: opened as it is", "dir", s.dir, "error", err)
	}
	if err := s.owner.sign(fmt.Sprint(os.Getpid())); err != nil {
		return fmt.Errorf("auditing: signing the spool's lock: %w", err)
	}
	return nil
}

func (s *Store) path() string { return filepath.Join(s.dir, fileName) }

// room is the address space for the file: twice what it may hold.
func (s *Store) room() int64 { return min(2*s.cfg.MaxBytes+64<<20, 1<<40) }

// acquire waits for the right to write; the caller gives it back with release.
func (s *Store) acquire(ctx context.Context) error {
	select {
	case s.writer <- struct{}{}:
		return nil
	default:
	}
	select {
	case s.writer <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (s *Store) release() { <-s.writer }

// view runs f in a read transaction. The writer does not wait for it.
func (s *Store) view(f func(d *disk, tx *bbolt.Tx) error) error {
	s.diskMu.RLock()
	defer s.diskMu.RUnlock()
	if s.disk == nil {
		return ErrClosed
	}
	return s.disk.db.View(func(tx *bbolt.Tx) error { return f(s.disk, tx) })
}

func (s *Store) logger() *slog.Logger {
	if s.cfg.Logger != nil {
		return s.cfg.Logger
	}
	return slog.Default()
}

// reasons returned to those whose events are certainly not stored.
func notStored(n int, err error, lasting bool) error {
	return core.FailAll(n, core.Failure{Err: err, Retry: true, Lasting: lasting})
}
