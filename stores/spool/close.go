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
	if s.isClosed() {
		return core.ErrClosed
	}
	s.mu.Lock()
	s.hurry()
	target := s.behind
	done := func() bool { return s.settled >= max(target, s.moved) }
	err := s.waitFor(ctx, func() bool { return done() || s.closing })
	if err == nil && !done() {
		err = core.ErrClosed
	}
	n, outage := len(s.waiting), s.outage
	s.mu.Unlock()
	if err != nil {
		err = fmt.Errorf("auditing: flush: %d events still wait in the spool: %w", n, err)
		if outage != nil {
			err = fmt.Errorf("%w: %w", err, outage)
		}
		return err
	}
	next, err := s.next.get(ctx)
	if err != nil {
		return err
	}
	if f, ok := next.(core.Flusher); ok {
		return f.Flush(ctx)
	}
	return nil
}

// waitFor waits until cond holds or ctx ends. s.mu must be held, as it is for cond.
func (s *Store) waitFor(ctx context.Context, cond func() bool) error {
	stop := context.AfterFunc(ctx, s.wake)
	defer stop()
	for !cond() {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		s.changed.Wait()
	}
	return nil
}

// wake has those who wait look again.
func (s *Store) wake() {
	s.mu.Lock() // so that nobody is just about to wait
	defer s.mu.Unlock()
	s.changed.Broadcast()
}

// isClosed reports whether Close was called.
func (s *Store) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closing
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
	if !s.closing {
		s.closing = true
		go s.end(ctx)
	}
	s.mu.Unlock()
	select {
	case <-s.closed:
		return s.closeErr
	case <-ctx.Done():
	}
	select {
	case <-s.closed:
		return s.closeErr
	case <-time.After(closeGrace):
		return errors.New("auditing: the spool's next store did not end its last Save: the spool is closed when that ends")
	}
}

// end closes everything, once nothing is passed on any more.
func (s *Store) end(ctx context.Context) {
	defer close(s.closed)
	s.mu.Lock()
	s.hurry()
	s.waitFor(ctx, func() bool { return s.settled == s.behind || s.outage != nil })
	s.stopped = true
	s.hurry()
	s.mu.Unlock()
	stop := context.AfterFunc(ctx, s.cancel)
	s.running.Wait()
	stop()
	s.writer <- struct{}{}
	s.tidy()
	err := s.note(true) // so that nothing is passed on again
	s.reader.seek(s.handed)
	err = errors.Join(err, s.closeFiles())
	s.release()
	s.cancel()
	if left := len(s.waiting); left > 0 {
		s.logger().Info("auditing: spool: closed; what waits is passed on after the next start", "dir", s.dir, "waiting", left)
	}
	s.closeErr = errors.Join(err, s.next.close(ctx))
	if s.closeErr != nil && ctx.Err() != nil { // so that Close may not wait for it
		s.logger().Warn("auditing: spool: closing", "dir", s.dir, "error", s.closeErr)
	}
}
