package postgres_test

import (
	"context"
	"crypto/rand"
	"database/sql"
	"database/sql/driver"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/stdlib"
	gormpostgres "gorm.io/driver/postgres"
	"gorm.io/gorm"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/stores/postgres"
	"github.com/auditing-go/auditing/stores/postgres/pgtest"
)

func appPool(t *testing.T, dsn string, size int) (*gorm.DB, *sql.DB) {
	t.Helper()
	db, err := gorm.Open(gormpostgres.Open(dsn), &gorm.Config{})
	if err != nil {
		t.Fatal(err)
	}
	pool, err := db.DB()
	if err != nil {
		t.Fatal(err)
	}
	pool.SetMaxOpenConns(size)
	t.Cleanup(func() { pool.Close() })
	return db, pool
}

// TestHandlersCannotStarveTheirAudits: the application's transactions hold every
// other connection of the pool, and each of their owners audits.
func TestHandlersCannotStarveTheirAudits(t *testing.T) {
	for name, c := range map[string]struct {
		before []string // tags that are audited while connections are free
		tag    string
		fields core.Fields
		own    bool // it goes to its own table
	}{
		"from the first audit on": {nil, "ev", core.Fields{"n": 1}, false},
		"a table that is there":   {[]string{"ev"}, "ev", core.Fields{"n": 1}, true},
		"a new field":             {[]string{"ev"}, "ev", core.Fields{"n": 1, "new": true}, true},
		"a new tag":               {[]string{"ev"}, "other", core.Fields{"n": 1}, false},
		"somebody else's table":   {[]string{"ev"}, "users", core.Fields{"n": 1}, false},
	} {
		t.Run(name, func(t *testing.T) {
			const size = 4
			dsn := pgtest.DSN(t)
			d := connect(t, dsn)
			d.exec(`CREATE TABLE users (id int)`)
			db, pool := appPool(t, dsn, size)
			s, err := postgres.New(t.Context(), db, postgres.Config{})
			if err != nil {
				t.Fatal(err)
			}
			rec := record(t, s)
			audit := func(tag, user string, fields core.Fields) {
				t.Helper()
				if err := rec.Audit(t.Context(), tag, fields, core.As(user)); err != nil {
					t.Fatal(err)
				}
			}
			for _, tag := range c.before {
				audit(tag, "before", core.Fields{"n": 0})
			}
			for range size - 1 {
				tx := db.Begin()
				if tx.Error != nil {
					t.Fatal(tx.Error)
				}
				defer tx.Rollback()
			}
			if n := pool.Stats().InUse; n != size {
				t.Fatalf("%d connections are in use, want all %d", n, size)
			}
			for range size {
				audit(c.tag, "holder", c.fields)
			}
			table := "audit_overflow"
			if c.own {
				table = c.tag
			}
			if n := ask[int](d, `SELECT count(*) FROM `+table+` WHERE audit_tag = $1 AND username = 'holder'`, c.tag); n != size {
				t.Errorf("%d events in %s, want %d", n, table, size)
			}
		})
	}
}

// TestCloseLeavesTheApplicationsPoolOpen and gives the kept connection back.
func TestCloseLeavesTheApplicationsPoolOpen(t *testing.T) {
	db, pool := appPool(t, pgtest.DSN(t), 3)
	s, err := postgres.New(t.Context(), db, postgres.Config{})
	if err != nil {
		t.Fatal(err)
	}
	rec := record(t, s)
	if err := rec.Audit(t.Context(), "ev", nil, core.As("me")); err != nil {
		t.Fatal(err)
	}
	if err := rec.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	if n := pool.Stats().InUse; n != 0 {
		t.Errorf("%d connections are still in use", n)
	}
	if err := pool.PingContext(t.Context()); err != nil {
		t.Errorf("the application's pool is closed: %v", err)
	}
}

