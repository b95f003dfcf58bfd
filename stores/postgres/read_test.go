package postgres_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/stdlib"
	gormpostgres "gorm.io/driver/postgres"
	"gorm.io/gorm"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/stores/postgres"
	"github.com/auditing-go/auditing/stores/postgres/pgtest"
)

// readAll returns all events of q by walking its pages, and the last error beside them.
func readAll(t *testing.T, s *postgres.Store, q core.Query) (events []core.Event, partial error) {
	t.Helper()
	seen := map[string]bool{}
	for {
		page, err := s.Read(t.Context(), q)
		if err != nil {
			partial = err
		}
		for _, e := range page.Events {
			if seen[e.ID.String()] {
				t.Errorf("%v came twice", e)
			}
			seen[e.ID.String()] = true
			events = append(events, e)
		}
		if q.After = page.Next; q.After == "" {
			return events, partial
		}
	}
}

// TestReadAfterAChange: what somebody made of a table is read, and where that is not
// possible the error names it and its reason, beside what can be read.
func TestReadAfterAChange(t *testing.T) {
	for change, left := range map[string]string{
		`ALTER TABLE ev ALTER COLUMN username TYPE varchar(300)`:                                                                "",
		`ALTER TABLE ev ALTER COLUMN username TYPE char(40)`:                                                                    "",
		`ALTER TABLE ev ALTER COLUMN datetime TYPE timestamptz(3)`:                                                              "",
		`ALTER TABLE ev ALTER COLUMN datetime TYPE timestamp(6) USING datetime AT TIME ZONE 'UTC'`:                              "",
		`ALTER TABLE ev ALTER COLUMN audit_id TYPE text`:                                                                        "",
		`ALTER TABLE ev ALTER COLUMN audit_id TYPE char(36)`:                                                                    "",
		`DROP INDEX audit_diverted_ev; ALTER TABLE ev ALTER COLUMN audit_request TYPE text, ALTER COLUMN audit_extra TYPE json`: "",
		`ALTER TABLE ev ALTER COLUMN n TYPE integer`:                                                                            "",
		`ALTER TABLE ev DROP CONSTRAINT ev_pkey`:                                                                                "",
		`ALTER TABLE ev DROP COLUMN ip, DROP COLUMN host, DROP COLUMN audit_tag`:                                                "",
		`ALTER TABLE ev DROP COLUMN audit_extra, DROP COLUMN audit_request`:                                                     "",
		`ALTER TABLE ev RENAME COLUMN path TO way`:                                                                              "",
		`ALTER TABLE ev RENAME TO old; CREATE VIEW ev AS SELECT * FROM old`:                                                     "",
		`ALTER TABLE ev RENAME TO old; CREATE MATERIALIZED VIEW ev AS SELECT * FROM old`:                                        "",
		`ALTER TABLE ev ALTER COLUMN datetime TYPE text`:                                                                        "datetime is of type text",
		`ALTER TABLE ev ALTER COLUMN audit_id TYPE bytea USING decode(md5(audit_id::text), 'hex')`:                              "audit_id is of type bytea",
		`ALTER TABLE ev DROP COLUMN datetime`:                                                                                   "no column datetime",
		`ALTER TABLE ev ALTER COLUMN audit_id TYPE text USING 'no id ' || audit_id`:                                             "22P02",
		`ALTER TABLE ev RENAME TO old; CREATE VIEW ev AS SELECT *, 1 / (n - n) AS broken FROM old`:                              "22012",
	} {
		t.Run(change, func(t *testing.T) {
			dsn := pgtest.DSN(t)
			d := connect(t, dsn)
			s := open(t, dsn, postgres.Config{})
			d.exec(s.DDL("ev", core.Fields{"n": 1}) + ";" + s.DDL("other", core.Fields{"n": 1}))
			s = open(t, dsn, postgres.Config{})
			save(t, s, fresh("ev", numbered(0, 10)...))
			save(t, s, fresh("other", numbered(0, 5)...))
			d.exec(change)
			if found, err := readAll(t, s, core.Query{Target: "order/1"}); len(found) > 0 || err != nil && left == "" {
				t.Errorf("%d events of a target (%v), want none", len(found), err)
			}
			if tags, err := s.Tags(t.Context()); len(tags) == 0 || tags[len(tags)-1] != "other" || err != nil && (left == "" || !strings.Contains(err.Error(), `table "ev"`)) ||
				err == nil && left != "22012" && !slices.Contains(tags, "ev") && !slices.Contains(tags, "old") {
				t.Errorf("the tags are %q (%v)", tags, err)
			}
			for _, q := range []core.Query{{Tag: "ev"}, {}, {Limit: 3}, {Tag: "ev", User: "me", Limit: 4}, {Tag: "ev", Fields: core.Fields{"n": 3}}} {
				want := 10
				if q.Fields != nil {
					want = 1
				}
				left := left
				if q.Tag == "" && left == "22012" {
					left = "" // without a tag no view is read
				}
				if left != "" {
					want = 0
				}
				if q.Tag == "" {
					want += 5
				}
				events, err := readAll(t, s, q)
				if len(events) != want {
					t.Errorf("%+v reads %d events, want %d (%v)", q, len(events), want, err)
				}
				if left == "" && err != nil || left != "" && (err == nil || !strings.Contains(err.Error(), left) || !strings.Contains(err.Error(), `table "ev"`)) {
					t.Errorf("%+v: the error is %v, want that of table ev: %s", q, err, left)
				}
				for _, e := range events {
					if e.User != "me" || e.Fields["n"] == nil {
						t.Errorf("an event reads as %+v", e)
					}
				}
			}
		})
	}
}

