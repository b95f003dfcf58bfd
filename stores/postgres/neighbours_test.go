package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/stores/postgres"
	"github.com/auditing-go/auditing/stores/postgres/pgtest"
)

// lockTables locks tables as somebody else, until the test ends or unlock is called.
func lockTables(t testing.TB, dsn string, tables ...string) (unlock func()) {
	t.Helper()
	d := connect(t, dsn)
	d.exec(`BEGIN; LOCK TABLE ` + strings.Join(tables, ", ") + ` IN ACCESS EXCLUSIVE MODE`)
	return func() { d.exec(`COMMIT`) }
}

// onlyFailed returns the failures of a Save, of which each has to be an outage that is
// certain, by the index of their events.
func onlyFailed(t testing.TB, err error) map[int]core.Failure {
	t.Helper()
	failed := map[int]core.Failure{}
	var batch *core.BatchError
	if err != nil && !errors.As(err, &batch) {
		t.Fatal(err)
	}
	if batch != nil {
		for _, f := range batch.Failures {
			if f.Refused() || f.Unknown {
				t.Errorf("event %d is refused (%t) or unknown (%t): %v", f.Index, f.Refused(), f.Unknown, f.Err)
			}
			failed[f.Index] = f
		}
	}
	return failed
}

// manyTables makes tables, the last of which is called free, and locks all others.
func manyTables(t testing.TB, n int) (s *postgres.Store, d db, tags []string, unlock func()) {
	t.Helper()
	dsn := pgtest.DSN(t)
	d = connect(t, dsn)
	s = open(t, dsn, postgres.Config{})
	for i := range n {
		tags = append(tags, fmt.Sprint("locked_", i))
	}
	for _, tag := range append(tags, "free") {
		d.exec(s.DDL(tag, core.Fields{"n": 1}))
	}
	s = open(t, dsn, postgres.Config{})
	unlock = func() {}
	if n > 0 {
		unlock = lockTables(t, dsn, tags...)
	}
	return s, d, append(tags, "free"), unlock
}

func oneEach(tags []string) (events []core.Event) {
	for _, tag := range tags {
		events = append(events, fresh(tag, core.Fields{"n": 1})...)
	}
	return events
}

// TestLockedTablesFailAlone: the events of their neighbours are stored by the same Save,
// also by one that follows at once, and when the locks are gone all are.
func TestLockedTablesFailAlone(t *testing.T) {
	s, d, tags, unlock := manyTables(t, 20)
	var all []core.Event
	for round := range 3 {
		events := oneEach(tags)
		all = append(all, events...)
		failed := onlyFailed(t, s.Save(t.Context(), events))
		if len(failed) != 20 {
			t.Errorf("round %d: %d events failed, want the 20 whose tables are locked", round, len(failed))
		}
		for i, f := range failed {
			if want := fmt.Sprintf("table %q is locked by another session", tags[i]); !strings.Contains(f.Err.Error(), want) {
				t.Errorf("round %d: the error does not say %s: %v", round, want, f.Err)
			}
		}
	}
	if n := ask[int](d, `SELECT count(*) FROM free`); n != 3 {
		t.Errorf("%d events of the other tag, want 3", n)
	}
	unlock()
	eventually(t, "all are stored", func() bool { return s.Save(t.Context(), all) == nil })
	for _, tag := range tags {
		if n := ask[int](d, `SELECT count(*) FROM `+tag); n != 3 {
			t.Errorf("%d events of %s, want 3", n, tag)
		}
	}
	if n := ask[int](d, `SELECT count(*) FROM audit_overflow`); n != 0 {
		t.Errorf("%d events in the overflow table, want none", n)
	}
}

