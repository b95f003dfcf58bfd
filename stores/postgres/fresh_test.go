package postgres_test

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/core/auditjson"
	"github.com/auditing-go/auditing/stores/postgres"
	"github.com/auditing-go/auditing/stores/postgres/pgtest"
)

// fresh returns events that were never saved. When their table is there they take the
// short way, without a look at the overflow table.
func fresh(tag string, fields ...core.Fields) []core.Event {
	events := make([]core.Event, len(fields))
	for i, f := range fields {
		events[i] = core.Event{Tag: tag, User: "me", Fields: f, First: true}.Normalize(0)
	}
	return events
}

// again returns the events as one gives them to Save a second time.
func again(events []core.Event) []core.Event {
	events = slices.Clone(events)
	for i := range events {
		events[i].First = false
	}
	return events
}

// numbered returns n fields with the number i under the name n.
func numbered(from, to int) []core.Fields {
	var fields []core.Fields
	for i := from; i < to; i++ {
		fields = append(fields, core.Fields{"n": i})
	}
	return fields
}

func save(t testing.TB, s *postgres.Store, events []core.Event) {
	t.Helper()
	if err := s.Save(t.Context(), events); err != nil {
		t.Fatal(err)
	}
}

func count(t testing.TB, s *postgres.Store, tag string) int {
	t.Helper()
	page, err := s.Read(t.Context(), core.Query{Tag: tag, Limit: core.MaxLimit})
	if err != nil {
		t.Fatal(err)
	}
	return len(page.Events)
}

// TestFreshEventsKeepEveryValue: the short way keeps what the long one does.
func TestFreshEventsKeepEveryValue(t *testing.T) {
	values := []any{
		"", "text", "tab\tnewline\nreturn\rbackslash\\", `\N`, `\.`, "quote ' \" $1 ü 日本 \u2028 \x01 \x7f", strings.Repeat("x", 1<<16),
		int64(0), int64(math.MaxInt64), int64(math.MinInt64), uint64(math.MaxUint64),
		0.0, -1.5, math.MaxFloat64, math.SmallestNonzeroFloat64, math.NaN(), math.Inf(1), math.Inf(-1), true, false,
		[]byte{}, []byte{0, 1, '\\', '\n', 255}, []any{}, []any{nil, "a\n", int64(1)}, map[string]any{}, map[string]any{`k"`: []any{1.0}},
		time.Date(1, 1, 1, 0, 0, 0, 1000, time.UTC), time.Date(9999, 12, 31, 23, 59, 59, 999999000, time.UTC), time.Date(1999, 12, 31, 23, 0, 0, 0, time.UTC),
	}
	s := open(t, pgtest.DSN(t), postgres.Config{})
	var fields []core.Fields
	for i, v := range values {
		// Under a name of its own a value makes its own column, under the shared one it may not fit.
		fields = append(fields, core.Fields{fmt.Sprint("v", i): v, "shared": v})
	}
	save(t, s, fresh("ev", fields...)) // makes the table
	events := fresh("ev", fields...)
	for i := range events {
		events[i].Request = &core.Request{Path: "/a\tb", Host: `h\`, IP: "::1", Method: "GET", UserAgent: "x\ny"}
	}
	save(t, s, events)
	for _, want := range events {
		page, err := s.Read(t.Context(), core.Query{Tag: "ev", Limit: core.MaxLimit})
		if err != nil {
			t.Fatal(err)
		}
		found := false
		for _, got := range page.Events {
			if got.ID == want.ID {
				found = true
				if !auditjson.Equal(map[string]any(got.Fields), map[string]any(want.Fields)) || *got.Request != *want.Request || !got.Time.Equal(want.Time) {
					t.Errorf("saved %v, read %v", want, got)
				}
			}
		}
		if !found {
			t.Errorf("%v is not there", want)
		}
	}
}

// TestFreshEventsAreStoredOnce: within a batch, with a batch before, in another process.
func TestFreshEventsAreStoredOnce(t *testing.T) {
	dsn := pgtest.DSN(t)
	s := open(t, dsn, postgres.Config{})
	save(t, s, fresh("ev", numbered(0, 1)...))
	events := fresh("ev", numbered(1, 101)...)
	save(t, s, append(events, events[:50]...))
	save(t, s, append(fresh("ev", numbered(101, 201)...), again(events[50:])...))
	save(t, open(t, dsn, postgres.Config{}), again(events))
	if n := count(t, s, "ev"); n != 201 {
		t.Errorf("%d events are stored, want 201", n)
	}
}

// TestFreshEventsIntoAChangedTable: what somebody did to the table shows only in the
// writing.
func TestFreshEventsIntoAChangedTable(t *testing.T) {
	for name, change := range map[string]string{
		"retyped to text":    `ALTER TABLE ev ALTER COLUMN n TYPE text`,
		"retyped to float":   `ALTER TABLE ev ALTER COLUMN n TYPE double precision`,
		"retyped to time":    `ALTER TABLE ev ALTER COLUMN n TYPE timestamptz USING NULL`,
		"made anew as bytes": `ALTER TABLE ev DROP COLUMN n; ALTER TABLE ev ADD COLUMN n bytea`,
		"dropped":            `ALTER TABLE ev DROP COLUMN n`,
		"table dropped":      `DROP TABLE ev`,
		"refuses some":       `ALTER TABLE ev ADD CHECK (n % 10 <> 3)`,
	} {
		t.Run(name, func(t *testing.T) {
			dsn := pgtest.DSN(t)
			d := connect(t, dsn)
			s := open(t, dsn, postgres.Config{})
			save(t, s, fresh("ev", numbered(0, 1)...))
			d.exec(change)
			events := fresh("ev", numbered(1, 41)...)
			save(t, s, events)
			page, err := s.Read(t.Context(), core.Query{Tag: "ev", Limit: 1000})
			if err != nil {
				t.Fatal(err)
			}
			got := map[uuid.UUID]core.Event{}
			for _, e := range page.Events {
				got[e.ID] = e
			}
			for _, want := range events {
				// The server itself turns a number into the text of one; nothing else may change it.
				n := got[want.ID].Fields["n"]
				if !auditjson.Equal(n, want.Fields["n"]) && n != fmt.Sprint(want.Fields["n"]) {
					t.Errorf("saved n = %v, read %#v", want.Fields["n"], n)
				}
			}
		})
	}
}

// TestAnEventThatWasRefusedForAWhile went to the overflow table; it is not stored
// again by a store that knew the table before, when the table refuses it no more.
func TestAnEventThatWasRefusedForAWhile(t *testing.T) {
	dsn := pgtest.DSN(t)
	d := connect(t, dsn)
	s, other := open(t, dsn, postgres.Config{}), open(t, dsn, postgres.Config{})
	save(t, s, fresh("ev", numbered(0, 1)...))
	save(t, other, fresh("ev", numbered(1, 2)...))
	d.exec(`ALTER TABLE ev ADD CONSTRAINT passing CHECK (n < 2)`)
	events := fresh("ev", numbered(2, 3)...)
	save(t, s, events)
	d.exec(`ALTER TABLE ev DROP CONSTRAINT passing`)
	save(t, other, again(events))
	if n := count(t, s, "ev"); n != 3 {
		t.Errorf("%d events are stored, want 3", n)
	}
}
