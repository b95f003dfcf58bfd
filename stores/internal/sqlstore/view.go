package sqlstore

import (
	"context"
	"fmt"
	"strconv"
	"strings"
)

// viewName is the name, behind the prefix, of the view: no tag has a table of such a name.
const viewName = "audit_events"

// maxTerms is how many SELECTs of a UNION stand side by side: SQLite takes 500.
const maxTerms = 400

// ViewDDL returns the statements that make the view audit_events, or make it anew, on all
// tables of audits as they are now: one place to query, with the columns that every table has,
// and audit_outcome, audit_reason, audit_for, audit_target and audit_tenant wherever they
// stand. The fields of tags that have tables of their own are not in it. A table that comes later is
// in it when this is run again.
//
// A table that cannot be in it is named in the error, beside the statements for all others.
func (s *Store) ViewDDL(ctx context.Context) (string, error) {
	relations, err := s.backend.Relations(ctx, nil)
	if err != nil {
		return "", fmt.Errorf("auditing: reading the catalogue: %w", err)
	}
	r := reading{Store: s, left: map[string]string{}}
	var terms []string
	for _, rel := range relations {
		if !rel.Audits() || !strings.HasPrefix(rel.Name, s.cfg.Prefix) {
			continue
		}
		src, why := s.newSource(rel, "")
		if why != "" {
			r.left[rel.Name] = why
			continue
		}
		terms = append(terms, s.viewTerm(src))
	}
	if len(terms) == 0 {
		return "", fmt.Errorf("auditing: a view of audits: there is no table of audits that can be read: %w", r.leftOut())
	}
	for len(terms) > maxTerms {
		var nested []string
		for len(terms) > 0 {
			n := min(len(terms), maxTerms)
			nested = append(nested, "SELECT * FROM (\n"+strings.Join(terms[:n], "\nUNION ALL ")+") AS t"+strconv.Itoa(len(nested)))
			terms = terms[n:]
		}
		terms = nested
	}
	return s.backend.View(s.cfg.Prefix+viewName, strings.Join(terms, "\nUNION ALL ")), r.leftOut()
}

// viewTerm selects what the view has of a source.
func (s *Store) viewTerm(src *source) string {
	var exprs []string
	add := func(expr, name string) { exprs = append(exprs, expr+" AS "+Quote(name)) }
	for _, base := range baseColumns {
		c, ok := src.byName[base.Name]
		switch {
		case base.Name == "audit_id":
			add(s.idOf(part{source: src}), base.Name)
		case base.Name == "audit_tag" && ok:
			add("coalesce("+s.typed(c)+", "+literal(src.rel.Name)+")", base.Name)
		case base.Name == "audit_tag":
			add(literal(src.rel.Name), base.Name)
		case !ok || c.Kind != base.Kind && !(c.Kind == LocalTime && base.Kind == Time) || base.Kind == JSON && c.Type != "":
			add("CAST(NULL AS "+base.Kind.String()+")", base.Name)
		default:
			add(s.typed(c), base.Name)
		}
	}
	request := src.byName["audit_request"] == Column{Name: "audit_request", Kind: JSON}
	for _, f := range facts {
		var places []string
		if src.byName[f.column.Name] == f.column {
			places = append(places, Quote(f.column.Name))
		}
		if request {
			places = append(places, s.backend.Detail("audit_request", f.detail))
		}
		switch len(places) {
		case 0:
			places = append(places, "CAST(NULL AS text)")
		case 2:
			places = []string{"coalesce(" + strings.Join(places, ", ") + ")"}
		}
		add(places[0], f.column.Name)
	}
	return "SELECT " + strings.Join(exprs, ", ") + " FROM " + s.backend.Table(src.rel.Name)
}

func literal(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }
