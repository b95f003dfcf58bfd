package core

import (
	"sync/atomic"
	"time"

	"github.com/auditing-go/auditing/core/internal/values"
)

// Durability is what an audit's return means; see [Config.Durability].
type Durability uint8

const (
	// Durable audits return when the event is durable, or with the reason why it is
	// not known to be.
	Durable Durability = iota
	// BestEffort audits return as soon as the event waits for the store, for tags
	// that must never hold a request up. An event that cannot even wait is an error at
	// once ([ErrQueueFull], [ErrClosed]); one that is not stored later is counted in
	// [Stats] and reported to the Logger, at most every ten seconds. It has the same
	// time as any other and is lost when the process dies first.
	BestEffort
)

// durability asks the configuration; what it cannot say is Durable.
func (r *Recorder) durability(tag string) (d Durability) {
	if r.cfg.Durability == nil || tag == TagRead {
		return Durable
	}
	defer func() {
		if p := recover(); p != nil {
			d = Durable
			r.logger().Warn("auditing: Config.Durability panicked", "tag", values.Cut(tag, maxTagBytes), "panic", p)
		}
	}()
	return r.cfg.Durability(tag)
}

// lostReport collects what became of best-effort events that were not stored. The
// recorder's mu guards it, but for due.
type lostReport struct {
	due   atomic.Bool // something is to be reported
	count int
	tags  warnedTags
	err   error // of the last one
	next  time.Time
}

const lostReportEvery = 10 * time.Second

func (l *lostReport) add(tag string, err error) {
	l.count++
	l.tags.add(tag)
	l.err = err
	l.due.Store(true)
}

// reportLost logs the best-effort events that were not stored since it last did. It
// wants mu not to be held.
func (r *Recorder) reportLost() {
	if !r.lost.due.Load() {
		return
	}
	now := time.Now()
	r.mu.Lock()
	l := &r.lost
	if l.count == 0 || now.Before(l.next) && !r.closed {
		r.mu.Unlock()
		return
	}
	count, tags, err := l.count, l.tags, l.err
	l.count, l.tags, l.err, l.next = 0, nil, nil, now.Add(lostReportEvery)
	l.due.Store(false)
	r.mu.Unlock()
	r.logger().Warn("auditing: best-effort events were not stored", "events", count, "tags", []string(tags), "last error", err)
}
