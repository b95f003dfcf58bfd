package values

import "time"

var (
	yearOne = time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC)
	// FirstTime is the first that an event can have: the zero time means none.
	FirstTime = yearOne.Add(time.Microsecond)
	// EndOfTime is the first that no event can have any more.
	EndOfTime = time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC)
)

// Time returns t as an event keeps it: in UTC, in whole microseconds, and from
// FirstTime to EndOfTime.
func Time(t time.Time) time.Time {
	t = t.UTC().Truncate(time.Microsecond)
	switch {
	case !t.After(yearOne):
		return FirstTime
	case !t.Before(EndOfTime):
		return EndOfTime.Add(-time.Microsecond)
	}
	return t
}

// Storable reports whether t is within the years that stores can keep.
func Storable(t time.Time) bool {
	return !t.Before(yearOne) && t.Before(EndOfTime)
}
