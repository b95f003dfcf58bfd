package postgres

import (
	"fmt"
	"sync"
	"time"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/stores/internal/sqlstore"
)

// locks remembers which tables somebody else has locked, so that their rows do not
// hold up those of other tables: they stay out of the others' transaction, and fail at
// once until it is time to look again. Waiting and looking take a small share of the
// time, however many tables are locked.
type locks struct {
	mu   sync.Mutex
	held map[lockKind]*heldLock

	left time.Duration // that may be spent on waiting
	at   time.Time     // when that was so
}

// lockKind is what an insert needs locks on.
type lockKind struct{ table, twin string }

type heldLock struct {
	err   error
	times int // seen in a row
	next  time.Time
}

const (
	// maxLockWait is how long an insert waits for a lock, and what may be spent on
	// waiting at once.
	maxLockWait = 100 * time.Millisecond
	// minLockWait is how long it waits when that is spent: what many processes that
	// write to one table keep each other waiting is less.
	minLockWait = 2 * time.Millisecond
	// lockShare is the part of the time that waiting may take in the long run.
	lockShare = 25

	minLockPause = 10 * time.Millisecond // between two looks at a locked table
	maxLockPause = 500 * time.Millisecond
)

// budget returns what may be spent on waiting. k.mu must be held.
func (k *locks) budget() time.Duration {
	now := time.Now()
	k.left = min(maxLockWait, k.left+now.Sub(k.at)/lockShare)
	k.at = now
	return k.left
}

// wait returns for how long an insert may wait now.
func (k *locks) wait() time.Duration {
	k.mu.Lock()
	defer k.mu.Unlock()
	return max(k.budget(), minLockWait).Truncate(time.Millisecond)
}

// spend counts the time that an attempt took which met a lock.
func (k *locks) spend(d time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.left = k.budget() - d
}

func kindOf(b sqlstore.Batch) lockKind { return lockKind{b.Table.Name, b.Twin} }

// holding returns why a batch cannot be written, as long as it is not time to look
// again, and when that is; nil when it is not known to be locked.
func (k *locks) holding(b sqlstore.Batch) (next time.Time, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if h := k.held[kindOf(b)]; h != nil {
		return h.next, h.err
	}
	return time.Time{}, nil
}

// mayLook reports whether there is time to look at a locked table now.
func (k *locks) mayLook() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.budget() > 0
}

// met remembers that a batch met a lock and returns the error that says so.
func (k *locks) met(b sqlstore.Batch, err error) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	h := k.held[kindOf(b)]
	if h == nil {
		h = &heldLock{}
		if k.held == nil {
			k.held = map[lockKind]*heldLock{}
		}
		k.held[kindOf(b)] = h
	}
	h.times++
	h.next = time.Now().Add(core.Backoff(h.times, minLockPause, maxLockPause))
	tables := fmt.Sprintf("table %q", b.Table.Name)
	if b.Twin != "" {
		tables += fmt.Sprintf(" or %q", b.Twin)
	}
	h.err = fmt.Errorf("%s is locked by another session, which pg_locks shows: %w", tables, err)
	return h.err
}

// freed forgets the lock of a batch.
func (k *locks) freed(b sqlstore.Batch) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.held, kindOf(b))
}
