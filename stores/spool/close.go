package spool

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/auditing-go/auditing/core"
)

// Flush waits until what waits now has been passed on or set aside, and flushes
// the next store. Its error says how much still waits, and why.
func (s *Store) Flush(ctx context.Context) error {
	if ctx == nil {
		ctx = context.Background()
	}
	s.mu.Lock()
	if s.closing {
		s.mu.Unlock()
		return core.ErrClosed
	}
	s.hurry()
	target := s.behind
	done := func() bool { return s.settled >= max(target, s.moved) }
	err := s.waitFor(ctx, func() bool { return done() || s.closing })
	if err == nil && !done() {
		err = core.ErrClosed
	}
	n, outage := s.waiting, s.outage
	s.mu.Unlock()
	if err != nil {
		err = fmt.Errorf("auditing: flush: %d events still wait in the spool: %w", n, err)
		if outage != nil {
			err = fmt.Errorf("%w: %w", err, outage)
		}
		return err
	}
	if f, ok := s.next.(core.Flusher); ok {
		return f.Flush(ctx)
	}
	return nil
}

// closeGrace is how long Close waits for a Save of the next store that it has cancelled.
const closeGrace = time.Second

// Close takes nothing more, passes on what waits while the next store takes it,
// and closes the next store; it ends soon after ctx does. What still waits is
// passed on after the next [Open]. Close may be called more than once.
func (s *Store) Close(ctx context.Context) error {
	if ctx == nil {
		ctx = context.Background()
	}
	s.mu.Lock()
	if closed := s.closed; closed != nil {
		s.mu.Unlock()
		select {
		case <-closed:
			return nil
		case <-ctx.Done():
			return fmt.Errorf("auditing: close: %w", context.Cause(ctx))
		}
	}
	s.closed = make(chan struct{})
	s.closing = true
	s.hurry()
	s.waitFor(ctx, func() bool { return s.settled == s.behind || s.outage != nil })
	s.stopped = true
	s.hurry()
	s.mu.Unlock()

	ended := make(chan struct{})
	go func() {
		s.work.Wait()
		close(ended)
	}()
	select {
	case <-ended:
		return s.end(ctx)
	case <-ctx.Done():
	}
	s.cancel()
	grace := time.NewTimer(closeGrace)
	defer grace.Stop()
	select {
	case <-ended:
		return s.end(ctx)
	case <-grace.C:
	}
	go func() {
		<-ended
		if err := s.end(ctx); err != nil {
			s.logger().Warn("auditing: spool: closing", "dir", s.dir, "error", err)
		}
	}()
	return fmt.Errorf("auditing: %T did not end its last Save: the spool is closed when that ends", s.next)
}

// end closes everything, once nothing is passed on any more.
func (s *Store) end(ctx context.Context) error {
	defer close(s.closed)
	s.writer <- struct{}{}
	s.tidy()
	err := s.note(true) // so that nothing is passed on again
	if s.reader != nil {
		s.reader.close()
	}
	err = errors.Join(err, s.closeFiles())
	s.release()
	s.cancel()

	s.mu.Lock()
	left := s.waiting
	s.mu.Unlock()
	if left > 0 {
		s.logger().Info("auditing: spool: closed; what waits is passed on after the next start", "dir", s.dir, "waiting", left)
	}
	err = errors.Join(err, s.owner.release())
	if c, ok := s.next.(core.Closer); ok {
		err = errors.Join(err, s.closeNext(ctx, c))
	}
	return err
}

func (s *Store) closeNext(ctx context.Context, c core.Closer) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("auditing: the next store's Close panicked: %v", p)
		}
	}()
	return c.Close(ctx)
}
