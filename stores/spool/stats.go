package spool

import (
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
	s.mu.Lock()
	st := Stats{
		Waiting: s.waiting, SetAside: s.setAside, Bytes: s.bytes, MaxBytes: s.cfg.MaxBytes, FileBytes: files,
		Outage: s.outage, OutageSince: s.since, Oldest: s.oldest(),
	}
	from, end := s.handed, s.behind
	s.mu.Unlock()
	if st.Waiting > 0 && st.Oldest.IsZero() && from < end {
		r := s.log.reader(from)
		defer r.close()
		if rec, err := r.next(); err == nil {
			st.Oldest = time.UnixMicro(rec.arrived).UTC()
		}
	}
	return st
}

// oldest is when the event came that waits longest, if that is known. s.mu must
// be held.
func (s *Store) oldest() time.Time {
	for _, b := range s.window {
		if !b.done && b.oldest != 0 {
			return time.UnixMicro(b.oldest).UTC()
		}
	}
	return time.Time{}
}

// warnings keeps a condition from being logged with each event; Store.mu guards it.
type warnings struct {
	full      bool
	aged      time.Time // when an age was last logged
	refused   time.Time // when set-aside events were last logged
	notLogged int       // set aside since
	tidied    time.Time // when it was last logged that nothing can be freed
}

// warnEvery is how often the same warning is logged at most.
const warnEvery = 10 * time.Second

// due reports whether a warning was last logged so long ago, and notes that it is.
func due(last *time.Time, every time.Duration) bool {
	now := time.Now()
	if now.Sub(*last) < every {
		return false
	}
	*last = now
	return true
}

// filling reports whether the bound has just come near.
func (w *warnings) filling(bytes, maxBytes int64) bool {
	const warnAt, calmAt = 80, 70
	percent := bytes * 100 / maxBytes
	if w.full {
		w.full = percent >= calmAt
		return false
	}
	w.full = percent >= warnAt
	return w.full
}

// noteRefused logs that events are set aside, not one by one.
func (s *Store) noteRefused(records []record) {
	s.mu.Lock()
	s.notLogged += len(records)
	n, due := s.notLogged, due(&s.refused, warnEvery)
	if due {
		s.notLogged = 0
	}
	s.mu.Unlock()
	if due {
		s.logger().Warn("auditing: spool: set aside: the next store refuses them for their content; see SetAside, Retry and Export",
			"dir", s.dir, "events", n, "reason", records[0].reason)
	}
}

// warnFilling logs when the bound has just come near.
func (s *Store) warnFilling() {
	s.mu.Lock()
	bytes, waiting, aside := s.bytes, s.waiting, s.setAside
	filling := s.filling(bytes, s.cfg.MaxBytes)
	s.mu.Unlock()
	if filling {
		s.logger().Warn("auditing: spool: it is filling up", "dir", s.dir, "bytes", bytes, "max_bytes", s.cfg.MaxBytes, "waiting", waiting, "set_aside", aside)
	}
}

// unreachable notes that the next store took nothing of what it was given, and
// returns how often that has happened in a row.
func (s *Store) unreachable(err error) int {
	s.mu.Lock()
	s.failures++
	failures := s.failures
	s.mu.Unlock()
	s.away(err)
	return failures
}

// away notes that events wait because of err.
func (s *Store) away(err error) {
	now := time.Now()
	s.mu.Lock()
	started := s.outage == nil
	if s.outage = err; started {
		s.since = now
	}
	age := time.Duration(0)
	if oldest := s.oldest(); !oldest.IsZero() {
		age = now.Sub(oldest)
	}
	aged := age >= s.cfg.WarnAge && due(&s.aged, s.cfg.WarnAge)
	waiting := s.waiting
	s.changed.Broadcast()
	s.mu.Unlock()
	if started {
		s.logger().Warn("auditing: spool: the next store takes nothing, or not all: events wait on disk", "dir", s.dir, "waiting", waiting, "error", err)
	}
	if aged {
		s.logger().Warn("auditing: spool: events wait for long", "dir", s.dir, "waiting", waiting, "oldest", age.Round(time.Second), "error", err)
	}
}

// reachable notes that the next store took something of a batch; why is nil unless
// something is left of it.
func (s *Store) reachable(b *batch, why error) {
	s.mu.Lock()
	s.successes++
	s.failures = 0
	others := s.parked
	if b.attempts > 0 {
		others--
	}
	ended, since := s.outage != nil && why == nil && others == 0 && s.settled >= s.moved, s.since
	if ended {
		s.outage, s.since = nil, time.Time{}
	}
	waiting := s.waiting
	s.mu.Unlock()
	if why != nil {
		s.away(why)
	}
	if ended {
		s.logger().Info("auditing: spool: the next store takes events again", "dir", s.dir, "waiting", waiting, "outage", time.Since(since).Round(time.Millisecond))
	}
}
