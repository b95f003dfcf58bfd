package sqlstore

import (
	"fmt"
	"strings"
	"time"
)

// source is a relation that events are read from.
type source struct {
	rel      Relation
	own      bool // it has the name of the table of the tag that is asked for
	when, id Column
	// columns are all others that are read, those that every table has first.
	columns []Column
	byName  map[string]Column

	seen bool // odd rows were seen among the others
}

// newSource returns the source that a relation is, or why it cannot be read.
func (s *Store) newSource(rel Relation, own string) (*source, string) {
	src := &source{rel: rel, own: rel.Name == own, byName: map[string]Column{}}
	var fields []Column
	for _, c := range rel.Columns {
		src.byName[c.Name] = c
		if !isBase[c.Name] {
			fields = append(fields, c)
		}
	}
	src.when, src.id = src.byName["datetime"], src.byName["audit_id"]
	_, tagged := src.byName["audit_tag"]
	switch {
	case rel.Denied != "":
		return nil, "the role may not read it: " + rel.Denied
	case src.when.Name == "":
		return nil, "it has no column datetime"
	case src.when.Kind != Time && src.when.Kind != LocalTime:
		return nil, "its column datetime is of type " + src.when.typeName() + ": " + s.backend.Retype(rel.Name, Column{Name: "datetime", Kind: Time})
	case src.id.Name == "" && rel.Place == "":
		return nil, "it has no column audit_id"
	case src.id.Name != "" && src.id.Kind != UUID && src.id.Kind != Text:
		return nil, "its column audit_id is of type " + src.id.typeName() + ": " + s.backend.Retype(rel.Name, Column{Name: "audit_id", Kind: UUID})
	case !tagged && !src.own && own != "":
		return nil, "it has no column audit_tag, so nothing tells which of its events are asked for"
	}
	for _, base := range baseColumns {
		if _, ok := src.byName[base.Name]; ok && base.Name != "datetime" && base.Name != "audit_id" {
			src.columns = append(src.columns, base)
		}
	}
	src.columns = append(src.columns, fields...)
	return src, ""
}

// typed is a column of the source as a value of its kind.
func (s *Store) typed(c Column) string { return s.backend.Typed(Quote(c.Name), c.Kind) }

// idOf is the expression of a row's id.
func (s *Store) idOf(p *part) string {
	if p.id.Name == "" {
		return p.rel.Place
	}
	id := s.backend.Typed(Quote("audit_id"), UUID)
	if !p.odd || p.rel.Place == "" {
		return id
	}
	has := `"audit_id" IS NOT NULL`
	if odd := s.backend.Odd(); odd.ID != "" {
		has += " AND NOT (" + odd.ID + ")"
	}
	return "CASE WHEN " + has + " THEN " + id + " ELSE " + p.rel.Place + " END"
}

// oddRows is the condition on the rows that stand in no order. Those that lie among the
// others need not be looked for when all were read and none was seen.
func (r *reading) oddRows(p *part) string {
	odd := []string{
		`"datetime" IS NULL`, `"datetime" <= ` + r.backend.Moment(noTime, p.when.Kind), `"datetime" >= ` + r.backend.Moment(endOfTime, p.when.Kind),
	}
	if p.id.Name != "" {
		odd = append(odd, `"audit_id" IS NULL`)
	}
	if among := r.backend.Odd(); among.Time != "" && (p.seen || !r.whole) {
		odd = append(odd, among.Time)
		if p.id.Name != "" {
			odd = append(odd, among.ID)
		}
	}
	return "(" + strings.Join(odd, " OR ") + ")"
}

// soundRows is the condition on all other rows.
func (s *Store) soundRows(p *part) []string {
	sound := []string{
		`"datetime" > ` + s.backend.Moment(noTime, p.when.Kind), `"datetime" < ` + s.backend.Moment(endOfTime, p.when.Kind),
	}
	if p.id.Name != "" {
		sound = append(sound, `"audit_id" IS NOT NULL`)
	}
	return sound
}

// params are the arguments of a statement.
type params struct {
	backend Backend
	args    []any
}

func (a *params) add(v any, k Kind) string {
	a.args = append(a.args, a.backend.Arg(v, k))
	return a.backend.Param(len(a.args), k)
}

// newestQuery selects each part's number and the time of its newest row. Without any
// condition that may be an odd one.
func (r *reading) newestQuery(parts []*part) (string, []any) {
	args := &params{backend: r.backend}
	queries := make([]string, len(parts))
	for i, p := range parts {
		when, end := r.backend.Select(r.typed(p.when), Time), ` ORDER BY "datetime" DESC`
		var where []string
		if p.odd {
			when, end, where = "NULL", "", []string{r.oddRows(p)}
		} else if where = r.conditions(p, time.Time{}, args); len(where) > 0 && p.after == nil {
			where = append(r.soundRows(p), where...) // which come behind a cursor anyway
		}
		queries[i] = fmt.Sprintf("SELECT * FROM (SELECT %d AS i, %s AS d FROM %s%s%s LIMIT 1) AS p%d",
			i, when, r.backend.Table(p.rel.Name), whereClause(where), end, i)
	}
	return strings.Join(queries, " UNION ALL "), args.args
}

// pageQuery selects the next rows of all parts together: the part's number, the time,
// the id, and the part's columns.
func (r *reading) pageQuery(parts []*part, bound time.Time) (string, []any) {
	args := &params{backend: r.backend}
	width := 0
	for _, p := range parts {
		width = max(width, len(p.columns))
	}
	queries := make([]string, len(parts))
	for i, p := range parts {
		id := r.idOf(p)
		when, order, where := r.typed(p.when), `"datetime" DESC, `+id+" DESC", r.soundRows(p)
		if p.odd {
			when, order, where = r.backend.Moment(noTime, Time), id+" DESC", []string{r.oddRows(p)}
		}
		var q strings.Builder
		fmt.Fprintf(&q, "SELECT * FROM (SELECT %d AS i, %s AS d, %s AS u", i, when, id)
		for n := range width {
			expr := "NULL"
			if n < len(p.columns) {
				expr = r.backend.Select(r.typed(p.columns[n]), p.columns[n].Kind)
			}
			fmt.Fprintf(&q, ", %s AS c%d", expr, n)
		}
		where = append(where, r.conditions(p, bound, args)...)
		fmt.Fprintf(&q, " FROM %s%s ORDER BY %s LIMIT %d) AS p%d", r.backend.Table(p.rel.Name), whereClause(where), order, r.batch, i)
		queries[i] = q.String()
	}
	var q strings.Builder
	fmt.Fprintf(&q, "SELECT i, %s, %s", r.backend.Select("d", Time), r.backend.Select("u", UUID))
	for n := range width {
		fmt.Fprintf(&q, ", c%d", n)
	}
	fmt.Fprintf(&q, " FROM (%s) AS p ORDER BY d DESC, u DESC LIMIT %d", strings.Join(queries, " UNION ALL "), r.batch)
	return q.String(), args.args
}

func whereClause(conditions []string) string {
	if len(conditions) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(conditions, " AND ")
}
