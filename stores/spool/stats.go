package spool

import (
	"sync/atomic"
	"time"
)

// Stats is one snapshot of a spool.
type Stats struct {
	// Waiting is how many events the next store has not acknowledged yet.
	Waiting uint64
	// SetAside is how many events the next store refused for their own content.
	SetAside uint64
	// Bytes is how much of MaxBytes is used.
	Bytes, MaxBytes int64
	// FileBytes is how much the files take.
	FileBytes int64
	// Oldest is when the spool took the event that waits longest; zero when none does.
	Oldest time.Time
	// Outage is why the next store takes nothing, or not all that it is given, since
	// OutageSince; nil while it takes everything that it does not refuse.
	Outage      error
	OutageSince time.Time
}

// Stats returns a snapshot.
func (s *Store) Stats() Stats {
	files := sectorSize + s.log.bytes() + s.aside.bytes()
	oldest := s.oldest()
	s.mu.Lock()
	defer s.mu.Unlock()
	return Stats{
		Waiting: uint64(len(s.waiting)), SetAside: uint64(len(s.setAside)),
		Bytes: s.bytes, MaxBytes: s.cfg.MaxBytes, FileBytes: files,
		Oldest: oldest, Outage: s.outage, OutageSince: s.since,
	}
}

// oldest returns when the event came that waits longest; zero if none waits.
func (s *Store) oldest() (at time.Time) {
	for r, err := range s.counting(s.log, s.waiting) {
		if err == nil {
			at = time.UnixMicro(r.arrived).UTC()
		}
		break
	}
	return at
}

// When the bound comes near is logged, and again only after it was far, in percent.
const warnAt, calmAt = 80, 70

// used is how much of the bound is used, in percent. s.mu must be held.
func (s *Store) used() int64 { return s.bytes * 100 / s.cfg.MaxBytes }

// warnings keeps a condition from being logged with each event.
type warnings struct {
	full                  bool // the bound is near; Store.mu guards it
	aged, tidied, refused pacer
	unsaid                atomic.Int64 // events that were set aside since that was last logged
}

// warnEvery is how often the same warning is logged at most.
const warnEvery = 10 * time.Second

// pacer says when a warning is due.
type pacer struct{ last atomic.Int64 }

// due reports whether it was last due so long ago, and notes that it is.
func (p *pacer) due(every time.Duration) bool {
	now, last := time.Now().UnixNano(), p.last.Load()
	return now-last >= int64(every) && p.last.CompareAndSwap(last, now)
}

// warnRefused logs that events are set aside, not one by one.
func (s *Store) warnRefused(records []record) {
	if s.unsaid.Add(int64(len(records))); len(records) > 0 && s.refused.due(warnEvery) {
		s.logger().Warn("auditing: spool: set aside: the next store refuses them for their content; see SetAside, Retry and Export",
			"dir", s.dir, "events", s.unsaid.Swap(0), "reason", records[0].reason)
	}
}

// outageIs notes why events wait, or that none does, and returns what logs that once
// s.mu, which must be held, is released.
func (s *Store) outageIs(err error) (report func()) {
	was, since, waiting := s.outage, s.since, len(s.waiting)
	s.outage = err
	switch {
	case err == nil && was == nil:
		return func() {}
	case err == nil:
		s.since = time.Time{}
		return func() {
			s.logger().Info("auditing: spool: the next store takes events again", "dir", s.dir, "waiting", waiting, "outage", time.Since(since).Round(time.Millisecond))
		}
	case was == nil:
		s.since = time.Now()
	}
	return func() {
		if was == nil {
			s.logger().Warn("auditing: spool: the next store takes nothing, or not all: events wait on disk", "dir", s.dir, "waiting", waiting, "error", err)
		}
		oldest := s.oldest()
		if age := time.Since(oldest); !oldest.IsZero() && age >= s.cfg.WarnAge && s.aged.due(s.cfg.WarnAge) {
			s.logger().Warn("auditing: spool: events wait for long", "dir", s.dir, "waiting", waiting, "oldest", age.Round(time.Second), "error", err)
		}
	}
}
