package postgres_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/stores"
	"github.com/auditing-go/auditing/stores/postgres/pgtest"
)

const childEnv = "AUDITING_TEST_CHILD_DSN"

// readmeAudit is the example of the Python library's README.
func readmeAudit(rec *core.Recorder, opts ...core.Option) error {
	return rec.Audit(context.Background(), "mytag",
		core.Fields{"a": "some data", "c": "some other data", "b": 0}, append(opts, core.As("me"))...)
}

func TestReadmeExample(t *testing.T) {
	admin := pgtest.DSN(t)
	dsn := missingDatabase(t, admin)
	store, err := stores.Open(t.Context(), "postgres_auto", dsn)
	if err != nil {
		t.Fatal(err)
	}
	rec := record(t, store)
	at := time.Date(2019, 12, 5, 13, 55, 55, 636742000, time.UTC)
	if err := readmeAudit(rec, core.At(at)); err != nil {
		t.Fatal(err)
	}

	d := connect(t, dsn)
	d.exec("SET timezone = 'UTC'")
	got := ask[string](d, `SELECT concat_ws(' | ', username, datetime, a, c, b) FROM mytag`)
	if want := "me | 2019-12-05 13:55:55.636742+00 | some data | some other data | 0"; got != want {
		t.Errorf("the row is\n%s, want\n%s", got, want)
	}
	columns := ask[string](d, `SELECT string_agg(attname || ' ' || format_type(atttypid, atttypmod), ', ' ORDER BY attnum)
		FROM pg_attribute WHERE attrelid = 'mytag'::regclass AND attnum > 0`)
	const want = "username text, datetime timestamp with time zone, ip text, host text, path text, a text, b bigint, c text, " +
		"audit_id uuid, audit_tag text, audit_request jsonb, audit_extra jsonb"
	if columns != want {
		t.Errorf("the columns are\n%s, want\n%s", columns, want)
	}
	if n := ask[int](d, `SELECT count(*) FROM pg_index WHERE indrelid = 'mytag'::regclass`); n != 3 {
		t.Errorf("mytag has %d indexes, want the key, one by time, and one by user and time", n)
	}
}

// missingDatabase returns a DSN of a database that is not there yet.
func missingDatabase(t *testing.T, admin string) string {
	t.Helper()
	name := "mydb_" + fmt.Sprint(time.Now().UnixNano())
	d := connect(t, admin)
	t.Cleanup(func() {
		_, _ = d.conn.Exec(context.Background(), "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)")
	})
	if !strings.Contains(admin, "://") {
		return admin + " dbname=" + name
	}
	cfg := d.conn.Config()
	return strings.Replace(admin, "/"+cfg.Database, "/"+name, 1)
}

// eightWriters is how many processes create and widen the same table at once.
const (
	eightWriters    = 8
	auditsPerWriter = 20
)

func TestManyProcessesAtOnce(t *testing.T) {
	dsn := missingDatabase(t, pgtest.DSN(t))
	var wg sync.WaitGroup
	for range eightWriters {
		wg.Add(1)
		go func() {
			defer wg.Done()
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), childEnv+"="+dsn)
			if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
				t.Errorf("a process said: %v\n%s", err, out)
			}
		}()
	}
	wg.Wait()
	if t.Failed() {
		return
	}
	d := connect(t, dsn)
	store, err := stores.Open(t.Context(), "postgres_auto", dsn)
	if err != nil {
		t.Fatal(err)
	}
	rec := record(t, store)
	ids := map[string]bool{}
	for q := (core.Query{Tag: "newtag", Limit: 1000}); ; {
		page, err := rec.Read(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range page.Events {
			if ids[e.ID.String()] {
				t.Errorf("event %s is stored twice", e.ID)
			}
			ids[e.ID.String()] = true
			if e.Fields["first"] == nil && e.Fields["later"] == nil {
				t.Errorf("event %s has lost its field: %v", e.ID, e.Fields)
			}
		}
		if q.After = page.Next; q.After == "" {
			break
		}
	}
	if want := eightWriters * auditsPerWriter * 2; len(ids) != want {
		t.Errorf("%d events are stored, want %d", len(ids), want)
	}
	if n := ask[int](d, `SELECT count(*) FROM pg_attribute WHERE attrelid = 'newtag'::regclass AND attname IN ('first', 'later')`); n != 2 {
		t.Errorf("newtag has %d of the columns first and later", n)
	}
}

// child is one of many processes: it opens a database that may not be there yet,
// and audits to a tag, then with a field, that none has used before.
func child(dsn string) error {
	ctx := context.Background()
	store, err := stores.Open(ctx, "postgres_auto", dsn)
	if err != nil {
		return err
	}
	rec, err := core.New(store, core.Config{})
	if err != nil {
		return err
	}
	for _, field := range []string{"first", "later"} {
		for i := range auditsPerWriter {
			if err := rec.Audit(ctx, "newtag", core.Fields{field: i}, core.As("me")); err != nil {
				return err
			}
		}
	}
	return rec.Close(ctx)
}
