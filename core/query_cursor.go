package core

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/auditing-go/auditing/core/internal/values"
)

// ErrCursor means that a [Query.After] is not the Next of a page.
var ErrCursor = errors.New(`malformed cursor: pass the Next of the page before, or "" for the first page`)

// ErrHidden means that a [Query] asks for a value that [Config.Protect] hides.
var ErrHidden = errors.New("stored as " + hiddenText + ", so no value of it can be searched for: core.Keyed keeps values findable")

// Cursor is a place in the order of events: the last event of a page.
type Cursor struct {
	Time time.Time
	ID   uuid.UUID
}

// String is the text that [Page.Next] and [Query.After] carry. It fits a URL and
// keeps whole microseconds.
func (c Cursor) String() string {
	var b [8 + len(uuid.UUID{})]byte
	binary.BigEndian.PutUint64(b[:], uint64(c.Time.UnixMicro()))
	copy(b[8:], c.ID[:])
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// Cursor returns the place behind which q starts, false when q asks for the first
// page, and an error that is [ErrCursor] when After is malformed.
func (q Query) Cursor() (Cursor, bool, error) {
	if q.After == "" {
		return Cursor{}, false, nil
	}
	c, ok := parseCursor(q.After)
	if !ok {
		return Cursor{}, false, fmt.Errorf("%w (got %.64q)", ErrCursor, q.After)
	}
	return c, true, nil
}

func parseCursor(s string) (Cursor, bool) {
	var c Cursor
	// The length comes first: the decoder would skip line breaks.
	if len(s) != base64.RawURLEncoding.EncodedLen(8+len(c.ID)) {
		return Cursor{}, false
	}
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil || len(b) != 8+len(c.ID) {
		return Cursor{}, false
	}
	c.Time = time.UnixMicro(int64(binary.BigEndian.Uint64(b))).UTC()
	copy(c.ID[:], b[8:])
	return c, !c.Time.Before(values.FirstTime) && c.Time.Before(values.EndOfTime)
}

// lowerBound is the first time of an event at or after t; zero when that is every event.
func lowerBound(t time.Time) time.Time {
	switch {
	case t.Before(values.FirstTime):
		return time.Time{}
	case t.After(values.EndOfTime):
		return values.EndOfTime
	}
	return ceilMicrosecond(t)
}

// upperBound is the first time that no event before t has; zero when there is none.
func upperBound(t time.Time) time.Time {
	switch {
	case t.IsZero(), !t.Before(values.EndOfTime):
		return time.Time{}
	case t.Before(values.FirstTime):
		return values.FirstTime
	}
	return ceilMicrosecond(t)
}

func ceilMicrosecond(t time.Time) time.Time {
	if down := t.Truncate(time.Microsecond); down.Before(t) {
		t = down.Add(time.Microsecond)
	}
	return t.UTC()
}
