package outbox_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	gormpostgres "gorm.io/driver/postgres"
	gormsqlite "gorm.io/driver/sqlite"
	"gorm.io/gorm"
	_ "modernc.org/sqlite"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/stores/outbox"
	"github.com/auditing-go/auditing/stores/postgres/pgtest"
	"github.com/auditing-go/auditing/stores/storetest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// target keeps events in memory, and takes them as told.
type target struct {
	mu      sync.Mutex
	events  map[uuid.UUID][]byte
	given   int // how often it was given an event
	largest int // batch
	answer  func(batch []core.Event) error
	closed  bool
}

func newTarget() *target { return &target{events: map[uuid.UUID][]byte{}} }

func (m *target) Save(_ context.Context, events []core.Event) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.given += len(events)
	m.largest = max(m.largest, len(events))
	var err error
	failed := map[int]bool{}
	if m.answer != nil {
		err = m.answer(events)
	}
	var batch *core.BatchError
	if errors.As(err, &batch) {
		for _, f := range batch.Failures {
			failed[f.Index] = true
		}
	} else if err != nil {
		return err
	}
	for i, e := range events {
		if !failed[i] {
			m.events[e.ID] = e.AppendJSON(nil)
		}
	}
	return err
}

func (m *target) list() ([]core.Event, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var all []core.Event
	for _, text := range m.events {
		var e core.Event
		if err := e.UnmarshalJSON(text); err != nil {
			return nil, err
		}
		all = append(all, e)
	}
	return all, nil
}

func (m *target) Read(_ context.Context, q core.Query) (core.Page, error) {
	all, err := m.list()
	if err != nil {
		return core.Page{}, err
	}
	return q.Page(all)
}

func (m *target) Tags(context.Context) ([]string, error) {
	all, err := m.list()
	tags := map[string]bool{}
	for _, e := range all {
		tags[e.Tag] = true
	}
	return slices.Sorted(maps.Keys(tags)), err
}

func (m *target) Close(context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	return nil
}

func (m *target) set(answer func([]core.Event) error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.answer = answer
}

func (m *target) count() (has, given int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.events), m.given
}

// databases are ways to open a new database, twice if need be.
var databases = map[string]func(t testing.TB) func() *gorm.DB{
	"SQLite": func(t testing.TB) func() *gorm.DB {
		file := filepath.Join(t.TempDir(), "app.db")
		return func() *gorm.DB {
			return opened(t, gormsqlite.New(gormsqlite.Config{DriverName: "sqlite", DSN: "file:" + file + "?_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_txlock=immediate"}))
		}
	},
	"Postgres": func(t testing.TB) func() *gorm.DB {
		dsn := pgtest.DSN(t)
		return func() *gorm.DB { return opened(t, gormpostgres.Open(dsn)) }
	},
}

func opened(t testing.TB, d gorm.Dialector) *gorm.DB {
	t.Helper()
	db, err := gorm.Open(d)
	if err != nil {
		t.Fatal(err)
	}
	pool, err := db.DB()
	if err != nil {
		t.Fatal(err)
	}
	pool.SetMaxOpenConns(10)
	t.Cleanup(func() { pool.Close() })
	return db
}

func open(t testing.TB, db *gorm.DB, to core.Store, cfg outbox.Config) *outbox.Store {
	t.Helper()
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	s, err := outbox.New(t.Context(), db, to, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return s
}

// onEach runs a test on each database.
func onEach(t *testing.T, test func(t *testing.T, open func() *gorm.DB)) {
	for name, database := range databases {
		t.Run(name, func(t *testing.T) { test(t, database(t)) })
	}
}

// TestContract runs the suite on an outbox whose target takes everything.
func TestContract(t *testing.T) {
	for name, database := range databases {
		t.Run(name, func(t *testing.T) {
			type place struct {
				open func() *gorm.DB
				to   *target
			}
			places := map[core.Store]place{}
			first := func(t *testing.T) core.Store {
				p := place{database(t), newTarget()}
				s := open(t, p.open(), p.to, outbox.Config{Interval: 5 * time.Millisecond})
				places[s] = p
				return s
			}
			again := func(t *testing.T, first core.Store) core.Store {
				p := places[first]
				return open(t, p.open(), p.to, outbox.Config{Interval: 5 * time.Millisecond})
			}
			storetest.Run(t, first, storetest.Reopen(again))
		})
	}
}

// unflushed is an outbox whose Flush could not succeed.
type unflushed struct {
	core.Store
	core.Reader
	core.TagLister
	core.Closer
}

// TestContractWhileTheTargetIsAway: what is acknowledged can be read all the same.
func TestContractWhileTheTargetIsAway(t *testing.T) {
	storetest.Run(t, func(t *testing.T) core.Store {
		to := newTarget()
		to.set(func([]core.Event) error { return errors.New("away") })
		s := open(t, databases["SQLite"](t)(), to, outbox.Config{})
		return unflushed{s, s, s, s}
	})
}

func events(n int) []core.Event {
	all := make([]core.Event, n)
	for i := range all {
		all[i] = core.Event{Tag: "ev", User: "me", Fields: core.Fields{"n": i}}.Normalize(0)
	}
	return all
}

func flush(t testing.TB, s *outbox.Store) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := s.Flush(ctx); err != nil {
		t.Fatal(err)
	}
}

