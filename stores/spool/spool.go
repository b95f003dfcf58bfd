// Package spool keeps audits in files on the local disk until another store has
// taken them, so that an application goes on while its database is away.
//
//	next, err := stores.Open(ctx, "postgres_auto", "host=127.0.0.1 user=postgres dbname=mydb")
//	store, err := spool.Open("/var/lib/app/audits", next, spool.Config{})
//
// Save returns when its events are synced to disk; in the background they are
// passed on and deleted once the next store has acknowledged them. An event may be
// passed on twice, after a crash for instance; by its ID the next store keeps it
// once. An event that the next store refuses for its own content is set aside with the
// reason: see [Store.SetAside], [Store.Retry] and [Store.Export]. For any other reason
// events wait, and [Stats.Outage] says why.
//
// Importing the package registers the drivers "spool+postgres_auto",
// "spool+sqlite" and so on, one for each other driver. Their dsn is the directory,
// settings if there are any, and the other driver's dsn as it is, with semicolons
// between them:
//
//	stores.Open(ctx, "spool+postgres_auto", "dir=/var/lib/app/audits;host=127.0.0.1 dbname=mydb")
//	stores.Open(ctx, "spool+postgres_auto", "dir=/var/lib/app/audits;max_bytes=4GiB;wait_for_room=true;warn_age=10m;host=127.0.0.1 dbname=mydb")
//
// The settings are those of [Config]. The other store may be away: its dsn is looked
// at, and it is opened as soon as it can be.
//
// The directory must be on a local disk; it is created when it is missing. One
// process owns it at a time. When it is deleted or moved while it is open, audits
// fail until it is back.
//
// # Damage
//
// Open reads all that waits, and names what is damaged, cut or missing. One thing
// cannot be told from a Save that did not return when the program was killed: that the
// disk lost whole sectors of what was written last. It is noticed after a Close, and
// when later segments or the cursor show that it was there.
package spool

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/stores/internal/fileid"
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
	// as they are stored. The files may take more: each Save takes whole sectors of 512
	// bytes, and of what was passed on up to 16 MiB, or a quarter as much as is there, may
	// stay for a while. Defaults to [DefaultMaxBytes]. At 80 % a warning is logged.
	MaxBytes int64
	// WaitForRoom makes audits wait for room in a full spool, or on a full disk, until
	// their time is over. Without it they fail at once.
	WaitForRoom bool
	// WarnAge is the age of the oldest waiting event at which a warning is logged.
	// Nothing is ever deleted for its age. Defaults to [DefaultWarnAge].
	WarnAge time.Duration
	// Logger receives warnings; never values. Defaults to [slog.Default].
	Logger *slog.Logger
}

// ErrFull means that the spool has no room; the event is not stored.
var ErrFull = errors.New("the spool is full: the next store has taken too little for too long, see its errors, or raise Config.MaxBytes")

// Store is a [core.Store] that keeps events on disk until the next store has them.
// It is safe for concurrent use. Make it with [Open] and end it with [Store.Close].
type Store struct {
	dir    string
	next   *nextStore
	cfg    Config
	tune   tuning
	lock   io.Closer   // on dir
	id     fileid.File // of dir
	cursor cursor
	log    *log // of what waits
	aside  *log

	// writer is held while writing to the log; a channel, so that Save can give up
	// waiting for it.
	writer   chan struct{}
	retrying sync.Mutex   // held by Retry
	tidying  sync.Mutex   // held while the cursor moves on
	reading  sync.RWMutex // held by readers, so that no segment is freed

	// base ends when Close gives up on what the next store is being given.
	base    context.Context
	cancel  context.CancelFunc
	running sync.WaitGroup
	saving  chan struct{} // as many as the next store is given at once

	mu      sync.Mutex
	changed *sync.Cond // something below has changed; on mu
	// waiting and setAside are the events in the spool, each with its record. A record of
	// another event, or another one of the same, counts no more.
	waiting, setAside ids
	bytes             int64  // of all records that count
	opened            uint64 // what behind was at first
	behind            uint64 // the sequence number behind the last record
	draining
	warnings
	closing  bool          // nothing more is taken
	stopped  bool          // nothing more is passed on
	closed   chan struct{} // closed when Close is through
	closeErr error         // valid then
}

// ids are events and the sequence numbers of their records. There may be millions, so no
// more is kept of them here.
type ids map[uuid.UUID]uint64

func (i ids) has(id uuid.UUID) bool { _, found := i[id]; return found }

