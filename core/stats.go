package core

// Stats is one snapshot of what became of a recorder's audits. At every moment
// Attempted = Stored + Joined + Cancelled + Failed + Unknown + Pending.
type Stats struct {
	// Attempted is how many audits were made.
	Attempted uint64
	// Stored is how many events are durable.
	Stored uint64
	// Joined is how many events were written in transactions of their callers, see [In]: each is
	// stored if that commits.
	Joined uint64
	// Cancelled is how many audits ended because nobody could be identified.
	Cancelled uint64
	// Failed is how many events are certainly not stored; each had an error.
	Failed uint64
	// Unknown is how many events may or may not be stored: their time ran out after
	// a write was sent. A late answer of the store moves them to Stored or Failed.
	Unknown uint64
	// Pending is how many events wait or are being written. After Close it is 0.
	Pending uint64
	// Batches is how many times the store was written to.
	Batches uint64
}

// Stats returns a snapshot.
func (r *Recorder) Stats() Stats {
	if r == nil || r.store == nil {
		return Stats{}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.stats
}

// verdict is what can become of an event.
type verdict uint8

const (
	stored verdict = iota
	joined
	failed
	unknown
	verdicts
)

// count adds n to those of whom v is true: the recorder's and those of whoever
// follows c. r.mu must be held.
func (r *Recorder) count(c *call, v verdict, n int) {
	switch v {
	case stored:
		r.stats.Stored += uint64(n)
	case joined:
		r.stats.Joined += uint64(n)
	case failed:
		r.stats.Failed += uint64(n)
	case unknown:
		r.stats.Unknown += uint64(n)
	}
	for _, f := range c.flushes {
		f.ended[v] += n
	}
}
