package postgres_test

import (
	"context"
	"log/slog"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/stores/postgres"
	"github.com/auditing-go/auditing/stores/postgres/pgtest"
)

// pythonTable is what the Python library creates for its README's example, made
// first outside a request and used inside one later.
const pythonTable = `CREATE TABLE mytag (username text, datetime timestamp, a text, c text, b bigint);
ALTER TABLE mytag ADD COLUMN ip text; ALTER TABLE mytag ADD COLUMN host text; ALTER TABLE mytag ADD COLUMN path text;`

// TestTakesOverTablesOfThePythonLibrary: our rows and its rows stand side by side,
// and it can go on writing.
func TestTakesOverTablesOfThePythonLibrary(t *testing.T) {
	for zone, hours := range map[string]int{"": 0, "Europe/Berlin": 1} {
		t.Run("zone "+zone, func(t *testing.T) {
			dsn := pgtest.DSN(t)
			d := connect(t, dsn)
			d.exec(pythonTable)
			d.exec(`INSERT INTO mytag (username, datetime, a, b) SELECT 'old', '2019-12-05 13:55:55.636742', 'x', i FROM generate_series(1, 5000) i`)
			s := open(t, dsn, postgres.Config{Zone: zone})
			rec := record(t, s)
			at := time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC)
			audit := func() {
				t.Helper()
				if err := rec.Audit(t.Context(), "mytag", core.Fields{"a": "new", "d": true}, core.As("me"), core.At(at)); err != nil {
					t.Fatal(err)
				}
			}
			audit()
			eventually(t, "the table is taken over", func() bool {
				audit()
				return ask[int](d, `SELECT count(*) FROM mytag WHERE username = 'me'`) > 0
			})
			eventually(t, "old rows have ids", func() bool {
				return ask[int](d, `SELECT count(*) FROM mytag WHERE audit_id IS NULL`) == 0
			})
			// The Python program goes on, knowing nothing of our columns.
			d.exec(`INSERT INTO mytag (username, datetime, ip, host, path, a, c, b) VALUES ('old', '2020-01-01', '127.0.0.1', 'h', '/p', 'y', NULL, 1)`)

			page, err := rec.Read(t.Context(), core.Query{Tag: "mytag", User: "old", Limit: 10000})
			if err != nil {
				t.Fatal(err)
			}
			if len(page.Events) != 5001 {
				t.Fatalf("%d old events can be read, want 5001", len(page.Events))
			}
			first := page.Events[5000]
			want := time.Date(2019, 12, 5, 13-hours, 55, 55, 636742000, time.UTC)
			if !first.Time.Equal(want) || first.Tag != "mytag" || first.Fields["a"] != "x" || first.Request != nil {
				t.Errorf("an old event reads as %+v, want it at %v", first, want)
			}
			if r := page.Events[0].Request; r == nil || r.IP != "127.0.0.1" || r.Path != "/p" {
				t.Errorf("an old event's request reads as %+v", r)
			}
			page, err = rec.Read(t.Context(), core.Query{Tag: "mytag", User: "me", From: at, To: at.Add(time.Microsecond)})
			if err != nil {
				t.Fatal(err)
			}
			if len(page.Events) == 0 || !page.Events[0].Time.Equal(at) {
				t.Errorf("new events read as %v, want them at %v", page.Events, at)
			}
			if typ := ask[string](d, `SELECT pg_typeof(datetime)::text FROM mytag LIMIT 1`); typ != "timestamp without time zone" {
				t.Errorf("datetime has become a %s", typ)
			}
		})
	}
}

// TestTakingOverATableThatAnotherProcessTakesOver is no failure, and neither is that it takes
// long: all that is warned of is where its events are meanwhile.
func TestTakingOverATableThatAnotherProcessTakesOver(t *testing.T) {
	dsn := pgtest.DSN(t)
	d, holder := connect(t, dsn), connect(t, dsn)
	d.exec(pythonTable)
	// An index that is made CONCURRENTLY waits for whoever could still see the table without it.
	holder.exec(`BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1`)
	var winner, loser logs
	for _, l := range []*logs{&winner, &loser} {
		s := open(t, dsn, postgres.Config{Logger: slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))})
		save(t, s, fresh("mytag", core.Fields{"a": "x"}))
		eventually(t, "an index is made", func() bool {
			return ask[int](d, `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND query LIKE 'CREATE UNIQUE INDEX CONCURRENTLY%'`) > 0
		})
	}
	for name, l := range map[string]*logs{"winner": &winner, "loser": &loser} {
		eventually(t, "the "+name+" knows that it has to wait", func() bool { return strings.Contains(l.String(), "is being taken over") })
		if n := strings.Count(l.String(), "level=WARN"); n != 1 || strings.Count(l.String(), "a table is not there yet: its events are stored in audit_overflow") != n {
			t.Errorf("want one warning of the %s:\n%s", name, l)
		}
	}
	holder.exec(`COMMIT`)
}

