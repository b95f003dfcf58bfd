package esstore

import (
	"encoding/hex"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/auditing-go/auditing/core"
)

// appendDocument appends the document of e as one line. labels says that it gets the
// copy of its fields that can be searched.
func appendDocument(dst []byte, e core.Event, labels bool) []byte {
	dst = append(dst, `{"@timestamp":"`...)
	dst = appendTime(dst, e.Time)
	dst = append(dst, `","tag":`...)
	tagStart := len(dst)
	dst = appendText(dst, e.Tag)
	tagEnd := len(dst)
	dst = append(dst, `,"event":{"action":`...)
	dst = append(dst, dst[tagStart:tagEnd]...)
	dst = append(dst, `,"id":"`...)
	dst = appendID(dst, e.ID)
	dst = append(dst, `"},"user":{"name":`...)
	dst = appendText(dst, e.User)
	dst = append(dst, '}')
	if r := e.Request; r != nil {
		dst = appendRequest(dst, r)
	}
	unsearchable := !labels
	if labels && len(e.Fields) > 0 {
		dst = append(dst, `,"labels":`...)
		dst, unsearchable = appendLabels(dst, e.Fields)
	}
	dst = append(dst, `,"audit":{"micros":`...)
	dst = appendInt(dst, e.Time.UnixMicro())
	if r := e.Request; r != nil {
		dst = appendFact(dst, `,"peer":`, r.Peer)
		dst = appendFact(dst, `,"forwarded":`, r.Forwarded)
	}
	if unsearchable {
		dst = append(dst, `,"unsearchable":true`...)
	}
	if len(e.Fields) > 0 {
		dst = append(dst, `,"fields":`...)
		dst = core.AppendJSON(dst, map[string]any(e.Fields))
	}
	return append(dst, "}}\n"...)
}

// appendRequest writes url always, so that a request that says nothing can be told
// from none.
func appendRequest(dst []byte, r *core.Request) []byte {
	dst = append(dst, `,"url":{"path":`...)
	dst = appendText(dst, r.Path)
	dst = appendFact(dst, `,"domain":`, r.Host)
	dst = append(dst, '}')
	if r.IP != "" {
		dst = append(dst, `,"source":{"ip":`...)
		dst = append(appendText(dst, r.IP), '}')
	}
	if r.Method != "" || r.ID != "" {
		dst = append(dst, `,"http":{"request":{`...)
		start := len(dst)
		dst = appendFact(dst, `"method":`, r.Method)
		if r.ID != "" {
			if len(dst) > start {
				dst = append(dst, ',')
			}
			dst = appendFact(dst, `"id":`, r.ID)
		}
		dst = append(dst, "}}"...)
	}
	if r.UserAgent != "" {
		dst = append(dst, `,"user_agent":{"original":`...)
		dst = append(appendText(dst, r.UserAgent), '}')
	}
	return dst
}

func appendFact(dst []byte, key, value string) []byte {
	if value == "" {
		return dst
	}
	return appendText(append(dst, key...), value)
}

// appendDeadLetter appends the document under which e is kept when the server takes no
// other: nothing in it depends on what the event holds but its length.
func appendDeadLetter(dst []byte, e core.Event, index, reason string) []byte {
	dst = append(dst, `{"@timestamp":"`...)
	dst = appendTime(dst, e.Time)
	dst = append(dst, `","tag":`...)
	dst = appendText(dst, e.Tag)
	dst = append(dst, `,"event":{"action":`...)
	dst = appendText(dst, e.Tag)
	dst = append(dst, `,"id":"`...)
	dst = appendID(dst, e.ID)
	dst = append(dst, `"},"user":{"name":`...)
	dst = appendText(dst, e.User)
	dst = append(dst, `},"audit":{"micros":`...)
	dst = appendInt(dst, e.Time.UnixMicro())
	dst = append(dst, `,"unsearchable":true,"refused":{"time":"`...)
	dst = appendTime(dst, time.Now())
	dst = append(dst, `","index":`...)
	dst = appendText(dst, index)
	dst = append(dst, `,"reason":`...)
	dst = appendText(dst, reason)
	dst = append(dst, `},"original":`...)
	dst = appendText(dst, string(core.AppendEventJSON(nil, e)))
	return append(dst, "}}\n"...)
}

// appendTime appends t as RFC 3339 in UTC with all six digits of its microseconds.
func appendTime(dst []byte, t time.Time) []byte {
	t = t.UTC()
	year, month, day := t.Date()
	hour, minute, second := t.Clock()
	n := len(dst)
	dst = append(dst, "0000-00-00T00:00:00.000000Z"...)
	digits(dst[n:n+4], year)
	digits(dst[n+5:n+7], int(month))
	digits(dst[n+8:n+10], day)
	digits(dst[n+11:n+13], hour)
	digits(dst[n+14:n+16], minute)
	digits(dst[n+17:n+19], second)
	digits(dst[n+20:n+26], t.Nanosecond()/1000)
	return dst
}

func digits(dst []byte, n int) {
	for i := len(dst) - 1; i >= 0; i-- {
		dst[i] = byte('0' + n%10)
		n /= 10
	}
}

func appendID(dst []byte, id uuid.UUID) []byte {
	for i, end := range [...]int{4, 6, 8, 10, 16} {
		if i > 0 {
			dst = append(dst, '-')
		}
		dst = hex.AppendEncode(dst, id[[...]int{0, 4, 6, 8, 10}[i]:end])
	}
	return dst
}

// appendText appends s as a JSON string on one line, with U+FFFD for NUL and for what
// is not UTF-8. [core.AppendJSON] would cost an allocation for each string.
func appendText(dst []byte, s string) []byte {
	const hexDigits = "0123456789abcdef"
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
		switch {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c == 0 || c >= utf8.RuneSelf:
			dst = append(dst, "\uFFFD"...)
		default:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
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
