package core

import (
	"time"

	"github.com/google/uuid"
)

// DefaultMaxEventBytes is how large one normalised event may be, in bytes, before
// its largest values are cut and marked.
const DefaultMaxEventBytes = 1 << 20

// Fields is what happened: the names and values a caller gives to one audit.
//
// Any Go value may stand in it. [Event.Normalize] brings every value to one of
// bool, int64, uint64 (only above the range of int64), float64, string,
// [time.Time], []byte, []any and map[string]any; a nil value is absent.
type Fields map[string]any

// Event is one audit: who did what to which, for whom, when, from where and with what result.
type Event struct {
	// ID is a UUIDv7 made before the event is first written. A store that sees an
	// ID twice stores it once, so writing again is always safe.
	ID uuid.UUID
	// Tag names the collection; in SQL it names the table.
	Tag string
	// User is who acted; "" is nobody who was signed in, see [Anonymous].
	User string
	// OnBehalfOf is the user for whom User acted, "" when for nobody else.
	OnBehalfOf string
	// Target is what it was done to, its kind before the first slash and its id behind
	// that, such as "order/42"; "" when nobody said. See [On].
	Target string
	// Outcome is the result.
	Outcome Outcome
	// Reason is why the outcome is no success.
	Reason string
	// Tenant is the customer whose event it is, see [Config.Tenant].
	Tenant string
	// Service is the program that made it, see [Config.Service].
	Service string
	// Time is when, in UTC with microseconds.
	Time time.Time
	// Request is from where; nil when the audit was made outside a request.
	Request *Request
	// Fields is what happened.
	Fields Fields

	// First says that no Save was ever given the event before, so a store need not look
	// where else an earlier attempt may have put it. A [Recorder] sets it for the first
	// attempt only, and a store that passes events on clears it before it tries again.
	// The zero value is always correct, but can be slower. It is not encoded.
	First bool
}

// Request is what an adapter knows of the HTTP request in which an audit was made.
type Request struct {
	// Path is the decoded path without the query.
	Path string
	// Host is the requested host without its port.
	Host string
	// IP is the client's address as far as trusted proxies vouch for it.
	IP string
	// Method is the HTTP method.
	Method string
	// Peer is the address of the other end of the connection, without its port.
	Peer string
	// Forwarded is X-Forwarded-For as it arrived, all its lines joined by ", ":
	// evidence, not truth.
	Forwarded string
	// UserAgent is the User-Agent header as it arrived.
	UserAgent string
	// ID is the request's ID, from the layer that made it or the X-Request-ID header.
	ID string
	// Route is the pattern that the router matched, such as "/order/{id}".
	Route string
	// Trace is the trace id of the traceparent header, 32 hexadecimal digits (W3C Trace Context).
	Trace string
}
