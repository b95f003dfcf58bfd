package postgres

import (
	"fmt"
	"time"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/stores/internal/sqlstore"
)

// locks remembers which tables somebody else has locked, so that their rows do not
// hold up those of other tables: they stay out of the others' transaction, and fail at
// once until it is time to look again. Waiting and looking take a small share of the
// time, however many tables are locked. Who has the connection that writes has them.
type locks struct {
	held map[tablePair]*heldLock

	left time.Duration // that may be spent on waiting
	at   time.Time     // when that was so
}

// tablePair is what an insert needs locks on.
type tablePair struct{ table, twin string }

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

// budget returns what may be spent on waiting.
func (k *locks) budget() time.Duration {
	now := time.Now()
	k.left = min(maxLockWait, k.left+now.Sub(k.at)/lockShare)
	k.at = now
	return k.left
}

// wait returns for how long an insert may wait now.
func (k *locks) wait() time.Duration {
	return max(k.budget(), minLockWait).Truncate(time.Millisecond)
}

// spend counts the time that an attempt took which met a lock.
func (k *locks) spend(d time.Duration) {
	k.left = k.budget() - d
}

// of returns what is known of somebody's lock on the tables of a batch, nil for none.
func (k *locks) of(b sqlstore.Batch) *heldLock { return k.held[needs(b)] }

func needs(b sqlstore.Batch) tablePair { return tablePair{b.Table.Name, b.Twin} }

// met remembers that a batch met a lock and returns the error that says so.
func (k *locks) met(b sqlstore.Batch, err error) error {
	h := k.of(b)
	if h == nil {
		h = &heldLock{}
		if k.held == nil {
			k.held = map[tablePair]*heldLock{}
		}
		k.held[needs(b)] = h
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

// lockTable locks a table until the transaction ends. LOCK itself needs a transaction that
// began with BEGIN, which is none that a pipeline makes.
func (b *backend) lockTable(name, mode string) string {
	return "DO " + literal("BEGIN LOCK TABLE "+b.Table(name)+" IN "+mode+"; END")
}
