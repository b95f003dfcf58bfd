package sqlstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/auditing-go/auditing/core"
)

// maxRounds bounds how often one Save lays its events out anew because a table
// was not what the catalogue said, or refused them.
const maxRounds = 4

// Save implements [core.Store].
func (s *Store) Save(ctx context.Context, events []core.Event) error {
	if len(events) == 0 {
		return nil
	}
	if s.closed.Load() {
		return core.FailAll(len(events), core.Failure{Err: core.ErrClosed, Retry: true, Lasting: true})
	}
	sv := saving{store: s, events: events, fates: make([]fate, len(events)), arena: s.arenas.Get().(*arena)}
	defer s.arenas.Put(sv.arena)
	defer sv.arena.reset()
	todo := make([]int, len(events))
	for i := range todo {
		todo[i] = i
	}
	for round := 1; len(todo) > 0; round++ {
		sv.forget(todo)
		batches := sv.plan(ctx, todo)
		var failures []RowFailure
		if len(batches) > 0 {
			failures = s.backend.Write(ctx, batches)
		}
		todo = sv.sort(ctx, failures, round)
	}
	sv.tell()
	if len(sv.failures) == 0 {
		return nil
	}
	slices.SortFunc(sv.failures, func(a, b core.Failure) int { return a.Index - b.Index })
	return &core.BatchError{Failures: sv.failures}
}

// saving is one Save.
type saving struct {
	store    *Store
	events   []core.Event
	fates    []fate // of the events
	arena    *arena
	tx       Transaction // of the caller's; nil for a Save
	wanted   []wanted    // to be grown behind the transaction
	looked   []string    // tables that were looked up again, having seemed stale
	failures []core.Failure

	diversions  []diversion
	diversionAt map[diversionKey]int
}

// fate is what has become of an event so far.
type fate struct {
	refused error // why its own table does not take it: it goes to the overflow table
	spilled bool  // it is laid out for the overflow table
	doubt   bool  // an earlier round may have stored it
	failed  bool
}

// triedBefore reports whether an event may be stored already, in whichever table.
func (sv *saving) triedBefore(i int) bool { return !sv.events[i].First || sv.fates[i].doubt }

// fail names an event that is not known to be stored, see [core.Store].
func (sv *saving) fail(f core.Failure) {
	sv.fates[f.Index].failed = true
	f.Unknown = f.Unknown || sv.fates[f.Index].doubt
	sv.failures = append(sv.failures, f)
}

// sort decides what becomes of the rows that were not stored, and returns those
// that are to be laid out again.
func (sv *saving) sort(ctx context.Context, failures []RowFailure, round int) (again []int) {
	var stale []string
	isStale := func(name string) {
		if !slices.Contains(stale, name) {
			stale = append(stale, name)
		}
	}
	for _, f := range failures {
		if f.Unknown {
			sv.fates[f.Index].doubt = true
		}
		switch {
		case f.Why == Unavailable || ctx.Err() != nil || round == maxRounds:
			sv.fail(core.Failure{Index: f.Index, Err: f.Err, Retry: true, Unknown: f.Unknown})
		case f.Why == Stale:
			isStale(sv.store.overflowName())
			if name, ok := sv.store.tableName(sv.events[f.Index].Tag); ok {
				isStale(name)
			}
			if round == maxRounds-1 {
				sv.divert(f)
			}
			again = append(again, f.Index)
		case sv.fates[f.Index].spilled:
			// Only the table that takes every event can refuse one for good.
			sv.fail(core.Failure{Index: f.Index, Err: f.Err, Retry: f.Why != Refused, Unknown: f.Unknown})
		default:
			sv.divert(f)
			again = append(again, f.Index)
		}
	}
	if err := sv.refresh(ctx, stale...); err != nil {
		for _, i := range again {
			sv.fail(core.Failure{Index: i, Err: err, Retry: true})
		}
		return nil
	}
	sv.looked = append(sv.looked, stale...)
	return again
}

