package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/auditing-go/auditing/core"
)

// Declare makes the table for tag ahead of its first event, with columns for fields and for
// who, on what, for whom and with what result. It waits for it until ctx ends. A store that
// makes no tables looks whether all is there instead: the error names the statements that
// are to be run. It may be called again, and with other fields.
//
// A tag or a field that can have no table or column is an error, and so is what somebody
// else's table of that name has in the way. The values of fields say no more than the types
// of the columns.
func (s *Store) Declare(ctx context.Context, tag string, fields core.Fields) error {
	if s.closed.Load() {
		return core.ErrClosed
	}
	e := core.Event{Tag: tag, Fields: fields}.Normalize(0)
	name, ok := s.tableName(e.Tag)
	if !ok {
		return fmt.Errorf("auditing: declaring %.100q: no table may have its name: %s", tag, tagAdvice)
	}
	fail := func(err error) error { return fmt.Errorf("auditing: declaring %.100q: %w", tag, err) }
	for _, field := range slices.Sorted(maps.Keys(e.Fields)) {
		if v := e.Fields[field]; !ColumnName(field) || v != nil && kindOf(v) == Other {
			return fail(fmt.Errorf("no column can hold the field %.100q: it is kept in audit_extra", field))
		}
	}
	for try := 1; ; try++ {
		if err := s.refresh(ctx, name); err != nil {
			return fail(err)
		}
		wanted := s.declared(name, e)
		entry := s.catalog.entry(name)
		if foreign := s.foreign(name); foreign != "" {
			return fail(fmt.Errorf("table %q %s", name, foreign))
		}
		if entry.table != nil && len(wanted) == 0 {
			return s.mismatched(entry.table, e)
		}
		if s.cfg.Fixed {
			statement := s.creation(name, wanted)
			if entry.table != nil {
				statement = s.backend.AddColumns(name, wanted)
			}
			return fail(errors.New("let somebody who may run: " + statement))
		}
		err := s.growNow(ctx, name, wanted)
		if err == nil && try > 1 {
			err = fmt.Errorf("there is no room for the columns %s: raise MaxColumns", columnNames(wanted))
		}
		if err != nil && !errors.Is(err, ErrUnderWay) {
			return fail(err)
		}
		if err != nil {
			select {
			case <-time.After(core.Backoff(try, minGrowPause, time.Second)):
			case <-ctx.Done():
				return fail(errors.Join(context.Cause(ctx), err))
			}
		}
	}
}

// declared is what the table lacks of the columns of an event.
func (s *Store) declared(name string, e core.Event) []Column {
	t := s.catalog.table(name)
	if t == nil {
		t = noTable
	}
	var wanted []Column
	for n, at := range t.facts {
		if at < 0 && !t.byLower[facts[n].column.Name] {
			wanted = append(wanted, facts[n].column)
		}
	}
	return append(wanted, t.missing(s.cfg.MaxColumns-len(wanted), []core.Event{e}, []int{0})...)
}

// mismatched names the fields whose columns are of other types than theirs.
func (s *Store) mismatched(t *Table, e core.Event) error {
	var wrong []string
	for _, field := range slices.Sorted(maps.Keys(e.Fields)) {
		at, ok := t.byName[field]
		if v := e.Fields[field]; v != nil && ok {
			_, ok = s.fitted(v, t.Fields[at].Kind)
		}
		if !ok {
			wrong = append(wrong, field)
		}
	}
	if len(wrong) == 0 {
		return nil
	}
	return fmt.Errorf("auditing: declaring %.100q: the table %q has columns for %s that do not take such values, in another type or case: they are kept in audit_extra", e.Tag, t.Name, strings.Join(wrong, ", "))
}
