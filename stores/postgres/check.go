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

// rights are those that a role has on tables, and what it means that it has them. INSERT and SELECT it needs.
var rights = []struct{ name, condition string }{
	{"owner", "pg_has_role(c.relowner, 'USAGE')"},
	{"INSERT", "has_any_column_privilege(c.oid, 'INSERT')"},
	{"UPDATE", "has_any_column_privilege(c.oid, 'UPDATE')"},
	{"DELETE", "has_table_privilege(c.oid, 'DELETE')"},
	{"TRUNCATE", "has_table_privilege(c.oid, 'TRUNCATE')"},
	{"TRIGGER", "has_table_privilege(c.oid, 'TRIGGER')"},
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
	}
	if creates == "true" {
		f.add(false, "role "+role+" may create tables in schema "+b.cfg.Schema+", which it then owns", "")
	}
	has, err := b.rightsOn(ctx, tables)
	if err != nil {
		return nil, err
	}
	return append(f, rightsFindings(b, role, tables, has)...), nil
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
