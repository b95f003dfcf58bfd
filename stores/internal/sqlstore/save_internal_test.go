package sqlstore

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/auditing-go/auditing/core"
)

// database is a Backend of which a test decides what it does.
type database struct {
	Backend // nil: what it does not implement is not called
	grow    func(ctx context.Context, table string) error
	write   func([]Batch) []RowFailure
	closing func()

	mu      sync.Mutex
	tables  []string
	columns []Column // of each, beside those that every table has
}

func (d *database) Relations(_ context.Context, names []string) ([]Relation, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var relations []Relation
	for _, name := range d.tables {
		if names == nil || slices.Contains(names, name) {
			relations = append(relations, Relation{Name: name, Columns: slices.Concat(baseColumns, d.columns), Table: true, UniqueID: true})
		}
	}
	return relations, nil
}

func (d *database) Lookup(ctx context.Context, names []string) ([]Relation, error) {
	return d.Relations(ctx, names)
}

const patience = time.Second

func (d *database) Patience() time.Duration { return patience }

func (d *database) Grow(ctx context.Context, table string, _ []Column, _ int) error {
	if table != Overflow && d.grow != nil {
		return d.grow(ctx, table)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.tables = append(d.tables, table)
	return nil
}

func (d *database) Write(_ context.Context, batches []Batch) []RowFailure {
	if d.write == nil {
		return nil
	}
	return d.write(batches)
}

func (d *database) Close(context.Context) error {
	if d.closing != nil {
		d.closing()
	}
	return nil
}

func (d *database) Keeps(any, Kind) bool                { return true }
func (d *database) DDL(table string, _ []Column) string { return "CREATE TABLE " + table }
func (d *database) Grant(string) string                 { return "" }
func (d *database) Reason(error) string                 { return "it says so" }

func newStore(t *testing.T, d *database) *Store {
	t.Helper()
	s, err := New(t.Context(), d, Config{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func newEvent(tag string) core.Event { return core.Event{Tag: tag, User: "me"}.Normalize(0) }

// TestADivertedEventIsFound: an event whose table would not have it, for either
// reason, is looked for in the overflow table when it is saved again.
func TestADivertedEventIsFound(t *testing.T) {
	for name, why := range map[string]Reason{"stale": Stale, "refused": Refused} {
		t.Run(name, func(t *testing.T) {
			var spilled, twins []string
			refusing := true
			d := &database{tables: []string{"ev"}, write: func(batches []Batch) (failures []RowFailure) {
				for _, b := range batches {
					if b.Table.Name == Overflow {
						spilled = append(spilled, b.Twin)
						continue
					}
					twins = append(twins, b.Twin)
					if refusing {
						failures = append(failures, RowFailure{Index: 0, Err: errors.New("no"), Why: why})
					}
				}
				return failures
			}}
			s := newStore(t, d)
			events := []core.Event{newEvent("ev")}
			events[0].First = true
			if err := s.Save(t.Context(), events); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(spilled, []string{""}) {
				t.Fatalf("the event was written to the overflow table with the twins %q, want once without: it is nowhere else", spilled)
			}
			if twins[0] != "" {
				t.Fatalf("a fresh event was looked for in %q", twins[0])
			}
			refusing, twins = false, nil
			events[0].First = false
			if err := s.Save(t.Context(), events); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(twins, []string{Overflow}) {
				t.Errorf("saved again the event was looked for in %q, want in the overflow table", twins)
			}
		})
	}
}

// TestSaveDoesNotOutwaitItsContext while a table grows.
func TestSaveDoesNotOutwaitItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &database{grow: func(ctx context.Context, _ string) error {
			<-ctx.Done()
			return ctx.Err()
		}}
		s := newStore(t, d)
		defer s.Close(t.Context())
		const given = patience / 2
		ctx, cancel := context.WithTimeout(t.Context(), given)
		defer cancel()
		start := time.Now()
		_ = s.Save(ctx, []core.Event{newEvent("ev")})
		if waited := time.Since(start); waited != given*3/4 {
			t.Errorf("Save with %v to live waited %v, and has to write yet", given, waited)
		}
	})
}

// TestAnOldEntryOfTheCatalogueIsReadAnew before the next write, and no sooner.
func TestAnOldEntryOfTheCatalogueIsReadAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &database{tables: []string{"ev"}}
		s := newStore(t, d)
		defer s.Close(t.Context())
		save := func(wantRead bool) {
			t.Helper()
			before := s.catalog.table("ev")
			if err := s.Save(t.Context(), []core.Event{newEvent("ev")}); err != nil {
				t.Fatal(err)
			}
			if read := s.catalog.table("ev") != before; read != wantRead {
				t.Errorf("the table was read anew: %v, want %v", read, wantRead)
			}
		}
		<-time.After(maxAge - time.Second)
		save(false)
		<-time.After(time.Second)
		save(true)
		save(false)
	})
}

// TestWhereRowsAreTriedNoMore: a table that refused enough of them is left alone, but not
// the overflow table, behind which there is none; names that end like it do not count.
func TestWhereRowsAreTriedNoMore(t *testing.T) {
	enough := map[string]bool{}
	d := &database{tables: []string{"my_audit_overflow"}, write: func(batches []Batch) (failures []RowFailure) {
		for _, b := range batches {
			if b.Enough(maxRefused - 1) {
				t.Errorf("%s is left alone too early", b.Table.Name)
			}
			enough[b.Table.Name] = b.Enough(maxRefused)
			if b.Table.Name != Overflow {
				failures = append(failures, RowFailure{Index: 0, Err: errors.New("no"), Why: Refused})
			}
		}
		return failures
	}}
	if err := newStore(t, d).Save(t.Context(), []core.Event{newEvent("my.audit_overflow")}); err != nil {
		t.Fatal(err)
	}
	if want := map[string]bool{"my_audit_overflow": true, Overflow: false}; !maps.Equal(enough, want) {
		t.Errorf("left alone: %v, want %v", enough, want)
	}
}
