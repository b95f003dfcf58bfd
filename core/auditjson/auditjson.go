// Package auditjson is the JSON of the values in an event's fields, for those who
// write a store. An event's own JSON is [core.Event.AppendJSON].
package auditjson

import (
	"time"

	"github.com/auditing-go/auditing/core/internal/values"
)

// Append appends v to dst as JSON that [Parse] turns back into an equal value of the
// same kind, also after Postgres kept it as jsonb. v should be normalised, see
// [core.Event.Normalize]; if it is not, its normalised value is appended, cut to
// 1 MiB. It must not contain itself.
//
// Integers are int64 and uint64; a number with a fraction or an exponent is a
// float64: 1.0, 1e+300. Other kinds are marked: {"$time":"2020-01-02T03:04:05.000006Z"},
// {"$bytes":"base64"}, {"$float":"NaN"}, {"$float":"+Inf"}, {"$float":"-Inf"}. A key
// of v that begins with "$" is written with one more, so that it is never a mark.
// Keys are sorted; "<", ">" and "&" are not escaped; NUL never occurs.
func Append(dst []byte, v any) []byte { return values.Append(dst, v) }

// AppendString appends s to dst as a JSON string on one line, as [Append] does but
// without making an interface of it: U+FFFD stands for NUL and for what is not UTF-8.
func AppendString(dst []byte, s string) []byte { return values.AppendString(dst, s) }

// AppendTime appends t to dst as a JSON string: RFC 3339 in UTC, with all six digits
// of its microseconds. Years outside 1 to 9999 become the nearest of them.
func AppendTime(dst []byte, t time.Time) []byte { return values.AppendTime(dst, t) }

// Parse returns the normalised value that data holds: what [Append] wrote, or any
// other JSON nested at most 1000 deep. An integer that fits neither int64 nor uint64
// is a float64, a number beyond float64 its text. An object that looks like a mark but
// is none, because its value is of no use, is kept as it is. Null in an object is
// absent; of equal keys the last counts. Errors say where, never what.
func Parse(data []byte) (any, error) { return values.Parse(data) }

// Equal reports whether a and b are the same value. Numbers compare by value,
// exactly, whether they are int64, uint64 or float64; NaN equals NaN; times compare
// as instants; an entry of a map that is nil equals one that is absent. Values
// that are not normalised are normalised first; they must not contain themselves.
func Equal(a, b any) bool { return values.Equal(a, b) }
