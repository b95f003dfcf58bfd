package postgres_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/stores/postgres"
	"github.com/auditing-go/auditing/stores/postgres/pgtest"
)

// TestRetyped has columns of types for which an INSERT would change the value instead of
// refusing it: a process that has read the catalogue since stores it elsewhere.
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
		{noon, []string{"date", "text", "timestamp", "timestamptz(0)", "timestamptz(3)", "timestamptz(6)"}},
		{"a long text", []string{"char(8)", "varchar(20)", "name"}},
		{[]byte{2}, []string{"text"}},
	} {
		for _, typ := range c.types {
			t.Run(fmt.Sprintf("%T to %s", c.value, typ), func(t *testing.T) {
				dsn := pgtest.DSN(t)
				d := connect(t, dsn)
				d.exec(made(t, dsn, "ev", core.Fields{"n": c.value}))
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
				s = open(t, dsn, postgres.Config{})
				write(1)
				write(2)
				wantStored(t, s, "ev", nil, c.value, c.value, c.value)
			})
		}
	}
}

// TestRetypedTimes makes the times of the events themselves coarser, in a table of
// audits and in one of the Python library, or gives them a zone.
func TestRetypedTimes(t *testing.T) {
	for name, c := range map[string]struct{ table, typ string }{
		"a table of audits":     {"", "timestamptz(0)"},
		"of the Python library": {"CREATE TABLE ev (username text, datetime timestamp)", "timestamp(0)"},
		"with a zone":           {"CREATE TABLE ev (username text, datetime timestamp)", "timestamptz"},
	} {
		t.Run(name, func(t *testing.T) {
			dsn := pgtest.DSN(t)
			d := connect(t, dsn)
			d.exec(c.table)
			s := open(t, withParams(dsn, "timezone=Asia/Tokyo"), postgres.Config{})
			at := time.Date(2026, 3, 4, 12, 5, 6, 789_000, time.UTC)
			want := 0
			write := func(n int) {
				want += n
				var events []core.Event
				for range n {
					events = append(events, core.Event{Tag: "ev", User: "me", Time: at}.Normalize(0))
				}
				save(t, s, events)
			}
			eventually(t, "the table is written to", func() bool {
				write(1)
				return ask[int](d, `SELECT count(*) FROM pg_class WHERE relname = 'ev'`) > 0 && ask[int](d, `SELECT count(*) FROM ev`) > 0
			})
			d.exec(`DELETE FROM ev; DELETE FROM audit_overflow; ALTER TABLE ev ALTER COLUMN datetime TYPE ` + c.typ)
			s = open(t, withParams(dsn, "timezone=Asia/Tokyo"), postgres.Config{})
			want = 0
			write(1)
			write(2)
			page, err := s.Read(t.Context(), core.Query{Tag: "ev"})
			if err != nil {
				t.Fatal(err)
			}
			if len(page.Events) != want {
				t.Errorf("%d events are stored, want %d", len(page.Events), want)
			}
			for _, e := range page.Events {
				if !e.Time.Equal(at) {
					t.Errorf("an event of %v reads back as of %v", at, e.Time)
				}
			}
		})
	}
}

// TestOtherCollation has a column that sorts its texts in another way, which keeps
// them all the same.
func TestOtherCollation(t *testing.T) {
	dsn := pgtest.DSN(t)
	d := connect(t, dsn)
	d.exec(made(t, dsn, "ev", core.Fields{"what": "a"}))
	s := open(t, dsn, postgres.Config{})
	write := func(n int) {
		var events []core.Event
		for range n {
			events = append(events, core.Event{Tag: "ev", User: "me", Fields: core.Fields{"what": "a"}}.Normalize(0))
		}
		save(t, s, events)
	}
	write(1)
	d.exec(`ALTER TABLE ev ALTER COLUMN what TYPE text COLLATE "C", ALTER COLUMN username TYPE text COLLATE "C"`)
	write(1)
	write(2)
	if n := ask[int](d, `SELECT count(*) FROM ev WHERE what = 'a' AND username = 'me'`); n != 4 {
		t.Errorf("the columns hold %d of 4 texts", n)
	}
}
