package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/auditing-go/auditing/stores/internal/sqlstore"
)

// parseDSN parses dsn and moves our own settings from it into cfg.
func parseDSN(dsn string, cfg *Config) (*pgx.ConnConfig, error) {
	conn, err := pgx.ParseConfig(dsn)
	if err != nil {
		// pgx masks the password, but only where it can parse that much of the DSN.
		return nil, errors.New(`auditing: the DSN cannot be parsed: use "host=127.0.0.1 user=postgres dbname=mydb" or "postgres://postgres@127.0.0.1/mydb"`)
	}
	if conn.Database == "" {
		conn.Database = conn.User // as libpq does
	}
	for name, into := range map[string]*string{"audit_schema": &cfg.Schema, "audit_prefix": &cfg.Prefix, "audit_zone": &cfg.Zone} {
		if v, ok := conn.RuntimeParams[name]; ok {
			*into = v
			delete(conn.RuntimeParams, name)
		}
	}
	conn.RuntimeParams["client_encoding"] = "UTF8" // whatever the role's or the database's is
	conn.StatementCacheCapacity = min(conn.StatementCacheCapacity, maxCached)
	if _, ok := conn.RuntimeParams["application_name"]; !ok {
		conn.RuntimeParams["application_name"] = "auditing"
	}
	return conn, nil
}

// maxCached is how many statements pgx keeps prepared on a connection of the pool, such as
// those of queries through [Store.DB]: on a wide table each costs the server up to half a megabyte.
const maxCached = 32

// look connects once to see what stands at the other end, and creates the database when
// it is missing and may be created. Through a pooler a statement that was prepared is not
// there the next time, so that none is.
func look(ctx context.Context, conn *pgx.ConnConfig, create bool) error {
	c, err := pgx.ConnectConfig(ctx, conn.Copy())
	if create && sqlState(err) == "3D000" {
		if err := createDatabase(ctx, conn); err != nil {
			return err
		}
		c, err = pgx.ConnectConfig(ctx, conn.Copy())
	}
	if err != nil {
		return notConnected(err)
	}
	defer c.Close(context.WithoutCancel(ctx))
	pooled, err := greet(ctx, c)
	if err != nil {
		return fmt.Errorf("auditing: %w", err)
	}
	if pooled && conn.DefaultQueryExecMode != pgx.QueryExecModeSimpleProtocol {
		conn.DefaultQueryExecMode = pgx.QueryExecModeExec
	}
	return nil
}

// maintenance are the databases from which another can be created.
var maintenance = []string{"postgres", "template1"}

func createDatabase(ctx context.Context, conn *pgx.ConnConfig) error {
	var failed error
	for _, name := range maintenance {
		admin := conn.Copy()
		admin.Database = name
		c, err := pgx.ConnectConfig(ctx, admin)
		if err == nil {
			defer c.Close(context.WithoutCancel(ctx))
			return createFrom(ctx, c, conn.Database)
		}
		failed = err
	}
	return fmt.Errorf("auditing: database %q is missing and cannot be created: %w", conn.Database, failed)
}

func createFrom(ctx context.Context, c *pgx.Conn, name string) error {
	for {
		var exists, utf8 bool
		err := c.QueryRow(ctx, `SELECT EXISTS (SELECT 1 FROM pg_database WHERE datname = $1),
			EXISTS (SELECT 1 FROM pg_database WHERE datname = 'template1' AND pg_encoding_to_char(encoding) IN ('UTF8', 'SQL_ASCII'))`,
			pgx.QueryExecModeExec, name).Scan(&exists, &utf8)
		if err == nil && !exists {
			create := "CREATE DATABASE " + sqlstore.Quote(name)
			if !utf8 {
				create += " ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0"
			}
			_, err = c.Exec(ctx, create)
		}
		switch sqlState(err) {
		case "":
			return err
		case "42P04", "23505": // somebody else was faster
			return nil
		case "55006": // the template is in use, as while another process copies it
			select {
			case <-time.After(200 * time.Millisecond):
				continue
			case <-ctx.Done():
			}
		}
		return fmt.Errorf("auditing: creating database %q: %w", name, err)
	}
}
