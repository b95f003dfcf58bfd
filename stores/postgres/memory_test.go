package postgres_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/stores/postgres"
	"github.com/auditing-go/auditing/stores/postgres/pgtest"
)

// TestPreparedStatementsAreBoundedByWhatTheyHold: a thousand sets of ninety fields.
func TestPreparedStatementsAreBoundedByWhatTheyHold(t *testing.T) {
	const sets, width, columns = 1000, 90, 200
	dsn := pgtest.DSN(t)
	fields := core.Fields{}
	for i := range columns {
		fields[fmt.Sprint("f", i)] = i
	}
	connect(t, dsn).exec(made(t, dsn, "ev", fields))
	w := watchMemory(t, dsn)
	s := open(t, w.dsn, postgres.Config{})
	for n := range sets {
		f := core.Fields{}
		for i := range width {
			f[fmt.Sprint("f", (n*7+i*(n%9+1)*2+i)%columns)] = i
		}
		save(t, s, fresh("ev", f))
		w.look(n)
	}
	w.wantLittle()
}

// TestRandomSetsOfFieldsTakeBoundedMemory: nearly no two of a thousand audits have the
// statement in common.
func TestRandomSetsOfFieldsTakeBoundedMemory(t *testing.T) {
	const sets, width, names = 1000, 90, 250
	w := watchMemory(t, pgtest.DSN(t))
	s := open(t, w.dsn, postgres.Config{})
	rec := record(t, s)
	random := rand.New(rand.NewPCG(1, 2))
	for n := range sets {
		f := core.Fields{}
		for _, i := range random.Perm(names)[:width] {
			f[fmt.Sprint("f", i)] = i
		}
		if err := rec.Audit(t.Context(), "ev", f, core.As("me")); err != nil {
			t.Fatal(err)
		}
		w.look(n)
	}
	if n := ask[int](w.db, `SELECT count(*) FROM ev`); n != sets {
		t.Errorf("%d of %d audits are stored", n, sets)
	}
	for range 20 {
		if _, err := s.Read(t.Context(), core.Query{Tag: "ev"}); err != nil {
			t.Fatal(err)
		}
	}
	w.wantLittle()
}

// memory watches the processes of the server that serve a store.
type memory struct {
	db
	dsn  string // the store's
	most int    // kB that one of them had of its own
}

func watchMemory(t *testing.T, dsn string) *memory {
	return &memory{db: connect(t, dsn), dsn: withParams(dsn, "application_name=watched")}
}

// look notes what they have, at every fiftieth n.
func (m *memory) look(n int) {
	m.Helper()
	if n%50 != 49 {
		return
	}
	rows, err := m.conn.Query(m.Context(), `SELECT pid FROM pg_stat_activity WHERE application_name = 'watched'`)
	if err != nil {
		m.Fatal(err)
	}
	pids, err := pgx.CollectRows(rows, pgx.RowTo[int])
	if err != nil || len(pids) == 0 {
		m.Fatal("processes of the server: ", pids, err)
	}
	for _, pid := range pids {
		maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
		if os.IsNotExist(err) && !m.serves(pid) {
			continue // it has ended since
		}
		if err != nil {
			m.Skip("the server's processes cannot be seen: ", err)
		}
		private := 0
		for line := range strings.Lines(string(maps)) {
			if words := strings.Fields(line); words[0] == "Private_Clean:" || words[0] == "Private_Dirty:" {
				kB, err := strconv.Atoi(words[1])
				if err != nil {
					m.Fatal(err)
				}
				private += kB
			}
		}
		m.most = max(m.most, private)
	}
}

func (m *memory) serves(pid int) bool {
	return ask[int](m.db, `SELECT count(*) FROM pg_stat_activity WHERE pid = $1`, pid) > 0
}

func (m *memory) wantLittle() {
	m.Helper()
	const most = 80 // MB; without a bound they have more than a hundred
	m.look(49)
	m.Logf("a process of the server had up to %d MB of its own", m.most/1024)
	if m.most > most*1024 {
		m.Errorf("a process of the server had %d MB, want at most %d", m.most/1024, most)
	}
}
