package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/stores/postgres/pgtest"
)

// readOnly is a store that can only be read.
type readOnly struct{ events []core.Event }

func (s readOnly) Save(_ context.Context, events []core.Event) error { return os.ErrPermission }

func (s readOnly) Read(_ context.Context, q core.Query) (core.Page, error) { return q.Page(s.events) }

// withRole is a place in Postgres, and the same for a role that owns nothing there.
func withRole(t *testing.T) (owner, role *place, exec func(statement string)) {
	t.Helper()
	dsn := pgtest.DSN(t)
	if strings.Contains(dsn, "://") {
		t.Skip("the server's DSN is a URL")
	}
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	execute := func(statement string) {
		t.Helper()
		if _, err := conn.Exec(context.WithoutCancel(t.Context()), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	var database string
	if err := conn.QueryRow(t.Context(), "SELECT current_database()").Scan(&database); err != nil {
		t.Fatal(err)
	}
	name := strings.Replace(database, "pgtest_", "role_", 1)
	execute("CREATE ROLE " + name + " LOGIN; REVOKE CREATE ON SCHEMA public FROM PUBLIC")
	t.Cleanup(func() {
		execute("DROP OWNED BY " + name + "; DROP ROLE " + name)
		conn.Close(context.Background())
	})
	owner = newPlace(t, "postgres_auto", dsn)
	return owner, &place{T: t, driver: "postgres", dsn: dsn + " user=" + name}, func(statement string) { execute(strings.ReplaceAll(statement, "ROLE", name)) }
}

// TestRoleThatCannotWrite reads nothing, unless it says that this is not audited.
func TestRoleThatCannotWrite(t *testing.T) {
	owner, role, exec := withRole(t)
	owner.refunds(3)
	exec("GRANT SELECT ON ALL TABLES IN SCHEMA public TO ROLE")
	file := filepath.Join(t.TempDir(), "audits")
	for _, args := range [][]string{{"search"}, {"export", "-o", file}, {"export"}, {"tail", "-once"}} {
		out, stderr := role.run(1, args...)
		if out != "" || !strings.Contains(stderr, "-unaudited") {
			t.Errorf("audit %s prints %q, %s", args, out, stderr)
		}
	}
	if left, err := os.ReadDir(filepath.Dir(file)); err != nil || len(left) > 0 {
		t.Errorf("there is %v (%v)", left, err)
	}
	if out, _ := role.run(0, "search", "-unaudited"); strings.Count(out, "\n") != 3 {
		t.Errorf("unaudited it prints %s", out)
	}
	role.run(0, "export", "-o", file, "-unaudited")
	if m, _ := exported(t, file, file+".manifest.json"); !m.Unaudited || m.Events != 3 || !m.Complete {
		t.Errorf("the manifest is %+v", m)
	}
}

func TestCheckOfARole(t *testing.T) {
	owner, role, exec := withRole(t)
	role.driver = "postgres"
	if out, _ := role.run(1, "check"); !strings.Contains(out, "GAP") || strings.Contains(out, "has the right DELETE on \"") {
		t.Errorf("without rights it says %s", out)
	}
	owner.refunds(1)
	exec("GRANT INSERT, SELECT ON ALL TABLES IN SCHEMA public TO ROLE")
	out, _ := role.run(0, "check")
	for _, want := range []string{"ok   the server runs with fsync = on", "ok   the server's clock is ", "has the right DELETE on no table", "has the right TRUNCATE on no table"} {
		if !strings.Contains(out, want) {
			t.Errorf("it lacks %q in\n%s", want, out)
		}
	}
	// Everything that weakens it is named, with what mends it.
	for want, statements := range map[string][2]string{
		`has the right DELETE on "public"."refund"`:   {"GRANT DELETE ON refund TO ROLE", "REVOKE DELETE ON refund FROM ROLE"},
		`has the right UPDATE on "public"."refund"`:   {"GRANT UPDATE (username) ON refund TO ROLE", "REVOKE UPDATE (username) ON refund FROM ROLE"},
		`has the right TRUNCATE on "public"."refund"`: {"GRANT TRUNCATE ON refund TO PUBLIC", "REVOKE TRUNCATE ON refund FROM PUBLIC"},
		`has the right TRIGGER on "public"."refund"`:  {"GRANT TRIGGER ON refund TO ROLE", "REVOKE TRIGGER ON refund FROM ROLE"},
		`owns "public"."refund"`:                      {"ALTER TABLE refund OWNER TO ROLE", "ALTER TABLE refund OWNER TO CURRENT_USER; GRANT INSERT, SELECT ON refund TO ROLE"},
		`may not read table refund`:                   {"REVOKE SELECT ON refund FROM ROLE", "GRANT SELECT ON refund TO ROLE"},
		`may not write to "public"."refund"`:          {"REVOKE INSERT ON refund FROM ROLE", "GRANT INSERT ON refund TO ROLE"},
		`table refund is UNLOGGED`:                    {"ALTER TABLE refund SET UNLOGGED", "ALTER TABLE refund SET LOGGED"},
		`events of the tag "refund" that belong`: {
			"INSERT INTO audit_overflow (username, datetime, audit_id, audit_tag) VALUES ('x', now(), gen_random_uuid(), 'refund')", "DELETE FROM audit_overflow"},
		`owns the schema: it may drop`: {"ALTER SCHEMA public OWNER TO ROLE", "ALTER SCHEMA public OWNER TO CURRENT_USER"},
		`has CREATEROLE`:               {"ALTER USER ROLE createrole", "ALTER USER ROLE nocreaterole"},
		`run programs there`:           {"GRANT pg_execute_server_program TO ROLE", "REVOKE pg_execute_server_program FROM ROLE"},
		// What it has only once it says so.
		`has the right DELETE on "public"."audit_overflow"`: {
			"CREATE GROUP ROLE_more; GRANT DELETE ON audit_overflow TO ROLE_more; ALTER USER ROLE NOINHERIT; GRANT ROLE_more TO ROLE",
			"ALTER USER ROLE INHERIT; DROP OWNED BY ROLE_more; DROP GROUP ROLE_more",
		},
		`the trigger eats of table refund may`: {
			"CREATE FUNCTION eats() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'; CREATE TRIGGER eats BEFORE INSERT ON refund FOR EACH ROW EXECUTE FUNCTION eats()",
			"DROP FUNCTION eats CASCADE",
		},
		`the rule hides of table refund may`: {"CREATE RULE hides AS ON DELETE TO refund DO INSTEAD NOTHING", "DROP RULE hides ON refund"},
		`there is no table audit_overflow`: {
			"CREATE SCHEMA elsewhere; ALTER TABLE audit_overflow SET SCHEMA elsewhere", "ALTER TABLE elsewhere.audit_overflow SET SCHEMA public; DROP SCHEMA elsewhere",
		},
		`its column audit_id is not unique`: {"ALTER TABLE refund DROP CONSTRAINT refund_pkey", "ALTER TABLE refund ADD CONSTRAINT refund_pkey PRIMARY KEY (audit_id)"},
	} {
		exec(statements[0])
		out, _ := role.run(1, "check")
		if i := strings.Index(out, want); i < 0 || !strings.Contains(out[strings.LastIndex(out[:i], "\n")+1:i], "GAP") {
			t.Errorf("after %s it lacks %q in\n%s", statements[0], want, out)
		}
		exec(statements[1])
	}
	if out, _ := role.run(0, "check"); strings.Contains(out, "GAP") {
		t.Errorf("mended it says %s", out)
	}
	owner.driver = "postgres"
	if out, _ := owner.run(1, "check"); !strings.Contains(out, "is a superuser") {
		t.Errorf("of a superuser it says %s", out)
	}
}
