package gormstore

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/auditing-go/auditing/core"
)

// Read implements [core.Reader]. With a tag it reads that tag's table and the
// overflow table, without one every table of audits that this process knows of.
// A row that the Python library left without a time, or with one that no event can
// have, is read last, as of the first microsecond of the year 1.
func (s *Store) Read(ctx context.Context, q core.Query) (core.Page, error) {
	if s.isClosed() {
		return core.Page{}, ErrClosed
	}
	q = q.Normalize()
	if _, _, err := q.Cursor(); err != nil {
		return core.Page{}, err
	}
	page, err := s.read(ctx, q)
	if err != nil && s.backend.SchemaChanged(err) {
		if err = s.catalog.load(ctx, s.backend, s.cfg.Prefix); err == nil {
			page, err = s.read(ctx, q)
		}
	}
	return page, err
}

func (s *Store) read(ctx context.Context, q core.Query) (core.Page, error) {
	tables, err := s.tablesOf(ctx, q.Tag)
	if err != nil {
		return core.Page{}, err
	}
	// One more than the page holds shows that there is a next page. Once so many are
	// found, only newer ones matter.
	want := q.Limit + 1
	var found []core.Event
	for _, t := range tables {
		var newerThan *core.Event
		if len(found) == want {
			newerThan = &found[want-1]
		}
		events, err := s.readTable(ctx, t, q, want, newerThan)
		if err != nil {
			return core.Page{}, fmt.Errorf("reading %s: %w", t.Name, err)
		}
		found = append(found, events...)
		slices.SortFunc(found, core.Event.Compare)
		found = found[:min(len(found), want)]
	}
	return q.Page(found)
}

// tablesOf returns where events of tag may be; of all tags with "".
func (s *Store) tablesOf(ctx context.Context, tag string) ([]*Table, error) {
	var names []string
	if tag == "" {
		if err := s.catalog.load(ctx, s.backend, s.cfg.Prefix); err != nil {
			return nil, err
		}
		names = s.catalog.names()
	} else {
		names = []string{s.overflowName()}
		if name, ok := s.tableName(tag); ok {
			names = append(names, name)
		}
		if err := s.catalog.refresh(ctx, s.backend.Relations, s.catalog.unknown(names)...); err != nil {
			return nil, err
		}
	}
	var tables []*Table
	for _, name := range names {
		if t := s.catalog.get(name); t != nil {
			tables = append(tables, t)
		}
	}
	return tables, nil
}

// noTime is when a row is taken to be of that has no time: the first that a cursor
// can name.
var noTime = time.Date(1, 1, 1, 0, 0, 0, 1000, time.UTC)

// endOfTime is when no event can be any more.
var endOfTime = time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC)

// readTable reads the newest want events of one table.
func (s *Store) readTable(ctx context.Context, t *Table, q core.Query, want int, newerThan *core.Event) ([]core.Event, error) {
	part := part{table: t, want: want, newerThan: newerThan}
	events, err := s.readPart(ctx, part, q)
	if err == nil && t.Local && len(events) < want {
		part.undated, part.want = true, want-len(events)
		var undated []core.Event
		undated, err = s.readPart(ctx, part, q)
		events = append(events, undated...)
	}
	return events, err
}

// part is what is read of one table.
type part struct {
	table     *Table
	undated   bool // the rows without a time of an event, else those with one
	want      int
	newerThan *core.Event // nil is no bound
}

// readPart reads the newest events of a part. SQL finds a superset of what matches,
// because a field may be in audit_extra; the query itself decides.
func (s *Store) readPart(ctx context.Context, p part, q core.Query) ([]core.Event, error) {
	var events []core.Event
	cursor, after, err := q.Cursor()
	if err != nil {
		return nil, err
	}
	for {
		query, args := s.selectPage(p, q, cursor, after)
		rows, err := s.scan(ctx, p.table, query, args)
		if err != nil {
			return nil, err
		}
		for _, e := range rows {
			if q.Match(e) {
				events = append(events, e)
			}
		}
		if len(rows) < p.want || len(events) >= p.want {
			return events, nil
		}
		last := rows[len(rows)-1]
		cursor, after = core.Cursor{Time: last.Time, ID: last.ID}, true
	}
}