// TestReadForeignRows: a row that is none of ours takes no other with it, and is read as
// far as it goes.
func TestReadForeignRows(t *testing.T) {
	for _, row := range []string{
		`'x', now(), gen_random_uuid(), 'ev', '[]', NULL`,
		`'x', now(), gen_random_uuid(), 'ev', '{"method": 5}', '"text"'`,
		`'x', now(), gen_random_uuid(), 'ev', 'null', '[1]'`,
		`'x', now(), NULL, 'ev', NULL, NULL`,
		`'x', 'infinity', gen_random_uuid(), 'ev', NULL, NULL`,
		`'x', '-infinity', NULL, 'ev', NULL, NULL`,
		`'x', '0044-03-15 BC', gen_random_uuid(), 'ev', NULL, NULL`,
		`'x', NULL, gen_random_uuid(), 'ev', NULL, NULL`,
		`NULL, now(), gen_random_uuid(), NULL, NULL, NULL`,
	} {
		t.Run(row, func(t *testing.T) {
			dsn := pgtest.DSN(t)
			d := connect(t, dsn)
			d.exec(made(t, dsn, "ev", core.Fields{"n": 1}))
			var l logs
			s := open(t, dsn, postgres.Config{Logger: l.logger()})
			save(t, s, fresh("ev", numbered(0, 5)...))
			d.exec(`ALTER TABLE ev DROP CONSTRAINT ev_pkey; ALTER TABLE ev ALTER audit_id DROP NOT NULL, ALTER datetime DROP NOT NULL, ALTER username DROP NOT NULL, ALTER audit_tag DROP NOT NULL`)
			for range 3 {
				d.exec(`INSERT INTO ev (username, datetime, audit_id, audit_tag, audit_request, audit_extra) VALUES (` + row + `)`)
			}
			for _, q := range []core.Query{{}, {Tag: "ev"}, {Limit: 2}, {Tag: "ev", Limit: 1}} {
				if events, err := readAll(t, s, q); err != nil || len(events) != 8 {
					t.Errorf("%+v reads %d events (%v), want 8", q, len(events), err)
				}
			}
		})
	}
}

