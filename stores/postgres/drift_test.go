package postgres_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/stores/gormstore"
	"github.com/auditing-go/auditing/stores/postgres"
	"github.com/auditing-go/auditing/stores/postgres/pgtest"
)

// stored returns the values of field n of all events of tag, oldest first.
func stored(t testing.TB, s *gormstore.Store, tag string) []any {
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

func wantStored(t testing.TB, s *gormstore.Store, tag string, want ...any) {
	t.Helper()
	got := stored(t, s, tag)
	if !core.Equal(append([]any{}, got...), want) {
		t.Errorf("stored under %q: %v, want %v", tag, got, want)
	}
}

// TestChangedBehindOurBack changes a table between two audits of a process that
// knows it. Nothing is lost, nothing doubled, nobody sees an error.
func TestChangedBehindOurBack(t *testing.T) {
	for name, c := range map[string]struct {
		change string
		want   []any // what is stored after 1, the change, and 2
		check  string
	}{
		"table dropped":       {`DROP TABLE ev`, []any{2}, `SELECT count(*) = 1 FROM ev WHERE n = 2`},
		"column dropped":      {`ALTER TABLE ev DROP COLUMN n`, []any{nil, 2}, `SELECT count(*) = 1 FROM ev WHERE n = 2`},
		"our column dropped":  {`ALTER TABLE ev DROP COLUMN audit_tag`, []any{2}, `SELECT count(*) = 1 FROM audit_overflow`},
		"column added":        {`ALTER TABLE ev ADD COLUMN later text DEFAULT 'x'`, []any{1, 2}, `SELECT count(*) = 2 FROM ev WHERE later = 'x'`},
		"column retyped":      {`ALTER TABLE ev ALTER COLUMN n TYPE boolean USING true`, []any{true, 2}, `SELECT count(*) = 1 FROM ev WHERE audit_extra ->> 'n' = '2'`},
		"column renamed":      {`ALTER TABLE ev RENAME COLUMN n TO m`, []any{nil, 2}, `SELECT count(*) = 1 FROM ev WHERE m = 1 AND n IS NULL`},
		"table renamed":       {`ALTER TABLE ev RENAME TO old`, []any{2}, `SELECT count(*) = 1 FROM old`},
		"a check refuses":     {`ALTER TABLE ev ADD CHECK (n < 2)`, []any{1, 2}, `SELECT count(*) = 1 FROM audit_overflow WHERE audit_tag = 'ev'`},
		"not null refuses":    {`ALTER TABLE ev ADD COLUMN must text; UPDATE ev SET must = ''; ALTER TABLE ev ALTER COLUMN must SET NOT NULL`, []any{1, 2}, `SELECT count(*) = 1 FROM audit_overflow WHERE audit_tag = 'ev'`},
		"a trigger refuses":   {`CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE 'no'; END$$; CREATE TRIGGER no BEFORE INSERT ON ev FOR EACH ROW EXECUTE FUNCTION no()`, []any{1, 2}, `SELECT count(*) = 1 FROM audit_overflow`},
		"key dropped":         {`ALTER TABLE ev DROP CONSTRAINT ev_pkey`, []any{1, 2}, `SELECT count(*) = 2 FROM ev`},
		"overflow dropped":    {`DROP TABLE audit_overflow`, []any{1, 2}, `SELECT count(*) = 2 FROM ev`},
		"both tables dropped": {`DROP TABLE ev, audit_overflow`, []any{2}, `SELECT count(*) = 1 FROM ev`},
		"turned into a view":  {`ALTER TABLE ev RENAME TO old; CREATE VIEW ev AS SELECT * FROM old`, []any{1, 2}, `SELECT count(*) = 2 FROM old`},
	} {
		t.Run(name, func(t *testing.T) {
			dsn := pgtest.DSN(t)
			d := connect(t, dsn)
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
		if name := strings.ToLower(tag); !strings.Contains(l.String(), "table="+name+"\n") {
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

// TestRetyped retypes a column behind the back of a process that knows it, to types
// for which an INSERT would change the value instead of refusing it.
func TestRetyped(t *testing.T) {
	noon := time.Date(2026, 3, 4, 12, 5, 6, 789_000, time.UTC)
	for _, c := range []struct {
		value any
		types []string
	}{
		{int64(1<<53 + 1), []string{"text", "numeric", "double precision", "real", "varchar(40)"}},
		{2.5, []string{"bigint", "text", "numeric", "integer"}},
		{0.12345678901234568, []string{"real", "numeric"}},
		{false, []string{"text"}},
		{noon, []string{"date", "text", "timestamp"}},
		{"a long text", []string{"char(8)", "varchar(20)", "name"}},
		{[]byte{2}, []string{"text"}},
	} {
		for _, typ := range c.types {
			t.Run(fmt.Sprintf("%T to %s", c.value, typ), func(t *testing.T) {
				dsn := pgtest.DSN(t)
				d := connect(t, dsn)
				s := open(t, dsn, postgres.Config{})
				write := func(n int) {
					var events []core.Event
					for range n {
						events = append(events, core.Event{Tag: "ev", User: "me", Fields: core.Fields{"n": c.value}}.Normalize(0))
					}
					save(t, s, events)
				}
				write(1)
				d.exec(`ALTER TABLE ev ALTER COLUMN n TYPE ` + typ + ` USING NULL`)
				write(1)
				write(2)
				wantStored(t, s, "ev", nil, c.value, c.value, c.value)
			})
		}
	}
}
