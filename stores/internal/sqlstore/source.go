package sqlstore

import (
	"strconv"
	"strings"
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
func (s *Store) idOf(p part) string {
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
func (r *reading) oddRows(p part) string {
	null := " IS " + r.backend.Null()
	odd := []string{
		`"datetime"` + null, `"datetime" <= ` + r.backend.Moment(noTime, p.when.Kind), `"datetime" >= ` + r.backend.Moment(endOfTime, p.when.Kind),
	}
	if p.id.Name != "" {
		odd = append(odd, `"audit_id"`+null)
	}
	if among := r.backend.Odd(); among.Time != "" && (p.seen || !r.whole) {
		odd = append(odd, among.Time)
		if p.id.Name != "" {
			odd = append(odd, among.ID)
		}
	}
	return "(" + strings.Join(odd, " OR ") + ")"
}

// params are the arguments of a statement.
type params struct {
	backend Backend
	args    []any
	shared  map[string]string // placeholders by name
}

func (a *params) add(v any, k Kind) string {
	a.args = append(a.args, a.backend.Arg(v, k))
	return a.backend.Param(len(a.args), k)
}

// share adds an argument that many parts of a statement have in common.
func (a *params) share(name string, v any, k Kind) string {
	name += strconv.Itoa(int(k))
	if a.shared[name] == "" {
		a.shared[name] = a.add(v, k)
	}
	return a.shared[name]
}

// newestQuery selects each part's number and the time of its newest row, of the odd ones
// whether there are any. Without any condition that may be an odd one.
func (r *reading) newestQuery(parts []part) (string, []any) {
	args := &params{backend: r.backend, shared: map[string]string{}}
	everything := r.whole && r.q.From.IsZero() && r.q.User == "" && len(r.q.Fields) == 0
	queries := make([]string, len(parts))
	for i, p := range parts {
		when, order := r.backend.Select(r.typed(p.when), Time), ` ORDER BY "datetime" DESC`
		if p.odd {
			when, order = "NULL", ""
		}
		where := ""
		if p.odd || !everything {
			where = " WHERE " + strings.Join(r.conditions(p, r.span(), args), " AND ")
		}
		n := strconv.Itoa(i)
		queries[i] = "SELECT * FROM (SELECT " + n + " AS i, " + when + " AS d FROM " + r.backend.Table(p.rel.Name) + where + order + " LIMIT 1) AS p" + n
	}
	return strings.Join(queries, " UNION ALL "), args.args
}

// edgeQuery selects the newest of the times before which as many rows of a part lie in a
// span as are tried.
func (r *reading) edgeQuery(parts []part, s span) (string, []any) {
	args := &params{backend: r.backend, shared: map[string]string{}}
	queries := make([]string, len(parts))
	for i, p := range parts {
		queries[i] = "SELECT * FROM (SELECT " + r.typed(p.when) + " AS d FROM " + r.backend.Table(p.rel.Name) +
			" WHERE " + strings.Join(r.within(p, s, args), " AND ") + ` ORDER BY "datetime" DESC LIMIT 1 OFFSET ` + strconv.Itoa(tried) + ") AS p" + strconv.Itoa(i)
	}
	return "SELECT " + r.backend.Select("d", Time) + " FROM (" + strings.Join(queries, " UNION ALL ") + ") AS p ORDER BY d DESC LIMIT 1", args.args
}

// pageQuery selects the next rows of all parts together, those of the odd ones, which come
// last, only if the others do not have enough: the part's number, the time, the id, and
// the part's columns. Its text is the same for every span, but for the first, so that it
// is planned once. unordered follows the tables' names.
func (r *reading) pageQuery(parts []part, s span, unordered string) (string, []any) {
	args := &params{backend: r.backend, shared: map[string]string{}}
	width := 0
	for _, p := range parts {
		width = max(width, len(p.columns))
	}
	limit := " LIMIT " + strconv.Itoa(r.batch)
	newest := func(queries []string) string {
		return " FROM (" + strings.Join(queries, " UNION ALL ") + ") AS p ORDER BY d DESC, u DESC" + limit
	}
	var sound, odd []string
	for i, p := range parts {
		where := r.conditions(p, s, args)
		if p.odd && len(sound) > 0 {
			where = append(where, "(SELECT count(*) FROM sound) < "+strconv.Itoa(r.batch))
		}
		query := r.partQuery(p, i, width, unordered, where) + limit + ") AS p" + strconv.Itoa(i)
		if p.odd {
			odd = append(odd, query)
		} else {
			sound = append(sound, query)
		}
	}
	with := ""
	if len(sound) > 0 && len(odd) > 0 {
		with, sound = "WITH sound AS (SELECT *"+newest(sound)+") ", []string{"SELECT * FROM sound"}
	}
	columns := "SELECT i, " + r.backend.Select("d", Time) + ", " + r.backend.Select("u", UUID)
	for n := range width {
		columns += ", c" + strconv.Itoa(n)
	}
	return with + columns + newest(append(sound, odd...)), args.args
}

// partQuery is what pageQuery selects of a part, up to its limit.
func (r *reading) partQuery(p part, i, width int, unordered string, where []string) string {
	id := r.idOf(p)
	when, order := r.typed(p.when), `"datetime" DESC, `+id+" DESC"
	if p.odd {
		when, order = r.backend.Moment(noTime, Time), id+" DESC"
	}
	var q strings.Builder
	q.WriteString("SELECT * FROM (SELECT " + strconv.Itoa(i) + " AS i, " + when + " AS d, " + id + " AS u")
	for n := range width {
		expr := "NULL"
		if n < len(p.columns) {
			expr = r.backend.Select(r.typed(p.columns[n]), p.columns[n].Kind)
		}
		q.WriteString(", " + expr + " AS c" + strconv.Itoa(n))
	}
	q.WriteString(" FROM " + r.backend.Table(p.rel.Name) + unordered + " WHERE " + strings.Join(where, " AND ") + " ORDER BY " + order)
	return q.String()
}
