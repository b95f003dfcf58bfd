package sqlstore

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/stores"
)

// checker is a [Backend] that knows what can be wrong with its database.
type checker interface {
	// Check looks at the database, and at the tables of audits.
	Check(ctx context.Context, tables []string) ([]stores.Finding, error)
}

// Check implements [stores.Checker].
func (s *Store) Check(ctx context.Context) ([]stores.Finding, error) {
	if s.closed.Load() {
		return nil, core.ErrClosed
	}
	relations, err := s.backend.Relations(ctx, nil)
	if err != nil {
		return nil, fmt.Errorf("auditing: reading the catalogue: %w", err)
	}
	r := reading{Store: s, again: true, left: map[string]string{}}
	var tables []string
	var findings []stores.Finding
	for _, rel := range relations {
		if !strings.HasPrefix(rel.Name, s.cfg.Prefix) {
			continue
		}
		tables = append(tables, rel.Name)
		if rel.Denied != "" {
			findings = append(findings, stores.Finding{Gap: true, Text: "the role may not read table " + rel.Name, Fix: rel.Denied})
			continue
		}
		src, why := s.newSource(rel, "")
		switch {
		case why != "":
			findings = append(findings, stores.Finding{Gap: true, Text: fmt.Sprintf("table %s cannot be read: %s", rel.Name, why)})
		case rel.Name == s.overflowName():
			diverted, err := r.diverted(ctx, src)
			if err != nil {
				return nil, fmt.Errorf("auditing: reading table %s: %w", rel.Name, err)
			}
			findings = append(findings, diverted...)
		}
	}
	if overflow := s.overflowName(); !slices.Contains(tables, overflow) {
		findings = append(findings, stores.Finding{
			Gap: true, Text: "there is no table " + overflow + ": an event whose own table is missing or refuses it is stored nowhere", Fix: s.creation(overflow, nil),
		})
	}
	if c, ok := s.backend.(checker); ok {
		more, err := c.Check(ctx, tables)
		if err != nil {
			return nil, fmt.Errorf("auditing: checking: %w", err)
		}
		findings = append(more, findings...)
	}
	return findings, nil
}

// diverted finds, among the newest rows of the overflow table, events that belong into a
// table of their own.
func (r *reading) diverted(ctx context.Context, src *source) (findings []stores.Finding, err error) {
	if _, ok := src.byName["audit_tag"]; !ok {
		return nil, nil
	}
	tag := r.typed(Column{Name: "audit_tag", Kind: Text})
	query := fmt.Sprintf(`SELECT %s, count(*) FROM (SELECT %s AS t FROM %s ORDER BY "datetime" DESC LIMIT %d) AS p WHERE t IS NOT NULL GROUP BY t ORDER BY t`,
		r.backend.Select("t", Text), tag, r.backend.Table(src.rel.Name), sharedRows)
	rows, err := r.backend.Query(ctx, false, nil, query)
	for _, row := range rows {
		v, _ := r.backend.Value(row[0], Text)
		tag, _ := v.(string)
		if name, ok := r.tableName(tag); ok {
			findings = append(findings, stores.Finding{
				Gap: true, Text: fmt.Sprintf("table %s has events of the tag %q that belong into table %s: %d of its newest %d; Refile moves them", src.rel.Name, tag, name, number(row[1]), sharedRows),
			})
		}
	}
	return slices.Clip(findings), err
}
