package core

import (
	"slices"
	"time"

	"github.com/auditing-go/auditing/core/internal/values"
)

const (
	// cancelWarningEvery is how often the recorder warns of cancelled audits.
	cancelWarningEvery = 10 * time.Second
	// maxWarnedTags is how many tags one warning names.
	maxWarnedTags = 20
)

// warnedTags are those that the next warning names, in the order of their first
// audits; "…" stands for more.
type warnedTags []string

func (t *warnedTags) add(tag string) {
	if tag = values.Cut(tag, maxTagBytes); len(*t) > maxWarnedTags || slices.Contains(*t, tag) {
		return
	}
	if len(*t) == maxWarnedTags {
		tag = "…"
	}
	*t = append(*t, tag)
}

// cancelWarning gathers what the next warning says. Recorder.mu guards it.
type cancelWarning struct {
	timer *time.Timer // runs for ten seconds after a warning
	tags  warnedTags
	count int
}

// cancelAudit counts an audit without a user. The first is warned of at once,
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
	w.tags.add(tag)
	if w.timer != nil {
		r.mu.Unlock()
		return nil
	}
	r.warnCancelled()
	return nil
}

// warnCancelled warns of the audits that were cancelled since it last did, and
// comes back in ten seconds if there were any. r.mu must be held, and is released.
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
		r.logger().Warn("auditing: cancelled: nobody could be identified: let a SessionUser or User option of the middleware find the user, or pass core.As", "tags", []string(tags), "cancelled", count)
	}
}
