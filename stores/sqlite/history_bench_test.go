package sqlite_test

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/stores/internal/sqlstore/sqltest"
	"github.com/auditing-go/auditing/stores/sqlite"
)

// BenchmarkHistory reads a few of very many rows, see [sqltest.History].
func BenchmarkHistory(b *testing.B) {
	rows := sqltest.HistoryRows()
	file := filepath.Join(b.TempDir(), "audits.db")
	s, err := sqlite.Open(b.Context(), file, sqlite.Config{})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close(context.Background())
	db, err := sql.Open("sqlite", file+"?_pragma=busy_timeout(5000)")
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	for _, statement := range []string{s.DDL("refund", core.Fields{"n": 1}), fmt.Sprintf(`WITH RECURSIVE c (j) AS (SELECT 1 UNION ALL SELECT j + 1 FROM c WHERE j < %[1]d)
		INSERT INTO refund (username, datetime, audit_id, audit_tag, audit_request, audit_target, audit_outcome, n)
		SELECT 'u' || (j %% %[2]d), strftime('%%Y-%%m-%%d %%H:%%M:%%S.000000+00:00', 1577836800 + j, 'unixepoch'), printf('00000000-0000-7000-8000-%%012x', j), 'refund',
			'{"method":"POST"}', 'order/' || (j %% %[2]d), 'success', j FROM c`, rows, rows/10)} {
		if _, err := db.ExecContext(b.Context(), statement); err != nil {
			b.Fatal(err)
		}
	}
	sqltest.History(b, s, rows)
}
