package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/auditing-go/auditing/stores/internal/sqlstore"
)

// findSchema takes the first schema of the search_path.
func (b *backend) findSchema(ctx context.Context) error {
	var schema, barred sql.NullString
	var role string
	if err := b.pool.QueryRowContext(ctx, `SELECT current_schema(), current_user, (SELECT string_agg(quote_ident(nspname), ', ')
		FROM pg_namespace WHERE nspname = ANY (string_to_array(replace(replace(current_setting('search_path'), '"$user"', current_user), ' ', ''), ',')))`, b.args()...).
		Scan(&schema, &role, &barred); err != nil {
		return notConnected(err)
	}
	if !schema.Valid && barred.Valid {
		return fmt.Errorf("auditing: the role %q may not use the schemas of its search_path: run GRANT USAGE ON SCHEMA %s TO %s, or name another with audit_schema",
			role, barred.String, sqlstore.Quote(role))
	}
	if !schema.Valid {
		return errors.New("auditing: the search_path names no schema that exists: create one, GRANT USAGE ON it to the role, or name it with audit_schema")
	}
	b.cfg.Schema = schema.String
	return nil
}

// createSchema makes the schema when it is missing and may be made.
func (b *backend) createSchema(ctx context.Context) error {
	var exists bool
	err := b.pool.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM pg_namespace WHERE nspname = $1)", b.args(b.cfg.Schema)...).Scan(&exists)
	b.noSchema = b.cfg.Fixed && !exists
	if err == nil && !exists && !b.cfg.Fixed {
		_, err = b.pool.ExecContext(ctx, "CREATE SCHEMA "+sqlstore.Quote(b.cfg.Schema))
		if state := sqlState(err); state == "42P06" || state == "23505" {
			err = nil
		}
	}
	if err != nil {
		return fmt.Errorf("auditing: schema %q: %w", b.cfg.Schema, err)
	}
	return nil
}
