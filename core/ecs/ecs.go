// Package ecs writes events as documents of the Elastic Common Schema, as package esstore
// keeps them and package export exports them.
//
// What the schema has no names for stands below audit: the exact time in microseconds, the
// target, the outcome as it was stated, the route, peer and X-Forwarded-For header, and under
// audit.fields every field exactly, in the JSON of package auditjson. Below labels the
// fields stand again as far as they can be searched, every value by its [Label].
package ecs

import (
	"github.com/google/uuid"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/core/auditjson"
)

// Version is the version of the schema by which the names outside of audit, labels and tag
// are those of its fields.
const Version = "9.4.0"

// Append appends the document of e, which should be normalised, as one JSON object on one line.
func Append(dst []byte, e core.Event) []byte { return append(Begin(dst, e, true), "}}"...) }

// Begin appends the document of e without the last two braces, so that more can be put into
// its object audit. Without labels it has none of them, and audit.unsearchable says so, as it
// does where the fields have more of them than one document should.
func Begin(dst []byte, e core.Event, labels bool) []byte {
	dst = appendWhoAndWhat(dst, e)
	if r := e.Request; r != nil {
		dst = appendRequest(dst, r)
	}
	unsearchable := !labels
	if labels && len(e.Fields) > 0 {
		dst = append(dst, `,"labels":`...)
		dst, unsearchable = appendLabels(dst, e.Fields)
	}
	dst = appendAudit(dst, e)
	if r := e.Request; r != nil {
		dst = appendFact(dst, `,"route":`, r.Route)
		dst = appendFact(dst, `,"peer":`, r.Peer)
		dst = appendFact(dst, `,"forwarded":`, r.Forwarded)
	}
	if unsearchable {
		dst = append(dst, `,"unsearchable":true`...)
	}
	if len(e.Fields) > 0 {
		dst = append(dst, `,"fields":`...)
		dst = auditjson.Append(dst, map[string]any(e.Fields))
	}
	return dst
}

// appendWhoAndWhat begins a document.
func appendWhoAndWhat(dst []byte, e core.Event) []byte {
	dst = append(dst, `{"@timestamp":`...)
	dst = auditjson.AppendTime(dst, e.Time)
	dst = append(dst, `,"ecs":{"version":"`+Version+`"},"tag":`...)
	tagStart := len(dst)
	dst = auditjson.AppendString(dst, e.Tag)
	tagEnd := len(dst)
	dst = append(dst, `,"event":{"kind":"event","action":`...)
	dst = append(dst, dst[tagStart:tagEnd]...)
	dst = append(dst, `,"id":"`...)
	dst = append(appendID(dst, e.ID), '"')
	switch e.Outcome { // ECS knows no denied as an outcome
	case core.OutcomeSuccess:
		dst = append(dst, `,"outcome":"success"`...)
	case core.OutcomeFailure:
		dst = append(dst, `,"outcome":"failure"`...)
	case core.OutcomeDenied:
		dst = append(dst, `,"outcome":"failure","type":["denied"]`...)
	}
	dst = appendFact(dst, `,"reason":`, e.Reason)
	dst = append(dst, `},"user":{"name":`...)
	dst = auditjson.AppendString(dst, e.User)
	dst = appendIn(dst, `,"effective":{"name":`, e.OnBehalfOf)
	dst = append(dst, '}')
	dst = appendIn(dst, `,"organization":{"id":`, e.Tenant)
	return appendIn(dst, `,"service":{"name":`, e.Service)
}

// appendAudit begins the object of what the schema has no names for.
func appendAudit(dst []byte, e core.Event) []byte {
	dst = append(dst, `,"audit":{"micros":`...)
	dst = appendInt(dst, e.Time.UnixMicro())
	dst = appendFact(dst, `,"target":`, e.Target)
	return appendFact(dst, `,"outcome":`, string(e.Outcome))
}

// appendRequest writes url always, so that a request that says nothing can be told
// from none.
func appendRequest(dst []byte, r *core.Request) []byte {
	dst = append(dst, `,"url":{"path":`...)
	dst = auditjson.AppendString(dst, r.Path)
	dst = appendFact(dst, `,"domain":`, r.Host)
	dst = append(dst, '}')
	dst = appendIn(dst, `,"source":{"ip":`, r.IP)
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
	dst = appendIn(dst, `,"trace":{"id":`, r.Trace)
	return appendIn(dst, `,"user_agent":{"original":`, r.UserAgent)
}

func appendFact(dst []byte, key, value string) []byte {
	if value == "" {
		return dst
	}
	return auditjson.AppendString(append(dst, key...), value)
}

// appendIn appends a fact that is alone in its object.
func appendIn(dst []byte, key, value string) []byte {
	if value == "" {
		return dst
	}
	return append(appendFact(dst, key, value), '}')
}

func appendID(dst []byte, id uuid.UUID) []byte {
	text, _ := id.MarshalText() // it cannot fail
	return append(dst, text...)
}
