package core

import (
	"slices"
	"time"

	"github.com/auditing-go/auditing/core/internal/values"
)

const (
	// cancelWarningEvery is how often the recorder warns of cancelled audits.
	cancelWarningEvery = 10 * time.Second
	// maxCancelTags is how many tags one warning names.
	maxCancelTags = 20
)

// cancelWarning gathers what the next warning says. Recorder.mu guards it.
type cancelWarning struct {
	timer *time.Timer // runs for ten seconds after a warning
	tags  []string    // in the order of their first audits
	count int
}

// cancelAudit counts an audit that nobody signs. The first is warned of at once,
// and those of the ten seconds after it when these have passed.
func (r *Recorder) cancelAudit(tag string) error {
	if r.cfg.RequireUser {
		return ErrNoUser
	}
	r.mu.Lock()
	r.stats.Attempted++
	r.stats.Cancelled++
	w := &r.cancelled
	w.count++
	if tag = values.Cut(tag, maxTagBytes); !slices.Contains(w.tags, tag) {
		if len(w.tags) == maxCancelTags {
			tag = "…"
		}
		if len(w.tags) <= maxCancelTags {
			w.tags = append(w.tags, tag)
		}
	}
	if w.timer != nil {
		r.mu.Unlock()
		return nil
	}
	r.warnCancelled()
	return nil
}

// warnCancelled warns of the audits that were cancelled since it last did, and
// comes back in ten seconds if there were any. It wants mu to be held, and lets it go.
func (r *Recorder) warnCancelled() {
	w := &r.cancelled
	tags, count := w.tags, w.count
	w.tags, w.count = nil, 0
	if w.timer != nil {
		w.timer.Stop()
		w.timer = nil
	}
	if count > 0 && !r.closed { // nothing outlasts Close
		w.timer = time.AfterFunc(cancelWarningEvery, func() {
			r.mu.Lock()
			r.warnCancelled()
		})
	}
	r.mu.Unlock()
	if count > 0 {
		r.logger().Warn("auditing: cancelled: nobody could be identified: let a SessionUser or User option of the middleware find the user, or pass core.As", "tags", tags, "cancelled", count)
	}
}
