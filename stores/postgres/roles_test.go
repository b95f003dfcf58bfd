package postgres_test

import (
	"context"
	"strings"
	"testing"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/stores/postgres"
	"github.com/auditing-go/auditing/stores/postgres/pgtest"
)

// newRole creates a role that may connect but owns nothing, and returns the DSN with it.
func newRole(t *testing.T, d db, dsn string) (role, roleDSN string) {
	t.Helper()
	role = strings.Replace(ask[string](d, `SELECT current_database()`), "pgtest_", "role_", 1)
	d.exec(`CREATE ROLE ` + role + ` LOGIN; REVOKE CREATE ON SCHEMA public FROM PUBLIC`)
	t.Cleanup(func() {
		ctx := context.Background()
		_, _ = d.conn.Exec(ctx, `DROP OWNED BY `+role)
		_, _ = d.conn.Exec(ctx, `DROP ROLE `+role)
	})
	if strings.Contains(dsn, "://") {
		return role, withParams(dsn, "user="+role)
	}
	return role, dsn + " user=" + role
}

// TestFixedDriver: "postgres" creates nothing, says which statements are missing,
// and works with INSERT and SELECT alone.
func TestFixedDriver(t *testing.T) {
	dsn := pgtest.DSN(t)
	d := connect(t, dsn)
	role, roleDSN := newRole(t, d, dsn)
	var l logs
	s := open(t, roleDSN, postgres.Config{Fixed: true, Logger: l.logger()})
	rec := record(t, s)
	audit := func(fields core.Fields) error { return rec.Audit(t.Context(), "ev", fields, core.As("me")) }

	err := audit(core.Fields{"n": 1})
	if err == nil || !strings.Contains(err.Error(), `CREATE TABLE IF NOT EXISTS "public"."ev"`) {
		t.Fatalf("without any table the error is %v, want the CREATE statement in it", err)
	}

	overflow := s.DDL("", nil)
	if !strings.Contains(overflow, "audit_overflow") {
		t.Fatalf("DDL of the overflow table is %s", overflow)
	}
	d.exec(overflow + `GRANT INSERT, SELECT ON audit_overflow TO ` + role)
	eventually(t, "the overflow table is noticed", func() bool { return audit(core.Fields{"n": 2}) == nil })
	if !strings.Contains(l.String(), "a table is missing") || !strings.Contains(l.String(), "CREATE TABLE") {
		t.Errorf("the warning does not show the statement:\n%s", l.String())
	}

	d.exec(s.DDL("ev", core.Fields{"n": 1}) + `GRANT INSERT, SELECT ON ev TO ` + role)
	eventually(t, "the table is noticed", func() bool {
		if err := audit(core.Fields{"n": 3}); err != nil {
			t.Fatal(err)
		}
		return ask[int](d, `SELECT count(*) FROM ev`) > 0
	})

	if err := audit(core.Fields{"n": 4, "more": "x"}); err != nil {
		t.Fatal(err)
	}
	if more := ask[string](d, `SELECT audit_extra ->> 'more' FROM ev WHERE n = 4`); more != "x" {
		t.Errorf("a field without a column is %q in audit_extra, want x", more)
	}
	if !strings.Contains(l.String(), "ADD COLUMN") {
		t.Errorf("the warning does not show the statement:\n%s", l.String())
	}
	d.exec(`ALTER TABLE "public"."ev" ADD COLUMN "more" text`)
	eventually(t, "the column is noticed", func() bool {
		if err := audit(core.Fields{"n": 5, "more": "y"}); err != nil {
			t.Fatal(err)
		}
		return ask[int](d, `SELECT count(*) FROM ev WHERE more = 'y'`) > 0
	})
	if n := strings.Count(l.String(), "ADD COLUMN"); n != 1 {
		t.Errorf("the missing column was warned of %d times, want once", n)
	}
	if owner := ask[bool](d, `SELECT has_table_privilege($1, 'ev', 'UPDATE, DELETE, TRUNCATE')`, role); owner {
		t.Error("the role may change what it wrote")
	}
}

