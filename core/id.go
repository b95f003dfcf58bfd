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

// maker is the same random 30 bits in every id of this process.
var maker = uint32(rand.Uint64() >> 34)

// newID returns a UUIDv7 for now, a time just read from the clock. Its ids grow
// within the process, also while the clock stands still or goes back: the fraction
// of the millisecond is in rand_a, and an id that would not grow takes the next
// tick. Of the other 62 bits 30 are the maker's, 32 are random. Safe for concurrent use.
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
	binary.BigEndian.PutUint32(id[8:], 1<<31|maker)
	binary.BigEndian.PutUint32(id[12:], rand.Uint32())
	return id
}

// MadeHere reports whether id was made by this process. A store may know of such
// an event where it can be stored already; one that another process made can be
// wherever that put it.
func MadeHere(id uuid.UUID) bool {
	return id.Version() == 7 && binary.BigEndian.Uint32(id[8:]) == 1<<31|maker
}

func tickOf(t time.Time) uint64 {
	const lastMilli = 1<<48 - 1
	milli := min(max(t.UnixMilli(), 0), lastMilli)
	fraction := uint64(t.Nanosecond()) % 1_000_000 * 4096 / 1_000_000
	return uint64(milli)<<12 | fraction
}
