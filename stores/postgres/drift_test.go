package postgres_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/core/auditjson"
	"github.com/auditing-go/auditing/stores/internal/sqlstore"
	"github.com/auditing-go/auditing/stores/postgres"
	"github.com/auditing-go/auditing/stores/postgres/pgtest"
)

// stored returns the values of field n of all events of tag, oldest first.
func stored(t testing.TB, s *postgres.Store, tag string) []any {
	t.Helper()
	page, err := s.Read(t.Context(), core.Query{Tag: tag, Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	values := make([]any, len(page.Events))
	for i, e := range page.Events {
		values[len(values)-1-i] = e.Fields["n"]
	}
	return values
}

func wantStored(t testing.TB, s *postgres.Store, tag string, want ...any) {
	t.Helper()
	got := stored(t, s, tag)
	if !auditjson.Equal(append([]any{}, got...), want) {
		t.Errorf("stored under %q: %v, want %v", tag, got, want)
	}
}

// made returns what makes a table, so that no test waits for a first event to grow it.
func made(t testing.TB, dsn, tag string, fields core.Fields) string {
	return open(t, dsn, postgres.Config{}).DDL(tag, fields)
}

// TestChangedBehindOurBack changes a table between two audits of a process that
// knows it. Nothing is lost, nothing doubled, nobody sees an error.
func TestChangedBehindOurBack(t *testing.T) {
	for name, c := range map[string]struct {
		change string
		want   []any // what is stored after 1, the change, and 2
		check  string
	}{
		"table dropped":         {`DROP TABLE ev`, []any{2}, `SELECT count(*) = 1 FROM ev WHERE n = 2`},
		"column dropped":        {`ALTER TABLE ev DROP COLUMN n`, []any{nil, 2}, `SELECT count(*) = 1 FROM ev WHERE n = 2`},
		"our column dropped":    {`ALTER TABLE ev DROP COLUMN audit_tag`, []any{1, 2}, `SELECT count(*) = 1 FROM audit_overflow`},
		"column added":          {`ALTER TABLE ev ADD COLUMN later text DEFAULT 'x'`, []any{1, 2}, `SELECT count(*) = 2 FROM ev WHERE later = 'x'`},
		"column retyped":        {`ALTER TABLE ev ALTER COLUMN n TYPE boolean USING true`, []any{true, 2}, `SELECT count(*) = 1 FROM ev WHERE audit_extra ->> 'n' = '2'`},
		"column renamed":        {`ALTER TABLE ev RENAME COLUMN n TO m`, []any{nil, 2}, `SELECT count(*) = 1 FROM ev WHERE m = 1 AND n IS NULL`},
		"table renamed":         {`ALTER TABLE ev RENAME TO old`, []any{2}, `SELECT count(*) = 1 FROM old`},
		"a check refuses":       {`ALTER TABLE ev ADD CHECK (n < 2)`, []any{1, 2}, `SELECT count(*) = 1 FROM audit_overflow WHERE audit_tag = 'ev'`},
		"not null refuses":      {`ALTER TABLE ev ADD COLUMN must text; UPDATE ev SET must = ''; ALTER TABLE ev ALTER COLUMN must SET NOT NULL`, []any{1, 2}, `SELECT count(*) = 1 FROM audit_overflow WHERE audit_tag = 'ev'`},
		"a trigger refuses":     {`CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE 'no'; END$$; CREATE TRIGGER no BEFORE INSERT ON ev FOR EACH ROW EXECUTE FUNCTION no()`, []any{1, 2}, `SELECT count(*) = 1 FROM audit_overflow`},
		"a trigger keeps out":   {`CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RETURN NULL; END$$; CREATE TRIGGER no BEFORE INSERT ON ev FOR EACH ROW EXECUTE FUNCTION no()`, []any{1, 2}, `SELECT count(*) = 1 FROM audit_overflow`},
		"a rule keeps out":      {`CREATE RULE no AS ON INSERT TO ev DO INSTEAD NOTHING`, []any{1, 2}, `SELECT count(*) = 1 FROM audit_overflow`},
		"a column is generated": {`ALTER TABLE ev DROP COLUMN n; ALTER TABLE ev ADD COLUMN n bigint GENERATED ALWAYS AS (1) STORED`, []any{1, 2}, `SELECT count(*) = 1 FROM audit_overflow`},
		"key dropped":           {`ALTER TABLE ev DROP CONSTRAINT ev_pkey`, []any{1, 2}, `SELECT count(*) = 2 FROM ev`},
		"overflow dropped":      {`DROP TABLE audit_overflow`, []any{1, 2}, `SELECT count(*) = 2 FROM ev`},
		"both tables dropped":   {`DROP TABLE ev, audit_overflow`, []any{2}, `SELECT count(*) = 1 FROM ev`},
		"turned into a view":    {`ALTER TABLE ev RENAME TO old; CREATE VIEW ev AS SELECT * FROM old`, []any{1, 2}, `SELECT count(*) = 2 FROM old`},
	} {
		t.Run(name, func(t *testing.T) {
			dsn := pgtest.DSN(t)
			d := connect(t, dsn)
			d.exec(made(t, dsn, "ev", core.Fields{"n": 1}))
			s := open(t, dsn, postgres.Config{})
			rec := record(t, s)
			for i := 1; i <= 2; i++ {
				if err := rec.Audit(t.Context(), "ev", core.Fields{"n": i}, core.As("me")); err != nil {
					t.Fatalf("audit %d: %v", i, err)
				}
				if i == 1 {
					d.exec(c.change)
				}
			}
			if !ask[bool](d, c.check) {
				t.Errorf("not so: %s", c.check)
			}
			want := make([]any, len(c.want))
			for i, v := range c.want {
				if n, ok := v.(int); ok {
					v = int64(n)
				}
				want[i] = v
			}
			wantStored(t, s, "ev", want...)
		})
	}
}

// TestRefusedRowsStandAlone: a table refuses some rows of a large batch; those go
// to the overflow table, their neighbours where they belong.
func TestRefusedRowsStandAlone(t *testing.T) {
	dsn := pgtest.DSN(t)
	d := connect(t, dsn)
	s := open(t, dsn, postgres.Config{})
	save := func(from, to int) {
		t.Helper()
		var events []core.Event
		for i := from; i < to; i++ {
			events = append(events, core.Event{Tag: "ev", User: "me", Fields: core.Fields{"n": i}}.Normalize(0))
		}
		if err := s.Save(t.Context(), events); err != nil {
			t.Fatal(err)
		}
	}
	save(0, 1)
	d.exec(`ALTER TABLE ev ADD CHECK (n % 100 <> 7)`)
	save(1, 1000)
	if n := ask[int](d, `SELECT count(*) FROM audit_overflow`); n != 10 {
		t.Errorf("%d events in the overflow table, want the 10 that are refused", n)
	}
	if n := ask[int](d, `SELECT count(*) FROM ev`); n != 990 {
		t.Errorf("%d events in the table, want 990", n)
	}
}

// TestABadValueStandsAlone: what is wrong with one row's values takes neither its
// neighbours nor their places from them.
func TestABadValueStandsAlone(t *testing.T) {
	const trigger = `CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN
		IF NEW.username = 'bad' THEN RAISE 'no' USING ERRCODE = '22023'; END IF; RETURN NEW; END$$;
		CREATE TRIGGER no BEFORE INSERT ON ev FOR EACH ROW EXECUTE FUNCTION no();`
	for name, c := range map[string]struct {
		change               string
		own, spilled, failed int
	}{
		"a trigger":           {trigger, 99, 1, 0},
		"triggers everywhere": {trigger + `CREATE TRIGGER no BEFORE INSERT ON audit_overflow FOR EACH ROW EXECUTE FUNCTION no()`, 99, 0, 1},
		"an expression":       {`CREATE INDEX ON ev ((1 / (n - 1050)))`, 99, 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			dsn := pgtest.DSN(t)
			d := connect(t, dsn)
			s := open(t, dsn, postgres.Config{})
			save(t, s, fresh("ev", numbered(0, 1)...))
			d.exec(c.change)
			events := fresh("ev", numbered(1000, 1100)...)
			events[50].User = "bad"
			failed := 0
			if err := s.Save(t.Context(), events); err != nil {
				var failures *core.BatchError
				if !errors.As(err, &failures) {
					t.Fatal(err)
				}
				for _, f := range failures.Failures {
					if f.Index != 50 || f.Retry {
						t.Errorf("event %d failed, retry %v: %v", f.Index, f.Retry, f.Err)
					}
				}
				failed = len(failures.Failures)
			}
			own := ask[int](d, `SELECT count(*) FROM ev WHERE n >= 1000`)
			spilled := ask[int](d, `SELECT count(*) FROM audit_overflow`)
			if own != c.own || spilled != c.spilled || failed != c.failed {
				t.Errorf("%d in the table, %d in the overflow table, %d failed, want %d, %d, %d", own, spilled, failed, c.own, c.spilled, c.failed)
			}
		})
	}
}

// TestARefusalIsWarnedOf once, with its reason and without a value.
func TestARefusalIsWarnedOf(t *testing.T) {
	dsn := pgtest.DSN(t)
	d := connect(t, dsn)
	var l logs
	rec := record(t, open(t, dsn, postgres.Config{Logger: l.logger()}))
	audit := func(secret string) {
		t.Helper()
		if err := rec.Audit(t.Context(), "ev", core.Fields{"detail": secret}, core.As("me")); err != nil {
			t.Fatal(err)
		}
	}
	audit("a")
	d.exec(`ALTER TABLE ev ADD CONSTRAINT short CHECK (length(detail) < 3)`)
	audit("hidden")
	audit("hidden too")
	d.exec(`CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE 'no %', NEW.detail; END$$; CREATE TRIGGER no BEFORE INSERT ON ev FOR EACH ROW EXECUTE FUNCTION no()`)
	audit("hidden")
	for _, reason := range []string{"SQLSTATE 23514 of constraint short", "SQLSTATE P0001"} {
		if n := strings.Count(l.String(), `table=ev reason="`+reason+`"`); n != 1 {
			t.Errorf("%d warnings give the reason %s, want one:\n%s", n, reason, l.String())
		}
	}
	if strings.Contains(l.String(), "hidden") {
		t.Errorf("a warning shows a value:\n%s", l.String())
	}
}

// TestColumnsOfOtherTypes: somebody's column of a type that is never written, by a
// store that may alter tables and by one that may not. Such a value is kept beside
// it, the event in its table, and what others put there can be read and found.
func TestColumnsOfOtherTypes(t *testing.T) {
	for _, typ := range []string{"varchar(50)", "char(8)", "integer", "smallint", "real", "numeric", "date", "time", "json", "interval", "text[]", "inet"} {
		for _, fixed := range []bool{false, true} {
			t.Run(fmt.Sprint(typ, " fixed ", fixed), func(t *testing.T) {
				dsn := pgtest.DSN(t)
				d := connect(t, dsn)
				s := open(t, dsn, postgres.Config{})
				d.exec(s.DDL("ev", core.Fields{"a": 1}) + `ALTER TABLE ev ADD COLUMN n ` + typ)
				var l logs
				s = open(t, dsn, postgres.Config{Fixed: fixed, Logger: l.logger()})
				save(t, s, fresh("ev", core.Fields{"a": 1, "n": 2}))
				save(t, s, fresh("ev", core.Fields{"a": 2, "n": "x"}, core.Fields{"a": 3, "n": nil}, core.Fields{"a": 4}, core.Fields{"a": 5, "n": true}))
				if n := ask[int](d, `SELECT count(*) FROM ev`); n != 5 {
					t.Errorf("%d events in the table, want 5", n)
				}
				if n := ask[int](d, `SELECT count(*) FROM ev WHERE n IS NULL AND audit_extra ? 'n'`); n != 3 {
					t.Errorf("%d values in audit_extra, want 3", n)
				}
				wantStored(t, s, "ev", int64(2), "x", nil, nil, true)
				if n := strings.Count(l.String(), "table=ev field=n reason="); n != 3 || strings.Count(l.String(), "level=WARN") != n {
					t.Errorf("want one warning of each of three types, got:\n%s", l.String())
				}
			})
		}
	}
	dsn := pgtest.DSN(t)
	d := connect(t, dsn)
	s := open(t, dsn, postgres.Config{})
	d.exec(s.DDL("ev", nil) + `ALTER TABLE ev ADD COLUMN n numeric;
		INSERT INTO ev (username, datetime, audit_id, audit_tag, n) VALUES ('me', now(), gen_random_uuid(), 'ev', 1.50)`)
	page, err := s.Read(t.Context(), core.Query{Tag: "ev", Fields: core.Fields{"n": "1.50"}})
	if err != nil || len(page.Events) != 1 {
		t.Errorf("found %d events by what the column reads as (%v), want 1", len(page.Events), err)
	}
}

// TestForeignTablesAreLeftAlone: a tag that is the name of the application's own
// table, view, sequence or index.
func TestForeignTablesAreLeftAlone(t *testing.T) {
	dsn := pgtest.DSN(t)
	d := connect(t, dsn)
	d.exec(`CREATE TABLE users (id bigserial PRIMARY KEY, username text); INSERT INTO users (username) VALUES ('alice');
		CREATE VIEW people AS SELECT * FROM users; CREATE INDEX by_name ON users (username);
		CREATE TABLE almost (username text, datetime timestamptz, ip text, host text, path text, audit_id uuid, audit_tag text, audit_request jsonb, audit_extra jsonb);
		CREATE TABLE parts (username text, datetime timestamp) PARTITION BY LIST (username);
		CREATE TABLE keyed (username text, datetime timestamp, a text, PRIMARY KEY (username))`)
	before := ask[string](d, `SELECT string_agg(attrelid::regclass || '.' || attname, ' ' ORDER BY attrelid, attnum)
		FROM pg_attribute a JOIN pg_class c ON c.oid = attrelid WHERE relnamespace = 'public'::regnamespace AND attnum > 0 AND relname NOT LIKE 'audit%'`)
	var l logs
	s := open(t, dsn, postgres.Config{Logger: l.logger()})
	rec := record(t, s)
	for _, tag := range []string{"users", "Users", "people", "by_name", "users_id_seq", "almost", "parts", "keyed"} {
		for n := range 2 {
			if err := rec.Audit(t.Context(), tag, core.Fields{"n": n}, core.As("me")); err != nil {
				t.Errorf("%s: %v", tag, err)
			}
		}
		wantStored(t, s, tag, int64(0), int64(1))
		if name := strings.ToLower(tag); !strings.Contains(l.String(), "table="+name+" ") {
			t.Errorf("no warning names %s:\n%s", name, l.String())
		}
	}
	after := ask[string](d, `SELECT string_agg(attrelid::regclass || '.' || attname, ' ' ORDER BY attrelid, attnum)
		FROM pg_attribute a JOIN pg_class c ON c.oid = attrelid WHERE relnamespace = 'public'::regnamespace AND attnum > 0 AND relname NOT LIKE 'audit%'`)
	if before != after {
		t.Errorf("the application's tables have changed from\n%s to\n%s", before, after)
	}
	if n := ask[int](d, `SELECT count(*) FROM users`); n != 1 {
		t.Errorf("users has %d rows, want 1", n)
	}
}

// TestDDLRunsTwice: also for a name so long that its indexes cannot have it whole.
func TestDDLRunsTwice(t *testing.T) {
	dsn := pgtest.DSN(t)
	d := connect(t, dsn)
	d.exec(`CREATE SCHEMA there`)
	for _, schema := range []string{"there", "missing"} {
		s := open(t, dsn, postgres.Config{Fixed: true, Schema: schema})
		long := strings.Repeat("x", sqlstore.MaxName-1)
		for range 2 {
			for _, tag := range []string{"ev", long + "1", long + "2", ""} {
				d.exec(s.DDL(tag, core.Fields{"n": 1}))
			}
		}
		if n := ask[int](d, `SELECT count(*) FROM pg_indexes WHERE schemaname = $1`, schema); n != 3*5+3 {
			t.Errorf("%d indexes in schema %s, want 5 for each of 3 tables, and 3 for that of the overflow", n, schema)
		}
		// A role that may create in a schema need not be one that may create schemas.
		if got, want := strings.Contains(s.DDL("ev", nil), "CREATE SCHEMA"), schema == "missing"; got != want {
			t.Errorf("the statements create the schema %s: %v, want %v", schema, got, want)
		}
	}
}

// TestBudgets: tags past the table budget and fields past the column budget are
// stored and read back all the same.
func TestBudgets(t *testing.T) {
	dsn := pgtest.DSN(t)
	d := connect(t, dsn)
	s := open(t, dsn, postgres.Config{MaxTables: 3, MaxColumns: 12})
	rec := record(t, s)
	for _, tag := range []string{"a", "b", "c", "d"} { // audit_overflow is the third table
		fields := core.Fields{"n": 1, "o": 2, "p": 3, "q": 4, "r": 5}
		if err := rec.Audit(t.Context(), tag, fields, core.As("me")); err != nil {
			t.Fatal(err)
		}
		page, err := s.Read(t.Context(), core.Query{Tag: tag})
		if err != nil {
			t.Fatal(err)
		}
		if len(page.Events) != 1 || len(page.Events[0].Fields) != len(fields) {
			t.Errorf("tag %s reads back as %v", tag, page.Events)
		}
	}
	if n := ask[int](d, `SELECT count(*) FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace`); n != 3 {
		t.Errorf("%d tables, want 3", n)
	}
	if n := ask[int](d, `SELECT count(*) FROM pg_attribute WHERE attrelid = 'a'::regclass AND attnum > 0`); n != 12 {
		t.Errorf("%d columns, want 12", n)
	}
}