func must(t testing.TB, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

func TestTransactions(t *testing.T) {
	onEach(t, func(t *testing.T, database func() *gorm.DB) {
		db, to := database(), newTarget()
		s := open(t, db, to, outbox.Config{Interval: 5 * time.Millisecond})
		rec, err := core.New(s, core.Config{})
		must(t, err)
		must(t, db.Exec("CREATE TABLE orders (n bigint)").Error)
		roll := errors.New("roll back")
		for n := range 6 {
			err := db.Transaction(func(tx *gorm.DB) error {
				must(t, tx.Exec("INSERT INTO orders VALUES (?)", n).Error)
				must(t, rec.Audit(t.Context(), "order", core.Fields{"n": n}, core.As("me"), outbox.In(tx)))
				_ = tx.Transaction(func(tx *gorm.DB) error {
					must(t, rec.Audit(t.Context(), "nested", nil, core.As("me"), outbox.In(tx)))
					return roll
				})
				if n%2 == 0 {
					return roll
				}
				return nil
			})
			if n%2 == 1 {
				must(t, err)
			}
		}
		pool, err := db.DB()
		must(t, err)
		tx, err := pool.Begin()
		must(t, err)
		must(t, rec.Audit(t.Context(), "plain", nil, core.As("me"), outbox.InSQL(tx)), tx.Commit())
		flush(t, s)
		got := map[string]int{}
		all, err := to.list()
		must(t, err)
		for _, e := range all {
			got[e.Tag]++
		}
		if want := map[string]int{"order": 3, "plain": 1}; !maps.Equal(got, want) {
			t.Errorf("passed on: %v, want %v", got, want)
		}
		if st := rec.Stats(); st.Joined != 13 || st.Attempted != 13 {
			t.Errorf("counted %+v", st)
		}

		// Another pool of the same database will do, another database will not, and either
		// transaction can go on.
		for name, c := range map[string]struct {
			db   *gorm.DB
			want string
		}{
			"another pool":     {database(), ""},
			"another database": {databases[t.Name()[strings.LastIndex(t.Name(), "/")+1:]](t)(), "another database"},
			"no transaction":   {db, "no transaction"},
		} {
			tx := c.db
			if c.want != "no transaction" {
				tx = c.db.Begin()
			}
			err := rec.Audit(t.Context(), "ev", nil, core.As("me"), outbox.In(tx))
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: %v", name, err)
			}
			if tx != c.db {
				must(t, tx.Exec("CREATE TABLE still_usable (n integer)").Error, tx.Rollback().Error)
			}
		}
		if err := rec.Audit(t.Context(), "ev", nil, core.As("me"), core.In("tx")); !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("a text as a transaction: %v", err)
		}
	})
}

