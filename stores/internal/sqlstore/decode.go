package sqlstore

import (
	"time"

	"github.com/google/uuid"

	"github.com/auditing-go/auditing/core"
)

// event puts one row together again, as far as its values can be read. It is not sound
// when the row stands where its time and id do not belong.
func (r *reading) event(p part, row []any) (e core.Event, sound bool) {
	e = core.Event{Tag: p.rel.Name, Time: noTime, Fields: core.Fields{}}
	id, err := r.backend.Value(row[2], UUID)
	if e.ID, sound = id.(uuid.UUID); !sound || err != nil {
		return e, false
	}
	if !p.odd {
		when, err := r.backend.Value(row[1], Time)
		if e.Time, sound = when.(time.Time); !sound || err != nil {
			return e, false
		}
	}
	var request core.Request
	text := func(v any) string {
		if v != nil {
			e.Request = &request
		}
		s, _ := v.(string)
		return s
	}
	var details string
	var extra map[string]any
	for i, c := range p.columns {
		raw := row[3+i]
		if raw == nil {
			continue
		}
		kind := c.Kind
		if c.Name == "audit_request" {
			kind = Text // it is parsed below, into a struct
		}
		v, err := r.backend.Value(raw, kind)
		if err != nil {
			v = raw // what others have put there is given as it stands
		}
		if n := factOf(c); n >= 0 {
			*facts[n].of(&e), _ = v.(string)
			continue
		}
		if !isBase[c.Name] {
			if v != nil {
				e.Fields[c.Name] = v
			}
			continue
		}
		switch c.Name {
		case "username":
			e.User, _ = v.(string)
		case "ip":
			request.IP = text(v)
		case "host":
			request.Host = text(v)
		case "path":
			request.Path = text(v)
		case "audit_tag":
			if tag, ok := v.(string); ok {
				e.Tag = tag
			}
		case "audit_request":
			details, _ = v.(string)
		case "audit_extra":
			var ok bool
			if extra, ok = v.(map[string]any); !ok && v != nil {
				r.warnUnread(p.rel.Name, c.Name)
			}
		}
	}
	for name, v := range extra {
		e.Fields[name] = v
	}
	if details != "" && details != "null" {
		if err := e.ParseDetails([]byte(details)); err != nil {
			r.warnUnread(p.rel.Name, "audit_request")
		}
	}
	return e, true
}

// warnUnread says once that events are read without what is in a column.
func (s *Store) warnUnread(table, column string) {
	s.warnOnce("unread "+table+"."+column, "auditing: a row has something else in a column than its JSON object: its event is read without that",
		"table", table, "column", column)
}
