package proof_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"

	"github.com/auditing-go/auditing/core"
)

// TestLeaks: after 10,000 audits and a Close there are as many goroutines,
// connections and open files as before.
func TestLeaks(t *testing.T) {
	for _, driver := range drivers {
		t.Run(driver, func(t *testing.T) {
			p := newPlace(t, driver)
			connections := func() int { return 0 }
			if strings.HasSuffix(driver, "postgres_auto") {
				_, dsn, spooled := strings.Cut(p.dsn, ";")
				if !spooled {
					dsn = p.dsn
				}
				watcher := connect(t, dsn)
				connections = func() int { return countConnections(t, watcher) }
			}
			auditAndClose(t, p, 100) // what is opened once for all is open now
			eventually(t, "the connections are closed", func() bool { return connections() == 0 })
			ignored, files := goleak.IgnoreCurrent(), openFiles(t)
			auditAndClose(t, p, 10_000)
			goleak.VerifyNone(t, ignored)
			eventually(t, "the connections are closed", func() bool { return connections() == 0 })
			if after := openFiles(t); after != files {
				t.Errorf("%d files and sockets were open before, %d are after", files, after)
			}
		})
	}
}

// countConnections counts the others to the same database.
func countConnections(t *testing.T, watcher *pgx.Conn) (n int) {
	t.Helper()
	if err := watcher.QueryRow(t.Context(), `SELECT count(*) FROM pg_stat_activity
		WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'`).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// openFiles is 0 where the system does not say.
func openFiles(t *testing.T) int {
	t.Helper()
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Log("open files are not counted:", err)
	}
	return len(files)
}

func auditAndClose(t *testing.T, p place, audits int) {
	t.Helper()
	rec, err := core.New(p.open(t), patient)
	if err != nil {
		t.Fatal(err)
	}
	const goroutines = 50
	var all sync.WaitGroup
	for g := range goroutines {
		all.Go(func() {
			for n := range audits / goroutines {
				if err := rec.Audit(context.Background(), fmt.Sprint("leak_", n%3), core.Fields{"n": n}, core.As(fmt.Sprint(g))); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if st := rec.Stats(); st.Stored != uint64(audits) {
		t.Errorf("%d of %d audits are stored", st.Stored, audits)
	}
	if err := rec.Close(context.Background()); err != nil {
		t.Error(err)
	}
}
