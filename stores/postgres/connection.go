package postgres

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
)

// connection is one that is kept.
type connection struct {
	conn          *sql.Conn
	born, expires time.Time
	// unnamed says that statements are not to be prepared under names.
	unnamed bool
	pooled  bool // a pooler stands before the server
	// key names the advisory lock that each of its transactions holds.
	key int64
}

// connector makes the connections that are kept: of a pool of its own, or of the
// application's one.
type connector struct {
	app  *sql.DB // nil for a store that opened its own
	kept *sql.DB // makes connections beside app; nil until one of app has shown how
}

// poolWait is how long the application's pool is waited for when it seems to have room.
const poolWait = time.Second

// connect makes a connection. One of the application's pool is taken while the pool has
// room, as it goes through what the application does to each; when handlers hold them
// all, and perhaps wait for their audits, one is made beside the pool.
func (c *connector) connect(ctx context.Context) (*connection, error) {
	if c.app == nil {
		return connectionOf(ctx, c.kept)
	}
	if c.kept == nil {
		return connectionOf(ctx, c.app)
	}
	if s := c.app.Stats(); s.MaxOpenConnections <= 0 || s.InUse < s.MaxOpenConnections {
		short, cancel := context.WithTimeout(ctx, poolWait)
		conn, err := connectionOf(short, c.app)
		timedOut := short.Err() != nil
		cancel()
		if err == nil || !timedOut || ctx.Err() != nil {
			return conn, err
		}
	}
	conn, err := connectionOf(ctx, c.kept)
	if isSession(err) {
		return connectionOf(ctx, c.app) // only the application knows its new credentials
	}
	return conn, err
}

// close closes the pool that is the connector's own.
func (c *connector) close() error {
	if c.kept == nil {
		return nil
	}
	return c.kept.Close()
}

// connectionOf takes a connection of pool and looks at it.
func connectionOf(ctx context.Context, pool *sql.DB) (*connection, error) {
	conn, err := pool.Conn(ctx)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	c := &connection{conn: conn, born: now, expires: now.Add(lifetime()), key: rand.Int64()}
	if err := c.raw(func(pc *pgx.Conn) error {
		var err error
		c.pooled, err = greet(ctx, pc)
		// Any other mode is for a proxy that does not know of prepared statements.
		c.unnamed = c.pooled || pc.Config().DefaultQueryExecMode != pgx.QueryExecModeCacheStatement
		return err
	}); err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

// greet checks that what is written on a connection is read as it was, and reports
// whether a pooler stands before the server: it shows itself by another process number.
func greet(ctx context.Context, c *pgx.Conn) (pooled bool, err error) {
	if enc := c.PgConn().ParameterStatus("server_encoding"); enc != "UTF8" && enc != "SQL_ASCII" && enc != "" {
		return false, fmt.Errorf("database %q is encoded in %s, which cannot hold every text: create one with ENCODING 'UTF8' TEMPLATE template0", c.Config().Database, enc)
	}
	if enc := c.PgConn().ParameterStatus("client_encoding"); enc != "UTF8" && enc != "" {
		return false, fmt.Errorf("the connection's client_encoding is %s, but Go's text is UTF8: add client_encoding=UTF8 to the DSN", enc)
	}
	var pid uint32
	err = c.QueryRow(ctx, "SELECT pg_backend_pid()", pgx.QueryExecModeSimpleProtocol).Scan(&pid)
	return pid != c.PgConn().PID(), err
}

func (c *connection) raw(f func(*pgx.Conn) error) error {
	err := error(notSent{sql.ErrConnDone})
	_ = c.conn.Raw(func(driverConn any) error {
		pc, ok := driverConn.(*stdlib.Conn)
		if !ok {
			err = errForeignDriver
			return nil
		}
		err = f(pc.Conn())
		return nil
	})
	return err
}

// close closes the connection itself: the application's pool has no use for one with so
// many prepared statements.
func (c *connection) close() {
	_ = c.raw(func(pc *pgx.Conn) error {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		return pc.Close(ctx)
	})
	_ = c.conn.Close()
}
