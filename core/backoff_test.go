package core

import (
	"math"
	"testing"
	"time"
)

func TestBackoffIsBoundedAndSpread(t *testing.T) {
	const least, most = 4 * time.Millisecond, 500 * time.Millisecond
	for n, full := range map[int]time.Duration{0: least, 1: least, 2: 2 * least, 7: 64 * least, 8: most, 64: most, math.MaxInt: most} {
		var early, late bool
		for range 200 {
			d := Backoff(n, least, most)
			if d < full/2 || d >= full {
				t.Fatalf("after failure %d it waits %s, want %s to %s", n, d, full/2, full)
			}
			early, late = early || d < full*3/4, late || d >= full*3/4
		}
		if !early || !late {
			t.Errorf("after failure %d all wait nearly the same", n)
		}
	}
	if d := Backoff(1, 2*time.Second, time.Second); d >= time.Second {
		t.Errorf("with a most of one second it waits %s", d)
	}
}
