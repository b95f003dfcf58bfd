package core

import (
	"runtime"
	"time"
)

const (
	// briskEvent is how long a Save may take for each of its events to be brisk.
	// Where the sync to the disk or the way to the store weighs more than the events
	// do, one large batch gets more done than two small ones.
	briskEvent = 15 * time.Microsecond
	// enough is how many must wait for a second batch to be worth its own commit.
	enough = 48
)

// mayAssist reports whether a second batch is to be written beside the first. It
// wants r.mu to be held.
func (r *Recorder) mayAssist() bool {
	return r.brisk && r.hints.Overlaps && r.pauses == 0 && !r.assisting && r.queue.len() >= enough
}

// assist writes one batch beside the writer's: while the store works on one, the
// callers of the other come back.
func (r *Recorder) assist() {
	o := &r.outs[1]
	r.mu.Lock()
	r.take(o)
	r.mu.Unlock()
	if len(o.batch) > 0 {
		r.save(o)
	}
	r.mu.Lock()
	r.assisting = false
	start := r.queue.len() > 0 && !r.writing
	r.writing = r.writing || start
	r.signalIdle()
	r.mu.Unlock()
	if start {
		r.write()
	}
}

// gather lets those who were just let go queue first, for they often audit again:
// otherwise the callers split into groups that wait for each other. It yields until
// all are there, as long as some still come; on an idle processor many yields go by
// before a caller on another one is back. It does not look at the clock, which in a
// synctest bubble stands still. Where two batches are written side by side the
// callers may split.
func (r *Recorder) gather(all int) {
	const calm, most = 128, 4096
	for yields, since, before := 0, 0, -1; yields < most && since < calm; yields++ {
		runtime.Gosched()
		r.mu.Lock()
		n := r.queue.len()
		split := r.brisk && r.hints.Overlaps && n >= 2*enough
		r.mu.Unlock()
		if n >= all || split {
			return
		}
		if since++; n != before {
			before, since = n, 0
		}
	}
}