// selectPage returns the SELECT for one page of a part.
func (s *Store) selectPage(p part, q core.Query, cursor core.Cursor, after bool) (string, []any) {
	b, t := s.backend, p.table
	var args []any
	param := func(v any, k Kind) string {
		args = append(args, b.Arg(v, k))
		return b.Param(len(args), k)
	}
	when := Time
	if t.Local {
		when = LocalTime
	}
	var columns, where []string
	for _, c := range t.columns() {
		columns = append(columns, b.Select(Quote(c.Name), c.Kind))
	}
	where = append(where, `"audit_id" IS NOT NULL`)
	datetime, order := func() string { return `"datetime"` }, `"datetime" DESC, "audit_id" DESC`
	switch {
	case p.undated:
		where = append(where, `("datetime" IS NULL OR "datetime" <= `+param(noTime, when)+` OR "datetime" >= `+param(endOfTime, when)+")")
		datetime, order = func() string { return param(noTime, when) }, `"audit_id" DESC`
		columns[datetimeColumn] = "NULL" // infinity is no time.Time
	case t.Local:
		where = append(where, `"datetime" > `+param(noTime, when)+` AND "datetime" < `+param(endOfTime, when))
	}
	if q.Tag != "" {
		cond := `"audit_tag" = ` + param(q.Tag, Text)
		if name, _ := s.tableName(q.Tag); t.Local && name == t.Name {
			// Rows of the Python library have no tag but the table's name.
			cond = "(" + cond + ` OR "audit_tag" IS NULL)`
		}
		where = append(where, cond)
	}
	if q.User != "" {
		where = append(where, `"username" = `+param(q.User, Text))
	}
	if !q.From.IsZero() {
		where = append(where, datetime()+" >= "+param(q.From, when))
	}
	if !q.To.IsZero() {
		where = append(where, datetime()+" < "+param(q.To, when))
	}
	if after {
		where = append(where, "("+datetime()+`, "audit_id") < (`+param(cursor.Time, when)+", "+param(cursor.ID, UUID)+")")
	}
	switch {
	case p.newerThan == nil:
	case t.Local && !p.undated:
		// One that the column never reads stands for the next here: also of the rows of
		// that very moment none may be missed.
		where = append(where, datetime()+" >= "+param(p.newerThan.Time, when))
	default:
		where = append(where, "("+datetime()+`, "audit_id") > (`+param(p.newerThan.Time, when)+", "+param(p.newerThan.ID, UUID)+")")
	}
	for _, name := range sortedNames(q.Fields) {
		if cond := s.fieldCondition(t, name, q.Fields[name], param); cond != "" {
			where = append(where, cond)
		}
	}
	query := "SELECT " + strings.Join(columns, ", ") + " FROM " + b.Table(t.Name) +
		" WHERE " + strings.Join(where, " AND ") + " ORDER BY " + order + fmt.Sprintf(" LIMIT %d", p.want)
	return query, args
}

// fieldCondition finds at least the rows whose field is v.
func (s *Store) fieldCondition(t *Table, name string, v any, param func(any, Kind) string) string {
	at, ok := t.byName[name]
	switch {
	case v == nil && ok:
		return Quote(name) + " IS NULL"
	case v == nil:
		return ""
	case !ok:
		return `"audit_extra" IS NOT NULL`
	}
	kind := t.Fields[at].Kind
	switch kind {
	case JSON, Interval, Other: // SQL compares them otherwise than by what they read back as
		return "(" + Quote(name) + ` IS NOT NULL OR "audit_extra" IS NOT NULL)`
	}
	fitted, ok := comparable(v, kind)
	// The Python library has put times into a LocalTime that it does not keep.
	if !ok || kind != LocalTime && !s.backend.Keeps(fitted, kind) {
		return `"audit_extra" IS NOT NULL`
	}
	return "(" + Quote(name) + " = " + param(fitted, kind) + ` OR "audit_extra" IS NOT NULL)`
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

// columns returns all columns of the table that are read, the base columns first.
func (t *Table) columns() []Column {
	columns := BaseColumns()
	if t.Local {
		columns[datetimeColumn].Kind = LocalTime
	}
	return append(columns, t.Fields...)
}

func (s *Store) scan(ctx context.Context, t *Table, query string, args []any) ([]core.Event, error) {
	rows, err := s.backend.Query(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	columns := t.columns()
	raw := make([]any, len(columns))
	into := make([]any, len(columns))
	for i := range raw {
		into[i] = &raw[i]
	}
	var events []core.Event
	for rows.Next() {
		clear(raw)
		if err := rows.Scan(into...); err != nil {
			return nil, err
		}
		e, err := s.event(t, columns, raw)
		if err != nil {
			return nil, err
		}
		events = append(events, e)
	}
	return events, rows.Err()
}

// event puts one row together again.
func (s *Store) event(t *Table, columns []Column, raw []any) (core.Event, error) {
	values := make([]any, len(raw))
	for i, c := range columns {
		kind := c.Kind
		if c.Name == "audit_request" {
			kind = Text // it is parsed below, into a struct
		}
		v, err := s.backend.Value(raw[i], kind)
		if err != nil {
			return core.Event{}, fmt.Errorf("column %q: %w", c.Name, err)
		}
		values[i] = v
	}
	e := core.Event{Tag: t.Name, Fields: core.Fields{}}
	var request core.Request
	text := func(v any) string {
		if v != nil {
			e.Request = &request
		}
		str, _ := v.(string)
		return str
	}
	for i, v := range values[len(baseColumns):] {
		if v != nil {
			e.Fields[columns[len(baseColumns)+i].Name] = v
		}
	}
	for i, c := range columns[:len(baseColumns)] {
		switch v := values[i]; c.Name {
		case "username":
			e.User, _ = v.(string)
		case "datetime":
			var ok bool
			if e.Time, ok = v.(time.Time); !ok {
				e.Time = noTime
			}
		case "ip":
			request.IP = text(v)
		case "host":
			request.Host = text(v)
		case "path":
			request.Path = text(v)
		case "audit_id":
			e.ID, _ = v.(uuid.UUID)
		case "audit_tag":
			if tag, ok := v.(string); ok {
				e.Tag = tag
			}
		case "audit_request":
			if details, ok := v.(string); ok {
				if err := request.ParseDetails([]byte(details)); err != nil {
					return core.Event{}, fmt.Errorf("column %q: %w", c.Name, err)
				}
				if details != "null" {
					e.Request = &request
				}
			}
		case "audit_extra":
			if m, ok := v.(map[string]any); ok {
				for name, v := range m {
					e.Fields[name] = v
				}
			}
		}
	}
	return e, nil
}
