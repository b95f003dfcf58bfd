package postgres_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/stores/postgres"
	"github.com/auditing-go/auditing/stores/postgres/pgtest"
)

// BenchmarkRead reads first pages: of a tag with ten events, of all tags over many
// tables, cold and warm, and by a field that stands in audit_extra. AUDITING_LONG=1 makes
// them as large as they are meant, 1,000 tables and 100,000 rows.
func BenchmarkRead(b *testing.B) {
	tables, rows := 100, 10_000
	if os.Getenv("AUDITING_LONG") != "" {
		tables, rows = 1000, 100_000
	}
	dsn := pgtest.DSN(b)
	d := connect(b, dsn)
	s := open(b, dsn, postgres.Config{})
	var ddl strings.Builder
	for i := range tables {
		tag := fmt.Sprint("tag", i)
		ddl.WriteString(s.DDL(tag, core.Fields{"n": 1, "what": "x"}) + fmt.Sprintf(`INSERT INTO %s (username, datetime, audit_id, audit_tag, n, what)
			SELECT 'u' || j %% 10, now() - (j * %d + %d) * interval '1 second', gen_random_uuid(), '%s', j, 'text' FROM generate_series(1, 20) j;`, tag, tables, i, tag))
		if i%50 == 49 {
			d.exec(ddl.String())
			ddl.Reset()
		}
	}
	d.exec(s.DDL("fields", nil) + fmt.Sprintf(`INSERT INTO fields (username, datetime, audit_id, audit_tag, audit_request, audit_extra)
		SELECT 'u', '2020-01-01'::timestamptz + j * interval '1 second', gen_random_uuid(), 'fields', '{"method": "POST", "user_agent": "Mozilla/5.0"}',
		jsonb_build_object('my-order', j, 'my-note', 'text ' || j) FROM generate_series(1, %d) j`, rows))
	d.exec(s.DDL("ten", core.Fields{"n": 1}))
	for n := range 10 {
		save(b, s, fresh("ten", core.Fields{"n": n}))
	}
	d.exec("VACUUM ANALYZE")
	read := func(b *testing.B, s core.Reader, q core.Query, want int) {
		page, err := s.Read(b.Context(), q)
		if err != nil || len(page.Events) != want {
			b.Fatalf("read %d events (%v), want %d", len(page.Events), err, want)
		}
	}
	b.Run("all tags cold", func(b *testing.B) {
		for range b.N {
			b.StopTimer()
			cold, err := postgres.Open(b.Context(), dsn, postgres.Config{})
			if err != nil {
				b.Fatal(err)
			}
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
	b.Run("list of tags", func(b *testing.B) {
		for range b.N {
			if tags, err := s.Tags(b.Context()); err != nil || len(tags) != tables+2 {
				b.Fatalf("%d tags (%v), want %d", len(tags), err, tables+2)
			}
		}
	})
	for _, c := range []struct {
		name string
		q    core.Query
		want int
	}{
		{"all tags", core.Query{}, 100},
		{"all tags, the next page", core.Query{After: last.Next}, 100},
		{"all tags of a user", core.Query{User: "u3"}, 100},
		{"ten events of a tag", core.Query{Tag: "ten"}, 10},
		{"field in audit_extra, number", core.Query{Tag: "fields", Fields: core.Fields{"my-order": rows / 2}}, 1},
		{"field in audit_extra, text", core.Query{Tag: "fields", Fields: core.Fields{"my-note": fmt.Sprint("text ", rows/2)}}, 1},
		{"field in audit_extra, nothing", core.Query{Tag: "fields", Fields: core.Fields{"my-note": "x"}}, 0},
		{"field in audit_extra, time", core.Query{Tag: "fields", Fields: core.Fields{"my-note": time.Now()}}, 0},
	} {
		b.Run(c.name, func(b *testing.B) {
			for range 5 {
				read(b, s, c.q, c.want) // whichever connection has not prepared it does
			}
			b.ResetTimer()
			for range b.N {
				read(b, s, c.q, c.want)
			}
		})
	}
}
