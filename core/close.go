package core

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Flush waits until every audit that was under way when it was called is settled,
// then until what was saved can be read. It ends with ctx.
func (r *Recorder) Flush(ctx context.Context) (err error) {
	if r == nil || r.store == nil {
		return ErrNoRecorder
	}
	if ctx, err = usable(ctx); err != nil {
		return err
	}
	r.mu.Lock()
	f := r.awaitPending()
	r.mu.Unlock()
	if err := waitFor(ctx, f.done); err != nil {
		return fmt.Errorf("auditing: flush: %w", err)
	}
	if flusher, ok := r.store.(Flusher); ok {
		defer recovered("auditing: the store's Flush", &err)
		return flusher.Flush(ctx)
	}
	return nil
}

// closeGrace is how long Close waits for a write that it has cancelled.
const closeGrace = 200 * time.Millisecond

// Close takes no more audits, waits until those under way are settled or ctx
// ends, and closes the store. When ctx ends first, what waits fails with
// [ErrClosed] and what is being written is unknown. The error says how many of
// those under way were not stored, and gives the store's. Close may be called more
// than once and at the same time; only the first does the work and returns that error.
func (r *Recorder) Close(ctx context.Context) error {
	if r == nil || r.store == nil {
		return nil
	}
	ctx, err := usable(ctx)
	if err != nil {
		return err
	}
	r.mu.Lock()
	if r.stopped != nil {
		stopped := r.stopped
		r.mu.Unlock()
		if err := waitFor(ctx, stopped); err != nil {
			return fmt.Errorf("auditing: close: %w", err)
		}
		return nil
	}
	r.stopped = make(chan struct{})
	defer close(r.stopped)
	start := r.auditStop()
	r.closed = true
	r.idle = make(chan struct{})
	if !r.writing {
		close(r.idle)
	}
	f := r.awaitPending()
	r.warnCancelled() // lets r.mu go
	if start {
		r.begin(false)
	}

	cut := waitFor(ctx, f.done)
	if cut != nil {
		r.giveUp()
	} else {
		r.awaitLastWrite(ctx)
	}
	r.reportLost()
	r.cancel()
	storeErr := r.closeStore(ctx)

	r.mu.Lock()
	defer r.mu.Unlock()
	if r.timer != nil {
		r.timer.Stop()
	}
	return errors.Join(f.report(cut), storeErr)
}

// usable returns a context that can be waited for: nil is one without an end.
func usable(ctx context.Context) (_ context.Context, err error) {
	if ctx == nil {
		return context.Background(), nil
	}
	defer brokenContext(ctx, &err)
	ctx.Done()
	return ctx, nil
}

// waitFor waits for done, or fails with the reason why ctx has ended. What is done
// already is not affected by ctx.
func waitFor(ctx context.Context, done <-chan struct{}) error {
	select {
	case <-done:
		return nil
	default:
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// awaitLastWrite leaves a write that has outlasted its callers the rest of its
// time: what they do not know may yet be stored.
func (r *Recorder) awaitLastWrite(ctx context.Context) {
	r.mu.Lock()
	writing := len(r.out.batch) > 0
	r.mu.Unlock()
	if !writing {
		return
	}
	rest := time.NewTimer(r.cfg.Timeout + r.slack())
	defer rest.Stop()
	select {
	case <-r.idle:
	case <-ctx.Done():
	case <-rest.C:
	}
}

// closeStore closes the store once no write is under way, in the background when
// the store does not end the last one in time.
func (r *Recorder) closeStore(ctx context.Context) error {
	grace := time.NewTimer(closeGrace)
	defer grace.Stop()
	select {
	case <-r.idle:
		return r.callClose(ctx)
	case <-grace.C:
		go func() {
			<-r.idle
			if err := r.callClose(ctx); err != nil {
				r.logger().Warn("auditing: closing the store", "error", err)
			}
		}()
		return fmt.Errorf("auditing: %T did not end its last write: it is closed when that ends", r.store)
	}
}

func (r *Recorder) callClose(ctx context.Context) (err error) {
	if closer, ok := r.store.(Closer); ok {
		defer recovered("auditing: the store's Close", &err)
		return closer.Close(ctx)
	}
	return nil
}

// giveUp ends everything that is under way, because Close has run out of time.
func (r *Recorder) giveUp() {
	defer r.reportLost()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.queue.remove(func(c *call) bool {
		r.settle(c, settled, c.outcome(ErrClosed))
		return true
	})
	r.abandon(func(*call) bool { return true })
}

// flush follows the calls of one moment until all are settled. Recorder.mu guards it.
type flush struct {
	left  int
	ended [verdicts]int
	done  chan struct{} // closed when none is left
}

func (f *flush) settled() {
	if f.left--; f.left == 0 {
		close(f.done)
	}
}

// report says how many calls were not stored; cut is why they were not waited for, or nil.
func (f *flush) report(cut error) error {
	if f.ended[failed]+f.ended[unknown] == 0 {
		return nil
	}
	err := fmt.Errorf("auditing: close: %d events not stored, %d unknown", f.ended[failed], f.ended[unknown])
	if cut != nil {
		err = fmt.Errorf("%w: %w", err, cut)
	}
	return err
}

// awaitPending returns a flush that is done when every call of now is settled.
// Recorder.mu must be held.
func (r *Recorder) awaitPending() *flush {
	f := &flush{done: make(chan struct{})}
	for _, calls := range [][]*call{r.queue.retries, r.queue.fresh, r.out.batch, r.joins} {
		for _, c := range calls {
			if c.state == waiting || c.state == inWrite {
				c.flushes = append(c.flushes, f)
				f.left++
			}
		}
	}
	if f.left == 0 {
		close(f.done)
	}
	return f
}
