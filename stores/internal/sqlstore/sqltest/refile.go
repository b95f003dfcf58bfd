package sqltest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/stores/internal/sqlstore"
)

// diverted saves events that have no places of their own, under tags that get tables and tags
// that cannot, and returns all that is there.
func diverted(t *testing.T, d Database, n int) []core.Event {
	t.Helper()
	owner := closing(t, d.Open(sqlstore.Config{}))
	save(t, owner, core.Event{Tag: "ev", User: "first", Fields: core.Fields{"n": 0}})
	s := closing(t, d.Open(sqlstore.Config{Fixed: true}))
	var events []core.Event
	for i := range n {
		e := core.Event{Tag: []string{"ev", "later", "Other-Tag", "audit.own", "ev"}[i%5], User: fmt.Sprint("user", i%3), Fields: core.Fields{
			"n": i, "text": fmt.Sprint("t", i), "list": []any{1, "a"}, "my-field": i, "big": uint64(1) << 63, "bytes": []byte{0, 255}, "at": i%2 == 0, "whole": float64(i),
		}}
		if i%2 == 0 {
			e.Target, e.Outcome, e.Reason, e.OnBehalfOf, e.Tenant, e.Service = fmt.Sprint("order/", i), core.OutcomeDenied, "limit", "bob", "acme", "shop"
		}
		if i%3 == 0 {
			e.Request = &core.Request{IP: "203.0.113.9", Host: "h", Path: "/p", ID: "r-1", Method: "POST"}
		}
		if i%7 == 0 {
			e.Fields["n"] = "no number" // which no column of numbers takes
		}
		events = append(events, e.Normalize(0))
	}
	save(t, s, events...)
	return everything(t, owner)
}

// everything reads all events, the newest first.
func everything(t *testing.T, r core.Reader) (events []core.Event) {
	t.Helper()
	for after := ""; ; {
		page, err := r.Read(t.Context(), core.Query{After: after, Limit: core.MaxLimit})
		if err != nil {
			t.Fatal(err)
		}
		events = append(events, page.Events...)
		if after = page.Next; after == "" {
			return events
		}
	}
}

func sameEvents(t *testing.T, when string, got, want []core.Event) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s %d events are read, want %d", when, len(got), len(want))
	}
	for i := range got {
		if a, b := string(got[i].AppendJSON(nil)), string(want[i].AppendJSON(nil)); a != b {
			t.Fatalf("%s there is read\n%s, want\n%s", when, a, b)
		}
	}
}

// refiled: all that has a place gets there, nothing else changes, and a second time finds nothing.
func refiled(t *testing.T, d Database) {
	const n = 250
	diverted(t, d, n)
	before := d.count(t, "SELECT count(*) FROM audit_overflow")
	d.exec(t, `UPDATE audit_overflow SET audit_request = '{"method":"PUT","theirs":1}' WHERE username = 'user1' AND audit_tag = 'later' AND audit_request IS NULL`)
	owner := closing(t, d.Open(sqlstore.Config{}))
	want := everything(t, owner)
	foreign := d.count(t, `SELECT count(*) FROM audit_overflow WHERE CAST(audit_request AS text) LIKE '%theirs%'`)
	if before != n*3/5 || foreign == 0 {
		t.Fatalf("%d rows were diverted, %d of them are foreign", before, foreign)
	}
	last := 0
	moved, err := owner.Refile(t.Context(), func(moved int) { last = moved })
	if err != nil || moved != last || moved < n*4/5-foreign {
		t.Errorf("%d rows were moved, %d reported (%v)", moved, last, err)
	}
	sameEvents(t, "afterwards", everything(t, owner), want)
	if left := d.count(t, "SELECT count(*) FROM audit_overflow"); left != n/5+foreign {
		t.Errorf("%d rows are left in the overflow table, want those %d that have no table and %d with what is not ours", left, n/5, foreign)
	}
	const inPlace = ` WHERE text IS NOT NULL AND list IS NOT NULL AND bytes IS NOT NULL AND whole IS NOT NULL AND username <> 'first'`
	for _, table := range []string{"ev", "other_tag"} {
		all, right := d.count(t, "SELECT count(*) FROM "+table+" WHERE username <> 'first'"), d.count(t, "SELECT count(*) FROM "+table+inPlace)
		if right != all || all == 0 {
			t.Errorf("of %d rows of %s %d have their fields in columns", all, table, right)
		}
		stated := d.count(t, "SELECT count(*) FROM "+table+" WHERE audit_target IS NOT NULL AND audit_outcome = 'denied' AND audit_for = 'bob' AND audit_tenant = 'acme' AND audit_reason = 'limit'")
		if inside := d.count(t, "SELECT count(*) FROM "+table+` WHERE CAST(audit_request AS text) LIKE '%denied%'`); stated == 0 || inside > 0 {
			t.Errorf("of %s %d rows have facts in columns, %d in audit_request", table, stated, inside)
		}
	}
	if moved, err := owner.Refile(t.Context(), nil); err != nil || moved != 0 {
		t.Errorf("a second time %d rows are moved (%v)", moved, err)
	}
}

