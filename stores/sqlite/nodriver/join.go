package nodriver

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"gorm.io/gorm"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/stores/internal/fileid"
	"github.com/auditing-go/auditing/stores/internal/sqlstore"
)

// In makes an audit in tx, a transaction of GORM's on the file of the store, see [core.In].
func In(tx *gorm.DB) core.Option { return core.In(tx) }

// InSQL is [In] for a transaction of database/sql.
func InSQL(tx *sql.Tx) core.Option { return core.In(tx) }

// Join implements [core.Joiner] for a *gorm.DB and a *sql.Tx.
func (s *Store) Join(ctx context.Context, tx any, events ...core.Event) error {
	return s.tables.Join(ctx, tx, events...)
}

// transaction is one of a caller's.
type transaction struct {
	*backend
	tx executor
}

// Join implements [sqlstore.Joiner].
func (b *backend) Join(ctx context.Context, tx any) (sqlstore.Transaction, error) {
	e, err := sqlstore.Executor(tx, "sqlite", "a *gorm.DB or a *sql.Tx")
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	d := b.file
	b.mu.Unlock()
	// Of the same pool it is of the same file, also where that is in memory.
	if pool, err := (&gorm.DB{Config: &gorm.Config{ConnPool: e}}).DB(); err == nil && pool == d.pool {
		return &transaction{b, e}, nil
	}
	var path string
	if err := e.QueryRowContext(ctx, "SELECT coalesce(max(file), '') FROM pragma_database_list WHERE name = 'main'").Scan(&path); err != nil {
		return nil, err
	}
	ours, err := fileid.At(d.path)
	theirs, theirErr := fileid.At(path)
	if path == "" || d.path == "" || err != nil || theirErr != nil || !ours.Is(theirs) {
		return nil, fmt.Errorf("the transaction is of another database (%q) than the audits (%q): pass one of theirs, or audit without core.In", path, d.path)
	}
	return &transaction{b, e}, nil
}

// Lookup implements [sqlstore.Transaction]: the caller may hold the pool's only connection.
func (t *transaction) Lookup(ctx context.Context, names []string) ([]sqlstore.Relation, error) {
	return relations(ctx, t.tx, names)
}

// Write implements [sqlstore.Transaction].
func (t *transaction) Write(ctx context.Context, batches []sqlstore.Batch) []sqlstore.RowFailure {
	w := &writing{backend: t.backend, tables: make([]tableWriting, len(batches))}
	var err error
	for again := true; again; again = errors.Is(err, errAgain) {
		err = t.underSavepoint(ctx, func() error {
			if err := w.insertAll(ctx, t.tx, batches); err != nil {
				return err
			}
			for _, table := range w.tables {
				if len(table.refused) > 0 {
					return errRefused
				}
			}
			return nil
		})
	}
	var failures []sqlstore.RowFailure
	for i, batch := range batches {
		for _, r := range batch.Rows {
			switch refused := w.tables[i].refused[r.Index]; {
			case err == nil:
			case !errors.Is(err, errRefused):
				failures = append(failures, sqlstore.RowFailure{Index: r.Index, Err: err, Why: sqlstore.Unavailable})
			case refused != nil:
				failures = append(failures, sqlstore.RowFailure{Index: r.Index, Err: refused, Why: reasonOf(refused)})
			}
		}
	}
	return failures
}

// errRefused takes back what else was stored when a row was refused.
var errRefused = errors.New("a row was refused")

// underSavepoint runs f, of which nothing is left when it fails.
func (t *transaction) underSavepoint(ctx context.Context, f func() error) error {
	// A savepoint outside a transaction begins one, and its release commits that. SQLite ends
	// transactions by itself, after some errors.
	if _, err := t.tx.ExecContext(ctx, "BEGIN"); err == nil {
		_, err = t.tx.ExecContext(context.WithoutCancel(ctx), "ROLLBACK")
		return errors.Join(errLost, err)
	} else if textOf(err, []string{"within a transaction"}) == "" {
		return err
	}
	if _, err := t.tx.ExecContext(ctx, "SAVEPOINT audit_in"); err != nil {
		return err
	}
	err := f()
	if err != nil {
		ctx = context.WithoutCancel(ctx)
		if _, lost := t.tx.ExecContext(ctx, "ROLLBACK TO audit_in"); lost != nil {
			if errors.Is(err, errAgain) {
				err = lost
			}
			return fmt.Errorf("%w: %w", errLost, err)
		}
	}
	if _, released := t.tx.ExecContext(ctx, "RELEASE audit_in"); err == nil {
		err = released
	}
	return err
}

var errLost = errors.New("SQLite has ended the transaction, with an error before or with this one: roll it back")

var _ sqlstore.Joiner = (*backend)(nil)
