package export_test

import (
	"encoding/csv"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/core/export"
)

// rows reads a file and returns its rows by the names of their columns.
func rows(t *testing.T, file string) (names []string, rows []map[string]string) {
	t.Helper()
	all, err := csv.NewReader(strings.NewReader(file)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	for _, record := range all[1:] {
		row := map[string]string{}
		for i, name := range all[0] {
			row[name] = record[i]
		}
		rows = append(rows, row)
	}
	return all[0], rows
}

// lines is what encoding/csv makes of the line breaks in a text.
func lines(s string) string { return strings.ReplaceAll(s, "\r\n", "\n") }

func TestCSVDisarmsFormulas(t *testing.T) {
	events := newestFirst(hostile())
	file, _ := write(t, &trail{events: events}, core.Query{}, export.CSV)
	_, got := rows(t, file)
	if len(got) != len(events) {
		t.Fatalf("%d rows, want %d", len(got), len(events))
	}
	for i, row := range got {
		for name, cell := range row {
			if first, _ := utf8.DecodeRuneInString(cell); cell != "" && strings.ContainsRune("=+-@\t\r\n＝＋－＠", first) && name != "fields.n" && name != "fields.f" {
				t.Errorf("%s is the formula %.40q", name, cell)
			}
		}
		text, _ := events[i].Fields["text"].(string)
		for name, text := range map[string]string{"fields.text": text, "username": events[i].User, "reason": events[i].Reason, "tenant": events[i].Tenant} {
			if cell := strings.TrimPrefix(row[name], "'"); cell != lines(text) {
				t.Errorf("%s is %.40q, want %.40q", name, cell, text)
			}
		}
		if n := fmt.Sprint(events[i].Fields["n"]); row["fields.n"] != n {
			t.Errorf("the number is %q, want %s", row["fields.n"], n)
		}
		if row["fields.id"] != "a field's" || row["id"] != events[i].ID.String() || row["fields.fields.n"] != "1" || row["fields.nan"] != "NaN" || row["fields.inf"] != "'-Inf" {
			t.Errorf("the row is %.1000q", row)
		}
	}
}

// TestCSVHasBoundedColumns: what comes behind the first 1,000 names, or while the file is
// written, has a place too.
func TestCSVHasBoundedColumns(t *testing.T) {
	s := &trail{}
	for i := range 1500 {
		s.events = append(s.events, numbered(i, "x", core.Fields{fmt.Sprintf("f%04d", i): i, "all": true}))
	}
	pages := 0
	s.before = func(q core.Query) {
		if pages++; q.After == "" && pages > 1 {
			s.events = append(s.events, numbered(5000, "x", core.Fields{"late": "=1"}))
		}
	}
	file, m := write(t, s, core.Query{}, export.CSV)
	names, got := rows(t, file)
	if fields := len(names) - 21; fields != 1000 || m.Events != 1501 || len(got) != 1501 {
		t.Fatalf("%d columns of fields, %d rows of %d", fields, len(got), m.Events)
	}
	found := 0
	for _, row := range got {
		n := strings.TrimLeft(row["id"][len(row["id"])-4:], "0")
		switch {
		case n == "5000" && row["other_fields"] == `{"late":"=1"}`, row["other_fields"] == fmt.Sprintf(`{"f%04s":%s}`, n, n):
			found++
		case row["other_fields"] != "" || row["fields.all"] != "true":
			t.Errorf("the row of %s is %v", n, row)
		}
	}
	if found != 502 {
		t.Errorf("%d rows have other fields, want 502", found)
	}
}

func FuzzCSV(f *testing.F) {
	f.Add("note", "=1", "a,\"b\"")
	f.Add("", "'", "\r\n")
	f.Fuzz(func(t *testing.T, name, a, b string) {
		e := numbered(1, "x", core.Fields{name: a, "b": b})
		file, _ := write(t, &trail{events: []core.Event{e}}, core.Query{}, export.CSV)
		_, got := rows(t, file)
		for name, v := range e.Fields {
			cell := got[0][lines("fields."+name)]
			if text := strings.TrimPrefix(cell, "'"); text != lines(v.(string)) || cell != text && text[0] != 0xef && !strings.ContainsAny(text[:1], "=+-@\t\r\n'") {
				t.Errorf("%q is %q, want %q", name, cell, v)
			}
		}
	})
}
