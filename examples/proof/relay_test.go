package proof_test

import (
	"context"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"gorm.io/driver/postgres"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/stores"
	"github.com/auditing-go/auditing/stores/outbox"
)

var relayRounds = flag.Int("proof.relays", 10, "how many times TestRelays kills its three processes on each pair of databases")

// TestRelays kills three processes that change rows, audit it in the same transactions and pass
// the audits on to another store, side by side. In the end that has the audit of each row once,
// and of no other.
func TestRelays(t *testing.T) {
	for _, c := range []struct{ from, to string }{
		{"sqlite", "sqlite"}, {"postgres_auto", "postgres_auto"}, {"postgres_auto", "elasticsearch"},
	} {
		t.Run(c.from+" to "+c.to, func(t *testing.T) {
			from, to := newPlace(t, c.from), newPlace(t, c.to)
			o := order{Role: "relay", Driver: from.driver + " " + to.driver, DSN: from.dsn + "|" + to.dsn}
			db, store, err := openOutbox(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(store.Close(t.Context()), db.Exec("CREATE TABLE orders (name text PRIMARY KEY)").Error); err != nil {
				t.Fatal(err)
			}
			passedOn := 0
			for round := range *relayRounds {
				var children sync.WaitGroup
				for n := range 3 {
					children.Go(func() {
						o := o
						o.Number = 3*round + n
						killWhileItChanges(t, o, map[string]int{})
					})
				}
				children.Wait()
				passedOn = len(to.stored(t, ""))
			}
			// As if the leases of those that were killed were over.
			if err := db.Exec("UPDATE audit_outbox SET due = 0").Error; err != nil {
				t.Fatal(err)
			}
			var left int64
			if err := db.Raw("SELECT count(*) FROM audit_outbox").Scan(&left).Error; err != nil {
				t.Fatal(err)
			}
			if _, store, err = openOutbox(t.Context(), o); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			if err := errors.Join(store.Flush(ctx), store.Close(ctx)); err != nil {
				t.Fatal(err)
			}
			var rows []string
			if err := db.Raw("SELECT name FROM orders").Scan(&rows).Error; err != nil {
				t.Fatal(err)
			}
			changed := map[string]bool{}
			for _, name := range rows {
				changed[name] = true
			}
			check(t, changed, changed, to.stored(t, ""))
			t.Logf("%d kills, %d rows with their audits, of which %d were passed on between kills; %d waited after the last", 3**relayRounds, len(rows), passedOn, left)
			if passedOn == 0 {
				t.Error("nothing was passed on before the last kill: nothing is proved of that")
			}
		})
	}
}

// openOutbox opens an application's database, and an outbox in it.
func openOutbox(ctx context.Context, o order) (*gorm.DB, *outbox.Store, error) {
	driver, targetDriver, _ := strings.Cut(o.Driver, " ")
	dsn, targetDSN, _ := strings.Cut(o.DSN, "|")
	cfg := &gorm.Config{Logger: logger.Discard}
	dialector := postgres.Open(dsn)
	if driver == "sqlite" {
		pool, err := sql.Open("sqlite", dsn+"?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_txlock=immediate")
		if err != nil {
			return nil, nil, err
		}
		dialector = sqlite.New(sqlite.Config{Conn: pool})
	}
	db, err := gorm.Open(dialector, cfg)
	if err != nil {
		return nil, nil, err
	}
	target, err := stores.Open(ctx, targetDriver, targetDSN)
	if err != nil {
		return nil, nil, err
	}
	store, err := outbox.New(ctx, db, target, outbox.Config{Interval: 5 * time.Millisecond})
	return db, store, err
}

// beRelaying changes rows, audits that in the same transactions and passes it on, until it is killed.
func beRelaying(o order) error {
	db, store, err := openOutbox(context.Background(), o)
	if err != nil {
		return err
	}
	rec, err := core.New(store, core.Config{})
	if err != nil {
		return err
	}
	var all sync.WaitGroup
	for g := range 4 {
		all.Go(func() {
			for n := 0; ; n++ {
				name := fmt.Sprintf("%06d-%d-%d", o.Number, g, n)
				rollBack := rand.N(4) == 0
				err := db.Transaction(func(tx *gorm.DB) error {
					err := errors.Join(tx.Exec("INSERT INTO orders VALUES (?)", name).Error,
						rec.Audit(context.Background(), "changed", core.Fields{"n": n}, core.As(name), outbox.In(tx)))
					if err == nil && rollBack {
						err = errRolledBack
					}
					return err
				})
				if err != nil && !errors.Is(err, errRolledBack) {
					say("err", err)
				}
				say("ended", "somehow")
			}
		})
	}
	all.Wait()
	return nil
}
