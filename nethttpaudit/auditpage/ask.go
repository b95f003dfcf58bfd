package auditpage

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/auditing-go/auditing/core"
)

// ask is what a request asks for.
type ask struct {
	given    url.Values // what is asked, without the place on the way through the pages
	query    core.Query // without its fields
	fields   []pair     // that an event has to have
	zone     *time.Location
	looks    bool // events of looking are wanted
	timeline bool // shown as the history of a resource
	back     []string
	problems []string // why it cannot be answered
}

// pair is a field with a value as it was typed.
type pair struct{ Name, Value string }

const (
	// maxFields bounds the queries that follow from the kinds that each value may have.
	maxFields = 3
	// maxParam is how many bytes a parameter may have. It is in many links of the page.
	maxParam = 8 << 10
	// maxBack is how many newer pages a page knows the way back to.
	maxBack = 20
)

// conditions are the parameters that are texts of a query, and their names on the page.
var conditions = []struct {
	param, label string
	of           func(*core.Query) *string
	exact        bool // blanks around it count
}{
	{"tag", "Tag", func(q *core.Query) *string { return &q.Tag }, false},
	{"user", "User", func(q *core.Query) *string { return &q.User }, true},
	{"for", "On behalf of", func(q *core.Query) *string { return &q.OnBehalfOf }, true},
	{"resource", "Resource", func(q *core.Query) *string { return &q.Target }, true},
	{"outcome", "Outcome", func(q *core.Query) *string { return (*string)(&q.Outcome) }, false},
	{"reason", "Reason", func(q *core.Query) *string { return &q.Reason }, true},
	{"tenant", "Tenant", func(q *core.Query) *string { return &q.Tenant }, true},
	{"ip", "IP", func(q *core.Query) *string { return &q.IP }, false},
	{"request", "Request id", func(q *core.Query) *string { return &q.RequestID }, false},
}

// parse reads the query of a URL. What is wrong with it is in problems.
func parse(v url.Values) *ask {
	a := &ask{given: url.Values{}, zone: time.UTC}
	for _, values := range v {
		if slices.ContainsFunc(values, func(value string) bool { return len(value) > maxParam }) {
			a.problem("What is asked for is too long: a condition may have %d bytes.", maxParam)
			return a
		}
	}
	for _, c := range conditions {
		text := v.Get(c.param)
		if !c.exact {
			text = strings.TrimSpace(text)
		}
		if *c.of(&a.query) = text; text != "" {
			a.given.Set(c.param, text)
		}
	}
	a.parseZone(strings.TrimSpace(v.Get("zone")))
	a.parseTime("from", "From", v, &a.query.From)
	a.parseTime("before", "Before", v, &a.query.To)
	a.query.Anonymous = a.flag(v, "anonymous")
	a.looks = a.flag(v, "looks")
	a.timeline = v.Get("view") == "timeline" && a.query.Target != ""
	if a.timeline {
		a.given.Set("view", "timeline")
	}
	if id := strings.TrimSpace(v.Get("event")); id != "" {
		var err error
		if a.query.ID, err = uuid.Parse(id); err != nil || a.query.ID == uuid.Nil {
			a.problem("The event’s id is none: it looks like 019ab1c2-5d3e-7f00-8a4b-3c2d1e0f9a8b.")
		}
	}
	a.parseFields(v["field"], v["value"])
	a.query.After = v.Get("after")
	if back := v.Get("back"); back != "" {
		a.back = strings.Split(back, ".")
		a.back = a.back[max(0, len(a.back)-maxBack):]
	}
	return a
}

func (a *ask) problem(format string, args ...any) {
	a.problems = append(a.problems, fmt.Sprintf(format, args...))
}

func (a *ask) flag(v url.Values, param string) bool {
	on := v.Get(param) != ""
	if on {
		a.given.Set(param, "1")
	}
	return on
}

func (a *ask) parseZone(name string) {
	if name == "" || strings.EqualFold(name, "UTC") {
		return
	}
	zone, err := time.LoadLocation(name)
	if err != nil || zone == time.Local {
		a.problem("The time zone is not known here: write UTC, or a name such as Europe/Berlin.")
		return
	}
	a.zone = zone
	a.given.Set("zone", name)
}

