package postgres

import (
	"context"
	"database/sql"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/auditing-go/auditing/stores/internal/sqlstore"
)

// kinds are the types that the catalogue spells so.
var kinds = map[string]sqlstore.Kind{
	"text":                        sqlstore.Text,
	"bigint":                      sqlstore.Int,
	"double precision":            sqlstore.Float,
	"boolean":                     sqlstore.Bool,
	"timestamp with time zone":    sqlstore.Time,
	"timestamp without time zone": sqlstore.LocalTime,
	"bytea":                       sqlstore.Bytes,
	"jsonb":                       sqlstore.JSON,
	"uuid":                        sqlstore.UUID,
	"interval":                    sqlstore.Interval,
}

// readAs are types that read as a kind but do not keep all of its values, or pad and
// round them.
var readAs = map[string]sqlstore.Kind{
	"character varying": sqlstore.Text, "character": sqlstore.Text, "name": sqlstore.Text, "citext": sqlstore.Text,
	"integer": sqlstore.Int, "smallint": sqlstore.Int, "json": sqlstore.JSON,
	"timestamp with time zone": sqlstore.Time, "timestamp without time zone": sqlstore.LocalTime,
}

// precision is what a type has in brackets.
var precision = regexp.MustCompile(`\([0-9,]+\)`)

// columnOf is a column of a type as the catalogue spells it.
func columnOf(name, typ string) sqlstore.Column {
	if k, ok := kinds[typ]; ok {
		return sqlstore.Column{Name: name, Kind: k}
	}
	return sqlstore.Column{Name: name, Kind: readAs[precision.ReplaceAllString(typ, "")], Type: typ}
}

// A relation is one row of these. Its columns stand in one text, see [sqlstore.ColumnsIn]:
// that is twice as fast as rows.
const (
	// toRead is what a Read has to know, a third of the work of toWrite.
	toRead = `SELECT c.relname, a.columns, c.relkind IN ('r', 'p', 'm'),
  CASE WHEN c.relhassubclass THEN (WITH RECURSIVE part (id) AS (SELECT i.inhrelid FROM pg_inherits i WHERE i.inhparent = c.oid
    UNION ALL SELECT i.inhrelid FROM part p JOIN pg_inherits i ON i.inhparent = p.id) SELECT count(*) FROM part) ELSE 0 END,
  CASE WHEN has_table_privilege(c.oid, 'SELECT') THEN '' ELSE format('GRANT SELECT ON %I.%I TO %I', n.nspname, c.relname, current_user) END`
	// toWrite is all else.
	toWrite = `SELECT c.relname, a.columns, c.relkind IN ('r', 'p') AND NOT c.relispartition,
  EXISTS (SELECT 1 FROM pg_index i JOIN pg_attribute k ON k.attrelid = c.oid AND k.attnum = i.indkey[0]
    WHERE i.indrelid = c.oid AND i.indisunique AND i.indisvalid AND i.indimmediate AND i.indpred IS NULL
      AND i.indnkeyatts = 1 AND k.attname = 'audit_id'),
  c.relkind = 'r' AND NOT (c.relhastriggers OR c.relhasrules OR c.relrowsecurity OR c.relhassubclass
    OR EXISTS (SELECT 1 FROM pg_index i WHERE i.indrelid = c.oid)
    OR EXISTS (SELECT 1 FROM pg_constraint k WHERE k.conrelid = c.oid)
    OR EXISTS (SELECT 1 FROM pg_attribute k WHERE k.attrelid = c.oid AND k.attnum > 0 AND NOT k.attisdropped
      AND (k.attnotnull OR k.atthasdef OR k.attidentity <> ''))),
  CASE WHEN has_schema_privilege(n.oid, 'USAGE') AND has_any_column_privilege(c.oid, 'INSERT') AND has_any_column_privilege(c.oid, 'SELECT') THEN ''
    ELSE format('GRANT USAGE ON SCHEMA %1$I TO %3$I; GRANT INSERT, SELECT ON %1$I.%2$I TO %3$I', n.nspname, c.relname, current_user) END,
  CASE WHEN current_setting('fsync') = 'off' THEN 'the server runs with fsync = off'
    WHEN c.relpersistence = 'u' THEN format('the table is UNLOGGED: run: ALTER TABLE %I.%I SET LOGGED', n.nspname, c.relname) ELSE '' END`
	relationsFrom = `
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
CROSS JOIN LATERAL (SELECT string_agg(a.attname || chr(30) || format_type(a.atttypid, a.atttypmod), chr(30)`
	// inPlace is only for who asks what made the table.
	inPlace  = ` ORDER BY a.attnum`
	ofAudits = `) AS columns,
    count(*) FILTER (WHERE a.attname IN ('audit_id', 'audit_tag', 'audit_request', 'audit_extra')) AS of_audits
  FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) a
WHERE n.nspname = $1 AND `
	byNames   = `c.relname = ANY($2::text[])`
	withAudit = `c.relkind IN ('r', 'p', 'f') AND NOT c.relispartition AND a.of_audits >= 2`
	inOrder   = ` ORDER BY c.relname`
)

