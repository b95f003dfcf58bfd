package spool

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/auditing-go/auditing/core"
)

// refuseAll says no to everything, with a long reason.
func refuseAll(_ *memory, _ context.Context, batch []core.Event) error {
	return core.FailAll(len(batch), core.Failure{Err: errors.New("mapping conflict " + strings.Repeat("é", maxReason))})
}

func TestSetAside(t *testing.T) {
	noLeaks(t)
	var log logs
	next := &memory{answer: refuseAll}
	dir := t.TempDir()
	tune := quick()
	tune.batchEvents = 1000 // batches end in any order
	s := openSpool(t, dir, next, Config{Logger: log.logger()}, tune)
	events := eventsOf(700)
	save(t, s, events...)
	flush(t, s)
	if n := log.count("set aside"); n != 1 {
		t.Errorf("700 refused events gave %d log lines, want 1", n)
	}
	list := func() (ids []uuid.UUID) {
		t.Helper()
		for r, err := range s.SetAside(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(r.Reason, "mapping conflict") || len(r.Reason) > maxReason || r.At.IsZero() || r.Event.Tag != "refund" {
				t.Fatalf("set aside is %+v", r)
			}
			ids = append(ids, r.Event.ID)
		}
		return ids
	}
	if ids := list(); len(ids) != 700 || ids[0] != events[0].ID || ids[699] != events[699].ID {
		t.Fatalf("%d events are set aside, want 700 in their order", len(ids))
	}
	for range s.SetAside(t.Context()) {
		break // may end early
	}
	save(t, s, events[:10]...) // stored already
	closeSpool(t, s)
	s = openSpool(t, dir, next, Config{}, quick())
	if ids := list(); len(ids) != 700 {
		t.Fatalf("after a restart %d events are set aside, want 700", len(ids))
	}

	var out bytes.Buffer
	if n, err := s.Export(t.Context(), &out); n != 700 || err != nil {
		t.Fatalf("Export = %d, %v", n, err)
	}
	lines := bufio.NewScanner(&out)
	for i := 0; lines.Scan(); i++ {
		var line struct {
			Reason string
			Event  core.Event
		}
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil || line.Event.ID != events[i].ID || line.Reason == "" {
			t.Fatalf("line %d of the export: %v: %.300s", i, err, lines.Bytes())
		}
	}

	// Refused again, set aside again, once each.
	if n, err := s.Retry(t.Context()); n != 700 || err != nil {
		t.Fatalf("Retry = %d, %v", n, err)
	}
	flush(t, s)
	if ids := list(); len(ids) != 700 {
		t.Fatalf("after a Retry in vain %d events are set aside, want 700", len(ids))
	}
	next.set(false, nil)
	if n, err := s.Retry(t.Context(), events[5].ID, events[600].ID, uuid.New()); n != 2 || err != nil {
		t.Fatalf("Retry of two = %d, %v", n, err)
	}
	flush(t, s)
	if err := next.has(events[5], events[600]); err != nil {
		t.Error(err)
	}
	if ids := list(); len(ids) != 698 || len(next.order) != 2 {
		t.Errorf("after a Retry of two %d are set aside and %d passed on", len(ids), len(next.order))
	}
	if n, err := s.Retry(t.Context()); n != 698 || err != nil {
		t.Errorf("Retry of the rest = %d, %v", n, err)
	}
	flush(t, s)
	if err := next.has(events...); err != nil {
		t.Error(err)
	}
	if st := s.Stats(); st.SetAside != 0 || st.Bytes != 0 {
		t.Errorf("the stats are %+v, want nothing left", st)
	}
}
