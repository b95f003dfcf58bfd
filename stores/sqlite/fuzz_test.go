package sqlite_test

import (
	"context"
	"database/sql"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/stores/sqlite"
)

// fuzzed is a database whose one table and few columns are made beforehand: what
// comes later finds its place in audit_overflow and audit_extra, without waiting for DDL.
type fuzzed struct {
	store *sqlite.Store
	file  string
}

func openFuzzed(t *testing.T) *fuzzed {
	t.Helper()
	d := &fuzzed{file: filepath.Join(t.TempDir(), "audits.db")}
	var err error
	// Nothing here has to outlive a crash.
	d.store, err = sqlite.Open(t.Context(), d.file+"?_pragma=synchronous(0)", sqlite.Config{MaxTables: 1, MaxColumns: 8})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.store.Close(context.Background()) })
	e := core.Event{Tag: "table", User: "me", Fields: core.Fields{"text": "", "n": 1, "x": 1.5, "data": []byte{1}, "at": time.Now(), "list": []any{1}}}
	if err := d.store.Save(t.Context(), []core.Event{e.Normalize(0)}); err != nil {
		t.Fatal(err)
	}
	return d
}

// wantTables fails the test if any text was taken for SQL.
func (d *fuzzed) wantTables(t *testing.T) {
	t.Helper()
	db, err := sql.Open("sqlite", d.file)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	rows, err := db.QueryContext(t.Context(), "SELECT m.name, count(*) FROM sqlite_master m, pragma_table_info(m.name) WHERE m.type = 'table' GROUP BY 1")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	const columns = 9 // of every table of audits
	want := map[string]int{"table": columns + 6, "audit_overflow": columns}
	for rows.Next() {
		var name string
		var n int
		if err := rows.Scan(&name, &n); err != nil {
			t.Fatal(err)
		}
		if n > want[name] {
			t.Errorf("there is a table %q of %d columns", name, n)
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
}

// FuzzStore: whatever tag, user, field and value are, they are read back exactly, from
// columns and from where what has no column goes, and none of them is taken for SQL.
func FuzzStore(f *testing.F) {
	f.Add("table", "alice", "text", "some data", int64(1), 1.5, []byte{0, 255}, int64(1_700_000_000_000_000))
	f.Add(`x"; DROP TABLE "table"; --`, `' OR 1=1`, `a"b`, "a\x00b\xff", int64(-1<<63), -1.5, []byte(nil), int64(-60_000_000_000_000_000))
	f.Add("", "{", "audit_id", `{"$time":"2020-01-02T03:04:05Z"}`, int64(1<<53+1), 1e300, []byte("x"), int64(0))
	f.Add("TABLE", "@id", "N", "?1 $1 :a %s", int64(0), 5e-324, []byte("'"), int64(1))
	f.Fuzz(func(t *testing.T, tag, user, name, text string, n int64, x float64, data []byte, micros int64) {
		if user == "" {
			user = "me"
		}
		d := openFuzzed(t)
		fields := core.Fields{
			"text": text, "n": n, "x": x, "data": data, "at": time.UnixMicro(micros), "list": []any{text, n, map[string]any{name: x}},
			name: text, name + "2": data, "TEXT": x,
		}
		events := []core.Event{
			core.Event{Tag: "table", User: user, Time: time.UnixMicro(micros), Fields: fields}.Normalize(0),
			core.Event{Tag: tag, User: user, Time: time.UnixMicro(micros), Request: &core.Request{Path: text, ID: name}, Fields: fields}.Normalize(0),
		}
		if err := d.store.Save(t.Context(), events); err != nil {
			t.Fatal(err)
		}
		page, err := d.store.Read(t.Context(), core.Query{User: events[0].User, From: events[0].Time, To: events[0].Time.Add(time.Microsecond)})
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range events {
			i := slices.IndexFunc(page.Events, func(e core.Event) bool { return e.ID == want.ID })
			if i < 0 {
				t.Fatalf("%+v is not found", want)
			}
			if got := page.Events[i]; string(got.AppendJSON(nil)) != string(want.AppendJSON(nil)) {
				t.Fatalf("%+v is read as\n%+v", want, got)
			}
		}
		d.wantTables(t)
	})
}
