package core

import (
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// appendEventText appends the console's readable line, without its line break.
func appendEventText(b []byte, e Event) []byte {
	b = e.Time.UTC().AppendFormat(b, "2006-01-02 15:04:05.000000Z ")
	b = appendWord(b, e.Tag, ".-")
	b = append(b, ": "...)
	b = appendWord(b, e.User, ".-@+")
	if e.OnBehalfOf != "" {
		b = appendWord(append(b, " for "...), e.OnBehalfOf, ".-@+")
	}
	if e.Target != "" {
		b = appendWord(append(b, " on "...), e.Target, "/.-@+")
	}
	if e.Outcome != OutcomeUnstated {
		b = appendWord(append(b, ' '), string(e.Outcome), "")
	}
	if e.Reason != "" {
		b = strconv.AppendQuote(append(b, " because "...), e.Reason)
	}
	if r := e.Request; r != nil {
		if r.IP != "" {
			b = appendWord(append(b, " from "...), r.IP, ".:")
		}
		if r.Method != "" {
			b = appendWord(append(b, ' '), r.Method, "")
		}
		if r.Host != "" || r.Path != "" {
			b = append(b, ' ')
		}
		if r.Host != "" {
			b = appendWord(b, r.Host, ".-:")
		}
		if r.Path != "" {
			b = appendWord(b, r.Path, "/.-~@+:,=%")
		}
	}
	return appendTextMap(append(b, ' '), e.Fields)
}

// appendWord appends s bare when it is made of letters, digits, _ and the marks
// that are usual in its place, else quoted: nothing in it can pass for what
// stands next to it.
func appendWord(b []byte, s, marks string) []byte {
	strange := func(r rune) bool {
		return r != '_' && !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune(marks, r)
	}
	if s == "" || strings.ContainsFunc(s, strange) {
		return strconv.AppendQuote(b, s)
	}
	return append(b, s...)
}

func appendTextMap[M ~map[string]any](b []byte, m M) []byte {
	b = append(b, '{')
	for i, name := range slices.Sorted(maps.Keys(m)) {
		if i > 0 {
			b = append(b, ", "...)
		}
		b = append(appendWord(b, name, ".-"), ": "...)
		b = appendTextValue(b, m[name])
	}
	return append(b, '}')
}

func appendTextValue(b []byte, value any) []byte {
	switch v := value.(type) {
	case nil:
		return append(b, "null"...)
	case bool:
		return strconv.AppendBool(b, v)
	case int64:
		return strconv.AppendInt(b, v, 10)
	case uint64:
		return strconv.AppendUint(b, v, 10)
	case float64:
		return strconv.AppendFloat(b, v, 'g', -1, 64)
	case string:
		return strconv.AppendQuote(b, v)
	case time.Time:
		return v.UTC().AppendFormat(b, "2006-01-02T15:04:05.999999Z")
	case []byte:
		return hex.AppendEncode(append(b, "0x"...), v)
	case []any:
		b = append(b, '[')
		for i, element := range v {
			if i > 0 {
				b = append(b, ", "...)
			}
			b = appendTextValue(b, element)
		}
		return append(b, ']')
	case map[string]any:
		return appendTextMap(b, v)
	}
	// No normalised event holds anything else.
	return strconv.AppendQuote(b, fmt.Sprint(value))
}
