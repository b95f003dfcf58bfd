package spool

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	gormpostgres "gorm.io/driver/postgres"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/stores/postgres"
	"github.com/auditing-go/auditing/stores/postgres/pgtest"
)

// gate is a next store that is away until it is opened.
type gate struct {
	core.Store
	open atomic.Bool
}

func (g *gate) Save(ctx context.Context, events []core.Event) error {
	if !g.open.Load() {
		return core.FailAll(len(events), core.Failure{Err: errDown, Retry: true})
	}
	return g.Store.Save(ctx, events)
}

var request = core.Request{
	Path: "/orders/42/refund", Host: "shop.example.com", IP: "203.0.113.7", Method: "POST", Peer: "10.0.0.4", Forwarded: "203.0.113.7",
	UserAgent: "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0", ID: "7f3c1a",
}

// refunds makes audits of n orders, which are numbered down from last.
func refunds(n, last int) []core.Event {
	events := make([]core.Event, n)
	for i := range events {
		events[i] = core.Event{
			Tag: "bench", User: "me", Request: &request,
			Fields: core.Fields{"order": last - i, "amount": 9.5, "what": "refund", "ok": true},
		}.Normalize(0)
	}
	return events
}

// backlog fills a spool before its next store takes anything.
func backlog(b testing.TB, next core.Store, n int) (*Store, *gate) {
	g := &gate{Store: next}
	s := openSpool(b, b.TempDir(), g, Config{MaxBytes: 8 << 30}, defaultTuning)
	for n > 0 {
		some := min(n, 10_000)
		save(b, s, refunds(some, n)...)
		n -= some
	}
	return s, g
}

// row is what an application would give GORM to store the same.
type row struct {
	Username     string
	Datetime     time.Time
	IP           string
	Host         string
	Path         string
	AuditID      string `gorm:"column:audit_id;primaryKey"`
	AuditTag     string
	AuditRequest string
	AuditExtra   *string
	Order        int64
	Amount       float64
	What         string
	Ok           bool
}

// BenchmarkDrain passes a backlog on to Postgres, and brings the same rows there
// with GORM's CreateInBatches and with two parallel psql \copy of binary files, into
// tables of the same shape. x-gorm and x-copy are how many times their rows per
// second the drain reaches.
func BenchmarkDrain(b *testing.B) {
	psql := findPSQL(b)
	dsn := pgtest.DSN(b)
	ctx := b.Context()
	store, err := postgres.Open(ctx, dsn, postgres.Config{})
	if err != nil {
		b.Fatal(err)
	}
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close(ctx)
	exec := func(statement string) {
		if _, err := conn.Exec(ctx, statement); err != nil {
			b.Fatalf("%s: %v", statement, err)
		}
	}
	db, err := gorm.Open(gormpostgres.Open(dsn), &gorm.Config{Logger: logger.Discard})
	if err != nil {
		b.Fatal(err)
	}
	pool, err := db.DB()
	if err != nil {
		b.Fatal(err)
	}
	defer pool.Close()

	const n = 200_000
	var drain, copied, inBatches time.Duration
	turns := 0
	for range b.N {
		turns++
		s, g := backlog(b, notClosed{store}, n)
		if turns > 1 {
			exec(`TRUNCATE bench`)
		}
		runtime.GC()
		exec(`CHECKPOINT`)
		began := time.Now()
		g.open.Store(true)
		if err := s.Flush(ctx); err != nil {
			b.Fatal(err)
		}
		drain += time.Since(began)
		var rows int
		if err := conn.QueryRow(ctx, `SELECT count(*) FROM bench`).Scan(&rows); err != nil || rows != n {
			b.Fatalf("%d rows arrived, want %d (%v)", rows, n, err)
		}
		closeSpool(b, s)

		// The same rows in two files, in the order of their ids as the drain had them.
		files := [2]string{filepath.Join(b.TempDir(), "0"), filepath.Join(b.TempDir(), "1")}
		for i, file := range files {
			psqlRun(b, psql, dsn, fmt.Sprintf(`\copy (SELECT * FROM (SELECT *, row_number() OVER (ORDER BY audit_id) AS nr FROM bench) AS t WHERE nr %% 20000 / 10000 = %d ORDER BY nr) TO '%s' (FORMAT binary)`, i, file))
		}
		exec(`CREATE TABLE copied (LIKE bench INCLUDING ALL)`)
		exec(`ALTER TABLE copied ADD COLUMN nr bigint`)
		exec(`CHECKPOINT`)
		began = time.Now()
		var both sync.WaitGroup
		for _, file := range files {
			both.Go(func() { psqlRun(b, psql, dsn, `\copy copied FROM '`+file+`' (FORMAT binary)`) })
		}
		both.Wait()
		copied += time.Since(began)
		if err := conn.QueryRow(ctx, `SELECT count(*) FROM copied`).Scan(&rows); err != nil || rows != n {
			b.Fatalf("%d rows were copied, want %d (%v)", rows, n, err)
		}

		exec(`CREATE TABLE rows (LIKE bench INCLUDING ALL)`)
		const some = n / 4 // it is slow
		list := make([]row, 0, some)
		for _, e := range readSome(b, store, some) {
			r := e.Request
			list = append(list, row{
				e.User, e.Time, r.IP, r.Host, r.Path, e.ID.String(), e.Tag, string(e.AppendDetails(nil)), nil,
				e.Fields["order"].(int64), 9.5, "refund", true,
			})
		}
		exec(`CHECKPOINT`)
		began = time.Now()
		if err := db.WithContext(ctx).CreateInBatches(list, 1000).Error; err != nil {
			b.Fatal(err)
		}
		inBatches += time.Since(began) * (n / some)
		exec(`DROP TABLE rows, copied`)
	}
	b.ReportMetric(float64(turns*n)/drain.Seconds(), "events/s")
	b.ReportMetric(float64(turns*n)/copied.Seconds(), "copy-events/s")
	b.ReportMetric(float64(turns*n)/inBatches.Seconds(), "gorm-events/s")
	b.ReportMetric(copied.Seconds()/drain.Seconds(), "x-copy")
	b.ReportMetric(inBatches.Seconds()/drain.Seconds(), "x-gorm")
	b.ReportMetric(0, "ns/op")
	store.Close(ctx)
}