// counts reports whether a record is the one of its event.
func (i ids) counts(r *record) bool { seq, found := i[r.id]; return found && seq == r.seq }

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
	overtake     int64 // bytes passed on before what is left is put at the end
	minBackoff   time.Duration
	maxBackoff   time.Duration
	attempt      time.Duration // one Save of the next store
}

var defaultTuning = tuning{
	batchEvents: 10_000, batchBytes: 2 << 20, segmentBytes: 4 << 20, overtake: 16 << 20,
	minBackoff: 50 * time.Millisecond, maxBackoff: 2 * time.Second, attempt: 30 * time.Second,
}

// Open opens the spool in dir, which is created when it is missing, and starts to
// pass on what it holds to next. Close closes next too.
//
// It reads all that waits first. What is damaged is an error that is [ErrDamaged]
// and says what to do; a directory that another process has open is [ErrOwned].
func Open(dir string, next core.Store, cfg Config) (*Store, error) {
	if next == nil {
		return nil, errors.New("auditing: the spool's next store is nil: pass one from stores.Open or from a store's New")
	}
	return open(dir, &nextStore{store: next}, cfg, defaultTuning)
}

func open(dir string, next *nextStore, cfg Config, tune tuning) (*Store, error) {
	if dir == "" {
		return nil, errors.New("auditing: the spool's directory is empty: name one, such as /var/lib/app/audits")
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
	lock, err := own(dir)
	if err != nil {
		return nil, err
	}
	s := &Store{
		dir: dir, next: next, cfg: cfg, tune: tune, lock: lock, waiting: ids{}, setAside: ids{},
		writer: make(chan struct{}, 1), saving: make(chan struct{}, inFlight), closed: make(chan struct{}),
	}
	s.changed = sync.NewCond(&s.mu)
	s.base, s.cancel = context.WithCancel(context.Background())
	if err := s.openFiles(); err != nil {
		s.closeFiles()
		if !errors.Is(err, ErrDamaged) {
			err = fmt.Errorf("auditing: opening the spool: %w", err)
		}
		return nil, err
	}
	s.handed, s.settled, s.left = s.log.first, s.log.first, nothing
	s.reader = &reader{log: s.log, seq: s.handed}
	s.running.Go(s.drain)
	return s, nil
}

// openFiles reads what there is, and makes the cursor anew.
func (s *Store) openFiles() (err error) {
	if s.id, err = fileid.At(s.dir); err != nil {
		return err
	}
	said, err := readCursor(s.dir)
	if errors.Is(err, fs.ErrNotExist) {
		if err = nil; holdsSpool(s.dir) {
			err = damaged(s.dir, errors.New("the file "+cursorName+" is missing"))
		}
	}
	if err != nil {
		return err
	}
	// What is set aside was so before the cursor passed it where it waited.
	s.aside = &log{dir: s.dir, name: asideName, id: s.id, segmentBytes: s.tune.segmentBytes}
	s.log = &log{dir: s.dir, name: waitingName, id: s.id, segmentBytes: s.tune.segmentBytes}
	if err := s.aside.open(said.aside, func(r record) { s.count(s.setAside, &r) }); err != nil {
		return err
	}
	if err := s.log.open(said.waiting, func(r record) { s.count(s.waiting, &r) }); err != nil {
		return err
	}
	s.opened, s.behind = s.log.next, s.log.next
	s.cursor.path = filepath.Join(s.dir, cursorName)
	err = s.note(false)
	if err == nil {
		err = sign(s.dir)
	}
	if noSpace(err) && s.behind > s.log.first {
		return nil // what is there can be passed on all the same
	}
	return err
}

// closeFiles gives everything back that openFiles has opened, and the directory.
func (s *Store) closeFiles() (err error) {
	for _, l := range []*log{s.log, s.aside} {
		if l != nil {
			l.close()
		}
	}
	if s.cursor.file != nil {
		err = s.cursor.file.Close()
	}
	return errors.Join(err, s.lock.Close())
}

// holds reports whether an event waits or is set aside. s.mu must be held.
func (s *Store) holds(id uuid.UUID) bool { return s.waiting.has(id) || s.setAside.has(id) }

// count notes that an event is in the spool, and that this is its record from now on. s.mu
// must be held.
func (s *Store) count(in ids, r *record) {
	switch {
	case !s.holds(r.id):
		s.bytes += r.cost()
	case !in.has(r.id):
		return
	}
	in[r.id] = r.seq
}

// acquire waits for the right to write; the caller gives it back with release.
func (s *Store) acquire(ctx context.Context) error {
	select {
	case s.writer <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (s *Store) release() { <-s.writer }

func (s *Store) logger() *slog.Logger {
	if s.cfg.Logger != nil {
		return s.cfg.Logger
	}
	return slog.Default()
}
