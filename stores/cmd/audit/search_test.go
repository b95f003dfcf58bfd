package main

import (
	"database/sql"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/auditing-go/auditing/core"
)

func TestSearch(t *testing.T) {
	each(t, func(p *place) {
		p.refunds(5)
		out, _ := p.run(0, "search", "-resource", "order/3", "-by", "auditor")
		if !strings.Contains(out, "refund: alice") || strings.Count(out, "\n") != 1 {
			p.Errorf("it prints %q", out)
		}
		reads := p.read(core.Query{Tag: core.TagRead})
		if len(reads) != 2 {
			p.Fatalf("%d events say that somebody looked, want that of the begin and of the end", len(reads))
		}
		end, begin := reads[0], reads[1]
		query, _ := end.Fields["query"].(map[string]any)
		target, _ := query["target"].(map[string]any)
		if begin.Fields["step"] != "begin" || end.Fields["step"] != "end" || end.User != "auditor" || end.Outcome != core.OutcomeSuccess || end.Service != "audit" ||
			end.Fields["events"] != int64(1) || end.Fields["first"] == nil || end.Fields["first"] != end.Fields["last"] || target["order"] != "3" || begin.Fields["run"] != end.Fields["run"] {
			p.Errorf("the looks are audited as %+v and %+v", begin, end)
		}
		for _, c := range []struct {
			args []string
			want int
		}{
			{nil, 7}, // those of the look before among them, its own not
			{[]string{"-tag", "refund", "-limit", "2"}, 2},
			{[]string{"-tag", "refund", "-field", "amount=3"}, 1},
			{[]string{"-tag", "refund", "-field", `amount="3"`}, 0},
			{[]string{"-tag", "refund", "-field", "note=n0", "-outcome", "denied"}, 3},
			{[]string{"-tag", "refund", "-user", "bob"}, 0},
			{[]string{"-tag", "refund", "-to", "2026-01-02T03:04"}, 0},
			{[]string{"-tag", "refund", "-from", "2026-01-02", "-json"}, 5},
		} {
			out, stderr := p.run(0, append([]string{"search"}, c.args...)...)
			if n := strings.Count(out, "\n"); n != c.want || strings.Contains(stderr, "there are more") != (c.want == 2) {
				p.Errorf("search %q prints %d events, want %d:\n%s%s", c.args, n, c.want, out, stderr)
			}
			for line := range strings.Lines(out) {
				var e core.Event
				if strings.Contains(strings.Join(c.args, " "), "-json") && e.UnmarshalJSON([]byte(line)) != nil {
					p.Errorf("%s is no event", line)
				}
			}
		}
	})
}

func TestDDL(t *testing.T) {
	each(t, func(p *place) {
		p.refunds(1)
		out, _ := p.run(0, "ddl", "-tag", "refund", "-field", "when=x", "-field", "order=42")
		if !strings.Contains(out, `"refund"`) || !strings.Contains(out, `"order" bigint`) || !strings.Contains(out, `"when" text`) {
			p.Errorf("it prints %s", out)
		}
		if out, _ := p.run(0, "ddl", "-view"); !strings.Contains(out, "audit_events") || !strings.Contains(out, "refund") {
			p.Errorf("the view is %s", out)
		}
	})
}

// TestCheckOfAFile: a file that others may write to is a gap.
func TestCheckOfAFile(t *testing.T) {
	each(t, func(p *place) {
		if p.driver != "sqlite" {
			p.Skip("see TestCheckOfARole")
		}
		p.refunds(1)
		if out, _ := p.run(0, "check"); !strings.Contains(out, "ok   synchronous is 3") || strings.Contains(out, "GAP") {
			p.Errorf("it says %s", out)
		}
		file, _, _ := strings.Cut(p.dsn, "?")
		db, err := sql.Open("sqlite", file)
		if err != nil {
			p.Fatal(err)
		}
		defer db.Close()
		if _, err := db.ExecContext(p.Context(), `CREATE TRIGGER eats BEFORE INSERT ON refund BEGIN SELECT raise(ignore); END`); err != nil {
			p.Fatal(err)
		}
		if out, _ := p.run(1, "check"); !strings.Contains(out, `GAP  the trigger "eats" of table refund`) {
			p.Errorf("of a trigger it says %s", out)
		}
		if _, err := db.ExecContext(p.Context(), `DROP TRIGGER eats`); err != nil {
			p.Fatal(err)
		}
		if err := os.Chmod(file, 0o666); err != nil {
			p.Fatal(err)
		}
		if out, stderr := p.run(1, "check"); !strings.Contains(out, "GAP  the file's mode is -rw-rw-rw-") || !strings.Contains(out, "chmod go-w "+filepath.Clean(file)) || !strings.Contains(stderr, "1 gaps") {
			p.Errorf("it says %s%s", out, stderr)
		}
	})
}
