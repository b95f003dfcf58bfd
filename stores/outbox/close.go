package outbox

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/auditing-go/auditing/core"
)

// Flush waits until what waits now has been passed on or set aside, by whichever process, and
// flushes the target. Its error says how much still waits, and why.
func (s *Store) Flush(ctx context.Context) error {
	if s.isClosed() {
		return core.ErrClosed
	}
	var newest string
	query := "SELECT coalesce(max(audit_id), '') FROM "
	if !s.dialect.isSQLite() {
		query = "SELECT coalesce(max(audit_id::text), '') FROM "
	}
	if err := s.db.QueryRowContext(ctx, query+s.table+" WHERE reason IS NULL").Scan(&newest); err != nil {
		return fmt.Errorf("auditing: flush of the outbox: %w", err)
	}
	for pause := 2 * time.Millisecond; newest != ""; pause = min(2*pause, 100*time.Millisecond) {
		var left int
		if err := s.db.QueryRowContext(ctx, s.statement("SELECT count(*) FROM {table} WHERE reason IS NULL AND audit_id <= $1"), newest).Scan(&left); err != nil && ctx.Err() == nil {
			return fmt.Errorf("auditing: flush of the outbox: %w", err)
		} else if err == nil && left == 0 {
			break
		}
		select {
		case s.wake <- struct{}{}:
		default:
		}
		select {
		case <-s.stop:
			return core.ErrClosed
		case <-ctx.Done():
			s.mu.Lock()
			outage := s.outage
			s.mu.Unlock()
			err := fmt.Errorf("auditing: flush: %d events still wait in the outbox: %w", left, context.Cause(ctx))
			if outage != nil {
				err = fmt.Errorf("%w: %w", err, outage)
			}
			return err
		case <-time.After(pause):
		}
	}
	if f, ok := s.target.(core.Flusher); ok {
		return f.Flush(ctx)
	}
	return nil
}

// closeGrace is how long Close waits for a Save of the target that it has cancelled.
const closeGrace = time.Second

// Close takes nothing more, passes on what waits while the target takes it, and closes the target;
// it ends soon after ctx does. What still waits is passed on by another process, or after the next
// [New]. Close may be called more than once.
func (s *Store) Close(ctx context.Context) error {
	s.closing.Do(func() {
		close(s.stop)
		go s.end(ctx)
	})
	select {
	case <-s.closed:
		return s.closeErr
	case <-ctx.Done():
	}
	select {
	case <-s.closed:
		return s.closeErr
	case <-time.After(closeGrace):
		return errors.New("auditing: the outbox's target did not end its last Save: the outbox is closed when that ends")
	}
}

func (s *Store) end(ctx context.Context) {
	defer close(s.closed)
	stop := context.AfterFunc(ctx, s.cancel)
	<-s.stopped
	stop()
	s.cancel()
	if c, ok := s.target.(core.Closer); ok {
		s.closeErr = c.Close(ctx)
	}
}
