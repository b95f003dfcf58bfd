package postgres

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/auditing-go/auditing/stores"
	"github.com/auditing-go/auditing/stores/internal/sqlstore"
)

// maxSkew is how far the server's clock and this one may be apart.
const maxSkew = time.Second

// toCheck are what the server says of itself and of the role.
const toCheck = `SELECT current_setting('fsync'), current_setting('full_page_writes'), current_setting('synchronous_commit'),
  current_setting('synchronous_standby_names'), pg_is_in_recovery()::text, (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)::text,
  coalesce(has_schema_privilege($1, 'CREATE'), false)::text, (SELECT oid::regrole::text FROM pg_roles WHERE rolname = current_user)`

// powers are what a role may be by which it comes past the rights on tables, unless it is a
// superuser and needs none. What a role may become by SET ROLE counts as its own.
var powers = []struct{ condition, is string }{
	{"(SELECT bool_or(pg_has_role(n.nspowner, 'MEMBER')) FROM pg_namespace n WHERE n.nspname = $1)", "owns the schema: it may drop every table in it"},
	{"(SELECT pg_has_role(d.datdba, 'MEMBER') FROM pg_database d WHERE d.datname = current_database())", "owns the database: it may drop it"},
	{"(SELECT rolcreaterole FROM pg_roles WHERE rolname = current_user)", "has CREATEROLE: up to PostgreSQL 15 it may give itself almost every role"},
	{"(SELECT bool_or(pg_has_role(r.oid, 'MEMBER')) FROM pg_roles r WHERE r.rolname IN ('pg_write_server_files', 'pg_execute_server_program'))",
		"may write the server's files or run programs there: it may do everything to the database"},
	{"(SELECT bool_or(r.rolsuper) FROM pg_roles r WHERE r.rolname <> current_user AND pg_has_role(r.oid, 'MEMBER'))", "may become a superuser with SET ROLE"},
}

// changers are what may change or keep out rows as they are written, by table.
const changers = `SELECT c.relname::text, 'the trigger ' || quote_ident(t.tgname) FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
  JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = ANY($2::text[]) AND NOT t.tgisinternal AND t.tgenabled <> 'D'
UNION ALL SELECT c.relname::text, 'the rule ' || quote_ident(r.rulename) FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class
  JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = ANY($2::text[]) AND r.rulename <> '_RETURN' AND r.ev_enabled <> 'D'
ORDER BY 1, 2`

// whoever begins the condition that a role which this one is, or may become, has a right.
const whoever = "EXISTS (SELECT 1 FROM pg_roles m WHERE pg_has_role(m.oid, 'MEMBER') AND "

// rights are those that a role has on tables, and what it means that it has them. INSERT and SELECT it needs.
var rights = []struct{ name, condition string }{
	{"owner", "pg_has_role(c.relowner, 'MEMBER')"},
	{"INSERT", "has_any_column_privilege(c.oid, 'INSERT')"},
	{"UPDATE", whoever + "has_any_column_privilege(m.oid, c.oid, 'UPDATE'))"},
	{"DELETE", whoever + "has_table_privilege(m.oid, c.oid, 'DELETE'))"},
	{"TRUNCATE", whoever + "has_table_privilege(m.oid, c.oid, 'TRUNCATE'))"},
	{"TRIGGER", whoever + "has_table_privilege(m.oid, c.oid, 'TRIGGER'))"},
	{"unlogged", "c.relpersistence = 'u'"},
}

// Check is asked by [sqlstore.Store.Check].
func (b *backend) Check(ctx context.Context, tables []string) ([]stores.Finding, error) {
	before := time.Now()
	rows, err := b.Query(ctx, false, nil, "SELECT extract(epoch FROM clock_timestamp())::text")
	if err != nil {
		return nil, err
	}
	took := time.Since(before)
	seconds, err := strconv.ParseFloat(fmt.Sprint(rows[0][0]), 64)
	if err != nil {
		return nil, err
	}
	clock := clockFinding(time.UnixMicro(int64(seconds*1e6)).Sub(before.Add(took/2)), took)

	rows, err = b.Query(ctx, false, nil, toCheck, b.cfg.Schema)
	if err != nil {
		return nil, err
	}
	said := make([]string, len(rows[0]))
	for i, v := range rows[0] {
		said[i], _ = v.(string)
	}
	fsync, pages, commit, standbys, recovering, super, creates, role := said[0], said[1], said[2], said[3], said[4], said[5], said[6], said[7]
	var f findings
	f.add(fsync == "off", "the server runs with fsync = "+fsync, "ALTER SYSTEM SET fsync = on; SELECT pg_reload_conf();")
	f.add(pages == "off", "the server runs with full_page_writes = "+pages, "ALTER SYSTEM SET full_page_writes = on; SELECT pg_reload_conf();")
	f.add(false, "synchronous_commit is "+commit+": what is less than on, audits raise for themselves", "")
	if standbys == "" {
		f.add(false, "no standby is waited for: failing over to one can lose the last audits", "")
	} else {
		f.add(false, "standbys are waited for: synchronous_standby_names = "+standbys, "")
	}
	if recovering == "true" {
		f.add(true, "this server is a standby: nothing can be written", "")
	}
	f = append(f, clock)
	if super == "true" {
		f.add(true, "role "+role+" is a superuser: it may change and delete everything", "")
	} else if err := b.powersOf(ctx, role, &f); err != nil {
		return nil, err
	}
	if creates == "true" {
		f.add(false, "role "+role+" may create tables in schema "+b.cfg.Schema+", which it then owns", "")
	}
	has, err := b.rightsOn(ctx, tables)
	if err != nil {
		return nil, err
	}
	if rows, err = b.Query(ctx, false, nil, changers, b.cfg.Schema, tables); err != nil {
		return nil, err
	}
	for _, row := range rows {
		f.add(true, fmt.Sprintf("%s of table %s may change or keep out what is written", row[1], row[0]), "")
	}
	return append(f, rightsFindings(b, role, tables, has)...), nil
}

