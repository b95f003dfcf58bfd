package sqlstore

import "strings"

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

// isWarned reports whether warnOnce would say nothing.
func (s *Store) isWarned(kind, key string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	keys := s.warned[kind]
	return keys[key] || len(keys) >= maxWarned
}
