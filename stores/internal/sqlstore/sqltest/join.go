package sqltest

import (
	"errors"
	"strings"
	"testing"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/stores/internal/sqlstore"
)

// Tx is a transaction as an application has one.
type Tx struct {
	Tx               any // for core.In
	Exec             func(query string) error
	Commit, Rollback func() error
}

// joins holds audits in a transaction against rows of the application's in it.
func joins(t *testing.T, database func(t *testing.T) Database) {
	if len(database(t).Begin) == 0 {
		t.Skip("no transactions")
	}
	for name := range database(t).Begin {
		t.Run(name, func(t *testing.T) {
			for _, c := range []struct {
				name string
				run  func(*joining)
			}{
				{"stands and falls", standsAndFalls},
				{"a first tag and a first field", firstInTransaction},
				{"refused rows", refusedInTransaction},
				{"a failed audit leaves the transaction as it was", failedInTransaction},
				{"several", severalInTransaction},
				{"what cannot be", unjoinable},
				{"a changed table", changedBeneath},
				{"an ordinary audit meanwhile", besideTransaction},
			} {
				t.Run(c.name, func(t *testing.T) {
					d := database(t)
					begin := d.Begin[name]
					d.exec(t, "CREATE TABLE shop_orders (n integer)")
					j := &joining{T: t, Database: d, store: closing(t, d.Open(sqlstore.Config{})), begin: func() Tx { return begin(t) }}
					var err error
					if j.rec, err = core.New(j.store, core.Config{}); err != nil {
						t.Fatal(err)
					}
					c.run(j)
				})
			}
		})
	}
}

type joining struct {
	*testing.T
	Database
	store Store
	rec   *core.Recorder
	begin func() Tx
	rows  int
}

func (j *joining) audit(tag string, tx Tx, f core.Fields, opts ...core.Option) error {
	return j.rec.Audit(j.Context(), tag, f, append(opts, core.As("me"), core.In(tx.Tx))...)
}

// must fails the test at once for an error.
func (j *joining) must(err error) {
	j.Helper()
	if err != nil {
		j.Fatal(err)
	}
}

// change adds a row of the application's.
func (j *joining) change(tx Tx) {
	j.Helper()
	j.must(tx.Exec("INSERT INTO shop_orders (n) VALUES (1)"))
}

func (j *joining) commit(tx Tx) {
	j.Helper()
	j.must(tx.Commit())
	j.rows++
}

// want checks how many rows a table has, and that of the application too.
func (j *joining) want(n int, from string) {
	j.Helper()
	if got := j.count(j.T, "SELECT count(*) FROM "+from); got != n {
		j.Errorf("%d rows in %s, want %d", got, from, n)
	}
	if got := j.count(j.T, "SELECT count(*) FROM shop_orders"); got != j.rows {
		j.Errorf("%d rows of the application, want %d", got, j.rows)
	}
}

func standsAndFalls(j *joining) {
	j.must(j.store.Declare(j.Context(), "refund", core.Fields{"n": 1}))
	for n := range 4 {
		tx := j.begin()
		j.change(tx)
		j.must(j.audit("refund", tx, core.Fields{"n": n}, core.On("order", n)))
		if n%2 == 0 {
			j.want(n/2, "refund")
			j.commit(tx)
			j.want(n/2+1, "refund")
		} else {
			j.must(tx.Rollback())
			j.want(n/2+1, "refund")
		}
	}
	j.want(1, "refund WHERE n = 2 AND audit_target = 'order/2' AND username = 'me' AND audit_extra IS NULL")
	j.want(0, "audit_overflow")
	if s := j.rec.Stats(); s.Attempted != 4 || s.Joined != 4 || s.Stored != 0 {
		j.Errorf("counted %+v", s)
	}
	page, err := j.rec.Read(j.Context(), core.Query{Target: "order/2"})
	if err != nil || len(page.Events) != 1 {
		j.Errorf("read %v, %v", page.Events, err)
	}
}

// firstInTransaction: nothing is made in the transaction, but behind it.
func firstInTransaction(j *joining) {
	tx := j.begin()
	j.change(tx)
	j.must(j.audit("first", tx, core.Fields{"n": 1}))
	j.commit(tx)
	j.want(1, "audit_overflow")
	save(j.T, j.store, core.Event{Tag: "first", User: "me", Fields: core.Fields{"n": 2}}) // waits for the table
	j.want(1, "first")

	tx = j.begin()
	j.change(tx)
	j.must(j.audit("first", tx, core.Fields{"n": 3, "later": 1}))
	j.commit(tx)
	j.want(2, "first")
	j.want(1, "first WHERE n = 3 AND audit_extra IS NOT NULL")
	save(j.T, j.store, core.Event{Tag: "first", User: "me", Fields: core.Fields{"n": 4, "later": 2}})
	j.want(1, "first WHERE later = 2")
	if page, err := j.store.Read(j.Context(), core.Query{Tag: "first"}); err != nil || len(page.Events) != 4 {
		j.Errorf("%d events are read (%v), want 4", len(page.Events), err)
	}
}

// refusedInTransaction: what its own table does not take is in the overflow table.
func refusedInTransaction(j *joining) {
	j.must(j.store.Declare(j.Context(), "once", core.Fields{"n": 1}))
	j.exec(j.T, "CREATE UNIQUE INDEX once_n ON once (n)")
	tx := j.begin()
	for range 2 {
		j.must(j.audit("once", tx, core.Fields{"n": 7}))
	}
	j.change(tx)
	j.commit(tx)
	j.want(1, "once")
	j.want(1, "audit_overflow")
}

