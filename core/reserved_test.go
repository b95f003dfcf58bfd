package core

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
)

func TestTagsOfTheLibrarysOwn(t *testing.T) {
	for _, c := range []struct {
		tag      string
		reserved bool
	}{
		{"audit.start", true}, {"audit.x", true}, {"audit_overflow", true}, {"AUDIT_x", true}, {"Audit.", true},
		{"audit", false}, {"audit-x", false}, {"auditor.x", false}, {"x.audit.y", false}, {TagRead, false}, {"", false}, {"refund", false},
	} {
		var log bytes.Buffer
		store := &testStore{}
		rec := newTestRecorder(t, store, Config{Logger: slog.New(slog.NewTextHandler(&log, nil))})
		for range 2 {
			wantErr(t, rec.Audit(t.Context(), c.tag, nil, As("me")))
		}
		want := 0
		if c.reserved {
			want = 1
		}
		if got := strings.Count(log.String(), "WARN"); got != want {
			t.Errorf("%q: %d warnings, want %d: %s", c.tag, got, want, &log)
		}
	}
}

func TestLifecycleWarnsOfNothing(t *testing.T) {
	var log bytes.Buffer
	rec := newTestRecorder(t, &testStore{}, Config{Lifecycle: true, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if err := rec.Close(t.Context()); err != nil || log.Len() > 0 {
		t.Errorf("closed with %v, logged %s", err, &log)
	}
}
