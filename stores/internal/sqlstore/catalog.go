package sqlstore

import (
	"context"
	"strings"
	"sync"
	"time"
)

// lookAgain is after how long a name that has no table, or is somebody else's, is
// looked up again.
const lookAgain = time.Second

// maxAge is how old an entry becomes: then it is read anew before the next write. What
// has become of a table that the database itself does not refuse to write to is noticed so.
const maxAge = time.Minute

// maxOthers bounds the names that are remembered for having no table.
const maxOthers = 10_000

// catalog remembers the tables of audits.
type catalog struct {
	mu     sync.Mutex
	tables map[string]*Table
	// others are the names that were looked up and are no table of audits.
	others map[string]absence
}

// absence is what is known of a name that is no table of audits.
type absence struct {
	at        time.Time
	foreign   bool // something else has the name
	adoptable bool // it is a table of the Python library
	rel       Relation
}

func absenceOf(rel Relation, at time.Time) absence {
	return absence{at: at, foreign: true, adoptable: rel.Adoptable(), rel: rel}
}

// load reads all tables of audits.
func (c *catalog) load(ctx context.Context, b Backend, prefix string) error {
	relations, err := b.Lookup(ctx, nil)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tables, c.others = map[string]*Table{}, map[string]absence{}
	for _, rel := range relations {
		switch {
		case !strings.HasPrefix(rel.Name, prefix):
		case rel.Ours():
			c.tables[rel.Name] = newTable(rel)
		default:
			c.others[rel.Name] = absenceOf(rel, time.Now())
		}
	}
	return nil
}

// refresh reads the named relations anew.
func (c *catalog) refresh(ctx context.Context, b Backend, names ...string) error {
	if len(names) == 0 {
		return nil
	}
	relations, err := b.Lookup(ctx, names)
	if err != nil {
		return err
	}
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.others) > maxOthers {
		clear(c.others)
	}
	for _, name := range names {
		delete(c.tables, name)
		c.others[name] = absence{at: now}
	}
	for _, rel := range relations {
		if rel.Ours() {
			c.tables[rel.Name] = newTable(rel)
			delete(c.others, rel.Name)
			continue
		}
		c.others[rel.Name] = absenceOf(rel, now)
	}
	return nil
}

// get returns a table of audits, nil when there is none of that name.
func (c *catalog) get(name string) *Table {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.tables[name]
}

func (c *catalog) absent(name string) absence {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.others[name]
}

// unknown returns those of names that are to be looked up before anything is said of
// them: there is no entry, or an old one.
func (c *catalog) unknown(names []string) []string {
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	var unknown []string
	for _, name := range names {
		seen, age, t := c.others[name].at, lookAgain, c.tables[name]
		if t != nil {
			seen = t.read
			if t.grant == "" {
				age = maxAge
			}
		}
		if now.Sub(seen) >= age {
			unknown = append(unknown, name)
		}
	}
	return unknown
}

func (c *catalog) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.tables)
}
