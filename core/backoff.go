package core

import (
	"math/rand/v2"
	"time"
)

// Backoff returns how long to wait after the nth failure in a row, counted from 1, for
// stores that try again by themselves: least after the first one, twice as long after
// each more, and at most most. At random up to half of that is taken off, so that
// programs that failed together do not come back together. Both are above 0.
func Backoff(n int, least, most time.Duration) time.Duration {
	d := min(least, most)
	for ; n > 1 && d < most; n-- {
		d = min(2*d, most)
	}
	return d/2 + rand.N((d+1)/2)
}