// TestTakingOverGoesOnAfterACrash: another process stopped half-way.
func TestTakingOverGoesOnAfterACrash(t *testing.T) {
	dsn := pgtest.DSN(t)
	d := connect(t, dsn)
	d.exec(pythonTable)
	d.exec(`INSERT INTO mytag (username, datetime, a) VALUES ('old', '2020-01-01', 'x');
		ALTER TABLE mytag ADD COLUMN audit_id uuid, ADD COLUMN audit_tag text, ADD COLUMN audit_request jsonb, ADD COLUMN audit_extra jsonb`)
	s := open(t, dsn, postgres.Config{})
	rec := record(t, s)
	eventually(t, "the table is taken over", func() bool {
		if err := rec.Audit(t.Context(), "mytag", core.Fields{"a": "new"}, core.As("me")); err != nil {
			t.Fatal(err)
		}
		return ask[int](d, `SELECT count(*) FROM mytag WHERE username = 'me'`) > 0
	})
	rec.Close(context.Background())
	// And once more: the indexes were made, the ids not.
	d.exec(`UPDATE mytag SET audit_id = NULL`)
	open(t, dsn, postgres.Config{})
	eventually(t, "all rows have ids", func() bool {
		return ask[int](d, `SELECT count(*) FROM mytag WHERE audit_id IS NULL`) == 0
	})
}

// TestOldRowsWithoutATime are read last, each once, and so are those whose time is
// none that an event can have.
func TestOldRowsWithoutATime(t *testing.T) {
	for _, zone := range []string{"", "America/New_York"} {
		t.Run("zone "+zone, func(t *testing.T) {
			dsn := pgtest.DSN(t)
			d := connect(t, dsn)
			d.exec(`CREATE TABLE mytag (username text, datetime timestamp, a text);
				INSERT INTO mytag SELECT 'undated', CASE i % 5 WHEN 0 THEN 'infinity'::timestamp WHEN 1 THEN '-infinity' WHEN 2 THEN '0044-03-15 BC' WHEN 3 THEN '20000-01-01' END, i FROM generate_series(1, 25) i;
				INSERT INTO mytag SELECT 'dated', '2020-01-01', i FROM generate_series(1, 5) i`)
			s := open(t, dsn, postgres.Config{Zone: zone})
			rec := record(t, s)
			news := 0
			eventually(t, "the table is taken over", func() bool {
				if err := rec.Audit(t.Context(), "mytag", core.Fields{"a": "new"}, core.As("me")); err != nil {
					t.Fatal(err)
				}
				news++
				return ask[int](d, `SELECT count(*) FROM mytag WHERE username = 'me'`) > 0 && ask[int](d, `SELECT count(*) FROM mytag WHERE audit_id IS NULL`) == 0
			})
			for _, q := range []core.Query{{Tag: "mytag", Limit: 4}, {Limit: 7}, {Tag: "mytag", Limit: 40}, {User: "undated", Limit: 5}, {To: time.Now().Add(time.Hour), Limit: 3}, {From: time.Date(2, 1, 1, 0, 0, 0, 0, time.UTC), Limit: 3}} {
				want := map[string]int{"undated": 25, "dated": 5, "me": news}
				if q.User != "" {
					want = map[string]int{q.User: want[q.User]}
				}
				if !q.From.IsZero() {
					delete(want, "undated")
				}
				got, order := map[string]int{}, []string{}
				seen := map[string]bool{}
				for next := true; next; next = q.After != "" {
					page, err := s.Read(t.Context(), q)
					if err != nil {
						t.Fatal(err)
					}
					for _, e := range page.Events {
						if seen[e.ID.String()] {
							t.Errorf("%v came twice", e)
						}
						seen[e.ID.String()] = true
						got[e.User]++
						if n := len(order); n == 0 || order[n-1] != e.User {
							order = append(order, e.User)
						}
					}
					q.After = page.Next
				}
				if !maps.Equal(got, want) || len(order) != len(want) || want["undated"] > 0 && order[len(order)-1] != "undated" {
					t.Errorf("%+v reads %v in the order %v, want %v", q, got, order, want)
				}
			}
		})
	}
}
