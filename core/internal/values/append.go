package values

import (
	"encoding/base64"
	"math"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"
)

// The marks: objects of one such key keep the kinds that JSON does not have.
// Whatever else begins with "$" gets one more, see appendKey.
const (
	timeMark  = "$time"
	bytesMark = "$bytes"
	floatMark = "$float"
)

// maxJSONDepth is how deep JSON may nest; what core itself writes is far below.
const maxJSONDepth = 1000

// Append is auditjson.Append.
func Append(dst []byte, v any) []byte { return appendValue(dst, v, 0) }

func appendValue(dst []byte, v any, depth int) []byte {
	switch x := v.(type) {
	case nil:
		return append(dst, "null"...)
	case bool:
		return strconv.AppendBool(dst, x)
	case int64:
		return strconv.AppendInt(dst, x, 10)
	case uint64:
		return strconv.AppendUint(dst, x, 10)
	case float64:
		return appendFloat(dst, x)
	case string:
		return AppendString(dst, x)
	case time.Time:
		if x = x.UTC(); Storable(x) {
			dst = append(dst, `{"`+timeMark+`":`...)
			return append(AppendTime(dst, x), '}')
		}
	case []byte:
		if x == nil {
			return append(dst, "null"...)
		}
		dst = append(dst, `{"`+bytesMark+`":"`...)
		return append(base64.StdEncoding.AppendEncode(dst, x), `"}`...)
	case []any:
		if x == nil {
			return append(dst, "null"...)
		}
		if depth < maxJSONDepth {
			return appendList(dst, x, depth+1)
		}
		return append(dst, `"(nested too deep)"`...)
	case map[string]any:
		if x == nil {
			return append(dst, "null"...)
		}
		if depth < maxJSONDepth {
			return AppendObject(dst, x, depth+1)
		}
		return append(dst, `"(nested too deep)"`...)
	}
	return appendValue(dst, Normal(v), depth)
}

func appendList(dst []byte, list []any, depth int) []byte {
	dst = append(dst, '[')
	for i, v := range list {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendValue(dst, v, depth)
	}
	return append(dst, ']')
}

// AppendObject appends m, which stands depth deep, as an object that is never a mark.
func AppendObject(dst []byte, m map[string]any, depth int) []byte {
	var few [16]string
	keys := few[:0]
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	dst = append(dst, '{')
	first := true
	for _, key := range keys {
		v := m[key]
		if v == nil {
			continue
		}
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = appendKey(dst, key)
		dst = appendValue(dst, v, depth)
	}
	return append(dst, '}')
}

// appendKey doubles a leading "$", so that no caller's key is taken for a mark.
func appendKey(dst []byte, key string) []byte {
	start := len(dst)
	dst = AppendString(dst, key)
	if len(key) > 0 && key[0] == '$' {
		dst = slices.Insert(dst, start+1, '$')
	}
	return append(dst, ':')
}

// appendFloat writes what comes back as a float64. From 1e21 on jsonb writes the
// exponent out, but such an integer is no uint64 and therefore a float64 again.
func appendFloat(dst []byte, f float64) []byte {
	switch {
	case math.IsNaN(f):
		return append(dst, `{"`+floatMark+`":"NaN"}`...)
	case math.IsInf(f, 1):
		return append(dst, `{"`+floatMark+`":"+Inf"}`...)
	case math.IsInf(f, -1):
		return append(dst, `{"`+floatMark+`":"-Inf"}`...)
	}
	if a := math.Abs(f); a != 0 && (a < 1e-6 || a >= 1e21) {
		return strconv.AppendFloat(dst, f, 'e', -1, 64)
	}
	dst = strconv.AppendFloat(dst, f, 'f', -1, 64)
	if f == math.Trunc(f) {
		dst = append(dst, ".0"...)
	}
	return dst
}

// AppendTime is auditjson.AppendTime.
func AppendTime(dst []byte, t time.Time) []byte {
	if t = t.UTC(); !Storable(t) {
		t = Time(t)
	}
	year, month, day := t.Date()
	hour, minute, second := t.Clock()
	n := len(dst)
	dst = append(dst, `"0000-00-00T00:00:00.000000Z"`...)
	digits(dst[n+1:n+5], year)
	digits(dst[n+6:n+8], int(month))
	digits(dst[n+9:n+11], day)
	digits(dst[n+12:n+14], hour)
	digits(dst[n+15:n+17], minute)
	digits(dst[n+18:n+20], second)
	digits(dst[n+21:n+27], t.Nanosecond()/1000)
	return dst
}

// digits fills dst with n in decimal.
func digits(dst []byte, n int) {
	for i := len(dst) - 1; i >= 0; i-- {
		dst[i] = byte('0' + n%10)
		n /= 10
	}
}

// AppendString is auditjson.AppendString.
func AppendString(dst []byte, s string) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	done := 0
	for i := 0; i < len(s); {
		c := s[i]
		if plain[c] {
			i++
			continue
		}
		width := 1
		if c >= utf8.RuneSelf {
			var r rune
			if r, width = utf8.DecodeRuneInString(s[i:]); r != utf8.RuneError || width > 1 {
				i += width
				continue
			}
		}
		dst = append(dst, s[done:i]...)
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, `\n`...)
		case '\r':
			dst = append(dst, `\r`...)
		case '\t':
			dst = append(dst, `\t`...)
		default:
			if c == 0 || c >= utf8.RuneSelf {
				dst = append(dst, "\uFFFD"...)
			} else {
				dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
			}
		}
		i += width
		done = i
	}
	dst = append(dst, s[done:]...)
	return append(dst, '"')
}

// plain are the bytes that stand for themselves in a JSON string.
var plain = func() (t [256]bool) {
	for c := ' '; c < utf8.RuneSelf; c++ {
		t[c] = c != '"' && c != '\\'
	}
	return t
}()
