package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/core/auditjson"
)

// refileRows is how many rows one transaction of Refile moves.
const refileRows = 100

// Refile moves what was stored where there was room, because its own place was not there, to
// that place: events of the overflow table to the tables of their tags, and what stands in
// audit_extra and audit_request to columns that would keep it. Unless the store is Fixed it
// makes those first, within MaxTables and MaxColumns. What still fits nowhere else stays.
//
// It returns how many rows it has moved or changed, and hands that to progress, unless that is
// nil, behind each transaction. Each event is in one place at every moment, and Read gives the
// same before, meanwhile and after, numbers by value. Audits may be written meanwhile. It can be
// ended by ctx, and run again. What a table does not take stays too, and the error says why.
//
// It is for a role that may update and delete; the application's need not.
func (s *Store) Refile(ctx context.Context, progress func(moved int)) (moved int, err error) {
	if s.closed.Load() {
		return 0, core.ErrClosed
	}
	relations, err := s.backend.Relations(ctx, nil)
	if err != nil {
		return 0, fmt.Errorf("auditing: reading the catalogue: %w", err)
	}
	f := refiling{Store: s, progress: progress}
	for _, overflow := range []bool{true, false} { // the events of the first need no second look
		for _, rel := range relations {
			if !strings.HasPrefix(rel.Name, s.cfg.Prefix) || (rel.Name == s.overflowName()) != overflow {
				continue
			}
			if err = s.refresh(ctx, rel.Name); err == nil && s.catalog.entry(rel.Name).writable() != nil {
				err = f.refile(ctx, rel, overflow)
			}
			if err != nil {
				return f.moved, fmt.Errorf("auditing: refiling table %q: %w", rel.Name, err)
			}
		}
	}
	return f.moved, errors.Join(f.left...)
}

// refiling is one Refile.
type refiling struct {
	*Store
	progress func(int)
	moved    int
	left     []error // why something stayed that might have moved, of each table
}

// refile moves what belongs elsewhere of one table, some rows at a time.
func (f *refiling) refile(ctx context.Context, rel Relation, overflow bool) error {
	for after := uuid.Nil; ; {
		rows, err := f.diverted(ctx, rel, overflow, after)
		if err != nil || len(rows) == 0 {
			return err
		}
		after = rows[len(rows)-1].event.ID
		if overflow {
			err = f.toTables(ctx, rows)
		} else {
			err = f.toColumns(ctx, rel.Name, rows)
		}
		if err != nil {
			return err
		}
	}
}

// divertedRow is a row as it was read.
type divertedRow struct {
	event core.Event
	stays bool // not all of it is what an event says
	part  part
	raw   []any
}

// diverted returns the next rows, in the order of their ids: all of the overflow table, and
// of another those that have something outside of their columns.
func (f *refiling) diverted(ctx context.Context, rel Relation, overflow bool, after uuid.UUID) ([]divertedRow, error) {
	src, why := f.newSource(rel, "")
	if why != "" {
		return nil, errors.New(why)
	}
	p := part{source: src}
	if !overflow {
		p.columns = []Column{{Name: "audit_request", Kind: JSON}, {Name: "audit_extra", Kind: JSON}}
	}
	args := &params{backend: f.backend, shared: map[string]string{}}
	where := []string{`"audit_id" > ` + args.add(after, UUID)}
	if odd := f.backend.Odd(); odd.ID != "" {
		where = append(where, "NOT ("+odd.ID+")")
	}
	if !overflow {
		outside := []string{`"audit_extra" IS NOT NULL`}
		for _, fact := range facts {
			outside = append(outside, f.backend.Detail("audit_request", fact.detail)+" IS NOT NULL")
		}
		where = append(where, "("+strings.Join(outside, " OR ")+")")
	}
	exprs := []string{"0", f.backend.Select(f.typed(p.when), Time), f.backend.Select(f.typed(p.id), UUID)}
	for _, c := range p.columns {
		exprs = append(exprs, f.backend.Select(f.typed(c), c.Kind))
	}
	rows, err := f.backend.Query(ctx, false, nil, "SELECT "+strings.Join(exprs, ", ")+" FROM "+f.backend.Table(rel.Name)+
		" WHERE "+strings.Join(where, " AND ")+` ORDER BY "audit_id" LIMIT `+strconv.Itoa(refileRows), args.args...)
	if err != nil {
		return nil, err
	}
	all := make([]divertedRow, len(rows))
	for i, raw := range rows {
		e, sound := (&reading{Store: f.Store}).event(p, raw)
		all[i] = divertedRow{event: e, stays: !sound || !f.whole(p, raw, e), part: p, raw: raw}
	}
	return all, nil
}