// refiledBesideOthers is ended again and again, with writers beside it and another who does the same:
// every event is read once, at each moment.
func refiledBesideOthers(t *testing.T, d Database) {
	const n = 600
	want := map[uuid.UUID]bool{}
	for _, e := range diverted(t, d, n) {
		want[e.ID] = true
	}
	var wg sync.WaitGroup
	done := make(chan struct{})
	writer := closing(t, d.Open(sqlstore.Config{}))
	wg.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-done:
				return
			default:
				events := []core.Event{core.Event{Tag: "later", User: "writer", Fields: core.Fields{"text": "new"}}.Normalize(0), core.Event{Tag: "audit.own", User: "writer"}.Normalize(0)}
				for err := errors.New("not yet"); err != nil && t.Context().Err() == nil; { // as a recorder tries again
					err = writer.Save(t.Context(), events)
				}
			}
		}
	})
	wg.Go(func() {
		for s := closing(t, d.Open(sqlstore.Config{})); ; {
			select {
			case <-done:
				return
			default:
			}
			seen := map[uuid.UUID]bool{}
			page, err := s.Read(t.Context(), core.Query{Limit: core.MaxLimit, Fields: core.Fields{"list": []any{1, "a"}}})
			if err != nil {
				t.Error(err)
				return
			}
			for _, e := range page.Events {
				if seen[e.ID] {
					t.Errorf("%s is read twice", e.ID)
				}
				seen[e.ID] = true
			}
			if len(seen) != n {
				t.Errorf("%d events are read, want %d", len(seen), n)
				return
			}
		}
	})
	var others sync.WaitGroup
	for range 2 {
		others.Go(func() {
			s := closing(t, d.Open(sqlstore.Config{}))
			for limit := time.Millisecond; ; limit += limit / 8 {
				ctx, cancel := context.WithTimeout(t.Context(), limit) // which ends wherever that is
				_, err := s.Refile(ctx, nil)
				cancel()
				if err == nil {
					return
				}
				if limit > 10*time.Second {
					t.Error(err)
					return
				}
			}
		})
	}
	others.Wait()
	close(done)
	wg.Wait()
	got := map[uuid.UUID]bool{}
	for _, e := range everything(t, writer) {
		if e.User != "writer" {
			got[e.ID] = true
		}
	}
	for id := range want {
		if !got[id] {
			t.Errorf("%s is lost", id)
		}
	}
	if left := d.count(t, "SELECT count(*) FROM audit_overflow WHERE username <> 'writer'"); left != n/5 || len(got) != len(want) {
		t.Errorf("%d rows are left in the overflow table, want %d; %d events, want %d", left, n/5, len(got), len(want))
	}
}

// refiledAround: what cannot be moved, or was changed meanwhile, neither gets lost nor keeps others
// where they are.
func refiledAround(t *testing.T, d Database) {
	owner := closing(t, d.Open(sqlstore.Config{}))
	for _, tag := range []string{"one", "two", "taken", "unique"} {
		save(t, owner, core.Event{Tag: tag, User: "first", Fields: core.Fields{"n": 1}})
	}
	d.exec(t, `DROP TABLE one; DROP TABLE two; ALTER TABLE taken RENAME TO moved; CREATE UNIQUE INDEX u ON "unique" (n)`)
	fixed := closing(t, d.Open(sqlstore.Config{Fixed: true}))
	real := core.Event{Tag: "taken", User: "real", Fields: core.Fields{"n": 1}}.Normalize(0)
	save(t, fixed, real, core.Event{Tag: "one", User: "a"}, core.Event{Tag: "defaults", User: "d"})
	for n := range 20 {
		save(t, fixed, core.Event{Tag: "unique", User: "refused", Fields: core.Fields{"n": 1}}, core.Event{Tag: "two", User: fmt.Sprint("personal", n)})
	}
	d.exec(t, `ALTER TABLE moved RENAME TO taken; CREATE TABLE defaults (`+baseOnly+`, note text DEFAULT 'x', PRIMARY KEY (audit_id));
		INSERT INTO taken (username, datetime, audit_id, audit_tag) VALUES ('another', '2026-01-01 00:00:00.000000+00:00', '`+real.ID.String()+`', 'taken')`)
	want := everything(t, owner)
	erased := false
	moved, err := owner.Refile(t.Context(), func(int) {
		if !erased {
			erased = true
			d.exec(t, `UPDATE audit_overflow SET username = 'erased' WHERE username LIKE 'personal%'`)
		}
	})
	if err == nil || !strings.Contains(err.Error(), `"taken"`) || !strings.Contains(err.Error(), `"unique"`) {
		t.Errorf("the error does not say what stays and why: %v", err)
	}
	if left := d.count(t, "SELECT count(*) FROM audit_overflow WHERE username IN ('real', 'refused')"); left != 21 {
		t.Errorf("%d of 21 that cannot be moved are left", left)
	}
	for i, e := range want {
		if strings.HasPrefix(e.User, "personal") {
			want[i].User = "erased"
		}
	}
	sameEvents(t, "afterwards", everything(t, owner), want)
	again, err := owner.Refile(t.Context(), nil)
	if moved += again; moved != 22 || err == nil {
		t.Errorf("%d were moved (%v), want all 22 that can be", moved, err)
	}
	sameEvents(t, "at last", everything(t, owner), want)
}

// refiledByNobody: a role that may only add and read is told so, and nothing changes.
func refiledByNobody(t *testing.T, d Database) {
	if d.Limited == nil {
		t.Skip("this database has no roles")
	}
	want := diverted(t, d, 20)
	if err := closing(t, d.Open(sqlstore.Config{})).Declare(t.Context(), "later", fields); err != nil {
		t.Fatal(err)
	}
	d.exec(t, granted+`; GRANT INSERT, SELECT ON later TO PUBLIC`)
	s := closing(t, d.Limited(sqlstore.Config{Fixed: true}))
	if moved, err := s.Refile(t.Context(), nil); err == nil || moved != 0 || !strings.Contains(err.Error(), "permission denied") || !strings.Contains(err.Error(), "GRANT") {
		t.Errorf("%d rows were moved (%v), want an error", moved, err)
	}
	sameEvents(t, "afterwards", everything(t, s), want)
}
