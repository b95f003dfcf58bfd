// Package sqltest is what the stores on SQL tables are tested with beside storetest: a test
// helper, not API.
package sqltest

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/stores/internal/sqlstore"
)

// Store is a store on SQL tables.
type Store interface {
	core.Store
	core.Reader
	core.Closer
	Declare(ctx context.Context, tag string, fields core.Fields) error
	DDL(tag string, fields core.Fields) string
	ViewDDL(ctx context.Context) (string, error)
	Refile(ctx context.Context, progress func(moved int)) (moved int, err error)
}

// Database is a new one for a test.
type Database struct {
	// Open opens a store on it.
	Open func(sqlstore.Config) Store
	// Limited opens one as a role that may use the schema and make nothing in it, nil where
	// there are no roles.
	Limited func(sqlstore.Config) Store
	// SQL opens it without a store.
	SQL func() *sql.DB
	// Begin is ways to begin a transaction on it, none where audits are not written in them;
	// Another begins one on another database.
	Begin   map[string]func(t *testing.T) Tx
	Another func(t *testing.T) Tx
}

// Run runs the tests, each on a database of its own.
func Run(t *testing.T, database func(t *testing.T) Database) {
	t.Run("first tables", func(t *testing.T) { firstTables(t, database(t)) })
	t.Run("declared", func(t *testing.T) { declared(t, database(t)) })
	t.Run("what cannot be declared", func(t *testing.T) { undeclarable(t, database(t)) })
	t.Run("facts in their columns", func(t *testing.T) { factColumns(t, database(t)) })
	t.Run("facts without columns", func(t *testing.T) { factsWithoutColumns(t, database(t)) })
	t.Run("reserved tags", func(t *testing.T) { reservedTags(t, database(t)) })
	t.Run("view", func(t *testing.T) { view(t, database(t)) })
	t.Run("refiled", func(t *testing.T) { refiled(t, database(t)) })
	t.Run("refiled beside others", func(t *testing.T) { refiledBesideOthers(t, database(t)) })
	t.Run("refiled around others", func(t *testing.T) { refiledAround(t, database(t)) })
	t.Run("refiled by nobody", func(t *testing.T) { refiledByNobody(t, database(t)) })
	t.Run("transactions", func(t *testing.T) { joins(t, database) })
	t.Run("diversions", func(t *testing.T) { diversions(t, database) })
}

func (d Database) count(t *testing.T, query string) (n int) {
	t.Helper()
	db := d.SQL()
	defer db.Close()
	if err := db.QueryRowContext(t.Context(), query).Scan(&n); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return n
}

