package sqlstore

import (
	"maps"
	"slices"
	"time"
)

// conditions are those of the query, as far as SQL can decide them: they hold for at
// least the rows that match. Rows older than bound are not wanted.
func (r *reading) conditions(p *part, bound time.Time, args *params) []string {
	var where []string
	if r.q.Tag != "" {
		if c, ok := p.byName["audit_tag"]; ok {
			cond := r.backend.Typed(Quote(c.Name), Text) + " = " + args.add(r.q.Tag, Text)
			if p.own {
				// Rows that others put there have no tag but the table's name.
				cond = "(" + cond + ` OR "audit_tag" IS NULL)`
			}
			where = append(where, cond)
		}
	}
	if r.q.User != "" {
		if c, ok := p.byName["username"]; ok {
			where = append(where, r.backend.Typed(Quote(c.Name), Text)+" = "+args.add(r.q.User, Text))
		} else {
			where = append(where, "1 = 0")
		}
	}
	if p.odd {
		if p.after != nil && !isLater(p.after.when) {
			where = append(where, r.idOf(p)+" < "+args.add(p.after.id, UUID))
		}
	} else {
		when := p.when.Kind
		if !r.q.From.IsZero() {
			where = append(where, `"datetime" >= `+args.add(r.q.From, when))
		}
		if !r.q.To.IsZero() {
			where = append(where, `"datetime" < `+args.add(r.q.To, when))
		}
		if p.after != nil {
			where = append(where, `("datetime", `+r.idOf(p)+`) < (`+args.add(p.after.when, when)+", "+args.add(p.after.id, UUID)+")")
		}
		if !bound.IsZero() {
			where = append(where, `"datetime" >= `+args.add(bound, when))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(r.q.Fields)) {
		if cond := r.fieldCondition(p.source, name, r.q.Fields[name], args.add); cond != "" {
			where = append(where, cond)
		}
	}
	return where
}

// isLater reports whether a row's time is later than that of all odd rows.
func isLater(when any) bool {
	t, ok := when.(time.Time)
	return !ok || t.After(noTime)
}

// fieldCondition finds at least the rows whose field is v.
func (s *Store) fieldCondition(src *source, name string, v any, param func(any, Kind) string) string {
	extra := s.extraCondition(src, name, v, param)
	c, ok := src.byName[name]
	if ok = ok && !isBase[name]; !ok {
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

// extraCondition finds at least the rows that have v in audit_extra; for a nil v those
// that have nothing there, "" when that cannot be told.
func (s *Store) extraCondition(src *source, name string, v any, param func(any, Kind) string) string {
	c, ok := src.byName["audit_extra"]
	if ok && c.Type == "" {
		if cond := s.backend.Extra(name, v, param); cond != "" {
			return cond
		}
	}
	switch {
	case v == nil:
		return ""
	case ok:
		return `"audit_extra" IS NOT NULL`
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
