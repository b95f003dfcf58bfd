package sqltest

import (
	"fmt"
	"os"
	"testing"

	"github.com/google/uuid"

	"github.com/auditing-go/auditing/core"
)

// HistoryRows is how many rows [History] reads among: 100,000, and 10,000,000 with AUDITING_LONG=1.
func HistoryRows() int {
	if os.Getenv("AUDITING_LONG") != "" {
		return 10_000_000
	}
	return 100_000
}

// History reads what was done to one resource, what one user did, and one event, of the table
// refund, whose row j, from 1 to rows, has the target order/N and the user uN, N being the rest
// of j by a tenth of rows, and an audit_id that ends in j.
func History(b *testing.B, s core.Reader, rows int) {
	for _, c := range []struct {
		name string
		q    core.Query
		want int
	}{
		{"resource", core.Query{Target: "order/7"}, 10},
		{"resource of a tag", core.Query{Tag: "refund", Target: "order/7"}, 10},
		{"user", core.Query{User: "u7"}, 10},
		{"event", core.Query{ID: uuid.MustParse(fmt.Sprintf("00000000-0000-7000-8000-%012x", rows/2))}, 1},
	} {
		b.Run(c.name, func(b *testing.B) {
			for n := -5; n < b.N; n++ {
				if n == 0 {
					b.ResetTimer()
				}
				page, err := s.Read(b.Context(), c.q)
				if err != nil || len(page.Events) != c.want {
					b.Fatalf("read %d events (%v), want %d", len(page.Events), err, c.want)
				}
			}
		})
	}
}