// TestSetAside: what the target refuses is kept with the reason, and holds up nothing.
func TestSetAside(t *testing.T) {
	onEach(t, func(t *testing.T, database func() *gorm.DB) {
		to := newTarget()
		s := open(t, database(), to, outbox.Config{})
		all := events(100)
		bad := all[7].ID
		to.set(func(batch []core.Event) error {
			for i, e := range batch {
				if e.ID == bad {
					return &core.BatchError{Failures: []core.Failure{{Index: i, Err: errors.New("too odd")}}}
				}
			}
			return nil
		})
		must(t, s.Save(t.Context(), all))
		flush(t, s)
		st, err := s.Stats(t.Context())
		if must(t, err); st.SetAside != 1 || st.Waiting != 0 || st.Outage != nil {
			t.Errorf("stats %+v", st)
		}
		n := 0
		for r, err := range s.SetAside(t.Context()) {
			if must(t, err); r.Event.ID != bad || r.Reason != "too odd" || time.Since(r.At).Abs() > time.Hour || r.Event.Fields["n"] != int64(7) {
				t.Errorf("set aside: %+v", r)
			}
			n++
		}
		if n != 1 {
			t.Errorf("%d are set aside", n)
		}
		if page, err := s.Read(t.Context(), core.Query{ID: bad}); err != nil || len(page.Events) != 1 {
			t.Errorf("what is set aside is read as %v, %v", page.Events, err)
		}
		to.set(nil)
		if n, err := s.Retry(t.Context(), all[3].ID); n != 0 || err != nil {
			t.Errorf("Retry of one that is not set aside: %d, %v", n, err)
		}
		if n, err := s.Retry(t.Context(), bad); n != 1 || err != nil {
			t.Errorf("Retry: %d, %v", n, err)
		}
		flush(t, s)
		if has, _ := to.count(); has != len(all) {
			t.Errorf("the target has %d of %d", has, len(all))
		}
	})
}

// TestOutage: what the target does not take waits, also when one event is at fault for all of
// its batch.
func TestOutage(t *testing.T) {
	onEach(t, func(t *testing.T, database func() *gorm.DB) {
		to := newTarget()
		down := errors.New("the target is down")
		to.set(func([]core.Event) error { return down })
		s := open(t, database(), to, outbox.Config{})
		all := events(20)
		must(t, s.Save(t.Context(), all))
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := s.Flush(ctx); err == nil {
			t.Error("Flush with nothing passed on: no error")
		}
		for st, err := s.Stats(t.Context()); st.Outage == nil; st, err = s.Stats(t.Context()) {
			must(t, err)
		}
		if st, err := s.Stats(t.Context()); err != nil || !errors.Is(st.Outage, down) || st.Waiting != 20 || st.OutageSince.IsZero() {
			t.Errorf("during an outage: %+v, %v", st, err)
		}
		to.set(func(batch []core.Event) error {
			if slices.ContainsFunc(batch, func(e core.Event) bool { return e.ID == all[0].ID }) {
				return down
			}
			return nil
		})
		for has := 0; has < len(all)-1; has, _ = to.count() {
			must(t, t.Context().Err())
		}
		to.set(nil)
		flush(t, s)
		if st, err := s.Stats(t.Context()); err != nil || st.Outage != nil || st.Waiting != 0 {
			t.Errorf("after an outage: %+v, %v", st, err)
		}
	})
}

func TestBound(t *testing.T) {
	onEach(t, func(t *testing.T, database func() *gorm.DB) {
		db, to := database(), newTarget()
		to.set(func([]core.Event) error { return errors.New("down") })
		s := open(t, db, to, outbox.Config{MaxEvents: 10})
		rec, err := core.New(s, core.Config{})
		must(t, err)
		must(t, s.Save(t.Context(), events(10)))
		if err := rec.Audit(t.Context(), "ev", nil, core.As("me")); !errors.Is(err, outbox.ErrFull) {
			t.Errorf("an audit when it is full: %v", err)
		}
		err = db.Transaction(func(tx *gorm.DB) error {
			return rec.Audit(t.Context(), "ev", nil, core.As("me"), outbox.In(tx))
		})
		if !errors.Is(err, outbox.ErrFull) {
			t.Errorf("an audit in a transaction when it is full: %v", err)
		}
		to.set(nil)
		flush(t, s)
		for s.Save(t.Context(), events(1)) != nil { // until it is counted again
			must(t, t.Context().Err())
		}
	})
}

// TestSideBySide: several processes pass on each event once.
func TestSideBySide(t *testing.T) {
	onEach(t, func(t *testing.T, database func() *gorm.DB) {
		to := newTarget()
		var all []*outbox.Store
		for range 3 {
			all = append(all, open(t, database(), to, outbox.Config{Interval: time.Millisecond}))
		}
		var saving sync.WaitGroup
		for _, s := range all {
			saving.Go(func() {
				for range 20 {
					if err := s.Save(t.Context(), events(100)); err != nil {
						t.Error(err)
					}
				}
			})
		}
		saving.Wait()
		flush(t, all[0])
		if has, given := to.count(); has != 6000 || given != 6000 {
			t.Errorf("the target has %d events and was given %d, want 6000", has, given)
		}
	})
}

