package postgres

import (
	"context"
	"database/sql"
	"errors"

	"github.com/jackc/pgx/v5"
	"gorm.io/gorm"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/stores/internal/sqlstore"
)

// In makes an audit in tx, a transaction of GORM's on the database of the store, see [core.In].
//
// The transaction's role needs the right to INSERT into the tables of audits. Its
// synchronous_commit decides how durable its commit is, for the audit too.
func In(tx *gorm.DB) core.Option { return core.In(tx) }

// InSQL is [In] for a transaction of database/sql, whose driver has to be pgx.
func InSQL(tx *sql.Tx) core.Option { return core.In(tx) }

// InPgx is [In] for a transaction of pgx.
func InPgx(tx pgx.Tx) core.Option { return core.In(tx) }

// Join implements [core.Joiner] for a *gorm.DB, a *sql.Tx and a pgx.Tx.
func (s *Store) Join(ctx context.Context, tx any, events ...core.Event) error {
	return s.tables.Join(ctx, tx, events...)
}

// Join implements [sqlstore.Joiner].
func (b *backend) Join(_ context.Context, tx any) (sqlstore.Transaction, error) {
	t := &transaction{backend: b}
	var err error
	if p, ok := tx.(pgx.Tx); !ok {
		t.sql, err = sqlstore.Executor(tx, "postgres", "a *gorm.DB, a *sql.Tx or a pgx.Tx")
	} else if err = p.SendBatch(context.Background(), &pgx.Batch{}).Close(); err == nil {
		// Once it is over, which an empty batch tells, its connection may be somebody else's.
		t.conn = p.Conn()
	}
	return t, err
}

// Write implements [sqlstore.Transaction].
func (t *transaction) Write(ctx context.Context, batches []sqlstore.Batch) []sqlstore.RowFailure {
	rows := 0
	for _, batch := range batches {
		rows += len(batch.Rows)
	}
	t.args.reset(rows)
	inserts := make([]insert, len(batches))
	for i, batch := range batches {
		inserts[i] = t.insertOf(batch, statementKey{}, &t.args)
	}
	failed, err := t.run(ctx, batches, inserts)
	if err == nil {
		return nil
	}
	var failures []sqlstore.RowFailure
	for i, batch := range batches {
		why := sqlstore.Unavailable
		switch {
		case i == failed && errors.Is(err, errKeptOut):
			why = sqlstore.Refused
		case i == failed:
			why = reasonOf(err, batch.Looked)
		case failed >= 0:
			continue
		}
		for _, r := range batch.Rows {
			failures = append(failures, sqlstore.RowFailure{Index: r.Index, Err: err, Why: why})
		}
	}
	return failures
}
