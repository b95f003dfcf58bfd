package core

import (
	"time"

	"github.com/google/uuid"

	"github.com/auditing-go/auditing/core/internal/values"
)

const (
	maxTagBytes    = 1 << 10
	maxUserBytes   = 256 // of a tenant and a service too
	maxTargetBytes = 1 << 10
	maxFactBytes   = 4 << 10
)

// Normalize returns the event as every store keeps it. Nothing that a caller can
// pass makes it fail, and neither e.Fields nor e.Request is changed or (Fields)
// kept. Normalising again changes nothing. A maxBytes that is not positive is
// [DefaultMaxEventBytes].
//
// An ID or a Time that is zero is filled in. Time becomes UTC in whole
// microseconds within the years 1 to 9999. The tag and the target are cut at 1 KiB, the
// users, the tenant and the service at 256 bytes, the reason and each fact of the request
// at 4 KiB; what was cut ends in a mark such as "…(cut from 5000 bytes)". In every text, what is not UTF-8 becomes U+FFFD,
// and so does NUL.
//
// The fields become what [Fields] lists. For one value the first line that
// applies decides:
//
//   - [log/slog.LogValuer]: what LogValue returns, a group as map[string]any, so that
//     a value that hides itself stays hidden wherever it stands
//   - [time.Time]: in UTC and whole microseconds; its text outside the years 1 to 9999
//   - [time.Duration]: int64 nanoseconds
//   - [encoding/json.Number] and [encoding/json.Marshaler]: the JSON value; a number is int64,
//     uint64, float64, or its text when it fits none of them
//   - [encoding.TextMarshaler], error, [fmt.Stringer]: the text
//   - numbers, bool, string: int64, uint64 only above its range, float64
//     (a float32 by its shortest decimal), bool, string; complex as text
//   - byte slices and byte arrays: []byte; other slices and arrays: []any
//   - maps: map[string]any; of names that become the same, all but one end in "~2", "~3", …
//   - structs: map[string]any under the names and omissions of their json tags
//   - channels, functions, cycles, nesting deeper than 32, methods that panic or
//     fail: a short text such as "(chan int)" or "(main.T: MarshalJSON panicked)"
//
// A method with a pointer receiver counts for the value too. Nil pointers,
// interfaces, maps, slices, channels and functions are nil: absent as a field or
// an entry of a map, nil in a slice.
//
// An event over maxBytes has its largest values cut and marked; byte slices and
// whatever holds other values become the beginning of their base64 or JSON. If
// that does not suffice, names are cut at 1 KiB, the last fields in the order of
// their names are dropped, and the int64 field "audit_cut" counts them.
func (e Event) Normalize(maxBytes int) Event {
	e.normalize(maxBytes, nil)
	return e
}

// normalize is Normalize in place. It returns about how many bytes of memory the
// event holds.
func (e *Event) normalize(maxBytes int, protect values.Protect) (size int) {
	if maxBytes <= 0 {
		maxBytes = DefaultMaxEventBytes
	}
	e.stamp()
	e.Tag = values.Cut(e.Tag, maxTagBytes)
	e.User = values.Cut(e.User, maxUserBytes)
	e.Request = normalRequest(e.Request)
	size = values.EventBytes + len(e.Tag) + len(e.User) + requestSize(e.Request)
	if said := len(e.OnBehalfOf) + len(e.Tenant) + len(e.Service) + len(e.Target) + len(e.Outcome) + len(e.Reason); said > 0 {
		size += e.normalizeSaid()
	}

	fields, fieldBytes := values.Fields(e.Fields, maxBytes-size, protect)
	e.Fields = fields
	return size + fieldBytes
}

// normalizeSaid normalises what an event need not have, and returns its size.
func (e *Event) normalizeSaid() (size int) {
	for _, text := range [...]struct {
		text *string
		most int
	}{
		{&e.OnBehalfOf, maxUserBytes}, {&e.Tenant, maxUserBytes}, {&e.Service, maxUserBytes},
		{&e.Target, maxTargetBytes}, {(*string)(&e.Outcome), maxUserBytes}, {&e.Reason, maxFactBytes},
	} {
		*text.text = values.Cut(*text.text, text.most)
		size += len(*text.text)
	}
	return size
}

// stamp fills in ID and Time and makes Time what stores keep.
func (e *Event) stamp() {
	var now time.Time
	if e.Time.IsZero() {
		now = time.Now()
		e.Time = now
	}
	if e.ID == uuid.Nil {
		if now.IsZero() {
			now = time.Now()
		}
		e.ID = newID(now)
	}
	e.Time = values.Time(e.Time)
}

// normalRequest returns r itself unless something must change: it is shared
// between events.
func normalRequest(r *Request) *Request {
	if r == nil || isNormalFact(r.Path) && isNormalFact(r.Host) && isNormalFact(r.IP) && isNormalFact(r.Method) &&
		isNormalFact(r.Peer) && isNormalFact(r.Forwarded) && isNormalFact(r.UserAgent) && isNormalFact(r.ID) &&
		isNormalFact(r.Route) && isNormalFact(r.Trace) {
		return r
	}
	out := *r
	for _, fact := range [...]*string{&out.Path, &out.Host, &out.IP, &out.Method, &out.Peer, &out.Forwarded, &out.UserAgent, &out.ID, &out.Route, &out.Trace} {
		*fact = values.Cut(*fact, maxFactBytes)
	}
	return &out
}

func isNormalFact(s string) bool { return len(s) <= maxFactBytes && values.IsClean(s) }

func requestSize(r *Request) int {
	if r == nil {
		return 0
	}
	return 10*values.TextBytes + len(r.Path) + len(r.Host) + len(r.IP) + len(r.Method) +
		len(r.Peer) + len(r.Forwarded) + len(r.UserAgent) + len(r.ID) + len(r.Route) + len(r.Trace)
}
