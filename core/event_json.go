package core

import (
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/auditing-go/auditing/core/internal/values"
)

// AppendJSON appends e to dst as one JSON object: id, tag, username, datetime, then
// path, host, ip and request unless the event was made outside a request, then
// fields. request is what [Request.AppendDetails] writes; package auditjson says how
// the fields are written. e should be normalised.
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
		dst = append(dst, `,"request":`...)
		dst = r.AppendDetails(dst)
	}
	dst = append(dst, `,"fields":`...)
	dst = values.AppendObject(dst, e.Fields, 1)
	return append(dst, '}')
}

// detail is a fact of a request that has no column of its own.
type detail struct {
	key   string
	value *string
}

func (r *Request) details() [5]detail {
	return [5]detail{
		{"method", &r.Method},
		{"peer", &r.Peer},
		{"forwarded", &r.Forwarded},
		{"user_agent", &r.UserAgent},
		{"id", &r.ID},
	}
}

// AppendDetails appends to dst an object of method, peer, forwarded, user_agent and
// id, without those that are empty. Path, Host and IP are not in it: stores keep
// them on their own.
func (r *Request) AppendDetails(dst []byte) []byte {
	dst = append(dst, '{')
	first := true
	for _, d := range r.details() {
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

// ParseDetails sets what [Request.AppendDetails] wrote and leaves Path, Host and IP
// alone. Null changes nothing.
func (r *Request) ParseDetails(data []byte) error {
	p := eventParser{values.NewParser(data)}
	parsed, err := p.request(0)
	if err == nil {
		err = p.End()
	}
	if err == nil && parsed != nil {
		parsed.Path, parsed.Host, parsed.IP = r.Path, r.Host, r.IP
		*r = *parsed
	}
	return err
}

// eventParser reads events and requests.
type eventParser struct{ *values.Parser }

func (p eventParser) request(depth int) (*Request, error) {
	if p.Peek() == 'n' {
		return nil, p.Literal("null")
	}
	r := &Request{}
	details := r.details()
	err := p.Members(depth, func(key string) error {
		for _, d := range details {
			if d.key == key {
				return p.text(d.key, d.value)
			}
		}
		_, err := p.Value(depth + 1)
		return err
	})
	return r, err
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
			e.Request, err = p.request(1)
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