// powersOf adds those of the powers that the role has.
func (b *backend) powersOf(ctx context.Context, role string, f *findings) error {
	var columns []string
	for _, p := range powers {
		columns = append(columns, "coalesce("+p.condition+", false)::text")
	}
	rows, err := b.Query(ctx, false, nil, "SELECT $1::text, "+strings.Join(columns, ", "), b.cfg.Schema)
	for _, row := range rows {
		for i, p := range powers {
			if row[1+i] == "true" {
				f.add(true, "role "+role+" "+p.is, "")
			}
		}
	}
	return err
}

func clockFinding(skew, took time.Duration) stores.Finding {
	// Within the time that the answer took nobody can say when the server looked.
	gap := time.Duration(math.Abs(float64(skew))) > maxSkew+took/2
	return stores.Finding{Gap: gap, Text: fmt.Sprintf("the server's clock is %v from this one's", skew.Round(time.Millisecond))}
}

// rightsOn returns the tables on which the role has each of the rights.
func (b *backend) rightsOn(ctx context.Context, tables []string) (map[string][]string, error) {
	columns := "c.relname::text"
	for _, r := range rights {
		columns += ", (" + r.condition + ")::text"
	}
	rows, err := b.Query(ctx, false, nil, "SELECT "+columns+` FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = $1 AND c.relname = ANY($2::text[]) ORDER BY c.relname`, b.cfg.Schema, tables)
	has := map[string][]string{}
	for _, row := range rows {
		for i, r := range rights {
			if row[1+i] == "true" {
				has[r.name] = append(has[r.name], fmt.Sprint(row[0]))
			}
		}
	}
	return has, err
}

func rightsFindings(b *backend, role string, tables []string, has map[string][]string) (f findings) {
	list := func(names []string) string {
		quoted := make([]string, len(names))
		for i, name := range names {
			quoted[i] = b.Table(name)
		}
		return strings.Join(quoted, ", ")
	}
	if len(tables) == 0 {
		f.add(true, "there is no table of audits in schema "+b.cfg.Schema, "")
		return f
	}
	if owned := has["owner"]; len(owned) > 0 {
		f.add(true, fmt.Sprintf("role %s owns %s: it may drop them, and give itself every right", role, list(owned)),
			"ALTER TABLE ... OWNER TO another role, for each; GRANT INSERT, SELECT ON "+list(owned)+" TO "+role+";")
	}
	for _, r := range rights[2:6] {
		if on := has[r.name]; len(on) > 0 {
			f.add(true, fmt.Sprintf("role %s has the right %s on %s", role, r.name, list(on)), "REVOKE "+r.name+" ON "+list(on)+" FROM "+role+", PUBLIC;")
		} else {
			f.add(false, fmt.Sprintf("role %s has the right %s on no table of audits", role, r.name), "")
		}
	}
	lacking := slices.DeleteFunc(slices.Clone(tables), func(name string) bool { return slices.Contains(has["INSERT"], name) })
	if len(lacking) > 0 {
		f.add(true, fmt.Sprintf("role %s may not write to %s: its audits fail, or are stored elsewhere", role, list(lacking)), "GRANT INSERT, SELECT ON "+list(lacking)+" TO "+role+";")
	}
	for _, name := range has["unlogged"] {
		f.add(true, "table "+name+" is UNLOGGED: a crash of the server empties it", "ALTER TABLE "+b.Table(name)+" SET LOGGED;")
	}
	return f
}

type findings []stores.Finding

func (f *findings) add(gap bool, text, fix string) {
	if !gap {
		fix = ""
	}
	*f = append(*f, stores.Finding{Gap: gap, Text: text, Fix: fix})
}

var _ stores.Checker = (*sqlstore.Store)(nil)
