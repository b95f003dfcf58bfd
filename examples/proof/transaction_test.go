package proof_test

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	gormpostgres "gorm.io/driver/postgres"
	gormsqlite "gorm.io/driver/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/stores/postgres"
	"github.com/auditing-go/auditing/stores/sqlite"
)

var txRounds = flag.Int("proof.transactions", 50, "how many times TestTransactions kills its process on each database")

// TestTransactions kills processes that change rows and audit it in the same transactions, of
// which some are rolled back, panic, lose a savepoint or fail to serialise. After every kill
// each row has its audit, and each audit its row.
func TestTransactions(t *testing.T) {
	for _, driver := range []string{"sqlite", "postgres_auto"} {
		t.Run(driver, func(t *testing.T) {
			p := newPlace(t, driver)
			db, store, err := openApplication(t.Context(), order{Driver: p.driver, DSN: p.dsn})
			if err != nil {
				t.Fatal(err)
			}
			if err := db.Exec("CREATE TABLE orders (name text PRIMARY KEY)").Error; err != nil {
				t.Fatal(err)
			}
			if err := db.Exec("CREATE TABLE contended (n integer)").Error; err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(db.Exec("INSERT INTO contended VALUES (0)").Error, store.Declare(t.Context(), "changed", core.Fields{"n": 1})); err != nil {
				t.Fatal(err)
			}
			ended := map[string]int{}
			rows := 0
			for round := range *txRounds {
				killWhileItChanges(t, order{Role: "change", Driver: p.driver, DSN: p.dsn, Number: round}, ended)
				rows = agree(t, db)
				if t.Failed() {
					return
				}
			}
			t.Logf("%d kills, %d rows with their audits, transactions ended so: %v", *txRounds, rows, ended)
			want := []string{"commit", "rollback", "panic", "savepoint"}
			if driver != "sqlite" {
				want = append(want, "conflict")
			}
			for _, kind := range want {
				if ended[kind] == 0 {
					t.Errorf("no transaction ended by %s: nothing is proved of that", kind)
				}
			}
			if err := store.Close(context.Background()); err != nil {
				t.Error(err)
			}
		})
	}
}

// agree holds the rows of the application against the audits, both ways.
func agree(t *testing.T, db *gorm.DB) (rows int) {
	t.Helper()
	const audits = "(SELECT username FROM changed UNION ALL SELECT username FROM audit_overflow)"
	for what, query := range map[string]string{
		"rows without an audit": "SELECT name FROM orders EXCEPT SELECT username FROM " + audits + " a",
		"audits without a row":  "SELECT username FROM " + audits + " a EXCEPT SELECT name FROM orders",
		"doubled audits":        "SELECT username FROM " + audits + " a GROUP BY username HAVING count(*) > 1",
	} {
		var names []string
		if err := db.Raw(query).Scan(&names).Error; err != nil {
			t.Fatal(err)
		}
		if len(names) > 0 {
			t.Errorf("%d %s, such as %s", len(names), what, names[0])
		}
	}
	if err := db.Raw("SELECT count(*) FROM orders").Scan(&rows).Error; err != nil {
		t.Fatal(err)
	}
	return rows
}

// killWhileItChanges starts a child and kills it some time after one of its transactions.
func killWhileItChanges(t *testing.T, o order, ended map[string]int) {
	t.Helper()
	c := start(t, o)
	after := 1 + rand.N(60)
	for out := bufio.NewReader(c.out); ; {
		line, err := out.ReadString('\n')
		if err != nil {
			break
		}
		verb, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		if verb != "ended" {
			t.Errorf("the child says: %s", line)
			continue
		}
		ended[rest]++
		if after--; after == 0 {
			timer := time.AfterFunc(rand.N(4*time.Millisecond), func() { c.Process.Kill() })
			defer timer.Stop()
		}
	}
	if err := c.Wait(); err == nil || c.ProcessState.Exited() {
		t.Fatalf("the child was not killed but ended by itself: %v\n%s", err, c.stderr.String())
	}
}