// inputTime is how a browser's field for a time writes it.
const inputTime = "2006-01-02T15:04:05"

func (a *ask) parseTime(param, label string, v url.Values, into *time.Time) {
	text := strings.TrimSpace(v.Get(param))
	if text == "" {
		return
	}
	for _, layout := range []string{inputTime, "2006-01-02T15:04", "2006-01-02", "2006-01-02 15:04:05", "2006-01-02 15:04"} {
		if t, err := time.ParseInLocation(layout, text, a.zone); err == nil {
			*into = t
			a.given.Set(param, text)
			return
		}
	}
	a.problem("%s is no time: it looks like 2026-11-26T09:30.", label)
}

func (a *ask) parseFields(names, values []string) {
	for i := range max(len(names), len(values)) {
		var name, value string
		if i < len(names) {
			name = names[i]
		}
		if i < len(values) {
			value = values[i]
		}
		switch {
		case name == "" && value == "":
			continue
		case name == "":
			a.problem("A value stands without the name of its field.")
		case len(a.fields) == maxFields:
			a.problem("No more than %d fields can be searched for at once.", maxFields)
			return
		default:
			a.fields = append(a.fields, pair{name, value})
			a.given.Add("field", name)
			a.given.Add("value", value)
		}
	}
}

// queries are those whose answers together are what is asked for: a value that was typed may
// have been stored as a text, a number, true or false, or a time.
func (a *ask) queries(limit int) []core.Query {
	a.query.Limit = limit
	queries := []core.Query{a.query}
	for _, f := range a.fields {
		var more []core.Query
		for _, q := range queries {
			for _, value := range meanings(f.Value) {
				fields := core.Fields{f.Name: value}
				for name, v := range q.Fields {
					if name != f.Name {
						fields[name] = v
					}
				}
				next := q
				next.Fields = fields
				more = append(more, next)
			}
		}
		queries = more
	}
	return queries
}

// whole is the query with the fields as they were typed, to say what was asked for.
func (a *ask) whole() core.Query {
	q := a.query
	for _, f := range a.fields {
		if q.Fields == nil {
			q.Fields = core.Fields{}
		}
		q.Fields[f.Name] = f.Value
	}
	return q
}

var number = regexp.MustCompile(`^[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?$`)

// meanings are the values that text may stand for.
func meanings(text string) []any {
	values := []any{text}
	if number.MatchString(text) {
		if n, err := strconv.ParseInt(text, 10, 64); err == nil {
			return append(values, n)
		}
		if n, err := strconv.ParseUint(text, 10, 64); err == nil {
			return append(values, n)
		}
		if f, err := strconv.ParseFloat(text, 64); err == nil {
			return append(values, f)
		}
	}
	if text == "true" || text == "false" {
		return append(values, text == "true")
	}
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return append(values, t)
	}
	return values
}

// href is the address of what is asked with some parameters set to others, given in turn
// with their names; "" takes one away.
func (a *ask) href(params ...string) string {
	v := url.Values{}
	for name, values := range a.given {
		v[name] = values
	}
	for i := 0; i < len(params); i += 2 {
		if params[i+1] == "" {
			v.Del(params[i])
		} else {
			v.Set(params[i], params[i+1])
		}
	}
	return "?" + v.Encode()
}

// hrefOf is the address of something else, in the same zone.
func (a *ask) hrefOf(params ...string) string {
	other := ask{given: url.Values{}}
	if zone := a.given.Get("zone"); zone != "" {
		other.given.Set("zone", zone)
	}
	return other.href(params...)
}

// without is the address of what is asked without the field at i.
func (a *ask) withoutField(i int) string {
	v := url.Values{}
	for name, values := range a.given {
		v[name] = values
	}
	v["field"], v["value"] = nil, nil
	for n, f := range a.fields {
		if n != i {
			v.Add("field", f.Name)
			v.Add("value", f.Value)
		}
	}
	return "?" + v.Encode()
}
