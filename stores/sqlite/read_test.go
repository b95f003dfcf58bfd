package sqlite_test

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/stores/sqlite"
)

// walk reads all pages of q and returns the events in their order.
func walk(t *testing.T, r core.Reader, q core.Query) (events []core.Event) {
	t.Helper()
	seen := map[string]bool{}
	for {
		page, err := r.Read(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range page.Events {
			if seen[e.ID.String()] {
				t.Errorf("%v came twice", e)
			}
			seen[e.ID.String()] = true
			if n := len(events); n > 0 && events[n-1].Compare(e) >= 0 {
				t.Errorf("%v comes before %v", events[n-1], e)
			}
			events = append(events, e)
		}
		if q.After = page.Next; q.After == "" {
			return events
		}
	}
}

// TestReadForeignRows: a row that is none of ours takes no other with it, and is read as
// far as it goes, in one page and in many.
func TestReadForeignRows(t *testing.T) {
	const id = `'0192f000-0000-7000-8000-00000000000'`
	for _, row := range []string{
		`'x', '2026-01-02 03:04:05.000000+00:00', ` + id + `, 'ev', '[]', NULL`,
		`'x', '2026-01-02 03:04:05.000000+00:00', ` + id + `, 'ev', 'no JSON', '{"no JSON'`,
		`'x', '2026-01-02 03:04:05', ` + id + `, 'ev', NULL, NULL`,
		`'x', '2026-01-02T03:04:05.000000+00:00', ` + id + `, 'ev', NULL, NULL`,
		`'x', '2026-02-30 03:04:05.000000+00:00', ` + id + `, 'ev', NULL, NULL`,
		`'x', '9999-99-99 99:99:99.000000+00:00', ` + id + `, 'ev', NULL, NULL`,
		`'x', 'yesterday', ` + id + `, 'ev', NULL, NULL`,
		`'x', 1767323045, ` + id + `, 'ev', NULL, NULL`,
		`'x', x'00ff', ` + id + `, 'ev', NULL, NULL`,
		`'x', '2026-01-02 03:04:05.000000+00:00', 'row '||` + id + `, 'ev', NULL, NULL`,
		`'x', '2026-01-02 03:04:05.000000+00:00', upper(` + id + `), 'ev', NULL, NULL`,
		`5, '2026-01-02 03:04:05.000000+00:00', ` + id + `, 5, 5, 5`,
	} {
		t.Run(row, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "audits.db")
			var log strings.Builder
			store := openFile(t, file, sqlite.Config{Logger: slog.New(slog.NewTextHandler(&log, nil))})
			defer store.Close(context.Background())
			var events []core.Event
			for i := range 5 {
				at := time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC).Add(time.Duration(i) * 2 * time.Hour)
				events = append(events, core.Event{Tag: "ev", User: "me", Time: at, Fields: core.Fields{"n": i}}.Normalize(0))
			}
			if err := store.Save(t.Context(), events); err != nil {
				t.Fatal(err)
			}
			db := openDB(t, file)
			for i := range 3 {
				values := strings.ReplaceAll(row, "00000000000'", fmt.Sprint("00000000000", string(rune('a'+i)), "'"))
				if _, err := db.Exec(`INSERT INTO ev (username, datetime, audit_id, audit_tag, audit_request, audit_extra) VALUES (` + values + `)`); err != nil {
					t.Fatal(err)
				}
			}
			for _, limit := range []int{1, 2, 3, 100} {
				if got := walk(t, store, core.Query{Limit: limit}); len(got) != 8 {
					t.Errorf("%d at a time, %d events are read, want 8:\n%s", limit, len(got), log.String())
				}
				if got := walk(t, store, core.Query{Limit: limit, User: "me"}); len(got) != 5 {
					t.Errorf("%d at a time, %d events of me are read, want 5", limit, len(got))
				}
			}
			if n := strings.Count(log.String(), "has something else in a column"); n > 2 {
				t.Errorf("%d warnings, want one of each column:\n%s", n, log.String())
			}
		})
	}
}