// TestALockedTableIsTheReason of an audit that waited for it in vain. Whether it still is locked
// is looked at without waiting, which is what the server says last.
func TestALockedTableIsTheReason(t *testing.T) {
	s, _, tags, _ := manyTables(t, 1)
	err := record(t, s).Audit(t.Context(), tags[0], core.Fields{"n": 1}, core.As("me"), core.Within(1500*time.Millisecond))
	if !errors.Is(err, core.ErrTimeout) || !strings.Contains(err.Error(), `table "locked_0"`) || !strings.Contains(err.Error(), `is locked by another session`) ||
		!strings.Contains(err.Error(), "could not obtain lock") {
		t.Errorf("the error is %v, want ErrTimeout that names the table and the lock", err)
	}
}

// TestALockedOverflowTable holds up only what goes there, also after a doubt.
func TestALockedOverflowTable(t *testing.T) {
	s, d, _, _ := manyTables(t, 0)
	save(t, s, fresh("free", core.Fields{"n": 1}))
	d.exec(`ALTER TABLE free ADD CHECK (n < 5)`)
	save(t, s, fresh("free", core.Fields{"n": 5})) // goes to the overflow table
	unlock := lockTables(t, d.conn.Config().ConnString(), "audit_overflow")
	for n := range 3 {
		events := append(fresh("free", core.Fields{"n": n}), fresh("no table/", core.Fields{"n": 1})...)
		events = append(events, fresh("", nil)...)
		if failed := onlyFailed(t, s.Save(t.Context(), events)); failed[0].Err != nil || failed[2].Err == nil {
			t.Errorf("%d: failed: %v, want only what has no table", n, failed)
		}
	}
	unlock()
}

// TestAnUngrantedTable: a table made as the warning says, but without a GRANT, leaves its
// tag to the overflow table.
func TestAnUngrantedTable(t *testing.T) {
	dsn := pgtest.DSN(t)
	d := connect(t, dsn)
	role, roleDSN := newRole(t, d, dsn)
	owner := open(t, dsn, postgres.Config{})
	d.exec(owner.DDL("other", core.Fields{"n": 1}) + `GRANT INSERT, SELECT ON audit_overflow, other TO ` + role)
	var l logs
	s := open(t, roleDSN, postgres.Config{Fixed: true, Logger: l.logger()})
	d.exec(owner.DDL("ev", core.Fields{"n": 1}))
	save(t, s, append(fresh("ev", core.Fields{"n": 1}), fresh("other", core.Fields{"n": 1})...))
	if n := ask[int](d, `SELECT count(*) FROM audit_overflow WHERE audit_tag = 'ev'`); n != 1 {
		t.Errorf("%d events of the tag are in the overflow table, want 1", n)
	}
	if want := "GRANT INSERT, SELECT ON public.ev TO " + role; strings.Count(l.String(), want) != 1 {
		t.Errorf("%q is not said once:\n%s", want, l.String())
	}
	d.exec(`GRANT INSERT, SELECT ON ev TO ` + role)
	eventually(t, "the right is noticed", func() bool {
		save(t, s, fresh("ev", core.Fields{"n": 2}))
		return ask[int](d, `SELECT count(*) FROM ev`) > 0
	})
	d.exec(`REVOKE INSERT ON ev FROM ` + role) // the catalogue says otherwise
	save(t, s, fresh("ev", core.Fields{"n": 3}))
	if n := ask[int](d, `SELECT count(*) FROM audit_overflow WHERE audit_extra ->> 'n' = '3'`); n != 1 {
		t.Errorf("%d events are in the overflow table after the right was revoked, want 1", n)
	}
	if want := "permission denied for table ev (SQLSTATE 42501)"; !strings.Contains(l.String(), want) {
		t.Errorf("no warning says %s:\n%s", want, l.String())
	}
}