func failedInTransaction(j *joining) {
	j.exec(j.T, "CREATE UNIQUE INDEX overflow_user ON audit_overflow (username)")
	tx := j.begin()
	j.change(tx)
	j.must(j.audit("日本", tx, nil)) // of which there can be no table
	if err := j.audit("日本", tx, nil); err == nil || !strings.Contains(strings.ToLower(err.Error()), "unique") {
		j.Errorf("a second event that the last table refuses: %v", err)
	}
	j.must(tx.Exec("UPDATE shop_orders SET n = 2"))
	j.commit(tx)
	j.want(1, "audit_overflow")
	j.want(1, "shop_orders WHERE n = 2")
	if s := j.rec.Stats(); s.Joined != 1 || s.Failed != 1 || s.Attempted != 2 {
		j.Errorf("counted %+v", s)
	}
}

// severalInTransaction: all or none.
func severalInTransaction(j *joining) {
	j.must(j.store.Declare(j.Context(), "several", core.Fields{"n": 1}))
	j.exec(j.T, "CREATE UNIQUE INDEX several_n ON several (n)")
	entries := make([]core.Entry, 50)
	for n := range entries {
		entries[n] = core.Entry{Fields: core.Fields{"n": n}, Options: []core.Option{core.On("order", n)}}
	}
	tx := j.begin()
	j.change(tx)
	j.must(j.rec.AuditAll(j.Context(), "several", entries, core.As("me"), core.In(tx.Tx)))
	j.commit(tx)
	j.want(50, "several")

	j.exec(j.T, "CREATE UNIQUE INDEX overflow_user ON audit_overflow (username)")
	entries[49].Fields = core.Fields{"n": 100}
	tx = j.begin()
	j.change(tx)
	if err := j.rec.AuditAll(j.Context(), "several", entries, core.As("me"), core.In(tx.Tx)); err == nil {
		j.Error("of several events two that no table takes are no error")
	}
	j.commit(tx)
	j.want(50, "several")
	j.want(0, "audit_overflow")
	if s := j.rec.Stats(); s.Joined != 50 || s.Failed != 50 || s.Attempted != 100 || s.Pending != 0 {
		j.Errorf("counted %+v", s)
	}
}

// unjoinable: a transaction that is over, and what is none.
func unjoinable(j *joining) {
	j.must(j.store.Declare(j.Context(), "ev", nil))
	for name, end := range map[string]func(Tx) error{"committed": func(tx Tx) error { return tx.Commit() }, "rolled back": func(tx Tx) error { return tx.Rollback() }} {
		tx := j.begin()
		j.must(j.audit("ev", tx, nil))
		j.must(end(tx))
		if err := j.audit("ev", tx, nil); err == nil {
			j.Errorf("an audit in a transaction that is %s: no error", name)
		}
	}
	j.want(1, "ev")
	db := j.SQL()
	defer db.Close()
	for name, tx := range map[string]any{"a pool": db, "a text": "tx"} {
		if err := j.audit("ev", Tx{Tx: tx}, nil); !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(err.Error(), "*sql.Tx") {
			j.Errorf("%s: %v", name, err)
		}
	}
	tx := j.begin()
	for _, o := range []core.Option{core.Denied("no"), core.Failed("no"), core.Result(errors.New("no"))} {
		if err := j.audit("ev", tx, nil, o); err == nil || !strings.Contains(err.Error(), "rollback") {
			j.Errorf("what a rollback would erase: %v", err)
		}
	}
	j.must(j.store.Close(j.Context()))
	if err := j.audit("ev", tx, nil); !errors.Is(err, core.ErrClosed) {
		j.Errorf("a closed store: %v", err)
	}
	j.must(tx.Rollback())
	if j.Another != nil {
		another := j.Another(j.T)
		s := closing(j.T, j.Open(sqlstore.Config{}))
		err := s.(core.Joiner).Join(j.Context(), another.Tx, core.Event{Tag: "ev", User: "me"}.Normalize(0))
		if err == nil || !strings.Contains(err.Error(), "another database") {
			j.Errorf("a transaction of another database: %v", err)
		}
		j.must(another.Exec("CREATE TABLE still_usable (n integer)"))
		j.must(another.Rollback())
	}
	j.want(1, "ev")
}

// changedBeneath: what others do to a table is noticed by the transaction that meets it.
func changedBeneath(j *joining) {
	j.must(j.store.Declare(j.Context(), "ev", core.Fields{"n": 1, "gone": 1}))
	save(j.T, j.store, core.Event{Tag: "ev", User: "me", Fields: core.Fields{"n": 1, "gone": 1}})
	j.exec(j.T, "ALTER TABLE ev DROP COLUMN gone")
	tx := j.begin()
	j.change(tx)
	j.must(j.audit("ev", tx, core.Fields{"n": 2, "gone": 2}))
	j.commit(tx)
	j.want(2, "ev")
	page, err := j.store.Read(j.Context(), core.Query{Tag: "ev", Fields: core.Fields{"gone": 2}})
	if err != nil || len(page.Events) != 1 {
		j.Errorf("read %v, %v", page.Events, err)
	}
}

// besideTransaction: an ordinary audit that waits, perhaps for the transaction, does not
// hold that up.
func besideTransaction(j *joining) {
	j.must(j.store.Declare(j.Context(), "ev", core.Fields{"n": 1}))
	tx := j.begin()
	j.change(tx)
	done := make(chan error)
	go func() { done <- j.rec.Audit(j.Context(), "ev", core.Fields{"n": 0}, core.As("me")) }()
	for n := range 20 {
		j.must(j.audit("ev", tx, core.Fields{"n": n + 1}))
	}
	j.commit(tx)
	j.must(<-done)
	j.want(21, "ev")
	if s := j.rec.Stats(); s.Joined != 20 || s.Stored != 1 {
		j.Errorf("counted %+v", s)
	}
}
