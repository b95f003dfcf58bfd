package core

import (
	"bytes"
	"math"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
)

func TestNewID(t *testing.T) {
	now := time.Now()
	id := newID(now)
	if id.Version() != 7 || id.Variant() != uuid.RFC4122 {
		t.Errorf("%v is no UUIDv7", id)
	}
	// The time standing still or going back must not make ids shrink.
	last := id
	for _, at := range []time.Time{now, now, now.Add(-time.Hour), time.Unix(-5, 0), {}, now.Add(time.Millisecond)} {
		id := newID(at)
		if bytes.Compare(id[:], last[:]) <= 0 || id.Version() != 7 {
			t.Errorf("%v comes after %v", id, last)
		}
		last = id
		if id.Version() != 7 || id.Variant() != uuid.RFC4122 {
			t.Errorf("%v is no UUIDv7", id)
		}
	}
	later := now.Add(time.Second)
	if sec, nsec := newID(later).Time().UnixTime(); sec*1000+nsec/1e6 != later.UnixMilli() {
		t.Errorf("the id's time is %d.%09d, want %v", sec, nsec, later)
	}
	if got := testing.AllocsPerRun(100, func() { newID(now) }); got != 0 {
		t.Errorf("%v allocations", got)
	}
}

func TestTickOf(t *testing.T) {
	for _, c := range []struct {
		at   time.Time
		want uint64
	}{
		{time.Unix(0, 0), 0}, {time.Unix(0, 1e6-1), 4095}, {time.Unix(0, 1e6), 1 << 12}, {time.Unix(1, 500_000), 1000<<12 | 2048},
		{time.Unix(-1, 0), 0}, {time.Unix(math.MaxInt64/2000, 0), (1<<48 - 1) << 12},
	} {
		if got := tickOf(c.at); got != c.want {
			t.Errorf("%v: got %x, want %x", c.at, got, c.want)
		}
	}
}

func TestNewIDConcurrently(t *testing.T) {
	const callers, each = 8, 2000
	ids := make([][]uuid.UUID, callers)
	now := time.Now()
	var wg sync.WaitGroup
	for i := range ids {
		wg.Go(func() {
			for range each {
				ids[i] = append(ids[i], newID(now))
			}
		})
	}
	wg.Wait()
	seen := make(map[[8]byte]bool)
	compare := func(a, b uuid.UUID) int { return bytes.Compare(a[:], b[:]) }
	for _, mine := range ids {
		if !slices.IsSortedFunc(mine, compare) {
			t.Error("the ids of one goroutine do not grow")
		}
		for _, id := range mine {
			seen[[8]byte(id[:8])] = true
		}
	}
	if len(seen) != callers*each {
		t.Errorf("%d ids share their time part", callers*each-len(seen))
	}
}
