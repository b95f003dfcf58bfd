package core

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// canceller makes audits without a user, and keeps what is logged of them.
type canceller struct {
	t    *testing.T
	rec  *Recorder
	log  lockedLog
	seen int // how much of log was looked at
}

// said returns what was logged since the last call.
func (c *canceller) said() string {
	all := c.log.String()
	defer func() { c.seen = len(all) }()
	return all[c.seen:]
}

func newCanceller(t *testing.T) *canceller {
	c := &canceller{t: t}
	c.rec = newTestRecorder(t, &testStore{}, Config{Logger: slog.New(slog.NewTextHandler(&c.log, nil))})
	return c
}

func (c *canceller) cancel(tag string, n int) {
	c.t.Helper()
	for range n {
		wantErr(c.t, c.rec.Audit(c.t.Context(), tag, Fields{"card": "secret"}))
	}
}

// want compares what was logged since the last call with one warning that says
// these, and with nothing when there are none.
func (c *canceller) want(texts ...string) {
	c.t.Helper()
	synctest.Wait()
	got := c.said()
	if lines := strings.Count(got, "\n"); len(texts) == 0 && got != "" || len(texts) > 0 && lines != 1 {
		c.t.Errorf("logged %q", got)
		return
	}
	for _, text := range texts {
		if !strings.Contains(got, text) {
			c.t.Errorf("logged %q, want %s in it", got, text)
		}
	}
	if strings.Contains(got, "secret") {
		c.t.Errorf("logged a value: %q", got)
	}
}

func TestCancelledAuditsAreWarnedOf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCanceller(t)
		c.cancel("first", 50)
		c.want("level=WARN", "tags=[first]", "cancelled=1", "SessionUser", "User option", "core.As")
		time.Sleep(cancelWarningEvery - 1)
		c.cancel("second", 1)
		c.cancel("third", 50)
		c.want()
		time.Sleep(time.Nanosecond) // nobody audits any more
		c.want(`tags="[first second third]"`, "cancelled=100")
		time.Sleep(time.Hour)
		c.want()
		c.cancel("late", 1)
		c.want("tags=[late]", "cancelled=1")
	})
}

func TestCloseWarnsOfTheLastCancelledAudits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCanceller(t)
		c.cancel("first", 1)
		c.want("tags=[first]")
		c.cancel("second", 2)
		wantErr(t, c.rec.Close(context.Background()))
		c.want("tags=[second]", "cancelled=2")
		c.cancel("late", 1)
		c.want("tags=[late]", "cancelled=1")
		time.Sleep(time.Hour)
		c.want()
		wantErr(t, c.rec.Close(context.Background()))
		c.want()
	})
}

func TestCloseWithoutCancelledAudits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCanceller(t)
		wantErr(t, c.rec.Audit(t.Context(), "x", nil, As("me")))
		wantErr(t, c.rec.Close(context.Background()))
		c.want()
	})
}

func TestWarningAboutCancelledAuditsIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCanceller(t)
		c.cancel("first", 1)
		c.want("tags=[first]")
		for i := range 1000 {
			c.cancel(fmt.Sprintf("tag%d", i), 2)
		}
		c.cancel("tag0", 1)
		time.Sleep(cancelWarningEvery)
		c.want("[tag0 tag1 ", fmt.Sprintf(" tag%d …]", maxWarnedTags-1), "cancelled=2001")
		for i := range 2 * maxWarnedTags {
			c.cancel(fmt.Sprint(i, strings.Repeat("long", 10_000)), 1)
		}
		time.Sleep(cancelWarningEvery)
		synctest.Wait()
		if n := len(c.said()); n == 0 || n > (maxWarnedTags+1)*maxTagBytes {
			t.Errorf("logged %d bytes", n)
		}
	})
}

// TestCancelledAtOnce is for the race detector, and says that no audit is missed.
func TestCancelledAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		said := 0
		rec := newTestRecorder(t, &testStore{}, Config{Logger: slog.New(countHandler{func(n int) {
			mu.Lock()
			defer mu.Unlock()
			said += n
		}})})
		const callers, each = 8, 100
		var wg sync.WaitGroup
		for range callers {
			wg.Go(func() {
				for range each {
					wantErr(t, rec.Audit(t.Context(), "x", nil))
				}
			})
		}
		wg.Wait()
		wantErr(t, rec.Close(context.Background()))
		if said != callers*each {
			t.Errorf("warned of %d cancelled audits, want %d", said, callers*each)
		}
	})
}

// countHandler is given the number of cancelled audits that each warning says.
type countHandler struct{ add func(int) }

func (countHandler) Enabled(context.Context, slog.Level) bool { return true }
func (h countHandler) WithAttrs([]slog.Attr) slog.Handler     { return h }
func (h countHandler) WithGroup(string) slog.Handler          { return h }
func (h countHandler) Handle(_ context.Context, record slog.Record) error {
	record.Attrs(func(a slog.Attr) bool {
		if a.Key == "cancelled" {
			h.add(int(a.Value.Int64()))
		}
		return true
	})
	return nil
}
