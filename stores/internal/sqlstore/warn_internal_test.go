package sqlstore

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

// TestWarningsHaveABudgetForEachKind: names that users choose, of which there are any
// number, do not keep a warning of another kind from being given.
func TestWarningsHaveABudgetForEachKind(t *testing.T) {
	var log bytes.Buffer
	s := newStore(t, &database{})
	s.cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
	for i := range 3 * maxWarned {
		s.warnOnce("a table is missing", fmt.Sprint(i))
		s.warnOnce("a table is missing", fmt.Sprint(i))
	}
	if n := strings.Count(log.String(), "a table is missing\""); n != maxWarned+1 {
		t.Errorf("%d lines of a kind that never ends, want %d", n, maxWarned+1)
	}
	if n := strings.Count(log.String(), "no more warnings of this kind"); n != 1 {
		t.Errorf("that no more are given is said %d times", n)
	}
	s.warnOnce("a table refuses events", "ev")
	if !strings.Contains(log.String(), "a table refuses events") {
		t.Error("another kind is not warned of any more")
	}
}
