package auditpage_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/nethttpaudit/auditpage"
	"github.com/auditing-go/auditing/stores/postgres"
	"github.com/auditing-go/auditing/stores/postgres/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// BenchmarkPage answers pages of a Postgres with 100,000 rows, and with AUDITING_LONG=1 with
// 10,000,000. Each looks at the trail, so it has an audit of its own.
func BenchmarkPage(b *testing.B) {
	rows := 100_000
	if os.Getenv("AUDITING_LONG") != "" {
		rows = 10_000_000
	}
	quiet := slog.New(slog.DiscardHandler)
	dsn := pgtest.DSN(b)
	store, err := postgres.Open(b.Context(), dsn, postgres.Config{Logger: quiet})
	if err != nil {
		b.Fatal(err)
	}
	rec, err := core.New(store, core.Config{Logger: quiet})
	if err != nil {
		b.Fatal(err)
	}
	defer rec.Close(context.Background())
	last := fill(b, store, rows)
	conn, err := pgx.Connect(b.Context(), dsn)
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close(context.Background())
	if _, err := conn.Exec(b.Context(), "VACUUM ANALYZE"); err != nil { // as the server does by itself in time
		b.Fatal(err)
	}
	page, err := auditpage.New(rec, auditpage.Config{User: alice})
	if err != nil {
		b.Fatal(err)
	}
	for _, c := range []struct {
		name  string
		query url.Values
	}{
		{"first", nil},
		{"tag", url.Values{"tag": {"refund"}}},
		{"user", url.Values{"user": {"user-77"}}},
		{"resource", url.Values{"resource": {"order/4711"}, "view": {"timeline"}}},
		{"event", url.Values{"event": {last.String()}}},
		{"day", url.Values{"from": {"2026-11-20"}, "before": {"2026-11-21"}}},
	} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				w := httptest.NewRecorder()
				page.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/audit/?"+c.query.Encode(), nil))
				if w.Code != http.StatusOK || w.Body.Len() < 5000 {
					b.Fatalf("%d with %d bytes", w.Code, w.Body.Len())
				}
			}
		})
	}
}

// fill stores events of 20 tags up to noon and returns the id of the last.
func fill(b *testing.B, store core.Store, rows int) (last uuid.UUID) {
	b.Helper()
	const batch = 10_000
	for begin := 0; begin < rows; begin += batch {
		events := make([]core.Event, 0, batch)
		for i := begin; i < begin+batch; i++ {
			tag := "refund"
			if i%10 == 0 {
				tag = fmt.Sprint("other.", i/10%20)
			}
			e := core.Event{
				ID: uuid.Must(uuid.NewV7()), Tag: tag, User: fmt.Sprint("user-", i%1000), Target: fmt.Sprint("order/", i%(rows/10)), Outcome: core.OutcomeSuccess,
				Time:    noon.Add(-time.Duration(rows-i) * time.Second),
				Request: &core.Request{Method: "POST", Path: "/refund", Host: "example.com", IP: "203.0.113.9", ID: fmt.Sprint("request-", i)},
				Fields:  core.Fields{"amount": float64(i % 100), "currency": "EUR", "note": "a note of some length"}, First: true,
			}.Normalize(core.DefaultMaxEventBytes)
			events, last = append(events, e), e.ID
		}
		if err := store.Save(b.Context(), events); err != nil {
			b.Fatal(err)
		}
	}
	return last
}
