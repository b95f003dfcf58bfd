package core

import (
	"strings"

	"github.com/google/uuid"
)

// Describe is q as the fields of an event say it, without Limit and After: what was asked of
// the trail belongs into the event of [TagRead]. Names stand where [Config.Protect] finds
// them, so that a query keeps nothing that an event would not.
func (q Query) Describe() map[string]any {
	d := map[string]any{}
	for name, text := range map[string]string{
		"tag": q.Tag, "user": q.User, "for": q.OnBehalfOf, "target": q.Target, "outcome": string(q.Outcome),
		"reason": q.Reason, "tenant": q.Tenant, "ip": q.IP, "request": q.RequestID,
	} {
		if text != "" {
			d[name] = text
		}
	}
	if kind, id, ok := strings.Cut(q.Target, "/"); ok {
		d["target"] = map[string]any{kind: id}
	}
	if q.ID != uuid.Nil {
		d["id"] = q.ID.String()
	}
	if q.Anonymous {
		d["anonymous"] = true
	}
	if len(q.NotTags) > 0 {
		d["not_tags"] = q.NotTags
	}
	if !q.From.IsZero() {
		d["from"] = q.From.UTC()
	}
	if !q.To.IsZero() {
		d["to"] = q.To.UTC()
	}
	if len(q.Fields) > 0 {
		fields := make(map[string]any, len(q.Fields))
		for name, value := range q.Fields {
			fields[name] = value
		}
		d["fields"] = fields
	}
	return d
}
