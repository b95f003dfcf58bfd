package spool

// tail is what was saved last, which is passed on from memory. Store.mu guards it.
type tail struct {
	records []record
	first   uint64 // the sequence number of the first, or of the one that comes
	bytes   int64
}

// add takes records, whose numbers go on where the tail ends, and lets go of the oldest
// when they are too many.
func (t *tail) add(records []record, most int64) {
	t.records = append(t.records, records...)
	for i := range records {
		t.bytes += records[i].cost()
	}
	if t.bytes > most {
		n := 0
		for drop := t.bytes - most/2; drop > 0 && n < len(t.records); n++ {
			drop -= t.records[n].cost()
		}
		t.forget(t.first + uint64(n))
	}
}

// forget lets go of all before a sequence number.
func (t *tail) forget(seq uint64) {
	if seq <= t.first {
		return
	}
	n := min(seq-t.first, uint64(len(t.records)))
	for i := range t.records[:n] {
		t.bytes -= t.records[i].cost()
		t.records[i] = record{}
	}
	t.records, t.first = t.records[n:], t.first+n
}

// from returns all from a sequence number on, if they are there.
func (t *tail) from(seq uint64) []record {
	if seq < t.first || seq >= t.first+uint64(len(t.records)) {
		return nil
	}
	return t.records[seq-t.first:]
}
