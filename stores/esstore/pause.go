package esstore

import (
	"sync"
	"time"
)

// pause is what the server asked for with Retry-After: it holds for every Save.
type pause struct {
	mu    sync.Mutex
	until time.Time
	err   error // the answer that asked for it; nil when there is no pause
}

// probeTime is how long the others wait for what the first one after a pause learns.
const probeTime = time.Second

// holds is the reason not to write now.
func (p *pause) holds() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if p.err != nil && now.Before(p.until) {
		return p.err
	}
	p.until = now.Add(probeTime)
	return nil
}

// learn begins a pause of d for the reason err, or ends the one there is.
func (p *pause) learn(d time.Duration, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err = nil; d > 0 {
		p.until, p.err = time.Now().Add(d), err
	}
}
