package postgres

import (
	"testing"
	"time"
	_ "time/tzdata"

	"github.com/auditing-go/auditing/stores/internal/sqlstore"
)

// TestKeepsATimeThatItsWallTimeTells and no other.
func TestKeepsATimeThatItsWallTimeTells(t *testing.T) {
	for _, c := range []struct {
		zone, at string
		second   string // when the wall time of at comes for the second time, "" when it comes once
	}{
		{"Europe/Berlin", "2026-10-24T23:59:59.999999Z", ""},
		{"Europe/Berlin", "2026-10-25T00:00:00Z", "2026-10-25T01:00:00Z"},
		{"Europe/Berlin", "2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z"},
		{"Europe/Berlin", "2026-10-25T00:59:59.999999Z", "2026-10-25T01:59:59.999999Z"},
		{"Europe/Berlin", "2026-10-25T01:00:00Z", "2026-10-25T01:00:00Z"},
		{"Europe/Berlin", "2026-10-25T01:30:00Z", "2026-10-25T01:30:00Z"},
		{"Europe/Berlin", "2026-10-25T01:59:59.999999Z", "2026-10-25T01:59:59.999999Z"},
		{"Europe/Berlin", "2026-10-25T02:00:00Z", ""},
		{"Europe/Berlin", "2026-03-29T00:59:59Z", ""}, // clocks are put forward
		{"Europe/Berlin", "2026-03-29T01:00:00Z", ""},
		{"Europe/Berlin", "2026-07-01T12:00:00Z", ""},
		{"Europe/Berlin", "2345-10-28T00:30:00Z", "2345-10-28T01:30:00Z"},
		{"Europe/Berlin", "0001-01-01T00:00:00.000001Z", ""},
		{"America/New_York", "2026-11-01T05:30:00Z", "2026-11-01T06:30:00Z"},
		{"America/New_York", "2026-11-01T06:30:00Z", "2026-11-01T06:30:00Z"},
		{"America/New_York", "2026-11-01T04:59:59Z", ""},
		{"Australia/Lord_Howe", "2026-04-04T14:45:00Z", "2026-04-04T15:15:00Z"}, // by half an hour
		{"Australia/Lord_Howe", "2026-04-04T14:29:59Z", ""},
		{"Australia/Lord_Howe", "2026-04-04T15:30:00Z", ""},
		{"UTC", "2026-10-25T01:00:00Z", ""},
	} {
		zone, err := loadZone(c.zone)
		if err != nil {
			t.Fatal(err)
		}
		at, err := time.Parse(time.RFC3339, c.at)
		if err != nil {
			t.Fatal(err)
		}
		b := &backend{location: zone}
		if kept := b.Keeps(at, sqlstore.LocalTime); kept != (c.second == "") {
			t.Errorf("%s of %s is kept: %v", at.In(zone), c.zone, kept)
		}
		if !b.Keeps(at, sqlstore.Time) {
			t.Errorf("%s is not kept with its zone", at)
		}
		again := putBack(at, zone)
		if c.second == "" {
			if got := readable(at, zone); !got.Equal(at) {
				t.Errorf("%s becomes %s", at, got)
			}
			continue
		}
		second, err := time.Parse(time.RFC3339, c.second)
		if err != nil {
			t.Fatal(err)
		}
		if first := !at.Equal(second); first != at.Before(again) {
			t.Errorf("%s is the first of two: %v, want %v", at.In(zone), !first, first)
		}
		if a, b := at.In(zone).Format(time.DateTime), second.In(zone).Format(time.DateTime); a != b {
			t.Errorf("the wall times are %s and %s, want the same", a, b)
		}
	}
}