// divert lays an event out for the overflow table from now on, as its own table
// does not take it.
func (sv *saving) divert(f RowFailure) {
	fate := &sv.fates[f.Index]
	if fate.spilled {
		return
	}
	fate.refused = f.Err
	name, _ := sv.store.tableName(sv.events[f.Index].Tag)
	reason := sv.store.backend.Reason(f.Err)
	sv.because(diversionKey{kind: refusing, key: name + " " + reason}, []int{f.Index}, func() []any { return []any{"table", name, "reason", reason} })
}

// errLocalTime is why a table of the Python library does not take an event.
var errLocalTime = errors.New("the time without its zone would be that of another hour too")

// divertTimes diverts the events whose time t would not keep.
func (sv *saving) divertTimes(t *Table, indexes []int) {
	if t == nil || !t.Local {
		return
	}
	for _, i := range indexes {
		if sv.fates[i].refused == nil && !sv.store.backend.Keeps(sv.events[i].Time, LocalTime) {
			sv.divert(RowFailure{Index: i, Err: errLocalTime})
		}
	}
}

// group is the events of one table.
type group struct {
	name    string // "" for those that have no table of their own
	indexes []int
}

// plan groups the events by table, lets tables grow, and lays out the rows.
func (sv *saving) plan(ctx context.Context, todo []int) []Batch {
	s := sv.store
	groups := sv.group(todo)
	var old []string
	if sv.isOld(s.overflowName(), nil) {
		old = append(old, s.overflowName())
	}
	for _, g := range groups {
		if g.name != "" && sv.isOld(g.name, g.indexes) {
			old = append(old, g.name)
		}
	}
	if err := sv.refresh(ctx, old...); err != nil {
		for _, i := range todo {
			sv.fail(core.Failure{Index: i, Err: fmt.Errorf("reading the catalogue: %w", err), Retry: true})
		}
		return nil
	}
	sv.grow(ctx, groups)

	overflow := s.catalog.entry(s.overflowName()).writable()
	var batches []Batch
	var spilled []int // of which no other table has to be looked into
	for _, g := range groups {
		t := s.catalog.entry(g.name).writable()
		sv.divertTimes(t, g.indexes)
		var own, known, spill []int
		for _, i := range g.indexes {
			fate := &sv.fates[i]
			fate.spilled = t == nil || fate.refused != nil
			switch {
			case fate.spilled:
				spill = append(spill, i)
			case overflow != nil && sv.triedBefore(i):
				known = append(known, i)
			default:
				own = append(own, i)
			}
		}
		if len(own) > 0 {
			batches = append(batches, sv.place(t, own))
		}
		if len(known) > 0 {
			b := sv.place(t, known)
			b.Twin = overflow.Name
			batches = append(batches, b)
		}
		switch {
		case overflow == nil:
			sv.refuse(g.name, spill)
		case t != nil && slices.ContainsFunc(spill, sv.triedBefore):
			b := sv.place(overflow, spill)
			b.Twin = t.Name
			batches = append(batches, b)
		default: // of a thousand tags, perhaps
			spilled = append(spilled, spill...)
		}
	}
	if len(spilled) > 0 {
		batches = append(batches, sv.place(overflow, spilled))
	}
	for _, b := range batches {
		s.warnLossy(b.Table.Name)
	}
	return batches
}

// isOld reports whether the entry of a table is to be read again before these events
// are laid out by it.
func (sv *saving) isOld(name string, indexes []int) bool {
	e := sv.store.catalog.entry(name)
	age := time.Since(e.read)
	return age >= maxAge || age >= lookAgain &&
		(e.writable() == nil || sv.store.cfg.Fixed && len(sv.missing(e.table, indexes)) > 0)
}

// group returns the events by table, in the order in which tables come first.
func (sv *saving) group(todo []int) []*group {
	var groups []*group
	byTag := map[string]*group{}
	byName := map[string]*group{}
	for _, i := range todo {
		tag := sv.events[i].Tag
		g := byTag[tag]
		if g == nil {
			name, _ := sv.store.tableName(tag)
			if g = byName[name]; g == nil {
				g = &group{name: name}
				byName[name] = g
				groups = append(groups, g)
			}
			byTag[tag] = g
		}
		g.indexes = append(g.indexes, i)
	}
	return groups
}