// notClosed keeps a store open for the next turn.
type notClosed struct{ core.Store }

func readSome(b *testing.B, r core.Reader, n int) []core.Event {
	var all []core.Event
	q := core.Query{Tag: "bench", Limit: core.MaxLimit} // the copies are tables of audits too
	for len(all) < n {
		page, err := r.Read(b.Context(), q)
		if err != nil || len(page.Events) == 0 {
			b.Fatalf("reading: %v", err)
		}
		all = append(all, page.Events...)
		q.After = page.Next
	}
	slices.Reverse(all)
	return all[:n]
}

func findPSQL(b *testing.B) string {
	if path, err := exec.LookPath("psql"); err == nil {
		return path
	}
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/psql")
	if len(found) == 0 {
		b.Skip("no psql: install one (apt-get install postgresql-client)")
	}
	return found[len(found)-1]
}

func psqlRun(b *testing.B, psql, dsn, command string) {
	cmd := exec.Command(psql, "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", dsn, "-c", command)
	if out, err := cmd.CombinedOutput(); err != nil {
		b.Errorf("psql: %v: %s", err, out)
	}
}

var million = flag.Int("spool.million", 0, "how many events TestDrainInBoundedMemory drains, such as 1000000")

// TestDrainInBoundedMemory drains a large backlog, in a process of its own, and
// looks at how much of it was ever resident.
func TestDrainInBoundedMemory(t *testing.T) {
	if *million == 0 {
		t.Skip("a large file: run with -spool.million 1000000")
	}
	dir := t.TempDir()
	for _, step := range []string{"fill", "drain"} {
		arg, err := json.Marshal([]string{dir, strconv.Itoa(*million)})
		if err != nil {
			t.Fatal(err)
		}
		cmd, _, out := startChild(t, step, string(arg))
		line, err := out.ReadString('\n')
		if err != nil {
			t.Fatalf("%s: %v %v", step, err, cmd.Wait())
		}
		if err := cmd.Wait(); err != nil {
			t.Fatal(err)
		}
		t.Log(step, strings.TrimSpace(line))
		kilobytes, _ := strconv.Atoi(strings.Fields(line)[0])
		if step == "drain" && (kilobytes == 0 || kilobytes > 180<<10) {
			t.Errorf("%d KiB were resident, want at most 180 MiB", kilobytes)
		}
	}
}

// counter is a next store that only counts.
type counter struct{ n atomic.Int64 }

func (c *counter) Save(_ context.Context, events []core.Event) error {
	c.n.Add(int64(len(events)))
	return nil
}

func init() {
	in := func(run func(s *Store, n int) error, next func() core.Store) func(string) error {
		return func(arg string) error {
			var args []string
			if err := json.Unmarshal([]byte(arg), &args); err != nil {
				return err
			}
			n, err := strconv.Atoi(args[1])
			if err != nil {
				return err
			}
			began := time.Now()
			s, err := Open(args[0], next(), Config{MaxBytes: 8 << 30})
			if err != nil {
				return err
			}
			opened := time.Since(began)
			if err := run(s, n); err != nil {
				return err
			}
			status, err := os.ReadFile("/proc/self/status")
			if err != nil {
				return err
			}
			_, peak, _ := strings.Cut(string(status), "VmHWM:")
			peak, _, _ = strings.Cut(peak, "\n")
			fmt.Println(strings.TrimSpace(peak), "resident at most; opened in", opened, "and done in", time.Since(began), "with a file of", s.Stats().FileBytes, "bytes")
			return s.Close(context.Background())
		}
	}
	children["fill"] = in(func(s *Store, n int) error {
		for ; n > 0; n -= 1000 {
			if err := s.Save(context.Background(), refunds(min(n, 1000), n)); err != nil {
				return err
			}
		}
		return nil
	}, func() core.Store { return &memory{down: true} })
	var count counter
	children["drain"] = in(func(s *Store, n int) error {
		err := s.Flush(context.Background())
		if err == nil && count.n.Load() != int64(n) {
			err = fmt.Errorf("%d events were passed on, want %d", count.n.Load(), n)
		}
		return err
	}, func() core.Store { return &count })
}