// TestReadWhateverTheSessionIsSetTo: what is read does not depend on how the server
// would spell it.
func TestReadWhateverTheSessionIsSetTo(t *testing.T) {
	dsn := pgtest.DSN(t)
	d := connect(t, dsn)
	d.exec(`CREATE TABLE IF NOT EXISTS mytag (username text, datetime timestamp, span interval)`)
	plain := open(t, dsn, postgres.Config{})
	events := fresh("ev", core.Fields{
		"n": 1 << 60, "x": 0.1, "tiny": 5e-324, "big": 1.7976931348623157e308, "when": time.Date(2026, 5, 6, 7, 8, 9, 123456000, time.UTC), "data": []byte{0, 255, '\\'},
		"list": []any{0.1, "x"}, "yes": true, "my-field": 0.1,
	})
	d.exec(made(t, dsn, "ev", events[0].Fields))
	save(t, plain, events)
	d.exec(made(t, dsn, "spans", nil) + `ALTER TABLE spans ADD COLUMN span interval;
		INSERT INTO spans (username, datetime, audit_id, audit_tag, span) SELECT 'me', '2026-01-01', gen_random_uuid(), 'spans', i FROM unnest(
		'{1 day 02:03:04.5, 13 mons -1 day, -00:00:01, 0, 25:00:00}'::interval[]) i`)
	want, err := readAll(t, plain, core.Query{})
	if err != nil || len(want) != 6 {
		t.Fatalf("read %d events (%v), want 6", len(want), err)
	}
	d.exec("SET intervalstyle = postgres")
	for _, e := range want {
		if e.Tag == "spans" && e.Fields["span"] != ask[string](d, `SELECT span::text FROM spans WHERE audit_id = $1`, e.ID.String()) {
			t.Errorf("a span reads as %v", e.Fields["span"])
		}
	}
	const settings = "-c DateStyle=German,DMY -c IntervalStyle=iso_8601 -c TimeZone=Asia/Kathmandu -c bytea_output=escape -c extra_float_digits=-10"
	for _, simple := range []bool{false, true} {
		conn := connect(t, dsn).conn.Config().Copy()
		conn.RuntimeParams["options"] = settings
		pool := stdlib.OpenDB(*conn)
		t.Cleanup(func() { pool.Close() })
		db, err := gorm.Open(gormpostgres.New(gormpostgres.Config{Conn: pool, PreferSimpleProtocol: simple}), &gorm.Config{})
		if err != nil {
			t.Fatal(err)
		}
		s, err := postgres.New(t.Context(), db, postgres.Config{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close(context.Background()) })
		got, err := readAll(t, s, core.Query{})
		if err != nil {
			t.Fatal(err)
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("with other settings (simple protocol: %v) is read\n%v, want\n%v", simple, got, want)
		}
		for name, v := range events[0].Fields {
			if found, err := readAll(t, s, core.Query{Tag: "ev", Fields: core.Fields{name: v}}); err != nil || len(found) != 1 {
				t.Errorf("%s finds %d events (%v)", name, len(found), err)
			}
		}
	}
}

// TestReadBesideTablesThatCannotBeRead: the rest is read, the error names them, and
// nobody waits for long.
func TestReadBesideTablesThatCannotBeRead(t *testing.T) {
	dsn := pgtest.DSN(t)
	d := connect(t, dsn)
	owner := open(t, dsn, postgres.Config{})
	for i := range 30 {
		d.exec(owner.DDL(fmt.Sprint("ev", i), core.Fields{"n": 1}))
	}
	owner = open(t, dsn, postgres.Config{})
	for i := range 30 {
		save(t, owner, fresh(fmt.Sprint("ev", i), numbered(0, 2)...))
	}
	role, roleDSN := newRole(t, d, dsn)
	d.exec(`GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA public TO ` + role + `; REVOKE ALL ON ev7, ev8 FROM ` + role)
	holder := connect(t, dsn)
	holder.exec(`BEGIN; LOCK TABLE ev12, ev13`)
	s := open(t, roleDSN, postgres.Config{Fixed: true})
	for _, limit := range []int{100, 7} {
		events, err := readAll(t, s, core.Query{Limit: limit})
		if len(events) != 52 {
			t.Errorf("%d events are read, want 52", len(events))
		}
		for _, want := range []string{`"ev7": the role may not read it: GRANT SELECT ON public.ev7 TO ` + role, `"ev8"`, `"ev12": another session has locked it`, `"ev13"`} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("the error does not say %s: %v", want, err)
			}
		}
	}
	for tag, why := range map[string]string{"ev7": "GRANT SELECT", "ev12": "locked"} {
		if page, err := s.Read(t.Context(), core.Query{Tag: tag}); err == nil || !strings.Contains(err.Error(), why) || len(page.Events) != 0 {
			t.Errorf("%s reads %d events, %v", tag, len(page.Events), err)
		}
	}
	holder.exec(`COMMIT`)
	if page, err := s.Read(t.Context(), core.Query{Tag: "ev12"}); err != nil || len(page.Events) != 2 {
		t.Errorf("when it is unlocked %d events are read, %v", len(page.Events), err)
	}
	// An open transaction may not keep a lock of ours.
	if n := ask[int](d, `SELECT count(*) FROM pg_locks l JOIN pg_class c ON c.oid = l.relation WHERE c.relname LIKE 'ev%'`); n != 0 {
		t.Errorf("%d locks are left", n)
	}
}

