package gormstore

import "strings"

// foreign says what a relation is that has the name of a table but is none of
// audits, "" when there is none or it is to be taken over.
func (s *Store) foreign(name string) string {
	a := s.catalog.absent(name)
	switch {
	case !a.foreign, a.adoptable && !s.cfg.Fixed:
		return ""
	case a.adoptable:
		return "is of the Python library, and this store may not alter it to take it over"
	case a.rel.Audits():
		return "is not written to: " + s.unfit(a.rel)
	}
	return "is not one of audits and is left alone"
}

// warnFixed says once which statement would make what a store that may not create lacks.
func (s *Store) warnFixed(name string, t *Table, missing []Column) {
	if t == nil {
		s.warnSpill(name, "a table is missing", "table", name, "statement", s.backend.DDL(name, missing))
		return
	}
	s.warnOnce(name+"."+columnNames(missing), "auditing: columns are missing: their values are stored in audit_extra",
		"table", name, "statement", s.backend.AddColumns(name, missing))
}

// warnSpill says once why the events of a tag are stored in the overflow table. While
// there is none, their errors say it.
func (s *Store) warnSpill(key, why string, args ...any) {
	if s.catalog.get(s.overflowName()) != nil {
		s.warnOnce(key, "auditing: "+why+": the events are stored in audit_overflow", args...)
	}
}

// maxWarned bounds what warnOnce remembers.
const maxWarned = 1000

func (s *Store) warnOnce(key, message string, args ...any) {
	s.mu.Lock()
	first := !s.warned[key] && len(s.warned) < maxWarned
	if first {
		s.warned[strings.Clone(key)] = true
	}
	s.mu.Unlock()
	if first {
		s.logger().Warn(message, args...)
	}
}