// TestReadAfterAChange: declared types matter to what is written, not to what is read.
func TestReadAfterAChange(t *testing.T) {
	file := filepath.Join(t.TempDir(), "audits.db")
	var log strings.Builder
	store := openFile(t, file, sqlite.Config{})
	rec := record(t, store)
	for i := range 5 {
		if err := rec.Audit(t.Context(), "ev", core.Fields{"n": i}, core.As("me")); err != nil {
			t.Fatal(err)
		}
	}
	db := openDB(t, file)
	if _, err := db.Exec(`CREATE TABLE made (id integer PRIMARY KEY, username varchar(300), datetime datetime, ip text, host text, path text, n integer,
		audit_id varchar(36), audit_tag text, audit_request text, audit_extra json);
		INSERT INTO made SELECT NULL, username, datetime, ip, host, path, n, audit_id, audit_tag, audit_request, audit_extra FROM ev;
		DROP TABLE ev; ALTER TABLE made RENAME TO ev`); err != nil {
		t.Fatal(err)
	}
	again := openFile(t, file, sqlite.Config{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	defer again.Close(context.Background())
	if !strings.Contains(log.String(), "its column username is of type varchar(300), not text") {
		t.Errorf("nothing is said at the start:\n%s", log.String())
	}
	for _, r := range []core.Reader{store, again} {
		for _, q := range []core.Query{{}, {Tag: "ev", Limit: 2}, {Tag: "ev", User: "me"}} {
			if got := walk(t, r, q); len(got) != 5 || got[0].Fields["n"] != int64(4) || got[0].Fields["id"] == nil {
				t.Errorf("%+v reads %v", q, got)
			}
		}
	}
}

// TestReadOtherKindsTogether: columns of tables that are read in one statement do not
// change each other's values, in either order.
func TestReadOtherKindsTogether(t *testing.T) {
	for _, tags := range [][2]string{{"a", "b"}, {"b", "a"}} {
		store := openFile(t, filepath.Join(t.TempDir(), "audits.db"), sqlite.Config{})
		defer store.Close(context.Background())
		for i, v := range []any{1.5, int64(1<<53 + 1)} {
			if err := store.Save(t.Context(), []core.Event{core.Event{Tag: tags[i], User: "me", Fields: core.Fields{"v": v}}.Normalize(0)}); err != nil {
				t.Fatal(err)
			}
		}
		if got := walk(t, store, core.Query{}); len(got) != 2 || got[0].Fields["v"] != int64(1<<53+1) || got[1].Fields["v"] != 1.5 {
			t.Errorf("read %v", got)
		}
	}
}

// TestReadByFieldAmongMany: what a field has is found in order wherever it stands among
// many rows, be it rare or common, in few pages or in many.
func TestReadByFieldAmongMany(t *testing.T) {
	file := filepath.Join(t.TempDir(), "audits.db")
	store := openFile(t, file, sqlite.Config{})
	defer store.Close(context.Background())
	var events []core.Event
	const many = 9500
	start := time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)
	for i := range many {
		fields := core.Fields{"my-third": i % 3, "my-rare": "no"}
		switch i {
		case 5, 6, 4300, many - 100:
			fields["my-rare"] = "yes"
		}
		// Some have the time of others, also where the newest end.
		events = append(events, core.Event{Tag: "ev", User: "me", Time: start.Add(time.Duration(i/4) * time.Second), Fields: fields}.Normalize(0))
	}
	if err := store.Save(t.Context(), events); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		q    core.Query
		want int
	}{
		{core.Query{Tag: "ev", Fields: core.Fields{"my-rare": "yes"}}, 4},
		{core.Query{Tag: "ev", Fields: core.Fields{"my-rare": "yes"}, Limit: 1}, 4},
		{core.Query{Fields: core.Fields{"my-rare": "yes"}, Limit: 2}, 4},
		{core.Query{Tag: "ev", Fields: core.Fields{"my-rare": "yes"}, To: start.Add(2 * time.Second)}, 2},
		{core.Query{Tag: "ev", Fields: core.Fields{"my-rare": "yes"}, From: start.Add(2 * time.Second)}, 2},
		{core.Query{Tag: "ev", Fields: core.Fields{"my-third": 2}, Limit: 1000}, many / 3},
		{core.Query{Tag: "ev", Fields: core.Fields{"my-third": 3}}, 0},
	} {
		if got := walk(t, store, c.q); len(got) != c.want {
			t.Errorf("%+v reads %d events, want %d", c.q, len(got), c.want)
		}
	}
}

// TestReadByFieldHoweverSpelled: a value is found whoever has written its JSON.
func TestReadByFieldHoweverSpelled(t *testing.T) {
	file := filepath.Join(t.TempDir(), "audits.db")
	store := openFile(t, file, sqlite.Config{})
	defer store.Close(context.Background())
	if err := store.Save(t.Context(), []core.Event{core.Event{Tag: "ev", User: "me"}.Normalize(0)}); err != nil {
		t.Fatal(err)
	}
	db := openDB(t, file)
	at := time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC)
	for _, c := range []struct {
		v         any
		spellings []string
	}{
		{5, []string{`5`, `5.0`, `5.00`}},
		{-5.0, []string{`-5`, `-5.0`}},
		{0, []string{`0`, `-0`, `0.0`, `-0.0`}},
		{math.Copysign(0, -1), []string{`0`, `-0.0`}},
		{0.3, []string{`0.3`, `0.29999999999999999`, `0.30`}},
		{1.5, []string{`1.5`, `1.50`}},
		{1e15, []string{`1000000000000000`, `1000000000000000.0`, `1e15`, `1e+15`, `1.0E+15`}},
		{int64(1234567890123456768), []string{`1234567890123456768`, `1.2345678901234568e+18`, `1234567890123456768.0`}},
		{uint64(1 << 63), []string{`9223372036854775808`, `9.2233720368547758e+18`, `9.223372036854776e18`}},
		{-1.25e-7, []string{`-1.25e-07`, `-1.25E-7`, `-0.000000125`}},
		{true, []string{`true`}},
		{"a/b", []string{`"a/b"`, `"a\/b"`, `"\u0061/b"`}},
		{`ä "quoted"`, []string{`"ä \"quoted\""`, `"\u00e4 \u0022quoted\""`}},
		{"", []string{`""`}},
		{at, []string{`{"$time":"2026-01-02T03:04:05.000006Z"}`, `{"$time":"2026-01-02T08:49:05.0000060+05:45"}`, `{"\u0024time":"2026-01-02T03:04:05.000006Z"}`}},
		{[]byte("xy"), []string{`{"$bytes":"eHk="}`}},
		{[]any{"x"}, []string{`["x"]`, `[ "x" ]`}},
		{map[string]any{"k": 1}, []string{`{"k":1}`, `{ "k" : 1.0 }`}},
	} {
		for _, spelling := range c.spellings {
			if _, err := db.Exec(`UPDATE ev SET audit_extra = '{"my-field":' || ? || '}'`, spelling); err != nil {
				t.Fatal(err)
			}
			if got := walk(t, store, core.Query{Tag: "ev", Fields: core.Fields{"my-field": c.v}}); len(got) != 1 {
				t.Errorf("%v (%T) is not found as %s", c.v, c.v, spelling)
			}
		}
	}
}
