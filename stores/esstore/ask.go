package esstore

import (
	"context"
	"net/http"
	"time"

	"github.com/auditing-go/auditing/core"
)

// ask is do, again where that can help, as long as ctx and askFor allow.
func (s *Store) ask(ctx context.Context, r request) (a answer, err error) {
	ctx, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	for tries := 1; ; tries++ {
		a, err = s.do(ctx, r)
		busy := err == nil && (a.status == http.StatusTooManyRequests || a.status == http.StatusRequestTimeout || a.status >= 500)
		if err == nil && !busy || ctx.Err() != nil {
			return a, err
		}
		if err != nil && tries >= askTries || sleep(ctx, max(core.Backoff(tries, minBackoff, maxBackoff), a.retryAfter())) != nil {
			return a, err
		}
	}
}

// askTries is how often a server is asked that cannot be reached.
const askTries = 3

// askFor is how long a server is asked that is busy.
const askFor = 30 * time.Second

// The pauses between two times of asking, see [core.Backoff].
const (
	minBackoff = 50 * time.Millisecond
	maxBackoff = 2 * time.Second
)

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