// relationsOf returns the query for these relations, for all tables of audits with nil,
// and its arguments.
func (b *backend) relationsOf(what string, names []string) (query string, args []any) {
	from := relationsFrom + ofAudits
	if what == toWrite {
		from = relationsFrom + inPlace + ofAudits
	}
	if names == nil {
		return what + from + withAudit + inOrder, []any{b.cfg.Schema}
	}
	return what + from + byNames + inOrder, []any{b.cfg.Schema, names}
}

// Relations implements [sqlstore.Backend].
func (b *backend) Relations(ctx context.Context, names []string) ([]sqlstore.Relation, error) {
	query, args := b.relationsOf(toRead, names)
	rows, err := b.Query(ctx, true, nil, query, args...)
	if err != nil {
		return nil, err
	}
	relations := make([]sqlstore.Relation, len(rows))
	for i, row := range rows {
		word := func(n int) string { s, _ := row[n].(string); return s }
		rel := sqlstore.Relation{Name: word(0), Columns: sqlstore.ColumnsIn(word(1), columnOf), Denied: word(4)}
		if word(2) == "t" {
			rel.Place = "md5(tableoid || ' ' || ctid)::uuid"
		}
		if rel.Parts, err = strconv.Atoi(word(3)); err != nil {
			return nil, err
		}
		relations[i] = rel
	}
	if names != nil {
		b.mu.Lock()
		defer b.mu.Unlock()
		if len(b.guesses) >= maxGuesses {
			clear(b.guesses)
		}
		key := strings.Join(names, " ")
		delete(b.guesses, key)
		if len(rows) > 0 {
			b.guesses[key] = &sqlstore.Guess{Relations: relations, Names: names, Rows: rows}
		}
	}
	return relations, nil
}

// maxGuesses bounds the names whose relations are remembered.
const maxGuesses = 1000

// Guess implements [sqlstore.Backend]: it spares a round trip.
func (b *backend) Guess(names []string) *sqlstore.Guess {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.guesses[strings.Join(names, " ")]
}

// Locked implements [sqlstore.Backend].
func (b *backend) Locked(ctx context.Context) (map[string]bool, error) {
	rows, err := b.Query(ctx, false, nil, `WITH RECURSIVE held (id) AS (SELECT l.relation FROM pg_locks l
  WHERE l.locktype = 'relation' AND l.mode = 'AccessExclusiveLock' AND l.granted AND l.pid <> pg_backend_pid()
    AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
  UNION SELECT i.inhparent FROM held h JOIN pg_inherits i ON i.inhrelid = h.id)
SELECT c.relname FROM held h JOIN pg_class c ON c.oid = h.id JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1`, b.cfg.Schema)
	locked := map[string]bool{}
	for _, row := range rows {
		locked[row[0].(string)] = true
	}
	return locked, err
}

// querier is a pool, a connection or a transaction.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// relations reads what a write has to know, in a transaction.
func (b *backend) relations(ctx context.Context, q querier, names []string) ([]sqlstore.Relation, error) {
	query, args := b.relationsOf(toWrite, names)
	rows, err := q.QueryContext(ctx, query, b.args(args...)...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	return scanRelations(rows)
}

// Lookup implements [sqlstore.Backend] on the connection that is kept for writing.
func (b *backend) Lookup(ctx context.Context, names []string) (relations []sqlstore.Relation, err error) {
	l, err := b.take(ctx)
	if err != nil {
		return nil, err
	}
	defer b.give(l)
	query, args := b.relationsOf(toWrite, names)
	look := func(c *pgx.Conn) error {
		rows, err := c.Query(ctx, query, b.args(args...)...)
		if err != nil {
			return err
		}
		defer rows.Close()
		relations, err = scanRelations(rows)
		return err
	}
	if err = l.use(ctx, look); err != nil && isConnection(err) && ctx.Err() == nil {
		// The kept connection was lost: a new one shows whether the server is away.
		err = l.use(ctx, look)
	}
	if err == nil && len(relations) == 0 && !b.noSchema {
		err = l.use(ctx, b.schemaIsThere(ctx))
	}
	return relations, err
}

// schemaIsThere says why nothing is found in the schema when somebody has taken it away.
func (b *backend) schemaIsThere(ctx context.Context) func(*pgx.Conn) error {
	return func(c *pgx.Conn) error {
		var there bool
		err := c.QueryRow(ctx, "SELECT EXISTS (SELECT 1 FROM pg_namespace WHERE nspname = $1)", b.args(b.cfg.Schema)...).Scan(&there)
		if err == nil && !there {
			err = notSent{fmt.Errorf("schema %q is not there any more: somebody has renamed or dropped it", b.cfg.Schema)}
		}
		return err
	}
}

// scanRelations reads the rows of toWrite, of database/sql or of pgx.
func scanRelations(rows interface {
	Next() bool
	Scan(into ...any) error
	Err() error
}) ([]sqlstore.Relation, error) {
	var relations []sqlstore.Relation
	for rows.Next() {
		var rel sqlstore.Relation
		var columns sql.NullString
		if err := rows.Scan(&rel.Name, &columns, &rel.Table, &rel.UniqueID, &rel.Plain, &rel.Grant, &rel.Lossy); err != nil {
			return nil, err
		}
		rel.Columns = sqlstore.ColumnsIn(columns.String, columnOf)
		relations = append(relations, rel)
	}
	return relations, rows.Err()
}