func closing(t *testing.T, s Store) Store {
	t.Cleanup(func() {
		if err := s.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return s
}

// firstTables has three programs begin at once with thirty tags of ten fields each.
func firstTables(t *testing.T, d Database) {
	const programs, tags, fields = 3, 30, 10
	var wg sync.WaitGroup
	for range programs {
		s := closing(t, d.Open(sqlstore.Config{}))
		rec, err := core.New(keptOpen{s}, core.Config{Timeout: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		for tag := range tags {
			f := core.Fields{}
			for n := range fields {
				f[fmt.Sprintf("t%d_f%d", tag, n)] = n
			}
			wg.Go(func() {
				if err := rec.Audit(t.Context(), fmt.Sprint("first", tag), f, core.As("me"), core.On("tag", tag), core.Denied("why")); err != nil {
					t.Error(err)
				}
			})
		}
	}
	wg.Wait()
	if n := d.count(t, "SELECT count(*) FROM audit_overflow"); n > 0 {
		t.Errorf("%d events are in the overflow table", n)
	}
	for tag := range tags {
		table := fmt.Sprint("first", tag)
		if n := d.count(t, "SELECT count(*) FROM "+table); n != programs {
			t.Errorf("%d events in %s, want %d", n, table, programs)
		}
		set := []string{"audit_target = 'tag/" + fmt.Sprint(tag) + "'", "audit_outcome = 'denied'", "audit_reason = 'why'", "audit_extra IS NULL"}
		for n := range fields {
			set = append(set, fmt.Sprintf("t%d_f%d = %d", tag, n, n))
		}
		if n := d.count(t, "SELECT count(*) FROM "+table+" WHERE "+strings.Join(set, " AND ")); n != programs {
			t.Errorf("%d events in %s have all in its columns, want %d", n, table, programs)
		}
	}
}

// keptOpen is a store that a recorder does not close.
type keptOpen struct{ core.Store }

var fields = core.Fields{"n": 1, "text": "x", "at": 1.5}

func declared(t *testing.T, d Database) {
	s := closing(t, d.Open(sqlstore.Config{}))
	f := closing(t, d.Open(sqlstore.Config{Fixed: true}))
	if err := f.Declare(t.Context(), "later", fields); err == nil || !strings.Contains(err.Error(), "CREATE TABLE") || !strings.Contains(err.Error(), "audit_target") {
		t.Errorf("declaring where nothing is made: %v, want the statement", err)
	}
	for range 2 {
		if err := s.Declare(t.Context(), "later", fields); err != nil {
			t.Fatal(err)
		}
	}
	if n := d.count(t, `SELECT count(*) FROM later WHERE n = 1 AND text = 'x' AND at = 1.5 AND audit_target = 'order/1' AND audit_outcome = '' AND audit_reason = '' AND audit_for = '' AND audit_tenant = ''`); n != 0 {
		t.Errorf("%d rows", n)
	}
	if err := s.Declare(t.Context(), "later", core.Fields{"more": true}); err != nil {
		t.Fatal(err)
	}
	f = closing(t, d.Open(sqlstore.Config{Fixed: true}))
	if err := f.Declare(t.Context(), "later", core.Fields{"n": 1, "more": true}); err != nil {
		t.Errorf("all is there: %v", err)
	}
	if err := f.Declare(t.Context(), "later", core.Fields{"lacking": 1}); err == nil || !strings.Contains(err.Error(), `ADD COLUMN "lacking"`) {
		t.Errorf("a column is not there: %v, want the statement", err)
	}
}

func undeclarable(t *testing.T, d Database) {
	s := closing(t, d.Open(sqlstore.Config{}))
	if err := s.Declare(t.Context(), "typed", core.Fields{"n": 1}); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		tag    string
		fields core.Fields
		want   string
	}{
		"no table":         {"日本", nil, "use a tag"},
		"a reserved tag":   {"audit.x", nil, "use a tag"},
		"no column":        {"x", core.Fields{"my-field": 1}, `"my-field"`},
		"a reserved field": {"x", core.Fields{"audit_target": "order/1"}, `"audit_target"`},
		"another type":     {"typed", core.Fields{"n": "text"}, "for n that"},
		"another case":     {"typed", core.Fields{"N": 1}, "for N that"},
	} {
		if err := s.Declare(t.Context(), c.tag, c.fields); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
}

// factColumns holds what an event says of itself against the columns, and against forged fields.
func factColumns(t *testing.T, d Database) {
	s := closing(t, d.Open(sqlstore.Config{}))
	e := core.Event{
		Tag: "ev", User: "alice", OnBehalfOf: "bob", Target: "order/42", Outcome: core.OutcomeDenied, Reason: "limit", Tenant: "acme", Service: "shop",
		Fields: core.Fields{"n": 2.0, "audit_outcome": "success", "AUDIT_TARGET": "forged/1", "audit_tenant": 7},
	}
	first := core.Event{Tag: "ev", User: "alice", Fields: core.Fields{"n": 1}}
	if err := s.Save(t.Context(), []core.Event{first.Normalize(0), e.Normalize(0)}); err != nil {
		t.Fatal(err)
	}
	if n := d.count(t, `SELECT count(*) FROM ev WHERE n = 2 AND audit_for = 'bob' AND audit_target = 'order/42' AND audit_outcome = 'denied' AND audit_reason = 'limit' AND audit_tenant = 'acme'`); n != 1 {
		t.Errorf("%d rows have it all, want 1", n)
	}
	if n := d.count(t, `SELECT count(*) FROM ev WHERE n = 1 AND audit_for IS NULL AND audit_target IS NULL AND audit_outcome IS NULL AND audit_extra IS NULL`); n != 1 {
		t.Errorf("%d rows have nothing of it, want 1", n)
	}
	page, err := s.Read(t.Context(), core.Query{Target: "order/42", Outcome: core.OutcomeDenied})
	if err != nil || len(page.Events) != 1 || page.Events[0].Fields["audit_outcome"] != "success" || page.Events[0].Fields["AUDIT_TARGET"] != "forged/1" {
		t.Errorf("read %v, %v", page, err)
	}
	if page, err = s.Read(t.Context(), core.Query{Target: "forged/1"}); err != nil || len(page.Events) > 0 {
		t.Errorf("a forged target was found: %v, %v", page, err)
	}
}