// unchanged is the conditions that hold for a row while it is as it was read.
func (f *refiling) unchanged(row divertedRow, args *params) string {
	where := []string{`"audit_id" = ` + args.share("id", row.event.ID, UUID)}
	is := func(c Column, raw any) {
		expr := f.backend.Select(f.typed(c), c.Kind)
		if raw == nil {
			where = append(where, expr+" IS NULL")
		} else {
			where = append(where, expr+" = "+args.add(raw, Text))
		}
	}
	when := row.part.when
	is(Column{Name: when.Name, Kind: when.Kind}, row.raw[1])
	for i, c := range row.part.columns {
		is(c, row.raw[3+i])
	}
	return strings.Join(where, " AND ")
}

// whole reports whether an event is all that the JSON of its row says, so that nothing is
// lost when that is written anew.
func (f *refiling) whole(p part, row []any, e core.Event) bool {
	for i, c := range p.columns {
		v, err := f.backend.Value(row[3+i], c.Kind)
		object, ok := v.(map[string]any)
		switch {
		case c.Name != "audit_request" && c.Name != "audit_extra" || v == nil && err == nil:
		case !ok || err != nil:
			return false
		case c.Name == "audit_request":
			known, err := auditjson.Parse(e.AppendDetails(nil))
			if err != nil || !auditjson.Equal(known, object) {
				return false
			}
		}
	}
	return true
}

// toTables moves rows of the overflow table whose events have tables of their own.
func (f *refiling) toTables(ctx context.Context, rows []divertedRow) error {
	events := make([]core.Event, len(rows))
	var all []int
	for i, row := range rows {
		if events[i] = row.event; !row.stays {
			all = append(all, i)
		}
	}
	sv := saving{store: f.Store, events: events, fates: make([]fate, len(events)), arena: f.arenas.Get().(*arena)}
	defer f.arenas.Put(sv.arena)
	defer sv.arena.reset()
	for _, g := range sv.group(all) {
		if g.name == "" {
			continue
		}
		if err := f.refresh(ctx, g.name); err != nil {
			return err
		}
		if f.foreign(g.name) != "" {
			continue
		}
		t := f.catalog.table(g.name)
		if t != nil || f.catalog.now.Load().tables < f.cfg.MaxTables {
			f.grow(ctx, g.name, sv.missing(t, g.indexes), t == nil)
		}
		if t = f.catalog.entry(g.name).writable(); t == nil {
			continue
		}
		indexes := slices.DeleteFunc(slices.Clone(g.indexes), func(i int) bool { return t.Local && !f.backend.Keeps(events[i].Time, LocalTime) })
		if len(indexes) == 0 {
			continue
		}
		b := sv.place(t, indexes)
		moves := make([][]Change, len(b.Rows))
		for i := range b.Rows {
			moves[i] = f.move(b, &b.Rows[i], rows[b.Rows[i].Index])
		}
		if err := f.apply(ctx, f.overflowName(), t.Name, moves); err != nil {
			return err
		}
	}
	return nil
}

// grow makes or widens a table, if the store does that. What does not grow is a place less.
func (f *refiling) grow(ctx context.Context, table string, missing []Column, isNew bool) {
	if f.cfg.Fixed || len(missing) == 0 && !isNew {
		return
	}
	if err := f.growNow(ctx, table, missing); err != nil {
		f.stays(table, fmt.Errorf("it cannot grow: %w", err))
	}
}

// stays notes once a table why something was not moved.
func (f *refiling) stays(table string, err error) {
	err = fmt.Errorf("auditing: refiling: what belongs to table %q stays: %w", table, err)
	if !slices.ContainsFunc(f.left, func(e error) bool { return e.Error() == err.Error() }) {
		f.left = append(f.left, err)
	}
}

// move inserts a row into its own table, with nothing in the columns that it does not fill,
// and deletes it from the overflow table, unless somebody has changed it meanwhile.
func (f *refiling) move(b Batch, row *Row, was divertedRow) []Change {
	args := &params{backend: f.backend, shared: map[string]string{}}
	var names, values []string
	add := func(c Column, v any) {
		value := "NULL"
		if v != nil {
			value = f.arg(args, v, c.Kind)
		}
		names, values = append(names, Quote(c.Name)), append(values, value)
	}
	for n, c := range baseColumns {
		if c.Name == "datetime" && b.Table.Local {
			c.Kind = LocalTime
		}
		add(c, dereference(row.Base(n)))
	}
	for _, c := range b.Table.Fields {
		var v any
		if n := slices.Index(b.Fields, c); n >= 0 {
			v = row.Values[n]
		}
		add(c, v)
	}
	overflow := f.backend.Table(f.overflowName())
	insert := Change{SQL: "INSERT INTO " + f.backend.Table(b.Table.Name) + " (" + strings.Join(names, ", ") + ") SELECT " + strings.Join(values, ", ") +
		" WHERE EXISTS (SELECT 1 FROM " + overflow + " WHERE " + f.unchanged(was, args) + ")"}
	insert.Args = args.args
	args = &params{backend: f.backend, shared: map[string]string{}}
	remove := Change{SQL: "DELETE FROM " + overflow + " WHERE " + f.unchanged(was, args)}
	remove.Args = args.args
	return []Change{insert, remove}
}

