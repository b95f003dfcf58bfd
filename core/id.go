package core

import (
	"encoding/binary"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
)

// lastTick is the time part of the newest id, in 1/4096 of a millisecond.
var lastTick atomic.Uint64

// newID returns a UUIDv7 for now, a time just read from the clock. Its ids grow
// within the process, also while the clock stands still or goes back: the fraction
// of the millisecond is in rand_a, and an id that would not grow takes the next
// tick. The other 62 bits are random. Safe for concurrent use.
func newID(now time.Time) (id uuid.UUID) {
	tick := tickOf(now)
	for {
		last := lastTick.Load()
		if tick <= last {
			tick = last + 1
		}
		if lastTick.CompareAndSwap(last, tick) {
			break
		}
	}
	binary.BigEndian.PutUint64(id[:8], tick>>12<<16|7<<12|tick&0xfff)
	binary.BigEndian.PutUint64(id[8:], 1<<63|rand.Uint64()>>2)
	return id
}

func tickOf(t time.Time) uint64 {
	const lastMilli = 1<<48 - 1
	milli := min(max(t.UnixMilli(), 0), lastMilli)
	fraction := uint64(t.Nanosecond()) % 1_000_000 * 4096 / 1_000_000
	return uint64(milli)<<12 | fraction
}
