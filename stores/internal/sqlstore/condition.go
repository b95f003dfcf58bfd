package sqlstore

import (
	"maps"
	"slices"
)

// conditions are those of the query on a span, as far as SQL can decide them: they hold
// for at least the rows that match. Those that hold for the fewest rows come first, which
// SQLite looks at in this order.
func (r *reading) conditions(p part, s span, args *params) (where []string) {
	if c, ok := p.byName["audit_tag"]; ok && r.q.Tag != "" {
		cond := r.backend.Typed(Quote(c.Name), Text) + " = " + args.share("tag", r.q.Tag, Text)
		if p.own {
			// Rows that others put there have no tag but the table's name.
			cond = "(" + cond + ` OR "audit_tag" IS NULL)`
		}
		where = append(where, cond)
	}
	if c, ok := p.byName["audit_tag"]; ok && p.rel.Name == r.overflowName() { // where tags are many
		for _, tag := range r.q.NotTags {
			where = append(where, "("+r.backend.Typed(Quote(c.Name), Text)+" <> "+args.add(tag, Text)+` OR "audit_tag" IS NULL)`)
		}
	}
	where = append(where, r.factConditions(p, args)...)
	for _, name := range slices.Sorted(maps.Keys(r.q.Fields)) {
		if cond := r.fieldCondition(p.source, name, r.q.Fields[name], args.add); cond != "" {
			where = append(where, cond)
		}
	}
	return append(where, r.within(p, s, args)...)
}

// within is the conditions on the rows of a part in a span.
func (r *reading) within(p part, s span, args *params) (where []string) {
	when, kind := `"datetime"`, p.when.Kind
	if p.odd {
		where, when, kind = []string{r.oddRows(p)}, r.backend.Moment(noTime, Time), Time
	} else {
		where = []string{when + " >= " + args.share("until", s.until, kind)}
		if p.id.Name != "" {
			where = append(where, `"audit_id" IS NOT NULL`)
		}
	}
	from := args.share("from", s.from.when, kind)
	if s.from.id == nil { // by the time alone an index is searched faster
		return append(where, when+" < "+from)
	}
	return append(where, "("+when+", "+r.idOf(p)+") < ("+from+", "+args.share("id", s.from.id, UUID)+")")
}

// fieldCondition finds at least the rows whose field is v.
func (s *Store) fieldCondition(src *source, name string, v any, param func(any, Kind) string) string {
	extra := s.memberCondition(src, "audit_extra", name, v, param)
	c, ok := src.byName[name]
	if ok = ok && !isBase[name] && factOf(c) < 0; !ok {
		return extra
	}
	column := Quote(name)
	if v == nil {
		if extra != "" {
			extra = " AND " + extra
		}
		return column + " IS NULL" + extra
	}
	switch c.Kind {
	case JSON, Interval, Other: // SQL compares them otherwise than by what they read back as
		return "(" + column + " IS NOT NULL OR " + extra + ")"
	}
	fitted, ok := comparable(v, c.Kind)
	// The Python library has put times into a LocalTime that it does not keep.
	if !ok || c.Kind != LocalTime && !s.backend.Keeps(fitted, c.Kind) {
		return extra
	}
	if c.Kind != LocalTime {
		column = s.typed(c)
	}
	return "(" + column + " = " + param(fitted, c.Kind) + " OR " + extra + ")"
}

// memberCondition finds at least the rows that have v as the field name of the object in a
// column; for a nil v those that have nothing there, "" when that cannot be told.
func (s *Store) memberCondition(src *source, object, name string, v any, param func(any, Kind) string) string {
	c, ok := src.byName[object]
	if ok && c.Kind == JSON && c.Type == "" {
		if cond := s.backend.Member(object, name, v, param); cond != "" {
			return cond
		}
	}
	switch {
	case v == nil:
		return ""
	case ok:
		return Quote(object) + " IS NOT NULL"
	}
	return "1 = 0"
}

// comparable is v as a column of kind k may hold it, numbers by their value.
func comparable(v any, k Kind) (any, bool) {
	switch v := v.(type) {
	case float64:
		if k == Int && f64IsInt(v) {
			return int64(v), true
		}
	case int64:
		if k == Float && f64IsInt(float64(v)) && int64(float64(v)) == v {
			return float64(v), true
		}
	case uint64:
		if k == Float && uint64(float64(v)) == v {
			return float64(v), true
		}
	}
	return fits(v, k)
}

func f64IsInt(f float64) bool { return f >= -1<<63 && f < 1<<63 && f == float64(int64(f)) }