// arg adds a value of a column.
func (f *refiling) arg(args *params, v any, k Kind) string {
	if _, ok := v.(string); k == JSON && !ok {
		v = string(auditjson.Append(nil, v))
	}
	return args.add(v, k)
}

// dereference is what [Row.Base] points to, JSON as text.
func dereference(p any) any {
	switch p := p.(type) {
	case *string:
		return *p
	case *time.Time:
		return *p
	case *uuid.UUID:
		return *p
	case *[]byte:
		return string(*p)
	}
	return nil
}

// toColumns moves what stands in audit_extra and audit_request of a table's rows to its columns.
func (f *refiling) toColumns(ctx context.Context, table string, rows []divertedRow) error {
	t := f.catalog.table(table)
	events := make([]core.Event, len(rows))
	var all []int
	for i, row := range rows {
		if events[i] = row.event; !row.stays {
			all = append(all, i)
		}
	}
	f.grow(ctx, table, t.missing(f.cfg.MaxColumns, events, all), false)
	if t = f.catalog.entry(table).writable(); t == nil {
		return nil
	}
	var updates [][]Change
	for _, i := range all {
		if c, ok := f.update(t, rows[i]); ok {
			updates = append(updates, []Change{c})
		}
	}
	if len(updates) == 0 {
		return nil
	}
	return f.apply(ctx, "", table, updates)
}

// update moves what it can of one row to columns that hold nothing yet.
func (f *refiling) update(t *Table, row divertedRow) (Change, bool) {
	e := row.event
	args := &params{backend: f.backend, shared: map[string]string{}}
	var set, where []string
	move := func(at int, v any) {
		c := t.Fields[at]
		set = append(set, Quote(c.Name)+" = "+f.arg(args, v, c.Kind))
		where = append(where, Quote(c.Name)+" IS NULL")
	}
	rest := e
	for n, at := range t.facts {
		if v := facts[n].of(&rest); at >= 0 && *v != "" {
			move(at, *v)
			*v = ""
		}
	}
	if len(set) > 0 {
		set = append(set, `"audit_request" = `+f.object(args, rest.AppendDetails(nil), rest.HasDetails()))
	}
	extra := maps.Clone(map[string]any(e.Fields))
	for _, name := range slices.Sorted(maps.Keys(extra)) {
		if at, ok := t.byName[name]; ok {
			if v, ok := f.fitted(extra[name], t.Fields[at].Kind); ok {
				move(at, v)
				delete(extra, name)
			}
		}
	}
	if len(extra) < len(e.Fields) {
		set = append(set, `"audit_extra" = `+f.object(args, auditjson.Append(nil, extra), len(extra) > 0))
	}
	if len(set) == 0 {
		return Change{}, false
	}
	where = append(where, f.unchanged(row, args))
	return Change{SQL: "UPDATE " + f.backend.Table(t.Name) + " SET " + strings.Join(set, ", ") + " WHERE " + strings.Join(where, " AND "), Args: args.args}, true
}

// object is the JSON that a column keeps, NULL when there is nothing in it.
func (f *refiling) object(args *params, data []byte, any bool) string {
	if !any {
		return "NULL"
	}
	return args.add(string(data), JSON)
}

// apply runs the changes of each row, all in one transaction or, where the table does not take
// one, each in one of its own. It fails when the database is away.
func (f *refiling) apply(ctx context.Context, locked, table string, rows [][]Change) error {
	done, err := f.backend.Apply(ctx, locked, slices.Concat(rows...))
	switch {
	case errors.Is(err, ErrDenied):
		f.stays(table, fmt.Errorf("%w: let the tables' owner refile, or GRANT INSERT, UPDATE on it and DELETE on %q", err, f.overflowName()))
		return nil
	case err != nil && f.backend.WhyUnread(err) == Unavailable:
		return err
	}
	if err != nil {
		done = nil
		refused := 0
		for _, changes := range rows {
			n, err := f.backend.Apply(ctx, locked, changes)
			switch {
			case err == nil:
				done = append(done, n...)
				continue
			case f.backend.WhyUnread(err) == Unavailable:
				return err
			}
			f.stays(table, errors.New(f.backend.Reason(err)))
			if refused++; refused == maxRefused {
				break // and so it goes with the others, most likely
			}
		}
	}
	per := len(rows[0])
	for i, n := range done {
		if i%per == per-1 { // the last change of a row says whether it was moved
			f.moved += int(n)
		}
	}
	if f.progress != nil {
		f.progress(f.moved)
	}
	return ctx.Err()
}
