//go:build linux

package spool

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/auditing-go/auditing/core"
)

// TestNoSpace: while the file cannot grow, Save says so and loses nothing; when it
// can again, everything goes on.
func TestNoSpace(t *testing.T) {
	t.Parallel()
	cmd, _, out := startChild(t, "no space", t.TempDir())
	for {
		line, err := out.ReadString('\n')
		if err != nil {
			break
		}
		t.Log(strings.TrimSpace(line))
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}

// certainAndLasting reports whether the error says of each event that it is not stored,
// and that this does not change by itself.
func certainAndLasting(err error) bool {
	var batch *core.BatchError
	return errors.As(err, &batch) && !slices.ContainsFunc(batch.Failures, func(f core.Failure) bool {
		return f.Unknown || f.Refused() || !f.Lasting || !strings.Contains(f.Err.Error(), "is full")
	})
}

func init() {
	children["no space"] = func(dir string) error {
		signal.Ignore(syscall.SIGXFSZ)
		limit := func(n uint64) {
			var l syscall.Rlimit
			syscall.Getrlimit(syscall.RLIMIT_FSIZE, &l)
			l.Cur = n
			if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &l); err != nil {
				fmt.Println(err)
			}
		}
		ctx := context.Background()
		next := &memory{down: true}
		tune := quick()
		tune.segmentBytes = 4 << 20
		s, err := open(dir, &nextStore{store: next}, Config{Logger: slog.New(slog.DiscardHandler)}, tune)
		if err != nil {
			return err
		}
		first := eventsOf(1)
		if err := s.Save(ctx, first); err != nil { // which makes a segment
			return err
		}
		limit(1 << 20) // as if the rest of it, and any other, had no room
		stored := first
		var failed []core.Event
		for len(failed) < 500 {
			events := eventsOf(500)
			if err := s.Save(ctx, events); err == nil {
				stored = append(stored, events...)
			} else if failed = events; !strings.Contains(err.Error(), "file too large") || !certainAndLasting(err) {
				return fmt.Errorf("without space Save returned %w", err)
			}
			if len(stored) > 100_000 {
				return errors.New("the limit had no effect")
			}
		}
		fmt.Println(len(stored), "events were stored before the space ended")
		page, err := s.Read(ctx, core.Query{Limit: core.MaxLimit})
		if err != nil || len(page.Events) != min(len(stored), core.MaxLimit) {
			return fmt.Errorf("without space %d events of %d can be read (%w)", len(page.Events), len(stored), err)
		}
		limit(1 << 40)
		if err := s.Save(ctx, failed); err != nil {
			return fmt.Errorf("with space again: %w", err)
		}
		next.set(false, nil)
		if err := s.Flush(ctx); err != nil {
			return err
		}
		return errors.Join(next.has(append(stored, failed...)...), s.Close(ctx))
	}
}
