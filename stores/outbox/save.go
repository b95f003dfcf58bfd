package outbox

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"gorm.io/gorm"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/stores/internal/sqlstore"
)

// In makes an audit in tx, a transaction of GORM's on the database of the outbox, see [core.In].
func In(tx *gorm.DB) core.Option { return core.In(tx) }

// InSQL is [In] for a transaction of database/sql.
func InSQL(tx *sql.Tx) core.Option { return core.In(tx) }

// Save implements [core.Store]: it returns when the events are committed to the table.
func (s *Store) Save(ctx context.Context, events []core.Event) error {
	if len(events) == 0 {
		return nil
	}
	if s.isClosed() {
		return core.FailAll(len(events), core.Failure{Err: core.ErrClosed, Retry: true, Lasting: true})
	}
	if !s.hasRoom(len(events)) {
		return core.FailAll(len(events), core.Failure{Err: ErrFull, Retry: true, Lasting: true})
	}
	if err := s.save(ctx, events); err != nil {
		return core.FailAll(len(events), core.Failure{Err: err, Retry: true, Unknown: !certain(err)})
	}
	s.took(len(events))
	select {
	case s.wake <- struct{}{}:
	default:
	}
	return nil
}

// most is how many events are in one statement.
const most = 256

func (s *Store) save(ctx context.Context, events []core.Event) error {
	if len(events)&(len(events)-1) == 0 && len(events) <= most { // one statement
		return s.insert(ctx, s.db, events)
	}
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return notBegun{err}
	}
	defer tx.Rollback()
	if err := s.insert(ctx, tx, events); err != nil {
		return notBegun{err} // nothing of it can be committed
	}
	return tx.Commit()
}

func (s *Store) insert(ctx context.Context, q querier, events []core.Event) error {
	return chunked(len(events), most, func(from, to int) error {
		args := make([]any, 0, 2*(to-from))
		for _, e := range events[from:to] {
			args = append(args, e.ID.String(), string(e.AppendJSON(nil)))
		}
		_, err := q.ExecContext(ctx, "INSERT INTO "+s.table+" (audit_id, event) VALUES "+s.dialect.list(to-from, 2)+" ON CONFLICT (audit_id) DO NOTHING", args...)
		return err
	})
}

// notBegun is an error before anything could be committed.
type notBegun struct{ error }

func (e notBegun) Unwrap() error { return e.error }

// certain reports whether an error says that nothing was stored.
func certain(err error) bool {
	if errors.As(err, new(notBegun)) {
		return true
	}
	if state := (interface{ SQLState() string })(nil); errors.As(err, &state) {
		switch class := state.SQLState()[:min(2, len(state.SQLState()))]; class {
		case "08", "40", "57", "58", "XX": // of a connection or a server that ends
			return false
		default:
			return class != ""
		}
	}
	for _, text := range []string{"database is locked", "no such table", "readonly database", "database is closed"} {
		if strings.Contains(err.Error(), text) {
			return true
		}
	}
	return false
}

func (s *Store) hasRoom(n int) bool { return s.size.Load()+int64(n) <= int64(s.cfg.MaxEvents) }

// took counts what was stored, and warns once when the bound comes near.
func (s *Store) took(n int) {
	after := s.size.Add(int64(n))
	if near := int64(s.cfg.MaxEvents) / 5 * 4; after >= near && after-int64(n) < near {
		s.logger().Warn("auditing: the outbox is filling up: its target takes too little", "table", s.table, "events", after, "max", s.cfg.MaxEvents)
	}
}

// Join implements [core.Joiner] for a *gorm.DB and a *sql.Tx.
func (s *Store) Join(ctx context.Context, tx any, events ...core.Event) error {
	if s.isClosed() {
		return core.ErrClosed
	}
	if !s.hasRoom(len(events)) {
		return ErrFull
	}
	err := s.Savepoint(ctx, tx, func() error {
		// Savepoint has looked at it.
		e, err := s.executor(tx)
		if err != nil {
			return err
		}
		return s.insert(ctx, e, events)
	})
	if err == nil {
		s.took(len(events))
	}
	return err
}

func (s *Store) executor(tx any) (gorm.ConnPool, error) {
	return sqlstore.Executor(tx, s.dialect.name, "a *gorm.DB or a *sql.Tx")
}

// Savepoint runs f, and takes back what it did in tx when it fails. tx is what [Store.Join]
// takes; one of another database is refused.
func (s *Store) Savepoint(ctx context.Context, tx any, f func() error) error {
	e, err := s.executor(tx)
	if err != nil {
		return err
	}
	if s.dialect.isSQLite() {
		// SQLite ends transactions by itself, after some errors, and a savepoint outside one
		// begins one, which its release commits.
		if _, err := e.ExecContext(ctx, "BEGIN"); err == nil {
			_, err = e.ExecContext(context.WithoutCancel(ctx), "ROLLBACK")
			return errors.Join(errors.New("SQLite has ended the transaction, with an error before: roll it back"), err)
		} else if !strings.Contains(err.Error(), "within a transaction") {
			return err
		}
	}
	if _, err := e.ExecContext(ctx, "SAVEPOINT audit_outbox"); err != nil {
		return err
	}
	if err = s.inPlace(ctx, e); err == nil {
		err = f()
	}
	if err == nil {
		_, err = e.ExecContext(ctx, "RELEASE SAVEPOINT audit_outbox")
		return err
	}
	ctx = context.WithoutCancel(ctx)
	for _, undo := range []string{"ROLLBACK TO SAVEPOINT audit_outbox", "RELEASE SAVEPOINT audit_outbox"} {
		if _, lost := e.ExecContext(ctx, undo); lost != nil {
			return errors.Join(err, fmt.Errorf("the transaction is lost: %w", lost))
		}
	}
	return err
}

func (s *Store) inPlace(ctx context.Context, e gorm.ConnPool) error {
	here, err := s.isAt(ctx, e)
	if err == nil && !here {
		err = errors.New("the transaction is of another database than the outbox: pass one of its database, or audit without core.In")
	}
	return err
}
