package spool

import (
	"time"

	"go.etcd.io/bbolt"
)

// Stats is one snapshot of a spool.
type Stats struct {
	// Waiting is how many events the next store has not acknowledged yet.
	Waiting uint64
	// SetAside is how many events the next store refused for good.
	SetAside uint64
	// Bytes is how much of MaxBytes is used.
	Bytes, MaxBytes int64
	// FileBytes is the length of the file.
	FileBytes int64
	// Oldest is when the spool took the event that waits longest; zero when none does.
	Oldest time.Time
	// Outage is why the next store takes nothing, since OutageSince; nil while it does.
	Outage      error
	OutageSince time.Time
}

// Stats returns a snapshot.
func (s *Store) Stats() Stats {
	s.mu.Lock()
	st := Stats{
		Waiting: s.contents.next - s.first, SetAside: s.setAside, Bytes: s.contents.bytes, MaxBytes: s.cfg.MaxBytes,
		Outage: s.outage, OutageSince: s.since,
	}
	first := s.first
	for _, b := range s.settleable() {
		st.Waiting -= b.to - b.from - uint64(len(b.again))
		st.SetAside += uint64(len(b.refused))
		st.Bytes -= b.bytes - b.leaves()
		first = b.to
		for i := range b.again {
			if t := time.UnixMicro(b.again[i].arrived).UTC(); st.Oldest.IsZero() || t.Before(st.Oldest) {
				st.Oldest = t
			}
		}
	}
	s.mu.Unlock()
	s.waiting(first, func(r record) error {
		if t := time.UnixMicro(r.arrived).UTC(); st.Oldest.IsZero() || t.Before(st.Oldest) {
			st.Oldest = t
		}
		return errStop
	})
	s.view(func(d *disk, _ *bbolt.Tx) error {
		st.FileBytes = d.size()
		return nil
	})
	return st
}

// warnings keeps a condition from being logged with each event; Store.mu guards it.
type warnings struct {
	full      bool
	aged      time.Time // when an age was last logged
	refused   time.Time // when set-aside events were last logged
	notLogged int       // set aside since
}

// warnEvery is how often the same warning is logged at most.
const warnEvery = 10 * time.Second

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
func (s *Store) noteRefused(b *batch) {
	if len(b.refused) == 0 {
		return
	}
	s.mu.Lock()
	s.notLogged += len(b.refused)
	n, now := s.notLogged, time.Now()
	due := now.Sub(s.refused) >= warnEvery
	if due {
		s.notLogged, s.refused = 0, now
	}
	s.mu.Unlock()
	if due {
		s.logger().Warn("auditing: spool: set aside: the next store refuses them for good; see SetAside, Retry and Export",
			"dir", s.dir, "events", n, "reason", b.refused[0].reason)
	}
}

// unreachable notes that the next store took nothing of what it was given, and
// returns how often that has happened in a row.
func (s *Store) unreachable(err error) int {
	now := time.Now()
	s.mu.Lock()
	started := s.outage == nil
	if s.outage = err; started {
		s.since = now
	}
	var age time.Duration
	if len(s.window) > 0 {
		age = now.Sub(time.UnixMicro(s.window[0].oldest))
	}
	aged := age >= s.cfg.WarnAge && now.Sub(s.aged) >= s.cfg.WarnAge
	if aged {
		s.aged = now
	}
	s.failures++
	failures, waiting := s.failures, s.contents.next-s.first
	s.changed.Broadcast()
	s.mu.Unlock()
	if started {
		s.logger().Warn("auditing: spool: the next store takes nothing: events wait on disk", "dir", s.dir, "waiting", waiting, "error", err)
	}
	if aged {
		s.logger().Warn("auditing: spool: events wait for long", "dir", s.dir, "waiting", waiting, "oldest", age.Round(time.Second), "error", err)
	}
	return failures
}

// reachable notes that the next store took something.
func (s *Store) reachable() {
	s.mu.Lock()
	s.successes++
	ended, since := s.outage != nil, s.since
	s.outage, s.since, s.failures = nil, time.Time{}, 0
	waiting := s.contents.next - s.first
	s.mu.Unlock()
	if ended {
		s.logger().Info("auditing: spool: the next store takes events again", "dir", s.dir, "waiting", waiting, "outage", time.Since(since).Round(time.Millisecond))
	}
}
