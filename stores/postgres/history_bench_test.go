package postgres_test

import (
	"fmt"
	"testing"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/stores/internal/sqlstore/sqltest"
	"github.com/auditing-go/auditing/stores/postgres"
	"github.com/auditing-go/auditing/stores/postgres/pgtest"
)

// BenchmarkHistory reads a few of very many rows, see [sqltest.History].
func BenchmarkHistory(b *testing.B) {
	rows := sqltest.HistoryRows()
	dsn := pgtest.DSN(b)
	d := connect(b, dsn)
	s := open(b, dsn, postgres.Config{})
	d.exec(s.DDL("refund", core.Fields{"n": 1}))
	d.exec(fmt.Sprintf(`INSERT INTO refund (username, datetime, audit_id, audit_tag, audit_request, audit_target, audit_outcome, n)
		SELECT 'u' || j %% %[2]d, '2020-01-01'::timestamptz + j * interval '1 second', ('00000000-0000-7000-8000-' || lpad(to_hex(j), 12, '0'))::uuid, 'refund',
			'{"method": "POST"}', 'order/' || j %% %[2]d, 'success', j FROM generate_series(1, %[1]d) j`, rows, rows/10))
	d.exec("VACUUM ANALYZE refund")
	sqltest.History(b, s, rows)
}
