package postgres_test

import (
	"slices"
	"strings"
	"testing"
	"time"
	_ "time/tzdata"

	"github.com/google/uuid"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/stores/postgres"
	"github.com/auditing-go/auditing/stores/postgres/pgtest"
)

// night returns times of the night in which the clocks of Berlin are put back, from
// 3 o'clock to 2 o'clock.
func night(t *testing.T, clocks ...string) []time.Time {
	times := make([]time.Time, len(clocks))
	for i, clock := range clocks {
		at, err := time.Parse("2 15:04:05.999999", clock)
		if err != nil {
			t.Fatal(err)
		}
		times[i] = at.AddDate(2026, 9, 0)
	}
	return times
}

// TestTheHourThatComesTwice: a table of the Python library, which holds wall times,
// does not move events of that hour, and they are read among its rows in their order.
func TestTheHourThatComesTwice(t *testing.T) {
	dsn := pgtest.DSN(t)
	d := connect(t, dsn)
	d.exec(`CREATE TABLE mytag (username text, datetime timestamp, seen timestamp)`)
	var l logs
	s := open(t, dsn, postgres.Config{Zone: "Europe/Berlin", Logger: l.logger()})
	event := func(at, seen time.Time) core.Event {
		return core.Event{Tag: "mytag", User: "me", Time: at, Fields: core.Fields{"seen": seen}}.Normalize(0)
	}
	long := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	eventually(t, "the table is taken over", func() bool {
		save(t, s, []core.Event{event(long, long)})
		return ask[int](d, `SELECT count(*) FROM mytag WHERE username = 'me'`) > 0
	})
	d.exec(`DELETE FROM audit_overflow`)

	once := night(t, "24 23:45:00", "25 02:00:00", "25 02:30:00")
	twice := night(t, "25 00:00:00", "25 00:30:00", "25 00:59:59.999999", "25 01:00:00", "25 01:30:00", "25 01:59:59.999999")
	old := night(t, "24 23:30:00", "25 01:00:00", "25 01:15:00", "25 01:45:00", "25 02:30:00") // as the server reads them
	var events []core.Event
	for _, at := range slices.Concat(once, twice) {
		events = append(events, event(at, at))
	}
	events = append(events, event(long, twice[1]))
	save(t, s, events)
	// Their ids come before those of events: at one time they are the older ones.
	d.exec(`INSERT INTO mytag (username, datetime, seen, audit_id) SELECT 'old', w, w, ('00000000-0000-4000-8000-00000000000' || n)::uuid
		FROM unnest('{2026-10-25 01:30, 2026-10-25 02:00, 2026-10-25 02:15, 2026-10-25 02:45, 2026-10-25 03:30}'::timestamp[]) WITH ORDINALITY AS o (w, n)`)

	if n := ask[int](d, `SELECT count(*) FROM audit_overflow`); n != len(twice) {
		t.Errorf("%d events are in the overflow table, want the %d of the hour that comes twice", n, len(twice))
	}
	if n := ask[int](d, `SELECT count(*) FROM mytag WHERE username = 'me' AND datetime > '2026-01-01' AND seen = datetime`); n != len(once) {
		t.Errorf("%d events are in the table with their field in its column, want %d", n, len(once))
	}
	if n := ask[int](d, `SELECT count(*) FROM mytag WHERE seen IS NULL AND audit_extra ? 'seen'`); n != 1 {
		t.Errorf("%d fields are in audit_extra, want 1", n)
	}
	for _, want := range []string{"of another hour too", "field=seen"} {
		if n := strings.Count(l.String(), want); n != 1 {
			t.Errorf("%d warnings say %s, want one:\n%s", n, want, l.String())
		}
	}

	all := slices.Concat(once, twice, old)
	slices.SortFunc(all, func(a, b time.Time) int { return b.Compare(a) })
	for limit := 1; limit <= len(all); limit++ {
		wantTimes(t, s, core.Query{Tag: "mytag", From: once[0].AddDate(0, 0, -1), Limit: limit}, all)
	}
	recent := long.AddDate(1, 0, 0)
	for _, at := range all {
		var later, earlier, same []time.Time
		for _, other := range all {
			switch other.Compare(at) {
			case 1:
				later = append(later, other)
			case 0:
				same = append(same, other)
			default:
				earlier = append(earlier, other)
			}
		}
		wantTimes(t, s, core.Query{Tag: "mytag", From: at, Limit: 3}, slices.Concat(later, same))
		wantTimes(t, s, core.Query{Tag: "mytag", From: recent, To: at, Limit: 3}, earlier)
		wantTimes(t, s, core.Query{Tag: "mytag", From: recent, Fields: core.Fields{"seen": at}}, same)
	}
}

// wantTimes reads all pages of q and wants events of these times, each once.
func wantTimes(t *testing.T, s *postgres.Store, q core.Query, want []time.Time) {
	t.Helper()
	var got []time.Time
	seen := map[uuid.UUID]bool{}
	for next := true; next; next = q.After != "" {
		page, err := s.Read(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range page.Events {
			if seen[e.ID] {
				t.Errorf("%v came twice", e)
			}
			seen[e.ID] = true
			got = append(got, e.Time)
		}
		q.After = page.Next
	}
	if !slices.EqualFunc(got, want, time.Time.Equal) {
		t.Errorf("from %v to %v with %v, %d at a time, reads\n%v, want\n%v", q.From, q.To, q.Fields, q.Limit, got, want)
	}
}