// TestAutoDriverWithoutCreate: a role that may not create is told so once, and
// nothing is lost as long as there is an overflow table.
func TestAutoDriverWithoutCreate(t *testing.T) {
	dsn := pgtest.DSN(t)
	d := connect(t, dsn)
	role, roleDSN := newRole(t, d, dsn)
	var l logs
	s := open(t, roleDSN, postgres.Config{Logger: l.logger()})
	if !strings.Contains(l.String(), "audit_overflow") || !strings.Contains(l.String(), "CREATE TABLE") {
		t.Errorf("no warning shows the statement for the overflow table:\n%s", l.String())
	}
	d.exec(s.DDL("", nil) + `GRANT INSERT, SELECT ON audit_overflow TO ` + role)
	rec := record(t, s)
	for n := range 3 {
		if err := rec.Audit(t.Context(), "ev", core.Fields{"n": n}, core.As("me")); err != nil {
			t.Fatal(err)
		}
	}
	wantStored(t, s, "ev", int64(0), int64(1), int64(2))
	if !strings.Contains(l.String(), "permission denied") {
		t.Errorf("no warning says that permission was denied:\n%s", l.String())
	}
	d.exec(`GRANT CREATE ON SCHEMA public TO ` + role)
	eventually(t, "the table is made once it may be", func() bool {
		if err := rec.Audit(t.Context(), "ev", core.Fields{"n": 3}, core.As("me")); err != nil {
			t.Fatal(err)
		}
		return ask[bool](d, `SELECT to_regclass('ev') IS NOT NULL`)
	})
}

// TestNoPrivilege: a table that may not be written to is a clear error, or the
// overflow table's business.
func TestNoPrivilege(t *testing.T) {
	dsn := pgtest.DSN(t)
	d := connect(t, dsn)
	_, roleDSN := newRole(t, d, dsn)
	owner := open(t, dsn, postgres.Config{})
	if err := record(t, owner).Audit(t.Context(), "ev", core.Fields{"n": 1}, core.As("me")); err != nil {
		t.Fatal(err)
	}
	s := open(t, roleDSN, postgres.Config{Fixed: true})
	err := record(t, s).Audit(t.Context(), "ev", core.Fields{"n": 2}, core.As("me"))
	if err == nil || !strings.Contains(err.Error(), "GRANT INSERT, SELECT ON public.ev") {
		t.Errorf("the error is %v, want the GRANT that is missing", err)
	}
}

// TestWithoutAnOverflowTable: the error says why the event's own table does not have
// it, and prints the statement that helps, no other.
func TestWithoutAnOverflowTable(t *testing.T) {
	for name, c := range map[string]struct {
		tag, table string // "" is the table for tag
		want       []string
		create     string // the table of the statement
	}{
		"no table":         {"ev", `SELECT`, []string{`no table "ev"`}, "ev"},
		"no name":          {"", `SELECT`, []string{"cannot be the name"}, "audit_overflow"},
		"refused":          {"ev", "", []string{`"ev" refuses`, "ev_check"}, "audit_overflow"},
		"somebody else's":  {"users", `CREATE TABLE users (id int)`, []string{`"users" is not one of audits`}, "audit_overflow"},
		"Python library's": {"mytag", pythonTable, []string{`"mytag" is of the Python library`}, "audit_overflow"},
	} {
		t.Run(name, func(t *testing.T) {
			dsn := pgtest.DSN(t)
			var l logs
			s := open(t, dsn, postgres.Config{Fixed: true, Logger: l.logger()})
			if c.table == "" {
				c.table = s.DDL(c.tag, core.Fields{"n": 1}) + `ALTER TABLE ev ADD CONSTRAINT ev_check CHECK (n < 1)`
			}
			connect(t, dsn).exec(c.table)
			err := s.Save(t.Context(), fresh(c.tag, core.Fields{"n": 1}))
			if err == nil {
				t.Fatal("no error")
			}
			for _, want := range append(c.want, `CREATE TABLE IF NOT EXISTS "public"."`+c.create+`"`) {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("the error does not say %s: %v", want, err)
				}
			}
			if n := strings.Count(err.Error(), "CREATE TABLE"); n != 1 {
				t.Errorf("%d statements in the error, want one: %v", n, err)
			}
			if strings.Contains(l.String(), "stored in audit_overflow") {
				t.Errorf("warned of what did not happen:\n%s", l.String())
			}
		})
	}
}
