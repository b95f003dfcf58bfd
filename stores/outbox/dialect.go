package outbox

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"gorm.io/gorm"

	"github.com/auditing-go/auditing/stores/internal/fileid"
)

// querier is a pool or a transaction.
type querier interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// dialect is what differs between databases.
type dialect struct {
	name string // of GORM's
	now  string // an expression: milliseconds since 1970, of the database's clock as processes' may differ
	id   string // the type of an id
	min  string // the lesser of two
	// lease marks what is due, up to a number, and returns it.
	lease string
}

var dialects = []dialect{
	{
		name: "postgres", now: "(extract(epoch FROM clock_timestamp()) * 1000)::bigint", id: "uuid", min: "least",
		// Without MATERIALIZED a plan may lock more rows than it takes.
		lease: `WITH found AS MATERIALIZED (SELECT audit_id AS id FROM {table} WHERE reason IS NULL AND due <= {now} ORDER BY audit_id LIMIT $1 FOR UPDATE SKIP LOCKED)
UPDATE {table} SET due = {now} + {lease}, attempts = attempts + 1 FROM found WHERE audit_id = id RETURNING audit_id::text, event`,
	},
	{
		name: "sqlite", now: "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)", id: "text", min: "min",
		lease: `UPDATE {table} SET due = {now} + {lease}, attempts = attempts + 1
WHERE audit_id IN (SELECT audit_id FROM {table} WHERE reason IS NULL AND due <= {now} ORDER BY audit_id LIMIT $1) RETURNING audit_id, event`,
	},
}

func dialectOf(name string) (dialect, error) {
	for _, d := range dialects {
		if d.name == name {
			return d, nil
		}
	}
	return dialect{}, fmt.Errorf("auditing: an outbox needs a database of PostgreSQL or SQLite, and this one is of %s: %w", name, errors.ErrUnsupported)
}

func (d dialect) isSQLite() bool { return d.name == "sqlite" }

// ddl makes the table. due is from when on an event may be leased, and refused when it was set
// aside, both in milliseconds.
func (d dialect) ddl(table string) string {
	return "CREATE TABLE IF NOT EXISTS " + table + " (audit_id " + d.id + " NOT NULL PRIMARY KEY, event text NOT NULL, " +
		"due bigint NOT NULL DEFAULT 0, attempts bigint NOT NULL DEFAULT 0, reason text, refused bigint);"
}

// create runs the statement; Postgres fails for several who run one at the same time.
func (d dialect) create(ctx context.Context, db *sql.DB, statement string) error {
	if d.isSQLite() {
		_, err := db.ExecContext(ctx, statement)
		return err
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if _, err := tx.ExecContext(ctx, "SELECT pg_advisory_xact_lock(hashtext('auditing outbox'))"); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, statement); err != nil {
		return err
	}
	return tx.Commit()
}

// qualified returns the quoted name of the table: a transaction may have another search_path.
func (d dialect) qualified(ctx context.Context, db *sql.DB, table string) (string, error) {
	if d.isSQLite() {
		return `main."` + table + `"`, nil
	}
	var schema sql.NullString
	err := db.QueryRowContext(ctx, "SELECT coalesce((SELECT n.nspname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = to_regclass($1)), current_schema())", table).Scan(&schema)
	if err == nil && !schema.Valid {
		err = errors.New("no schema of the search_path exists")
	}
	return `"` + strings.ReplaceAll(schema.String, `"`, `""`) + `"."` + table + `"`, err
}

// place tells the database from every other: in Postgres also from one of its name on another
// server. It is "" for a file of SQLite's in memory.
func (d dialect) place(ctx context.Context, q querier) (place string, err error) {
	query := `SELECT (SELECT system_identifier FROM pg_control_system()) || ' ' || d.oid FROM pg_database d WHERE d.datname = current_database()`
	if d.isSQLite() {
		query = "SELECT coalesce(max(file), '') FROM pragma_database_list WHERE name = 'main'"
	}
	err = q.QueryRowContext(ctx, query).Scan(&place)
	return place, err
}

// isAt reports whether a transaction is of the outbox's database.
func (s *Store) isAt(ctx context.Context, tx gorm.ConnPool) (bool, error) {
	if pool, err := (&gorm.DB{Config: &gorm.Config{ConnPool: tx}}).DB(); err == nil && pool == s.db {
		return true, nil
	}
	theirs, err := s.dialect.place(ctx, tx)
	if err != nil || !s.dialect.isSQLite() {
		return theirs == s.place, err
	}
	if theirs == "" || s.place == "" {
		return false, nil
	}
	a, errA := fileid.At(theirs)
	b, errB := fileid.At(s.place)
	return errA == nil && errB == nil && a.Is(b), nil
}

var numbered = regexp.MustCompile(`\$\d+`)

// statement fills in a template, whose arguments come in order.
func (s *Store) statement(template string) string {
	if s.dialect.isSQLite() {
		template = numbered.ReplaceAllString(template, "?")
	}
	return strings.NewReplacer("{table}", s.table, "{now}", s.dialect.now, "{lease}", strconv.FormatInt(lease.Milliseconds(), 10), "{min}", s.dialect.min).Replace(template)
}

// chunked calls do with at most most of n things at a time, in powers of two, so that the
// database sees few different statements.
func chunked(n, most int, do func(from, to int) error) error {
	for from := 0; from < n; {
		size := most
		for size > n-from {
			size /= 2
		}
		if err := do(from, from+size); err != nil {
			return err
		}
		from += size
	}
	return nil
}

// list returns n groups of placeholders, each in brackets when it has several.
func (d dialect) list(n, group int) string {
	var b strings.Builder
	for i := range n * group {
		if i > 0 {
			b.WriteByte(',')
		}
		if group > 1 && i%group == 0 {
			b.WriteByte('(')
		}
		if d.isSQLite() {
			b.WriteByte('?')
		} else {
			b.WriteByte('$')
			b.WriteString(strconv.Itoa(i + 1))
		}
		if group > 1 && i%group == group-1 {
			b.WriteByte(')')
		}
	}
	return b.String()
}
