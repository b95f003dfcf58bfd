package core

import (
	"errors"
	"time"

	"github.com/google/uuid"
)

// AppendEventJSON appends e to dst as one JSON object: id, tag, username,
// datetime, then path, host, ip and request unless the event was made outside a
// request, then fields. request is what [AppendRequestJSON] writes; the fields are
// written as by [AppendJSON]. e should be normalised.
func AppendEventJSON(dst []byte, e Event) []byte {
	dst = append(dst, `{"id":"`...)
	id, _ := e.ID.MarshalText() // it cannot fail
	dst = append(dst, id...)
	dst = append(dst, `","tag":`...)
	dst = AppendJSONString(dst, e.Tag)
	dst = append(dst, `,"username":`...)
	dst = AppendJSONString(dst, e.User)
	dst = append(dst, `,"datetime":`...)
	dst = AppendJSONTime(dst, e.Time)
	if r := e.Request; r != nil {
		dst = append(dst, `,"path":`...)
		dst = AppendJSONString(dst, r.Path)
		dst = append(dst, `,"host":`...)
		dst = AppendJSONString(dst, r.Host)
		dst = append(dst, `,"ip":`...)
		dst = AppendJSONString(dst, r.IP)
		dst = append(dst, `,"request":`...)
		dst = AppendRequestJSON(dst, r)
	}
	dst = append(dst, `,"fields":`...)
	dst = appendObject(dst, e.Fields, 1)
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

// AppendRequestJSON appends to dst an object of method, peer, forwarded, user_agent
// and id, without those that are empty. Path, Host and IP are not in it: stores
// keep them on their own. A nil r is null.
func AppendRequestJSON(dst []byte, r *Request) []byte {
	if r == nil {
		return append(dst, "null"...)
	}
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
		dst = AppendJSONString(dst, *d.value)
	}
	return append(dst, '}')
}

// ParseRequestJSON returns the request that [AppendRequestJSON] wrote, without
// Path, Host and IP. It is nil for null.
func ParseRequestJSON(data []byte) (*Request, error) {
	p := parser{data: string(data), marks: true}
	r, err := p.request(0)
	if err == nil {
		err = p.end()
	}
	if err != nil {
		return nil, err
	}
	return r, nil
}

func (p *parser) request(depth int) (*Request, error) {
	if p.peek() == 'n' {
		return nil, p.literal("null")
	}
	r := &Request{}
	details := r.details()
	err := p.members(depth, func(key string) error {
		for _, d := range details {
			if d.key == key {
				return p.text(d.key, d.value)
			}
		}
		_, err := p.value(depth + 1)
		return err
	})
	return r, err
}

// text reads the string under key.
func (p *parser) text(key string, into *string) (err error) {
	if p.peek() != '"' {
		return p.fail(key + " is not a string")
	}
	*into, err = p.string()
	return err
}

// ParseEventJSON returns the event that [AppendEventJSON] wrote. It ignores keys
// that it does not know. id, tag and datetime must be there.
func ParseEventJSON(data []byte) (Event, error) {
	p := parser{data: string(data), marks: true}
	var e Event
	if err := p.event(&e); err != nil {
		return Event{}, err
	}
	return e, nil
}

func (p *parser) event(e *Event) error {
	var id, datetime string
	var r Request
	var hasID, hasTag, hasTime, hasRequest bool
	err := p.members(0, func(key string) (err error) {
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
			_, err = p.value(1)
		}
		return err
	})
	if err == nil {
		err = p.end()
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
	if e.Time = t.UTC().Truncate(time.Microsecond); !storable(e.Time) {
		e.Time = eventTime(e.Time)
	}
	return nil
}

// fields reads an event's fields. They are an object also where they look like a mark.
func (p *parser) fields(into *Fields) error {
	switch p.peek() {
	case 'n':
		return p.literal("null")
	case '{':
		v, err := p.object(1, false)
		if err == nil {
			*into = v.(map[string]any)
		}
		return err
	}
	return p.fail("fields is not an object")
}

// MarshalJSON returns what [AppendEventJSON] appends.
func (e Event) MarshalJSON() ([]byte, error) { return AppendEventJSON(nil, e), nil }

// UnmarshalJSON is [ParseEventJSON]. Null changes nothing.
func (e *Event) UnmarshalJSON(data []byte) error {
	if string(data) == "null" {
		return nil
	}
	parsed, err := ParseEventJSON(data)
	if err == nil {
		*e = parsed
	}
	return err
}
