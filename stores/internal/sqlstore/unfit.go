package sqlstore

import "slices"

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
	for _, name := range s.catalog.unfit() {
		switch why := s.foreign(name); {
		case why == "":
		case name == s.overflowName():
			s.warnOnce("the overflow table is not used: audits that fit no table will fail", name, "table", name, "reason", why)
		default:
			s.warnOnce(notUsed, name, "table", name, "reason", why)
		}
	}
}

// unfit returns the names of tables of audits that are not written to.
func (c *catalog) unfit() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var names []string
	for name, a := range c.others {
		if a.rel.Audits() {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
