package sqlite_test

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/stores/sqlite"
)

// BenchmarkRead reads first pages: of a tag with ten events and, with AUDITING_LONG=1, of
// all tags over 1,000 tables, cold and warm, and by a field that stands in audit_extra, of
// 100,000 rows.
func BenchmarkRead(b *testing.B) {
	const tables, rows = 1000, 100_000
	file := filepath.Join(b.TempDir(), "audits.db")
	open := func() *sqlite.Store {
		s, err := sqlite.Open(b.Context(), file, sqlite.Config{})
		if err != nil {
			b.Fatal(err)
		}
		return s
	}
	s := open()
	defer s.Close(context.Background())
	for n := range 10 {
		if err := s.Save(b.Context(), []core.Event{core.Event{Tag: "ten", User: "me", Fields: core.Fields{"n": n}, First: true}.Normalize(0)}); err != nil {
			b.Fatal(err)
		}
	}
	read := func(b *testing.B, s core.Reader, q core.Query, want int) {
		page, err := s.Read(b.Context(), q)
		if err != nil || len(page.Events) != want {
			b.Fatalf("read %d events (%v), want %d", len(page.Events), err, want)
		}
	}
	warm := func(name string, q core.Query, want int) {
		b.Run(name, func(b *testing.B) {
			read(b, s, q, want)
			b.ResetTimer()
			for range b.N {
				read(b, s, q, want)
			}
		})
	}
	warm("ten events of a tag", core.Query{Tag: "ten"}, 10)
	if os.Getenv("AUDITING_LONG") == "" {
		return
	}
	db, err := sql.Open("sqlite", file+"?_pragma=busy_timeout(5000)")
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	const ids = `lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-' || hex(randomblob(2)) || '-' || hex(randomblob(2)) || '-' || hex(randomblob(6)))`
	const count = `WITH RECURSIVE c (j) AS (SELECT 1 UNION ALL SELECT j + 1 FROM c WHERE j < %d) `
	const at = `strftime('%%Y-%%m-%%d %%H:%%M:%%S.000000+00:00', 1767225600 - %s, 'unixepoch')`
	tx, err := db.BeginTx(b.Context(), nil)
	if err != nil {
		b.Fatal(err)
	}
	defer tx.Rollback()
	exec := func(statement string) {
		if _, err := tx.ExecContext(b.Context(), statement); err != nil {
			b.Fatalf("%s: %v", statement, err)
		}
	}
	for i := range tables {
		tag := fmt.Sprint("tag", i)
		exec(s.DDL(tag, core.Fields{"n": 1, "what": "x"}))
		exec(fmt.Sprintf(`INSERT INTO %s (username, datetime, audit_id, audit_tag, n, what) `+count+`SELECT 'u' || (j %% 10), `+at+`, `+ids+`, '%s', j, 'text' FROM c`,
			tag, 20, fmt.Sprintf("(j * %d + %d)", tables, i), tag))
	}
	exec(s.DDL("fields", nil))
	exec(fmt.Sprintf(`INSERT INTO fields (username, datetime, audit_id, audit_tag, audit_request, audit_extra) `+count+`SELECT 'u', `+at+`, `+ids+`, 'fields',
		'{"method":"POST","user_agent":"Mozilla/5.0"}', '{"my-order":' || j || ',"my-note":"text ' || j || '"}' FROM c`, rows, "100000000 - j"))
	if err := tx.Commit(); err != nil {
		b.Fatal(err)
	}
	b.Run("all tags cold", func(b *testing.B) {
		for range b.N {
			b.StopTimer()
			cold := open()
			b.StartTimer()
			read(b, cold, core.Query{}, 100)
			b.StopTimer()
			cold.Close(context.Background())
		}
	})
	last, err := s.Read(b.Context(), core.Query{})
	if err != nil {
		b.Fatal(err)
	}
	warm("all tags", core.Query{}, 100)
	warm("all tags, the next page", core.Query{After: last.Next}, 100)
	warm("all tags of a user", core.Query{User: "u3"}, 100)
	b.Run("list of tags", func(b *testing.B) {
		for range b.N {
			if tags, err := s.Tags(b.Context()); err != nil || len(tags) != tables+2 {
				b.Fatalf("%d tags (%v), want %d", len(tags), err, tables+2)
			}
		}
	})
	warm("field in audit_extra, number", core.Query{Tag: "fields", Fields: core.Fields{"my-order": rows / 2}}, 1)
	warm("field in audit_extra, nothing", core.Query{Tag: "fields", Fields: core.Fields{"my-order": -1}}, 0)
	warm("field in audit_extra, text", core.Query{Tag: "fields", Fields: core.Fields{"my-note": fmt.Sprint("text ", rows/2)}}, 1)
	warm("field in audit_extra, time", core.Query{Tag: "fields", Fields: core.Fields{"my-note": time.Now()}}, 0)
}
