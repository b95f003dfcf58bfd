package postgres

import (
	"context"
	"database/sql"

	"github.com/jackc/pgx/v5"

	"github.com/auditing-go/auditing/stores/gormstore"
)

// kinds are the types that the catalogue spells so.
var kinds = map[string]gormstore.Kind{
	"text":                        gormstore.Text,
	"bigint":                      gormstore.Int,
	"double precision":            gormstore.Float,
	"boolean":                     gormstore.Bool,
	"timestamp with time zone":    gormstore.Time,
	"timestamp without time zone": gormstore.LocalTime,
	"bytea":                       gormstore.Bytes,
	"jsonb":                       gormstore.JSON,
	"uuid":                        gormstore.UUID,
	"interval":                    gormstore.Interval,
}

// types are the types that new columns get.
var types = map[gormstore.Kind]string{
	gormstore.Text: "text", gormstore.Int: "bigint", gormstore.Float: "double precision", gormstore.Bool: "boolean",
	gormstore.Time: "timestamptz", gormstore.Bytes: "bytea", gormstore.JSON: "jsonb", gormstore.UUID: "uuid",
}

const relationsQuery = `
SELECT c.relname, c.relkind = 'r' AND NOT c.relispartition,
  EXISTS (SELECT 1 FROM pg_index i JOIN pg_attribute k ON k.attrelid = c.oid AND k.attnum = i.indkey[0]
    WHERE i.indrelid = c.oid AND i.indisunique AND i.indisvalid AND i.indimmediate AND i.indpred IS NULL
      AND i.indnkeyatts = 1 AND k.attname = 'audit_id'),
  NOT (c.relhastriggers OR c.relhasrules OR c.relrowsecurity OR c.relhassubclass
    OR EXISTS (SELECT 1 FROM pg_index i WHERE i.indrelid = c.oid)
    OR EXISTS (SELECT 1 FROM pg_constraint k WHERE k.conrelid = c.oid)
    OR EXISTS (SELECT 1 FROM pg_attribute k WHERE k.attrelid = c.oid AND k.attnum > 0 AND NOT k.attisdropped
      AND (k.attnotnull OR k.atthasdef OR k.attidentity <> ''))),
  a.attname, format_type(a.atttypid, a.atttypmod)
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE n.nspname = $1 AND `

const (
	byNames   = `c.relname = ANY($2)`
	withAudit = `c.oid IN (SELECT attrelid FROM pg_attribute WHERE attname = 'audit_id' AND NOT attisdropped) AND c.relkind = 'r' AND $2::text[] IS NULL`
	inOrder   = ` ORDER BY c.relname, a.attnum`
)

// querier is a pool, a connection or a transaction.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// Relations implements [gormstore.Backend].
func (b *backend) Relations(ctx context.Context, names []string) ([]gormstore.Relation, error) {
	return b.relations(ctx, b.pool, names)
}

func (b *backend) relations(ctx context.Context, q querier, names []string) ([]gormstore.Relation, error) {
	rows, err := q.QueryContext(ctx, relationsOf(names), b.cfg.Schema, names)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	return scanRelations(rows)
}

// Lookup implements [gormstore.Backend] on the connection that is kept for writing.
func (b *backend) Lookup(ctx context.Context, names []string) (relations []gormstore.Relation, err error) {
	l, err := b.take(ctx)
	if err != nil {
		return nil, err
	}
	defer b.lanes.give(l)
	look := func(c *pgx.Conn) error {
		rows, err := c.Query(ctx, relationsOf(names), b.cfg.Schema, names)
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
	return relations, err
}

func relationsOf(names []string) string {
	if names == nil {
		return relationsQuery + withAudit + inOrder
	}
	return relationsQuery + byNames + inOrder
}

// scanRelations reads the rows of relationsQuery, of database/sql or of pgx.
func scanRelations(rows interface {
	Next() bool
	Scan(into ...any) error
	Err() error
}) ([]gormstore.Relation, error) {
	var relations []gormstore.Relation
	for rows.Next() {
		var rel gormstore.Relation
		var column, typ sql.NullString
		if err := rows.Scan(&rel.Name, &rel.Table, &rel.UniqueID, &rel.Plain, &column, &typ); err != nil {
			return nil, err
		}
		if n := len(relations); n == 0 || relations[n-1].Name != rel.Name {
			relations = append(relations, rel)
		}
		if column.Valid {
			last := &relations[len(relations)-1]
			last.Columns = append(last.Columns, gormstore.Column{Name: column.String, Kind: kinds[typ.String]})
		}
	}
	return relations, rows.Err()
}