// grow asks for the tables and columns that are missing and waits for them while growing
// goes on.
func (sv *saving) grow(ctx context.Context, groups []*group) {
	s := sv.store
	var jobs []*growJob
	want := func(table string, fields []Column) {
		if sv.tx != nil {
			sv.wanted = append(sv.wanted, wanted{table, fields})
			return
		}
		if j := s.grower.want(table, fields); j != nil {
			jobs = append(jobs, j)
		}
	}
	var fresh []*group // without a table
	for _, g := range groups {
		if g.name == "" {
			sv.becauseOfTags(g.indexes)
			continue
		}
		t := s.catalog.table(g.name)
		missing := sv.missing(t, g.indexes)
		switch foreign := s.foreign(g.name); {
		case foreign != "":
			sv.because(diversionKey{kind: notUsed, key: g.name}, g.indexes, func() []any { return []any{"table", g.name, "reason", foreign} })
		case s.cfg.Fixed && t == nil:
			sv.because(diversionKey{kind: absent, key: g.name}, g.indexes, func() []any { return []any{"table", g.name, "statement", s.creation(g.name, missing)} })
		case s.cfg.Fixed, t != nil && len(missing) == 0:
		case t != nil:
			want(g.name, missing)
		case s.catalog.now.Load().tables+len(fresh) < s.cfg.MaxTables:
			fresh = append(fresh, g)
			want(g.name, missing)
		default:
			sv.because(diversionKey{kind: tooMany, key: g.name}, g.indexes, func() []any {
				return []any{"table", g.name, "reason", fmt.Sprint("there are ", s.cfg.MaxTables, " tables"), "remedy", "raise MaxTables"}
			})
		}
	}
	if !s.cfg.Fixed && s.catalog.table(s.overflowName()) == nil {
		want(s.overflowName(), nil)
	}
	s.grower.await(ctx, jobs)
	for _, g := range fresh {
		sv.becauseOfNoTable(g)
	}
}

// missing returns the columns that the events would add to t, which is nil when it is not there.
func (sv *saving) missing(t *Table, indexes []int) []Column {
	if t == nil {
		t = noTable
	}
	return t.missing(sv.store.cfg.MaxColumns, sv.events, indexes)
}

// refuse fails events that neither a table of their own takes nor an overflow table.
func (sv *saving) refuse(table string, indexes []int) {
	s := sv.store
	for _, i := range indexes {
		var why error
		missing, fields := s.overflowName(), []Column(nil)
		switch foreign := s.foreign(table); {
		case sv.fates[i].refused != nil:
			why = fmt.Errorf("table %q refuses the event: %w", table, sv.fates[i].refused)
		case table == "":
			why = errors.New("the tag cannot be the name of a table")
		case foreign != "":
			why = fmt.Errorf("table %q %s", table, foreign)
		default:
			why = fmt.Errorf("there is no table %q", table)
			missing, fields = table, sv.missing(nil, []int{i})
		}
		err, lasting := s.withoutOverflow(why, missing, fields)
		sv.fail(core.Failure{Index: i, Err: err, Retry: true, Lasting: lasting})
	}
}

// withoutOverflow says why an event that its own table does not take is stored nowhere,
// and whether that lasts until somebody makes the missing table or grants a right.
func (s *Store) withoutOverflow(why error, missing string, fields []Column) (err error, lasting bool) {
	if foreign := s.foreign(s.overflowName()); foreign != "" {
		return fmt.Errorf("%w, and table %q %s", why, s.overflowName(), foreign), true
	}
	err = fmt.Errorf("%w, and there is no table %q", why, s.overflowName())
	switch grown := cmp.Or(s.grower.failure(missing), s.grower.failure(s.overflowName())); {
	case s.cfg.Fixed:
	case grown == nil:
		return fmt.Errorf("%w yet: it is being made", err), false
	case !errors.Is(grown, ErrDenied):
		return fmt.Errorf("%w: it cannot be made for now: %w", err, grown), false
	default:
		err = fmt.Errorf("%w: it cannot be made: %w", err, grown)
	}
	return fmt.Errorf("%w: let someone who may create tables run: %s", err, s.creation(missing, fields)), true
}
