package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Close ends the growing of tables and closes the backend. It ends soon after ctx
// does: what is still under way is then closed when it ends, and the error says
// what that is. Close may be called more than once.
func (s *Store) Close(ctx context.Context) error {
	if s.closed.Swap(true) {
		return nil
	}
	return errors.Join(s.grower.stop(ctx), s.backend.Close(ctx))
}

// closeGrace is how long is waited beyond ctx, for what only needs to be closed.
const closeGrace = 200 * time.Millisecond

// CloseWithin is for a [Backend]'s Close. It runs end, which closes everything, and
// returns its error. When ctx ends well before it, end goes on in the background,
// and the error gives what underWay says.
func CloseWithin(ctx context.Context, end func() error, underWay func() string) error {
	ended := make(chan error, 1)
	go func() { ended <- end() }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	grace := time.NewTimer(closeGrace)
	defer grace.Stop()
	select {
	case err := <-ended:
		return err
	case <-grace.C:
		return fmt.Errorf("auditing: close: still under way: %s: %w", underWay(), context.Cause(ctx))
	}
}