// TestPartitioned: a table partitioned by audit_id is written to, read and widened like any other.
func TestPartitioned(t *testing.T) {
	dsn := pgtest.DSN(t)
	d := connect(t, dsn)
	ddl := strings.SplitN(made(t, dsn, "ev", core.Fields{"n": 1}), ";", 2)
	d.exec(ddl[0] + ` PARTITION BY RANGE (audit_id); ` + ddl[1])
	d.exec(`CREATE TABLE ev_old PARTITION OF ev FOR VALUES FROM (MINVALUE) TO ('80000000-0000-0000-0000-000000000000'); CREATE TABLE ev_default PARTITION OF ev DEFAULT`)
	var l logs
	s := open(t, dsn, postgres.Config{Logger: l.logger()})
	events := fresh("ev", numbered(0, 10)...)
	save(t, s, events)
	save(t, s, events)
	save(t, s, fresh("ev", core.Fields{"n": 10, "later": true}))
	if n := ask[int](d, `SELECT count(*) FROM ev`); n != 11 {
		t.Errorf("%d events in the table, want 11", n)
	}
	for _, q := range []core.Query{{}, {Tag: "ev"}, {Limit: 2}} {
		if got, err := readAll(t, s, q); err != nil || len(got) != 11 {
			t.Errorf("%+v reads %d events (%v), want 11", q, len(got), err)
		}
	}
	if ask[int](d, `SELECT count(*) FROM pg_attribute WHERE attrelid = 'ev'::regclass AND attname = 'later'`) != 1 {
		t.Error("the table has not grown")
	}
	if l.String() != "" {
		t.Errorf("warned of:\n%s", l.String())
	}
}

// TestReadSeesColumnsOfOtherProcesses, whenever they were made.
func TestReadSeesColumnsOfOtherProcesses(t *testing.T) {
	dsn := pgtest.DSN(t)
	d := connect(t, dsn)
	d.exec(made(t, dsn, "ev", core.Fields{"n": 1}))
	a, b := open(t, dsn, postgres.Config{}), open(t, dsn, postgres.Config{})
	save(t, a, fresh("ev", core.Fields{"n": 1}))
	if _, err := a.Read(t.Context(), core.Query{Tag: "ev"}); err != nil {
		t.Fatal(err)
	}
	save(t, b, fresh("ev", core.Fields{"n": 2, "later": "x"}))
	for _, q := range []core.Query{{Tag: "ev"}, {}} {
		page, err := a.Read(t.Context(), q)
		if err != nil || len(page.Events) != 2 || page.Events[0].Fields["later"] != "x" {
			t.Errorf("%+v reads %+v, %v", q, page.Events, err)
		}
	}
}

// TestATableThatIsNotWrittenTo any more is warned of with the reason and the statement
// that mends it, when it is met and at the start.
func TestATableThatIsNotWrittenTo(t *testing.T) {
	for change, want := range map[string]string{
		`ALTER COLUMN username TYPE varchar(300)`:   "its column username is of type character varying(300), not text",
		`ALTER COLUMN datetime TYPE timestamptz(3)`: "its column datetime is of type timestamp(3) with time zone, not timestamptz",
		`ALTER COLUMN audit_extra TYPE text`:        "its column audit_extra is of type text, not jsonb",
		`DROP CONSTRAINT ev_pkey`:                   "its column audit_id is not unique",
		`DROP COLUMN host`:                          "it has no column host",
	} {
		t.Run(change, func(t *testing.T) {
			dsn := pgtest.DSN(t)
			d := connect(t, dsn)
			d.exec(made(t, dsn, "ev", core.Fields{"n": 1}) + `ALTER TABLE ev ` + change)
			var l logs
			s := open(t, dsn, postgres.Config{Logger: l.logger()})
			text := l.String()
			if !strings.Contains(text, want) || !strings.Contains(text, "table=ev") {
				t.Fatalf("at the start nothing says %s:\n%s", want, text)
			}
			save(t, s, fresh("ev", core.Fields{"n": 1}))
			if l.String() != text {
				t.Errorf("it is warned of again:\n%s", l.String())
			}
			_, statement, _ := strings.Cut(text, "what mends it: ")
			statement, _, _ = strings.Cut(strings.ReplaceAll(statement, `\"`, `'`), `"`)
			d.exec(strings.ReplaceAll(statement, `'`, `"`))
			s = open(t, dsn, postgres.Config{Logger: l.logger()})
			save(t, s, fresh("ev", core.Fields{"n": 2}))
			if n := ask[int](d, `SELECT count(*) FROM ev`); n != 1 {
				t.Errorf("%d events in the mended table, want 1", n)
			}
			if got, err := readAll(t, s, core.Query{Tag: "ev"}); err != nil || len(got) != 2 {
				t.Errorf("%d events are read (%v), want 2", len(got), err)
			}
		})
	}
}
