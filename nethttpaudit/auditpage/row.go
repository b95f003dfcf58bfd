package auditpage

import (
	"encoding/base64"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/core/auditjson"
	"github.com/auditing-go/auditing/nethttpaudit/auditpage/internal/visible"
)

const (
	// shortText is how many characters of a value a list shows, shortFields how many fields of
	// an event.
	shortText   = 120
	shortFields = 8
)

// value is a text as it is shown.
type value struct {
	Parts []visible.Part
	Cut   bool
	Href  string // of what it leads to
}

func short(s string) value {
	parts, cut := visible.Parts(s, shortText)
	return value{Parts: parts, Cut: cut}
}

// row is an event as it is shown.
type row struct {
	ID, Href                      string
	Time, Stamp                   string // in the zone asked for, and for machines
	Tag, User, OnBehalfOf, Target value
	Outcome, Reason, IP           value
	Result                        string // the class of the outcome
	Fields                        []field
	More                          int // fields that are not among these
}

// field is a field of an event. A change has Old or New or both instead of a Value.
type field struct {
	Name     value
	Kind     string
	Value    *value
	Old, New *value
	Anchor   string // where the whole of it stands on the event's page
}

// Whole reports whether the field is longer than it is shown.
func (f field) Whole() bool {
	return f.Name.Cut || f.Value != nil && f.Value.Cut || f.Old != nil && f.Old.Cut || f.New != nil && f.New.Cut
}

// row shows e with at most so many fields; 0 is all of them, whole.
func (a *ask) row(e core.Event, most int) row {
	r := row{
		ID: e.ID.String(), Time: e.Time.In(a.zone).Format("2006-01-02 15:04:05"), Stamp: e.Time.UTC().Format("2006-01-02T15:04:05.000Z"),
		Tag: a.link("tag", e.Tag), User: a.link("user", e.User), OnBehalfOf: a.link("for", e.OnBehalfOf), Target: a.link("resource", e.Target),
		Outcome: a.link("outcome", string(e.Outcome)), Reason: short(e.Reason),
	}
	r.Href = a.hrefOf("event", r.ID)
	switch e.Outcome {
	case core.OutcomeSuccess, core.OutcomeDenied, core.OutcomeFailure:
		r.Result = string(e.Outcome)
	}
	if e.Request != nil {
		r.IP = a.link("ip", e.Request.IP)
	}
	show := short
	if most == 0 {
		show = func(s string) value { return value{Parts: whole(s)} }
	}
	names := slices.Sorted(maps.Keys(e.Fields))
	for i, name := range names {
		if most > 0 && i == most {
			r.More = len(names) - most
			break
		}
		f := field{Name: show(name), Kind: kind(e.Fields[name]), Anchor: fmt.Sprint("field-", i+1)}
		if old, now, ok := change(e.Fields[name]); ok {
			f.Kind = "change"
			f.Old, f.New = shown(show, old), shown(show, now)
		} else {
			f.Value = shown(show, e.Fields[name])
		}
		r.Fields = append(r.Fields, f)
	}
	return r
}

// link is a text that leads to all events that have it.
func (a *ask) link(param, text string) value {
	v := short(text)
	if text == "" {
		return v
	}
	if v.Href = a.hrefOf(param, text); param == "resource" {
		v.Href = a.hrefOf(param, text, "view", "timeline")
	}
	return v
}

func shown(show func(string) value, v any) *value {
	if v == nil {
		return nil
	}
	s := show(written(v))
	return &s
}

// written is a value as one would type it to search for it.
func written(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case float64:
		if math.Abs(v) < 1e15 {
			return strconv.FormatFloat(v, 'f', -1, 64)
		}
		return strconv.FormatFloat(v, 'g', -1, 64)
	case time.Time:
		return v.Format(time.RFC3339Nano)
	case []byte:
		return base64.StdEncoding.EncodeToString(v)
	}
	return string(auditjson.Append(nil, v))
}

// change is what [core.Diff] makes of a value that has changed.
func change(v any) (old, now any, ok bool) {
	m, ok := v.(map[string]any)
	if !ok || len(m) == 0 {
		return nil, nil, false
	}
	for name := range m {
		if name != "old" && name != "new" {
			return nil, nil, false
		}
	}
	return m["old"], m["new"], true
}

// kind is what a value is, for those who search for it.
func kind(v any) string {
	switch v.(type) {
	case string:
		return "text"
	case bool:
		return "true or false"
	case int64, uint64, float64:
		return "number"
	case []byte:
		return "bytes, in base64"
	case []any:
		return "list"
	case map[string]any:
		return "object"
	}
	return "time"
}
