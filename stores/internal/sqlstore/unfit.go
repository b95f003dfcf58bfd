package sqlstore

import (
	"maps"
	"slices"
)

// unfit says why a table of audits is not written to, and with which statement it would be.
func (s *Store) unfit(rel Relation) string {
	why, mend := rel.unfit()
	statement := ""
	switch _, has := rel.column(mend.Name); {
	case !rel.Table:
	case mend.Name == "":
		statement = "CREATE UNIQUE INDEX " + Quote("audit_id_"+rel.Name) + " ON " + s.backend.Table(rel.Name) + ` ("audit_id")`
	case has:
		statement = s.backend.Retype(rel.Name, mend)
	default:
		statement = s.backend.AddColumns(rel.Name, []Column{mend})
	}
	if statement == "" {
		return why
	}
	return why + "; what mends it: " + statement
}

// warnUnfit warns at the start of tables of audits that are not written to.
func (s *Store) warnUnfit() {
	entries := s.catalog.now.Load().entries
	for _, name := range slices.Sorted(maps.Keys(entries)) {
		switch why := s.foreign(name); {
		case why == "", !entries[name].rel.Audits(), entries[name].table != nil:
		case name == s.overflowName():
			s.warnOnce("the overflow table is not used: audits that fit no table will fail", name, "table", name, "reason", why)
		default:
			s.warnOnce(notUsed, name, "table", name, "reason", why)
		}
	}
}