// auditedStore is one of the stores on SQL tables.
type auditedStore interface {
	core.Store
	core.Closer
	Declare(ctx context.Context, tag string, fields core.Fields) error
}

// openApplication opens an application's database with GORM, and a store on its pool.
func openApplication(ctx context.Context, o order) (*gorm.DB, auditedStore, error) {
	cfg := &gorm.Config{Logger: logger.Discard}
	if o.Driver != "sqlite" {
		db, err := gorm.Open(gormpostgres.Open(o.DSN), cfg)
		if err != nil {
			return nil, nil, err
		}
		store, err := postgres.New(ctx, db, postgres.Config{})
		return db, store, err
	}
	pool, err := sql.Open("sqlite", o.DSN+"?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_txlock=immediate")
	if err != nil {
		return nil, nil, err
	}
	db, err := gorm.Open(gormsqlite.New(gormsqlite.Config{Conn: pool}), cfg)
	if err != nil {
		return nil, nil, err
	}
	store, err := sqlite.New(ctx, db, sqlite.Config{})
	return db, store, err
}

var errRolledBack = errors.New("rolled back on purpose")

// beChanging changes rows and audits that from eight goroutines until it is killed.
func beChanging(o order) error {
	db, store, err := openApplication(context.Background(), o)
	if err != nil {
		return err
	}
	rec, err := core.New(store, core.Config{})
	if err != nil {
		return err
	}
	var all sync.WaitGroup
	for g := range 8 {
		all.Go(func() {
			for n := 0; ; n++ {
				name := fmt.Sprintf("%06d-%d-%d", o.Number, g, n)
				say("ended", changeOnce(db, rec, name, n))
			}
		})
	}
	all.Wait()
	return nil
}

// changeOnce makes one transaction and says how it has ended.
func changeOnce(db *gorm.DB, rec *core.Recorder, name string, n int) (ended string) {
	kinds := []string{"commit", "rollback", "panic", "savepoint", "conflict"}
	kind := kinds[rand.N(len(kinds))]
	change := func(tx *gorm.DB, name string) error {
		tag := []string{"changed", "changed", ""}[n%3]
		insert := func() error { return tx.Exec("INSERT INTO orders VALUES (?)", name).Error }
		audit := func() error {
			return rec.Audit(context.Background(), tag, core.Fields{"n": n}, core.As(name), core.In(tx))
		}
		steps := []func() error{insert, audit}
		if n%2 == 0 {
			slices.Reverse(steps)
		}
		return errors.Join(steps[0](), steps[1]())
	}
	defer func() {
		if p := recover(); p != nil && p != any(errRolledBack) {
			ended = fmt.Sprint("panicked: ", p)
		}
	}()
	options := &sql.TxOptions{}
	if kind == "conflict" {
		options.Isolation = sql.LevelSerializable
	}
	if db.Name() == "sqlite" {
		options = nil
	}
	ended = kind
	err := db.Transaction(func(tx *gorm.DB) error {
		if kind == "conflict" {
			var seen int
			if err := tx.Raw("SELECT n FROM contended").Scan(&seen).Error; err != nil {
				return err
			}
		}
		if err := change(tx, name); err != nil {
			return err
		}
		switch kind {
		case "rollback":
			return errRolledBack
		case "panic":
			panic(errRolledBack)
		case "savepoint":
			_ = tx.Transaction(func(inner *gorm.DB) error {
				return errors.Join(change(inner, name+"-inner"), errRolledBack)
			})
		case "conflict":
			return tx.Exec("UPDATE contended SET n = n + 1").Error
		}
		return nil
	}, options)
	var pgErr *pgconn.PgError
	switch {
	case err == nil && kind == "conflict":
		return "commit"
	case errors.As(err, &pgErr) && pgErr.Code == "40001":
		return "conflict"
	case err != nil && !errors.Is(err, errRolledBack):
		return "error: " + err.Error()
	}
	return ended
}
