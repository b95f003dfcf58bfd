package export

import (
	"context"
	"encoding/base64"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/core/auditjson"
)

// maxFields is how many fields have columns of their own.
const maxFields = 1000

// fact is a column that is there whatever the events are.
type fact struct {
	name string
	of   func(e *core.Event, r *core.Request) string
}

var facts = []fact{
	{"datetime", func(e *core.Event, _ *core.Request) string { return timeText(e.Time) }},
	{"id", func(e *core.Event, _ *core.Request) string { return e.ID.String() }},
	{"tag", func(e *core.Event, _ *core.Request) string { return e.Tag }},
	{"username", func(e *core.Event, _ *core.Request) string { return e.User }},
	{"for", func(e *core.Event, _ *core.Request) string { return e.OnBehalfOf }},
	{"target", func(e *core.Event, _ *core.Request) string { return e.Target }},
	{"outcome", func(e *core.Event, _ *core.Request) string { return string(e.Outcome) }},
	{"reason", func(e *core.Event, _ *core.Request) string { return e.Reason }},
	{"tenant", func(e *core.Event, _ *core.Request) string { return e.Tenant }},
	{"service", func(e *core.Event, _ *core.Request) string { return e.Service }},
	{"ip", func(_ *core.Event, r *core.Request) string { return r.IP }},
	{"host", func(_ *core.Event, r *core.Request) string { return r.Host }},
	{"path", func(_ *core.Event, r *core.Request) string { return r.Path }},
	{"method", func(_ *core.Event, r *core.Request) string { return r.Method }},
	{"route", func(_ *core.Event, r *core.Request) string { return r.Route }},
	{"request", func(_ *core.Event, r *core.Request) string { return r.ID }},
	{"trace", func(_ *core.Event, r *core.Request) string { return r.Trace }},
	{"peer", func(_ *core.Event, r *core.Request) string { return r.Peer }},
	{"forwarded", func(_ *core.Event, r *core.Request) string { return r.Forwarded }},
	{"user_agent", func(_ *core.Event, r *core.Request) string { return r.UserAgent }},
}

// otherFields is the column for the fields that have none.
const otherFields = "other_fields"

// table is the columns of a file.
type table struct {
	fields []string
	at     map[string]bool
}

// newTable reads all events for the names of their fields.
func newTable(ctx context.Context, reader core.Reader, q core.Query) (*table, error) {
	t := &table{at: map[string]bool{}}
	var size []byte
	err := walk(ctx, reader, q, func(e core.Event) (int, error) {
		for _, name := range slices.Sorted(maps.Keys(e.Fields)) {
			if len(t.at) == maxFields {
				break
			}
			t.at[name] = true
		}
		size = e.AppendJSON(size[:0])
		return len(size), nil
	})
	t.fields = slices.Sorted(maps.Keys(t.at))
	if ctx.Err() == nil {
		err = nil // the walk that writes says it too
	}
	return t, err
}

func (t *table) appendHead(dst []byte) []byte {
	for _, f := range facts {
		dst = append(appendCell(dst, f.name), ',')
	}
	for _, name := range t.fields {
		dst = append(appendCell(dst, "fields."+name), ',')
	}
	return append(dst, otherFields+"\r\n"...)
}

func (t *table) appendRow(dst []byte, e core.Event) []byte {
	r := e.Request
	if r == nil {
		r = &core.Request{}
	}
	for _, f := range facts {
		dst = append(appendText(dst, f.of(&e, r)), ',')
	}
	known := 0
	for _, name := range t.fields {
		v, ok := e.Fields[name]
		if ok {
			known++
		}
		dst = append(appendValue(dst, v), ',')
	}
	if known < len(e.Fields) {
		others := map[string]any{}
		for name, v := range e.Fields {
			if !t.at[name] {
				others[name] = v
			}
		}
		dst = appendValue(dst, others)
	}
	return append(dst, "\r\n"...)
}

func appendValue(dst []byte, v any) []byte {
	switch v := v.(type) {
	case nil:
		return dst
	case bool:
		return strconv.AppendBool(dst, v)
	case int64:
		return strconv.AppendInt(dst, v, 10)
	case uint64:
		return strconv.AppendUint(dst, v, 10)
	case float64:
		if math.IsInf(v, 0) { // with its sign it is no number to a spreadsheet
			return appendText(dst, strconv.FormatFloat(v, 'g', -1, 64))
		}
		return strconv.AppendFloat(dst, v, 'g', -1, 64)
	case string:
		return appendText(dst, v)
	case time.Time:
		return append(dst, timeText(v)...)
	case []byte:
		return appendText(dst, base64.StdEncoding.EncodeToString(v))
	}
	return appendText(dst, string(auditjson.Append(nil, v)))
}

func timeText(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000000Z") }

// appendText appends a cell that nothing takes for a formula.
func appendText(dst []byte, s string) []byte {
	// The wide signs are what spreadsheets of East Asia take for the others.
	if first, _ := utf8.DecodeRuneInString(s); s != "" && strings.ContainsRune("=+-@\t\r\n'＝＋－＠", first) {
		s = "'" + s
	}
	return appendCell(dst, s)
}

func appendCell(dst []byte, s string) []byte {
	if !strings.ContainsAny(s, "\",\r\n") {
		return append(dst, s...)
	}
	dst = append(dst, '"')
	dst = append(dst, strings.ReplaceAll(s, `"`, `""`)...)
	return append(dst, '"')
}
