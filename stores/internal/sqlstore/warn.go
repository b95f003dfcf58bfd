package sqlstore

import (
	"fmt"
	"slices"
	"strings"
)

// foreign says why the relation that has the name of a table is not written to. It is ""
// when there is none, and when it is written to or will be taken over.
func (s *Store) foreign(name string) string {
	e := s.catalog.entry(name)
	switch adoptable := e.table == nil && e.rel.Adoptable(); {
	case e.rel.Name == "", e.writable() != nil, adoptable && !s.cfg.Fixed:
		return ""
	case e.table != nil:
		return "may not be written to: let its owner run: " + e.rel.Grant
	case adoptable:
		return "is of the Python library, and this store may not alter it to take it over"
	case e.rel.Audits():
		return "is not written to: " + s.unfit(e.rel)
	}
	return "is not one of audits and is left alone"
}

// notUsed is the kind of a warning of a foreign table.
const notUsed = "a table is not used: its events go to audit_overflow"

// spillReason is why events go to the overflow table. It is told when they are there:
// while there is none, their errors say it.
type spillReason struct {
	indexes   []int
	kind, key string
	args      []any
}

func (sv *saving) because(r spillReason) { sv.reasons = append(sv.reasons, r) }

// becauseOfTags gives the reason for events whose tags have no table. The recorder warns of
// those that are the library's.
func (sv *saving) becauseOfTags(indexes []int) {
	for _, i := range indexes {
		if tag := sv.events[i].Tag; !isLibraryTag(tag) {
			sv.because(spillReason{[]int{i}, "a tag has no table: its events are stored in audit_overflow", tag,
				[]any{"tag", fmt.Sprintf("%.100s", tag), "reason", "no table may have its name: " + tagAdvice}})
		}
	}
}

const tagAdvice = "use a tag with a letter of a-z or a digit, of no more than 63 bytes with the prefix, that begins neither with audit_ nor with pg_ or sqlite_"

func isLibraryTag(tag string) bool {
	return len(tag) > len("audit") && strings.EqualFold(tag[:len("audit")], "audit") && (tag[len("audit")] == '.' || tag[len("audit")] == '_')
}

// tell warns of what this Save has stored in the overflow table.
func (sv *saving) tell() {
	for _, r := range sv.reasons {
		if slices.ContainsFunc(r.indexes, func(i int) bool { return sv.fates[i].spilled && !sv.fates[i].failed }) {
			sv.store.warnOnce(r.kind, r.key, r.args...)
		}
	}
}

// warnLossy says once why a table loses acknowledged events when the server crashes.
func (s *Store) warnLossy(table string) {
	if lossy := s.catalog.entry(table).rel.Lossy; lossy != "" {
		s.warnOnce("events can be lost when the database crashes", table, "table", table, "reason", lossy)
	}
}

// maxWarned bounds what is remembered of the warnings of one kind: their keys may be
// names that users choose.
const maxWarned = 1000

// warnOnce warns of a kind of things once for each key.
func (s *Store) warnOnce(kind, key string, args ...any) {
	s.mu.Lock()
	keys := s.warned[kind]
	if keys == nil {
		keys = map[string]bool{}
		s.warned[kind] = keys
	}
	n := len(keys)
	first := !keys[key] && n < maxWarned
	if first {
		keys[strings.Clone(key)] = true
	}
	s.mu.Unlock()
	if first {
		s.logger().Warn("auditing: "+kind, args...)
	}
	if first && n == maxWarned-1 {
		s.logger().Warn("auditing: no more warnings of this kind are given", "kind", kind)
	}
}
