package sqlstore

import "time"

// A program's first growFree tables grow at once. Of those that come then at most growBurst
// begin to grow within any window of growWindow, so that a thousand new tags do not keep the
// server busy with DDL.
const (
	growFree   = 100
	growBurst  = 10
	growWindow = time.Second
)

// pace is when the last tables began to grow.
type pace struct {
	free   int                  // how many have grown at once
	starts [growBurst]time.Time // of the others, a ring
	oldest int
}

func (p *pace) started(at time.Time) {
	if p.free < growFree {
		p.free++
		return
	}
	p.starts[p.oldest] = at
	p.oldest = (p.oldest + 1) % growBurst
}

// due returns when the nth from now, the next being 0, may start if those before
// it start as soon as they may.
func (p *pace) due(n int, now time.Time) time.Time {
	if n -= growFree - p.free; n < 0 {
		return now
	}
	at := p.starts[(p.oldest+n)%growBurst].Add(growWindow)
	if at.Before(now) {
		at = now
	}
	return at.Add(time.Duration(n/growBurst) * growWindow)
}
