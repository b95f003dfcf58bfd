package core

import (
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/auditing-go/auditing/core/internal/values"
)

// AppendJSON appends e to dst as one JSON object: id, tag, username, datetime, then
// path, host and ip unless the event was made outside a request, then request, which
// is what [Event.AppendDetails] writes, unless there is none of it, then fields. Package
// auditjson says how the fields are written. e should be normalised.
func (e Event) AppendJSON(dst []byte) []byte {
	dst = append(dst, `{"id":"`...)
	id, _ := e.ID.MarshalText() // it cannot fail
	dst = append(dst, id...)
	dst = append(dst, `","tag":`...)
	dst = values.AppendString(dst, e.Tag)
	dst = append(dst, `,"username":`...)
	dst = values.AppendString(dst, e.User)
	dst = append(dst, `,"datetime":`...)
	dst = values.AppendTime(dst, e.Time)
	if r := e.Request; r != nil {
		dst = append(dst, `,"path":`...)
		dst = values.AppendString(dst, r.Path)
		dst = append(dst, `,"host":`...)
		dst = values.AppendString(dst, r.Host)
		dst = append(dst, `,"ip":`...)
		dst = values.AppendString(dst, r.IP)
	}
	if e.HasDetails() {
		dst = append(dst, `,"request":`...)
		dst = e.AppendDetails(dst)
	}
	dst = append(dst, `,"fields":`...)
	dst = values.AppendObject(dst, e.Fields, 1)
	return append(dst, '}')
}

// detail is a fact for which a store need not have a place of its own.
type detail struct {
	key   string
	value *string
}

// details are the facts of the event and of r, which is its request or a place for one.
func (e *Event) details(r *Request) [13]detail {
	return [...]detail{
		{"method", &r.Method},
		{"peer", &r.Peer},
		{"forwarded", &r.Forwarded},
		{"user_agent", &r.UserAgent},
		{"id", &r.ID},
		{"route", &r.Route},
		{"trace", &r.Trace},
		{"outcome", (*string)(&e.Outcome)},
		{"reason", &e.Reason},
		{"for", &e.OnBehalfOf},
		{"target", &e.Target},
		{"tenant", &e.Tenant},
		{"service", &e.Service},
	}
}

// requestDetails is how many of the details are the request's.
const requestDetails = 7

// HasDetails reports whether [Event.AppendDetails] writes anything that has to be kept.
func (e Event) HasDetails() bool {
	return e.Request != nil || e.Outcome != "" || e.Reason != "" || e.OnBehalfOf != "" || e.Target != "" || e.Tenant != "" || e.Service != ""
}

// AppendDetails appends to dst an object of method, peer, forwarded, user_agent, id,
// route, trace, outcome, reason, for, target, tenant and service, without those that are
// empty. A store that keeps some of them on their own clears them in its copy of e first.
// The request's Path, Host and IP are never in it.
func (e Event) AppendDetails(dst []byte) []byte {
	r := e.Request
	if r == nil {
		r = &Request{}
	}
	dst = append(dst, '{')
	first := true
	for _, d := range e.details(r) {
		if *d.value == "" {
			continue
		}
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = append(dst, '"')
		dst = append(dst, d.key...)
		dst = append(dst, `":`...)
		dst = values.AppendString(dst, *d.value)
	}
	return append(dst, '}')
}

// ParseDetails sets what [Event.AppendDetails] wrote and leaves everything else alone. It
// makes the Request if one of its facts is there. Null changes nothing.
func (e *Event) ParseDetails(data []byte) error {
	p := eventParser{values.NewParser(data)}
	parsed := *e
	err := p.details(&parsed, 0)
	if err == nil {
		err = p.End()
	}
	if err == nil {
		*e = parsed
	}
	return err
}

// eventParser reads events and requests.
type eventParser struct{ *values.Parser }

// details reads an object of details into e.
func (p eventParser) details(e *Event, depth int) error {
	if p.Peek() == 'n' {
		return p.Literal("null")
	}
	var r Request
	if e.Request != nil {
		r = *e.Request // which others may share
	}
	details := e.details(&r)
	found := e.Request != nil
	err := p.Members(depth, func(key string) error {
		for i, d := range details {
			if d.key == key {
				found = found || i < requestDetails
				return p.text(d.key, d.value)
			}
		}
		_, err := p.Value(depth + 1)
		return err
	})
	if found {
		e.Request = &r
	}
	return err
}

// text reads the string under key.
func (p eventParser) text(key string, into *string) (err error) {
	if p.Peek() != '"' {
		return p.Fail(key + " is not a string")
	}
	*into, err = p.String()
	return err
}

func (p eventParser) event(e *Event) error {
	var id, datetime string
	var r Request
	var hasID, hasTag, hasTime, hasRequest bool
	err := p.Members(0, func(key string) (err error) {
		switch key {
		case "id":
			hasID = true
			return p.text(key, &id)
		case "tag":
			hasTag = true
			return p.text(key, &e.Tag)
		case "username":
			return p.text(key, &e.User)
		case "datetime":
			hasTime = true
			return p.text(key, &datetime)
		case "path":
			hasRequest = true
			return p.text(key, &r.Path)
		case "host":
			hasRequest = true
			return p.text(key, &r.Host)
		case "ip":
			hasRequest = true
			return p.text(key, &r.IP)
		case "request":
			err = p.details(e, 1)
		case "fields":
			err = p.fields(&e.Fields)
		default:
			_, err = p.Value(1)
		}
		return err
	})
	if err == nil {
		err = p.End()
	}
	if err != nil {
		return err
	}
	if e.Fields == nil {
		e.Fields = Fields{}
	}
	if !hasID || !hasTag || !hasTime {
		return errors.New("auditing: this JSON is no event: id, tag and datetime must be there")
	}
	if hasRequest && e.Request == nil {
		e.Request = &Request{}
	}
	if e.Request != nil {
		e.Request.Path, e.Request.Host, e.Request.IP = r.Path, r.Host, r.IP
	}
	if e.ID, err = uuid.Parse(id); err != nil || len(id) != 36 {
		return errors.New("auditing: the event's id is not a UUID such as 0198c0de-0000-7000-8000-000000000000")
	}
	t, err := time.Parse(time.RFC3339Nano, datetime)
	if err != nil {
		return errors.New("auditing: the event's datetime is not RFC 3339 such as 2020-01-02T03:04:05.000006Z")
	}
	if e.Time = t.UTC().Truncate(time.Microsecond); !values.Storable(e.Time) {
		e.Time = values.Time(e.Time)
	}
	return nil
}

// fields reads an event's fields. They are an object also where they look like a mark.
func (p eventParser) fields(into *Fields) error {
	switch p.Peek() {
	case 'n':
		return p.Literal("null")
	case '{':
		v, err := p.Object(1, false)
		if err == nil {
			*into = v.(map[string]any)
		}
		return err
	}
	return p.Fail("fields is not an object")
}

// MarshalJSON returns what [Event.AppendJSON] appends.
func (e Event) MarshalJSON() ([]byte, error) { return e.AppendJSON(nil), nil }

// UnmarshalJSON reads what [Event.AppendJSON] wrote. It ignores keys that it does
// not know; id, tag and datetime must be there. Null changes nothing.
func (e *Event) UnmarshalJSON(data []byte) error {
	if string(data) == "null" {
		return nil
	}
	var parsed Event
	if err := (eventParser{values.NewParser(data)}).event(&parsed); err != nil {
		return err
	}
	*e = parsed
	return nil
}
