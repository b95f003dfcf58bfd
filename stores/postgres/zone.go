package postgres

import (
	"fmt"
	"strings"
	"time"

	"github.com/auditing-go/auditing/stores/internal/sqlstore"
)

// loadZone returns the zone of a [sqlstore.LocalTime].
func loadZone(name string) (*time.Location, error) {
	zone, err := time.LoadLocation(name)
	if err != nil {
		advice := "name it as IANA does, such as Europe/Berlin, or Etc/GMT-3 for three hours ahead of UTC"
		if _, err := time.LoadLocation("Europe/Berlin"); err != nil {
			advice = "import time/tzdata into this program, which knows no zones"
		}
		return nil, fmt.Errorf("auditing: time zone %q: the server knows it, this program does not: %s: %w", name, advice, err)
	}
	return zone, nil
}

// Keeps implements [sqlstore.Backend].
func (b *backend) Keeps(v any, k sqlstore.Kind) bool {
	t, ok := v.(time.Time)
	return !ok || k != sqlstore.LocalTime || putBack(t, b.location).IsZero()
}

// readable returns t, or the next time that is ever read from a [sqlstore.LocalTime]:
// the server takes a wall time that comes twice for the second of the two.
func readable(t time.Time, zone *time.Location) time.Time {
	if at := putBack(t, zone); t.Before(at) {
		return at
	}
	return t
}

// putBack returns when clocks are put back so that the wall time of t comes twice,
// once before and once after it; the zero time when it comes once.
func putBack(t time.Time, zone *time.Location) time.Time {
	t = t.In(zone)
	_, offset := t.Zone()
	start, end := t.ZoneBounds()
	if !end.IsZero() {
		_, next := end.Zone()
		if back := time.Duration(offset-next) * time.Second; !t.Before(end.Add(-back)) {
			return end
		}
	}
	if !start.IsZero() {
		_, last := start.Add(-1).Zone()
		if back := time.Duration(last-offset) * time.Second; t.Before(start.Add(back)) {
			return start
		}
	}
	return time.Time{}
}

// literal returns s as a quoted SQL literal.
func literal(s string) string {
	return `'` + strings.ReplaceAll(strings.ReplaceAll(s, "\x00", ""), `'`, `''`) + `'`
}
