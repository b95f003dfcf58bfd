package sqlstore

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// How long an entry of the catalogue is believed. The first write after that reads it
// again, so that what others do to a table is noticed at once where the database then
// refuses a write, and within maxAge where it does not. An entry that keeps events out of
// their table, or fields out of their columns, is believed for less: somebody may have made
// what was missing.
const (
	maxAge    = time.Minute
	lookAgain = time.Second
)

// maxOthers bounds the names that are remembered for having no table.
const maxOthers = 10_000

// catalog is what is known of the tables. Whoever reads it loads a snapshot, which does
// not change.
type catalog struct {
	mu  sync.Mutex // of those who replace the snapshot
	now atomic.Pointer[snapshot]
}

type snapshot struct {
	entries map[string]*entry
	tables  int // entries that are tables of audits
}

// entry is what is known of a name.
type entry struct {
	read  time.Time // just before that was found out
	rel   Relation  // zero when nothing has the name
	table *Table    // nil when rel is no table of audits as a store writes to it
}

// noEntry is of a name that was never looked up.
var noEntry entry

func (c *catalog) entry(name string) *entry {
	if e := c.now.Load().entries[name]; e != nil {
		return e
	}
	return &noEntry
}

// table returns a table of audits, nil when there is none of that name.
func (c *catalog) table(name string) *Table { return c.entry(name).table }

// writable returns the table if the role may write to it.
func (e *entry) writable() *Table {
	if e.rel.Grant != "" {
		return nil
	}
	return e.table
}

// add replaces the snapshot by one that has these entries too, unless it has newer ones.
func (c *catalog) add(fresh map[string]*entry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	old := c.now.Load()
	full := len(old.entries)-old.tables > maxOthers
	for name, e := range old.entries {
		if f := fresh[name]; f == nil && !(full && e.table == nil) || f != nil && e.read.After(f.read) {
			fresh[name] = e
		}
	}
	next := &snapshot{entries: fresh}
	for _, e := range fresh {
		if e.table != nil {
			next.tables++
		}
	}
	c.now.Store(next)
}

// refresh reads the named relations.
func (s *Store) refresh(ctx context.Context, names ...string) error {
	if len(names) == 0 {
		return nil
	}
	return s.lookUp(ctx, names, s.backend.Lookup)
}

// lookUp reads the named relations, with nil all tables of audits.
func (s *Store) lookUp(ctx context.Context, names []string, lookup func(context.Context, []string) ([]Relation, error)) error {
	now := time.Now()
	relations, err := lookup(ctx, names)
	if err != nil {
		return err
	}
	fresh := map[string]*entry{}
	for _, name := range names {
		fresh[name] = &entry{read: now}
	}
	for _, rel := range relations {
		if !strings.HasPrefix(rel.Name, s.cfg.Prefix) {
			continue
		}
		e := &entry{read: now, rel: rel}
		if rel.Ours() {
			e.table = newTable(rel)
		}
		fresh[rel.Name] = e
	}
	s.catalog.add(fresh)
	return nil
}
