package sqlstore

import (
	"slices"

	"github.com/auditing-go/auditing/core/auditjson"
)

// place lays events out for one table: each field into its column, or into
// audit_extra where it does not fit.
func (sv *saving) place(t *Table, indexes []int) Batch {
	s, events := sv.store, sv.events
	b := Batch{Table: t, Looked: slices.Contains(sv.looked, t.Name), last: t.Name == s.overflowName()}
	slot := make([]int, len(t.Fields)) // the place among b.Fields, from 1
	unused := len(slot)
	for n, at := range t.facts {
		if at >= 0 && slices.ContainsFunc(indexes, func(i int) bool { return *facts[n].of(&events[i]) != "" }) {
			slot[at] = -1
			unused--
		}
	}
	for _, i := range indexes {
		if unused == 0 {
			break
		}
		for name, v := range events[i].Fields {
			if at, ok := t.byName[name]; ok && v != nil && slot[at] == 0 {
				if _, ok := s.fitted(v, t.Fields[at].Kind); ok {
					slot[at] = -1
					unused--
				}
			}
		}
	}
	for at, used := range slot {
		if used != 0 {
			b.Fields = append(b.Fields, t.Fields[at])
			slot[at] = len(b.Fields)
		}
	}
	b.Rows = sv.arena.newRows(len(indexes))
	values := sv.arena.newValues(len(indexes) * len(b.Fields))
	for n, i := range indexes {
		e := &events[i]
		row := Row{Index: i, Event: e}
		row.Values, values = values[:len(b.Fields):len(b.Fields)], values[len(b.Fields):]
		rest := *e
		for n, at := range t.facts {
			v := facts[n].of(&rest)
			switch {
			case *v == "":
			case at < 0 && !b.last:
				sv.becauseOfValue(t, i, facts[n].column.Name, *v, true)
			case at >= 0:
				row.Values[slot[at]-1] = *v
				*v = ""
			}
		}
		var extra map[string]any
		for name, v := range e.Fields {
			if v == nil {
				continue
			}
			if at, ok := t.byName[name]; ok {
				if fitted, ok := s.fitted(v, t.Fields[at].Kind); ok {
					row.Values[slot[at]-1] = fitted
					continue
				}
			}
			if extra == nil {
				extra = map[string]any{}
			}
			extra[name] = v
			if !b.last {
				sv.becauseOfValue(t, i, name, v, false)
			}
		}
		if extra != nil {
			row.Extra = sv.arena.json(func(b []byte) []byte { return auditjson.Append(b, extra) })
		}
		if rest.HasDetails() {
			row.Request = sv.arena.json(rest.AppendDetails)
		}
		b.Rows[n] = row
	}
	return b
}

// arena is the memory for the rows of one Save after the other.
type arena struct {
	rows   []Row
	values []any
	bytes  []byte // the newest piece
}

// newRows and newValues return zero values. What they returned before stays where it is.
func (a *arena) newRows(n int) []Row {
	at := len(a.rows)
	a.rows = slices.Grow(a.rows, n)[:at+n]
	return a.rows[at : at+n : at+n]
}

func (a *arena) newValues(n int) []any {
	at := len(a.values)
	a.values = slices.Grow(a.values, n)[:at+n]
	return a.values[at : at+n : at+n]
}

// pieceSize is how many bytes are allocated together.
const pieceSize = 32 << 10

// json returns what write appends.
func (a *arena) json(write func([]byte) []byte) []byte {
	if cap(a.bytes)-len(a.bytes) < pieceSize/16 {
		a.bytes = make([]byte, 0, pieceSize)
	}
	at := len(a.bytes)
	a.bytes = write(a.bytes)
	return a.bytes[at:len(a.bytes):len(a.bytes)]
}

// maxKept is how many rows, values and bytes an arena keeps the memory of.
const maxKept = 64 << 10

// reset forgets all rows.
func (a *arena) reset() {
	if max(cap(a.rows), cap(a.values), cap(a.bytes)) > maxKept {
		*a = arena{}
		return
	}
	clear(a.rows)
	clear(a.values)
	a.rows, a.values, a.bytes = a.rows[:0], a.values[:0], a.bytes[:0]
}

// fitted reports whether a column of kind k keeps v exactly, in this database too,
// and as what.
func (s *Store) fitted(v any, k Kind) (any, bool) {
	v, ok := fits(v, k)
	return v, ok && s.backend.Keeps(v, k)
}
