package postgres

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"

	"github.com/auditing-go/auditing/core/auditjson"
	"github.com/auditing-go/auditing/stores/gormstore"
)

// Query implements [gormstore.Backend].
func (b *backend) Query(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	return b.pool.QueryContext(ctx, query, args...)
}

// DB implements [gormstore.Backend].
func (b *backend) DB() *gorm.DB { return b.db }

// Table implements [gormstore.Backend].
func (b *backend) Table(name string) string {
	return gormstore.Quote(b.cfg.Schema) + "." + gormstore.Quote(name)
}

// Select implements [gormstore.Backend].
func (b *backend) Select(column string, k gormstore.Kind) string {
	switch k {
	case gormstore.LocalTime:
		return column + " AT TIME ZONE " + b.zone
	case gormstore.JSON, gormstore.UUID, gormstore.Interval, gormstore.Other:
		return column + "::text"
	}
	return column
}

// Param implements [gormstore.Backend].
func (b *backend) Param(n int, k gormstore.Kind) string {
	p := "$" + strconv.Itoa(n)
	if k == gormstore.LocalTime {
		return "(" + p + "::timestamptz AT TIME ZONE " + b.zone + ")"
	}
	return p + "::" + types[k]
}

// Arg implements [gormstore.Backend].
func (b *backend) Arg(v any, k gormstore.Kind) any {
	switch v := v.(type) {
	case uuid.UUID:
		return v.String()
	case time.Time:
		if k == gormstore.LocalTime {
			return readable(v, b.location)
		}
	}
	return v
}

// Value implements [gormstore.Backend].
func (b *backend) Value(raw any, k gormstore.Kind) (any, error) {
	switch v := raw.(type) {
	case time.Time:
		return v.UTC(), nil
	case string:
		switch k {
		case gormstore.JSON:
			return auditjson.Parse([]byte(v))
		case gormstore.UUID:
			return uuid.Parse(v)
		}
		return v, nil
	case []byte, int64, float64, bool, nil:
		return v, nil
	}
	return nil, fmt.Errorf("unexpected %T", raw)
}

// SchemaChanged implements [gormstore.Backend].
func (b *backend) SchemaChanged(err error) bool { return reasonOf(err, false) == gormstore.Stale }

// Prompt implements [gormstore.Backend]: pgx gives a connection up when ctx ends.
func (b *backend) Prompt() bool { return true }

// Overlaps implements [gormstore.Backend].
func (b *backend) Overlaps() bool { return b.lanes.len() > 1 }
