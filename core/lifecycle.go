package core

import (
	"fmt"
	"runtime/debug"
	"time"
)

// The tags of [Config.Lifecycle].
const (
	tagStart = "audit.start"
	tagStop  = "audit.stop"
)

func (r *Recorder) auditStart() {
	r.mu.Lock()
	start := r.enqueueLifecycle(tagStart, Fields{"store": fmt.Sprintf("%T", r.store), "version": version()})
	r.mu.Unlock()
	if start {
		r.begin(false)
	}
}

// auditStop queues the last event. Recorder.mu must be held. It reports whether the writer
// has to be started.
func (r *Recorder) auditStop() (start bool) {
	if !r.cfg.Lifecycle {
		return false
	}
	s := r.stats
	return r.enqueueLifecycle(tagStop, Fields{
		"attempted": s.Attempted, "stored": s.Stored, "joined": s.Joined, "cancelled": s.Cancelled, "failed": s.Failed, "unknown": s.Unknown,
		"pending": s.Pending, "batches": s.Batches,
	})
}

// enqueueLifecycle queues an event of the recorder's own. Recorder.mu must be held. It
// reports whether the writer has to be started.
func (r *Recorder) enqueueLifecycle(tag string, fields Fields) (start bool) {
	now := time.Now()
	c := r.calls.Get().(*call)
	c.event = Event{ID: newID(now), Tag: tag, Service: r.cfg.Service, Time: now, Fields: fields, First: true}
	c.size = c.event.normalize(r.cfg.MaxEventBytes, nil)
	c.deadline = now.Add(r.cfg.Timeout)
	c.bestEffort = true
	r.stats.Attempted++
	if err := r.enqueue(c); err != nil {
		r.stats.Failed++
		r.lost.add(tag, err)
		return false
	}
	start = !r.writing
	r.writing = true
	return start
}

// version is that of this module in the program.
func version() string {
	const module = "github.com/auditing-go/auditing"
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	if info.Main.Path == module {
		return info.Main.Version
	}
	for _, dep := range info.Deps {
		if dep.Path == module {
			return dep.Version
		}
	}
	return ""
}