// TestLease: an event that another process leased is left to it until its lease is over.
func TestLease(t *testing.T) {
	onEach(t, func(t *testing.T, database func() *gorm.DB) {
		db, to := database(), newTarget()
		to.set(func([]core.Event) error { return errors.New("down") })
		s := open(t, db, to, outbox.Config{})
		all := events(2)
		must(t, s.Save(t.Context(), all))
		must(t, s.Close(t.Context()))
		must(t, db.Exec("UPDATE audit_outbox SET due = 32503680000000 WHERE audit_id = ?", all[0].ID.String()).Error)
		to.set(nil)
		s = open(t, db, to, outbox.Config{Interval: time.Millisecond})
		for has := 0; has == 0; has, _ = to.count() {
			must(t, t.Context().Err())
		}
		must(t, s.Close(t.Context()))
		if page, err := to.Read(t.Context(), core.Query{ID: all[0].ID}); err != nil || len(page.Events) != 0 {
			t.Errorf("a leased event was passed on: %v, %v", page, err)
		}
		must(t, db.Exec("UPDATE audit_outbox SET due = 1").Error)
		s = open(t, db, to, outbox.Config{})
		flush(t, s)
		if has, _ := to.count(); has != 2 {
			t.Errorf("the target has %d", has)
		}
	})
}

func TestNewRefuses(t *testing.T) {
	db := databases["SQLite"](t)()
	tx := db.Begin()
	defer tx.Rollback()
	for name, c := range map[string]struct {
		db   *gorm.DB
		to   core.Store
		cfg  outbox.Config
		want string
	}{
		"no target":      {db, nil, outbox.Config{}, "target"},
		"no database":    {nil, newTarget(), outbox.Config{}, "nil"},
		"a transaction":  {tx, newTarget(), outbox.Config{}, "In(tx)"},
		"an odd table":   {db, newTarget(), outbox.Config{Table: `x"; DROP`}, "small letters"},
		"negative bound": {db, newTarget(), outbox.Config{MaxEvents: -1}, "negative"},
	} {
		if _, err := outbox.New(t.Context(), c.db, c.to, c.cfg); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := outbox.DDL("oracle", ""); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("DDL of another dialect: %v", err)
	}
}

// TestDDL: the statement makes the table of one that may not.
func TestDDL(t *testing.T) {
	file := filepath.Join(t.TempDir(), "app.db")
	db := opened(t, gormsqlite.New(gormsqlite.Config{DriverName: "sqlite", DSN: "file:" + file + "?_pragma=busy_timeout(10000)"}))
	must(t, db.Exec("CREATE TABLE x (n integer)").Error)
	readOnly := opened(t, gormsqlite.New(gormsqlite.Config{DriverName: "sqlite", DSN: "file:" + file + "?mode=ro"}))
	_, err := outbox.New(t.Context(), readOnly, newTarget(), outbox.Config{})
	if err == nil || !strings.Contains(err.Error(), "CREATE TABLE") {
		t.Errorf("a table that cannot be made: %v", err)
	}
	statement, err := outbox.DDL("sqlite", "")
	must(t, err, db.Exec(statement).Error)
	s := open(t, db, newTarget(), outbox.Config{})
	must(t, s.Save(t.Context(), events(3)))
	flush(t, s)
}

func ExampleNew() {
	ctx := context.Background()
	db, err := gorm.Open(gormsqlite.New(gormsqlite.Config{DriverName: "sqlite", DSN: "file:outbox?mode=memory&cache=shared"}))
	if err != nil {
		panic(err)
	}
	target := newTarget() // Elasticsearch, say
	store, err := outbox.New(ctx, db, target, outbox.Config{})
	if err != nil {
		panic(err)
	}
	rec, err := core.New(store, core.Config{})
	if err != nil {
		panic(err)
	}
	defer rec.Close(ctx)
	err = db.Transaction(func(tx *gorm.DB) error {
		if err := tx.Exec("CREATE TABLE refunds (n integer)").Error; err != nil {
			return err
		}
		return rec.Audit(ctx, "refund", core.Fields{"order": 42}, core.As("alice"), outbox.In(tx))
	})
	if err != nil {
		panic(err)
	}
	if err := store.Flush(ctx); err != nil { // does not have to be waited for
		panic(err)
	}
	page, err := target.Read(ctx, core.Query{})
	fmt.Println(page.Events[0].User, page.Events[0].Fields, err)
	// Output: alice map[order:42] <nil>
}
