package nodriver

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/auditing-go/auditing/stores/gormstore"
)

// Write implements [gormstore.Backend]: everything in one transaction, with one
// prepared statement a table. A row that is refused leaves the transaction whole.
func (b *backend) Write(ctx context.Context, batches []gormstore.Batch) []gormstore.RowFailure {
	var failures []gormstore.RowFailure
	err := b.immediate(ctx, func(conn *sql.Conn) error {
		for _, batch := range batches {
			refused, err := b.insert(ctx, conn, batch)
			if err != nil {
				return err
			}
			failures = append(failures, refused...)
		}
		return nil
	})
	if err == nil {
		return failures
	}
	// Nothing was committed, unless the commit itself is what failed.
	unknown := errors.As(err, new(commitError))
	failures = nil
	for _, batch := range batches {
		for _, r := range batch.Rows {
			failures = append(failures, gormstore.RowFailure{Index: r.Index, Err: err, Why: reasonOf(err), Unknown: unknown})
		}
	}
	return failures
}

// insert stores the rows of one batch and returns those that the table refuses.
func (b *backend) insert(ctx context.Context, conn *sql.Conn, batch gormstore.Batch) ([]gormstore.RowFailure, error) {
	columns := append(gormstore.BaseColumns(), batch.Fields...)
	base := len(columns) - len(batch.Fields)
	stmt, err := conn.PrepareContext(ctx, b.insertSQL(batch, columns))
	if err != nil {
		return nil, err
	}
	defer stmt.Close()
	var refused []gormstore.RowFailure
	args := make([]any, len(columns))
	for i := range batch.Rows {
		row := &batch.Rows[i]
		for n, c := range columns {
			var v any
			if n < base {
				v = baseValue(row.Base(n))
			} else {
				v = row.Values[n-base]
			}
			args[n] = b.Arg(v, c.Kind)
		}
		if _, err := stmt.ExecContext(ctx, args...); err != nil {
			if reasonOf(err) != gormstore.Refused {
				return nil, err
			}
			refused = append(refused, gormstore.RowFailure{Index: row.Index, Err: err, Why: gormstore.Refused})
		}
	}
	return refused, nil
}

// baseValue is what [gormstore.Row.Base] points to, JSON as text.
func baseValue(p any) any {
	switch p := p.(type) {
	case *string:
		return *p
	case *time.Time:
		return *p
	case *uuid.UUID:
		return *p
	case *[]byte:
		return string(*p)
	}
	return nil
}

func (b *backend) insertSQL(batch gormstore.Batch, columns []gormstore.Column) string {
	names := make([]string, len(columns))
	params := make([]string, len(columns))
	id := ""
	for i, c := range columns {
		names[i] = gormstore.Quote(c.Name)
		params[i] = b.Param(i+1, c.Kind)
		if c.Name == "audit_id" {
			id = params[i]
		}
	}
	where := "true" // without it ON CONFLICT would be read as part of a join
	if batch.Twin != "" {
		where = "NOT EXISTS (SELECT 1 FROM " + b.Table(batch.Twin) + ` WHERE "audit_id" = ` + id + ")"
	}
	return "INSERT INTO " + b.Table(batch.Table.Name) + " (" + strings.Join(names, ", ") + ") SELECT " +
		strings.Join(params, ", ") + " WHERE " + where + ` ON CONFLICT ("audit_id") DO NOTHING`
}

// commitError is a commit of which nobody knows how it ended.
type commitError struct{ error }

func (e commitError) Unwrap() error { return e.error }

// immediate runs f in a transaction that is a writer from its start, so that it
// never has to give up half-way because another one wrote.
func (b *backend) immediate(ctx context.Context, f func(*sql.Conn) error) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	conn, err := b.pool.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	if !b.own {
		restore, err := durable(ctx, conn)
		if err != nil {
			return err
		}
		defer restore()
	}
	if _, err := conn.ExecContext(ctx, "BEGIN IMMEDIATE"); err != nil {
		return err
	}
	if err = f(conn); err == nil {
		if _, err = conn.ExecContext(ctx, "COMMIT"); err != nil {
			err = commitError{err}
		}
	}
	if err != nil {
		_, _ = conn.ExecContext(context.WithoutCancel(ctx), "ROLLBACK")
	}
	return err
}

// durable makes commits on the application's connection durable for a while: in
// WAL mode the usual setting synchronous=NORMAL may lose the last ones.
func durable(ctx context.Context, conn *sql.Conn) (restore func(), err error) {
	var level int
	if err := conn.QueryRowContext(ctx, "PRAGMA synchronous").Scan(&level); err != nil {
		return nil, err
	}
	const full = 2
	if level >= full {
		return func() {}, nil
	}
	if _, err := conn.ExecContext(ctx, "PRAGMA synchronous = FULL"); err != nil {
		return nil, err
	}
	before := map[int]string{0: "OFF", 1: "NORMAL"}[level]
	return func() {
		_, _ = conn.ExecContext(context.WithoutCancel(ctx), "PRAGMA synchronous = "+before)
	}, nil
}

// WhyUnread implements [gormstore.Backend]. What is wrong with a file is so for all tables.
func (b *backend) WhyUnread(err error) gormstore.Reason {
	switch {
	case textOf(err, []string{"locked", "busy", "interrupted", "disk", "closed", "unable to open", "out of memory"}) != "":
		return gormstore.Unavailable
	case reasonOf(err) == gormstore.Stale:
		return gormstore.Stale
	}
	return gormstore.Refused
}

// Reason implements [gormstore.Backend]. Only a trigger's own text can hold values.
func (b *backend) Reason(err error) string {
	for _, kind := range []string{"CHECK", "NOT NULL", "UNIQUE", "FOREIGN KEY"} {
		if _, of, ok := strings.Cut(err.Error(), kind+" constraint failed"); ok {
			return kind + " constraint failed" + of
		}
	}
	return cmp.Or(textOf(err, staleTexts), textOf(err, refusedTexts))
}

// The texts of SQLite's errors, which all its drivers share.
var (
	staleTexts   = []string{"no such table", "no such column", "has no column named", "ON CONFLICT clause does not match"}
	refusedTexts = []string{"constraint failed", "datatype mismatch", "too big"}
)

// reasonOf sorts SQLite's errors by what can be done about them.
func reasonOf(err error) gormstore.Reason {
	switch {
	case textOf(err, staleTexts) != "":
		return gormstore.Stale
	case textOf(err, refusedTexts) != "":
		return gormstore.Refused
	}
	return gormstore.Unavailable
}

// textOf returns the text that err contains, "" when it is none of texts.
func textOf(err error, texts []string) string {
	for _, s := range texts {
		if strings.Contains(err.Error(), s) {
			return s
		}
	}
	return ""
}
