package ecs

import (
	"encoding/base64"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/core/auditjson"
)

// What of an event can be searched. The servers refuse longer terms and deeper
// objects; the rest keeps one event from filling an index.
const (
	// MaxName is how long the name of a label is at most, in bytes.
	MaxName = 128
	// MaxDepth is how many objects of labels stand in each other at most.
	MaxDepth = 6

	maxLabelBytes = 1 << 10  // of one value
	maxLabelTotal = 64 << 10 // of all labels of an event
)

// appendLabels appends the copy of fields that can be searched: every value by its
// label, see [appendLabel]. cut says that not every field is among them.
func appendLabels(dst []byte, fields core.Fields) (_ []byte, cut bool) {
	l := labels{dst: dst, limit: len(dst) + maxLabelTotal}
	l.object(fields, 0)
	return l.dst, l.cut
}

type labels struct {
	dst   []byte
	limit int
	cut   bool
}

func (l *labels) object(m map[string]any, depth int) {
	l.dst = append(l.dst, '{')
	first := true
	for name, v := range m {
		if v == nil || !labelled(name) {
			continue
		}
		if len(l.dst) > l.limit {
			l.cut = true
			break
		}
		if !first {
			l.dst = append(l.dst, ',')
		}
		first = false
		l.dst = auditjson.AppendString(l.dst, name)
		l.dst = append(l.dst, ':')
		l.value(v, depth)
	}
	l.dst = append(l.dst, '}')
}

func (l *labels) value(v any, depth int) {
	switch x := v.(type) {
	case map[string]any:
		if depth >= MaxDepth {
			l.dst = append(l.dst, `"(nested too deep)"`...)
			return
		}
		l.object(x, depth+1)
	case []any:
		if depth >= MaxDepth {
			l.dst = append(l.dst, `"(nested too deep)"`...)
			return
		}
		l.dst = append(l.dst, '[')
		first := true
		for _, item := range x {
			if item == nil || len(l.dst) > l.limit {
				continue
			}
			if !first {
				l.dst = append(l.dst, ',')
			}
			first = false
			l.value(item, depth+1)
		}
		l.dst = append(l.dst, ']')
	default:
		l.dst = appendLabel(l.dst, v)
	}
}

// labelled reports whether a field of this name is among the labels: a dot separates
// the names of nested objects, so none may begin, end or stand beside one.
func labelled(name string) bool {
	return name != "" && len(name) <= MaxName && name[0] != '.' && name[len(name)-1] != '.' && !strings.Contains(name, "..")
}

// appendLabel appends the label of a value that holds no other values, as JSON. Values
// that are equal to [auditjson.Equal] have one label; different ones may share it.
func appendLabel(dst []byte, v any) []byte {
	switch x := v.(type) {
	case bool:
		return strconv.AppendBool(dst, x)
	case int64:
		return appendInt(dst, x)
	case uint64:
		return strconv.AppendUint(dst, x, 10)
	case float64:
		return appendFloatLabel(dst, x)
	case string:
		return auditjson.AppendString(dst, cutLabel(x))
	case time.Time:
		return auditjson.AppendTime(dst, x)
	case []byte:
		dst = append(dst, '"')
		return append(base64.StdEncoding.AppendEncode(dst, x[:min(len(x), maxLabelBytes/4*3)]), '"')
	}
	return append(dst, `""`...) // no value of a normalised event
}

func appendInt(dst []byte, n int64) []byte { return strconv.AppendInt(dst, n, 10) }

func appendFloatLabel(dst []byte, f float64) []byte {
	switch {
	case math.IsNaN(f):
		return append(dst, `"NaN"`...)
	case math.IsInf(f, 0):
		return strconv.AppendQuote(dst, strconv.FormatFloat(f, 'g', -1, 64))
	case f == math.Trunc(f) && f >= -1<<63 && f < 1<<63:
		return appendInt(dst, int64(f))
	case f == math.Trunc(f) && f > 0 && f < 1<<64:
		return strconv.AppendUint(dst, uint64(f), 10)
	}
	return strconv.AppendFloat(dst, f, 'g', -1, 64)
}

// cutLabel is the beginning of s that is its label.
func cutLabel(s string) string {
	if len(s) <= maxLabelBytes {
		return s
	}
	n := maxLabelBytes
	for !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// Label is the label of v as the text that a query compares with; false when v
// holds other values or nothing.
func Label(v any) (string, bool) {
	switch x := v.(type) {
	case nil, []any, map[string]any:
		return "", false
	case string:
		return cutLabel(x), true
	}
	return strings.Trim(string(appendLabel(nil, v)), `"`), true
}