// TestWithoutRightsOnTheOverflowTable: tags with tables of their own do not need it,
// also after a write of which nobody knows how it ended.
func TestWithoutRightsOnTheOverflowTable(t *testing.T) {
	dsn := pgtest.DSN(t)
	d := connect(t, dsn)
	role, roleDSN := newRole(t, d, dsn)
	owner := open(t, dsn, postgres.Config{})
	d.exec(owner.DDL("ev", core.Fields{"n": 1}) + `GRANT INSERT, SELECT ON ev TO ` + role)
	s := open(t, roleDSN, postgres.Config{Fixed: true})
	rec := record(t, s)
	audit := func(tag string) error { return rec.Audit(t.Context(), tag, core.Fields{"n": 1}, core.As("me")) }
	for n := range 3 {
		if err := audit("ev"); err != nil {
			t.Fatalf("audit %d: %v", n, err)
		}
		d.exec(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = $1`, role)
	}
	err := audit("none")
	if want := `table "audit_overflow" may not be written to: let its owner run: GRANT`; err == nil || !strings.Contains(err.Error(), want) || errors.Is(err, core.ErrTimeout) {
		t.Errorf("without a table the error is %v, want %s, at once", err, want)
	}
}

// TestRightsAreAnOutage: what cannot be stored for want of rights is not refused.
func TestRightsAreAnOutage(t *testing.T) {
	dsn := pgtest.DSN(t)
	d := connect(t, dsn)
	role, roleDSN := newRole(t, d, dsn)
	owner := open(t, dsn, postgres.Config{})
	d.exec(owner.DDL("ev", core.Fields{"n": 1}) + `GRANT INSERT, SELECT ON ev, audit_overflow TO ` + role)
	s := open(t, roleDSN, postgres.Config{Fixed: true})
	events := fresh("ev", numbered(0, 3)...)
	save(t, s, events[:1])
	for _, revoke := range []string{`REVOKE ALL ON ev, audit_overflow FROM `, `REVOKE USAGE ON SCHEMA public FROM PUBLIC, `} {
		d.exec(revoke + role)
		if failed := onlyFailed(t, s.Save(t.Context(), events)); len(failed) < 2 {
			t.Errorf("%s: %d events failed", revoke, len(failed))
		}
	}
	d.exec(`GRANT USAGE ON SCHEMA public TO ` + role + `; GRANT INSERT, SELECT ON ev, audit_overflow TO ` + role)
	eventually(t, "all are stored", func() bool { return s.Save(t.Context(), events) == nil })
	if n := ask[int](d, `SELECT count(*) FROM ev`); n != 3 {
		t.Errorf("%d events in the table, want 3", n)
	}
}

// TestWhyNothingCanBeMade: the error says why there is no table, and advises to make one
// only where that is what helps.
func TestWhyNothingCanBeMade(t *testing.T) {
	for name, c := range map[string]struct {
		before, after string // the store is opened by ROLE_
		want          string
		create        bool
		atOnce        bool
	}{
		"read-only server": {`ALTER ROLE ROLE_ SET default_transaction_read_only = on; GRANT CREATE ON SCHEMA public TO PUBLIC`, ``, "SQLSTATE 25006", false, false},
		"no right":         {``, ``, "SQLSTATE 42501", true, true},
		"renamed schema":   {`GRANT ALL ON SCHEMA public TO ROLE_`, `DROP TABLE IF EXISTS audit_overflow; ALTER SCHEMA public RENAME TO was_public`, `schema "public" is not there any more`, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			dsn := pgtest.DSN(t)
			d := connect(t, dsn)
			role, roleDSN := newRole(t, d, dsn)
			d.exec(strings.ReplaceAll(c.before, "ROLE_", role))
			var l logs
			s := open(t, roleDSN, postgres.Config{Logger: l.logger()})
			if c.after != "" {
				d.exec(c.after)
			}
			err := record(t, s).Audit(t.Context(), "ev", core.Fields{"n": 1}, core.As("me"), core.Within(2*time.Second))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("the error is %v, want %s", err, c.want)
			} else if strings.Contains(err.Error(), "CREATE TABLE IF NOT EXISTS") != c.create {
				t.Errorf("the error advises to create a table, or not: %v", err)
			}
			// A slow machine may be in the middle of an attempt when the time is up.
			if waited := errors.Is(err, core.ErrTimeout) || errors.Is(err, core.ErrUnknown); waited == c.atOnce {
				t.Errorf("it comes at once, or not: %v", err)
			}
			if strings.Contains(l.String(), "stored in audit_overflow") {
				t.Errorf("warned of what did not happen:\n%s", l.String())
			}
		})
	}
}

// TestATriggerEverywhereThatKeepsOut: what no table stores is refused.
func TestATriggerEverywhereThatKeepsOut(t *testing.T) {
	s, d, _, _ := manyTables(t, 0)
	d.exec(`CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN IF NEW.username = 'bad' THEN RETURN NULL; END IF; RETURN NEW; END$$;
		CREATE TRIGGER no BEFORE INSERT ON free FOR EACH ROW EXECUTE FUNCTION no();
		CREATE TRIGGER no BEFORE INSERT ON audit_overflow FOR EACH ROW EXECUTE FUNCTION no()`)
	events := fresh("free", numbered(0, 10)...)
	events[3].User = "bad"
	for range 2 { // of the second the others are stored already
		var batch *core.BatchError
		err := s.Save(t.Context(), events)
		if !errors.As(err, &batch) || len(batch.Failures) != 1 || batch.Failures[0].Index != 3 || !batch.Failures[0].Refused() {
			t.Fatalf("Save answers %v (%+v), want that event 3 is refused", err, batch)
		}
		if !strings.Contains(err.Error(), "a trigger or a rule of the table kept it out") {
			t.Errorf("the error is %v", err)
		}
	}
	if n := ask[int](d, `SELECT count(*) FROM free`); n != 9 {
		t.Errorf("%d events are stored, want 9", n)
	}
}

// TestLossyTables are warned of once.
func TestLossyTables(t *testing.T) {
	t.Run("unlogged", func(t *testing.T) {
		dsn := pgtest.DSN(t)
		d := connect(t, dsn)
		d.exec(made(t, dsn, "ev", nil) + `ALTER TABLE ev SET UNLOGGED`)
		wantLossy(t, dsn, `ALTER TABLE public.ev SET LOGGED`)
	})
	t.Run("fsync off", func(t *testing.T) {
		dsn := pgtest.Start(t, "fsync=off").DSN()
		connect(t, dsn).exec(made(t, dsn, "ev", nil))
		wantLossy(t, dsn, "fsync = off")
	})
}

func wantLossy(t *testing.T, dsn, want string) {
	t.Helper()
	var l logs
	s := open(t, dsn, postgres.Config{Logger: l.logger()})
	for range 2 {
		save(t, s, fresh("ev", nil))
	}
	if strings.Count(l.String(), want) != 1 {
		t.Errorf("%q is not warned of once:\n%s", want, l.String())
	}
}

// TestMaxColumnsIsHeld against many fields at once, by two stores that know nothing of
// each other.
func TestMaxColumnsIsHeld(t *testing.T) {
	dsn := pgtest.DSN(t)
	d := connect(t, dsn)
	const most, stores, fields = 30, 2, 200
	done := make(chan error)
	for which := range stores {
		rec := record(t, open(t, dsn, postgres.Config{MaxColumns: most}))
		for n := range fields {
			go func() {
				done <- rec.Audit(context.WithoutCancel(t.Context()), "ev", core.Fields{fmt.Sprint("f_", which, "_", n): n}, core.As("me"))
			}()
		}
	}
	for range stores * fields {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	eventually(t, "the columns are made", func() bool {
		return ask[int](d, `SELECT count(*) FROM pg_attribute WHERE attrelid = 'ev'::regclass AND attnum > 0`) >= most
	})
	if n := ask[int](d, `SELECT count(*) FROM pg_attribute WHERE attrelid = 'ev'::regclass AND attnum > 0`); n != most {
		t.Errorf("the table has %d columns, want %d", n, most)
	}
	if n := ask[int](d, `SELECT count(*) FROM ev`); n != stores*fields {
		t.Errorf("%d events are in the table, want %d", n, stores*fields)
	}
}