func TestNewRefusesWhatCannotWork(t *testing.T) {
	if _, err := postgres.New(t.Context(), nil, postgres.Config{}); err == nil {
		t.Error("a nil *gorm.DB: no error")
	}
	db, _ := appPool(t, pgtest.DSN(t), 2)
	if _, err := postgres.New(t.Context(), db, postgres.Config{}); err == nil {
		t.Error("a pool of two connections: no error")
	}

	dsn := pgtest.DSN(t)
	db, _ = appPool(t, dsn, 5)
	tx := db.Begin()
	defer tx.Rollback()
	for _, handle := range []*gorm.DB{tx, tx.Session(&gorm.Session{NewDB: true}), tx.WithContext(t.Context())} {
		_, err := postgres.New(t.Context(), handle, postgres.Config{})
		if err == nil || !strings.Contains(err.Error(), "is a transaction") {
			t.Errorf("a transaction: %v", err)
		}
	}

	name := "traced_" + strings.ToLower(rand.Text())
	sql.Register(name, traced{stdlib.GetDefaultDriver()})
	pool, err := sql.Open(name, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	if db, err = gorm.Open(gormpostgres.New(gormpostgres.Config{Conn: pool}), &gorm.Config{}); err != nil {
		t.Fatal(err)
	}
	_, err = postgres.New(t.Context(), db, postgres.Config{})
	if err == nil || !strings.Contains(err.Error(), "postgres.Open") || strings.Count(err.Error(), "auditing:") != 1 {
		t.Errorf("a pool that is traced: %v", err)
	}
}

// traced wraps a driver, as the packages do that trace queries.
type traced struct{ driver.Driver }

func (d traced) Open(name string) (driver.Conn, error) {
	c, err := d.Driver.Open(name)
	return tracedConn{c}, err
}

type tracedConn struct{ driver.Conn }

// TestQueriesWithGORM: the application reads audits with a model of its own.
func TestQueriesWithGORM(t *testing.T) {
	type Refund struct {
		Username string
		Order    int
	}
	s := open(t, pgtest.DSN(t), postgres.Config{})
	rec := record(t, s)
	for order := range 3 {
		if err := rec.Audit(t.Context(), "refund", core.Fields{"order": order}, core.As("me")); err != nil {
			t.Fatal(err)
		}
	}
	var refunds []Refund
	err := s.DB().Table("refund").Where("username = ?", "me").Order(`"order"`).Find(&refunds).Error
	if err != nil || len(refunds) != 3 || refunds[2] != (Refund{"me", 2}) {
		t.Errorf("GORM reads %v (%v)", refunds, err)
	}
}

// TestALostConnectionOfAFullPool: the application's handlers hold all others, and more
// wait for one, when the connection of the audits is lost.
func TestALostConnectionOfAFullPool(t *testing.T) {
	const size, handlers = 5, 20
	dsn := pgtest.DSN(t)
	d := connect(t, dsn)
	d.exec(made(t, dsn, "ev", core.Fields{"n": 1}))
	db, pool := appPool(t, dsn, size)
	s, err := postgres.New(t.Context(), db, postgres.Config{})
	if err != nil {
		t.Fatal(err)
	}
	rec := record(t, s)
	if err := rec.Audit(t.Context(), "ev", core.Fields{"n": 0}, core.As("me")); err != nil {
		t.Fatal(err)
	}
	d.exec(`ALTER TABLE ev ADD COLUMN server int DEFAULT pg_backend_pid()`)
	if err := rec.Audit(t.Context(), "ev", core.Fields{"n": 0}, core.As("who")); err != nil {
		t.Fatal(err)
	}
	kept := ask[int](d, `SELECT server FROM ev WHERE username = 'who'`)
	ready := make(chan struct{})
	var wg sync.WaitGroup
	for n := range handlers {
		wg.Go(func() {
			tx, err := pool.BeginTx(t.Context(), nil)
			if err != nil {
				t.Error(err)
				return
			}
			defer tx.Rollback()
			<-ready
			if err := rec.Audit(t.Context(), "ev", core.Fields{"n": n}, core.As("handler")); err != nil {
				t.Errorf("handler %d: %v", n, err)
			}
		})
	}
	eventually(t, "the pool is full and more wait", func() bool {
		return pool.Stats().InUse == size && pool.Stats().WaitCount >= handlers-size
	})
	d.exec(`SELECT pg_terminate_backend($1)`, kept)
	eventually(t, "the connection is gone", func() bool {
		return ask[int](d, `SELECT count(*) FROM pg_stat_activity WHERE pid = $1`, kept) == 0
	})
	close(ready)
	wg.Wait()
	if n := ask[int](d, `SELECT count(*) FROM ev WHERE username = 'handler'`); n != handlers {
		t.Errorf("%d of %d audits are stored", n, handlers)
	}
}

// TestATransactionIsRefused, as what is audited would be no part of it.
func TestATransactionIsRefused(t *testing.T) {
	db, _ := appPool(t, pgtest.DSN(t), 5)
	want := func(what string, tx *gorm.DB) {
		t.Helper()
		if _, err := postgres.New(t.Context(), tx, postgres.Config{}); err == nil || !strings.Contains(err.Error(), "gorm.Open") {
			t.Errorf("%s: %v, want what to pass", what, err)
		}
	}
	tx := db.Begin()
	defer tx.Rollback()
	want("a transaction", tx)
	want("a session of a transaction", tx.Session(&gorm.Session{PrepareStmt: true}))
	if err := db.Connection(func(one *gorm.DB) error {
		want("one connection", one)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}
