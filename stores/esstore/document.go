package esstore

import (
	"time"

	"github.com/google/uuid"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/core/auditjson"
)

// appendDocument appends the document of e as one line. labels says that it gets the
// copy of its fields that can be searched.
func appendDocument(dst []byte, e core.Event, labels bool) []byte {
	start := len(dst)
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
	return appendSize(dst, start)
}

// appendSize ends a document that begins at start, with its size in bytes: Read asks
// for no more of them at once than a server has room for.
func appendSize(dst []byte, start int) []byte {
	n := len(dst) - start
	dst = appendInt(append(dst, `,"size":`...), int64(n))
	return append(dst, "}}\n"...)
}

// ecsVersion is the version of the Elastic Common Schema by which the names outside of audit,
// labels and tag are those of its fields.
const ecsVersion = "9.4.0"

// appendWhoAndWhat begins a document with what every form of it holds.
func appendWhoAndWhat(dst []byte, e core.Event) []byte {
	dst = append(dst, `{"@timestamp":`...)
	dst = auditjson.AppendTime(dst, e.Time)
	dst = append(dst, `,"ecs":{"version":"`+ecsVersion+`"},"tag":`...)
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

// appendDeadLetter appends the document under which e is kept when the server takes no
// other: nothing in it depends on what the event holds but its length.
func appendDeadLetter(dst []byte, e core.Event, index, reason string) []byte {
	start := len(dst)
	dst = appendWhoAndWhat(dst, e)
	dst = appendAudit(dst, e)
	dst = append(dst, `,"unsearchable":true,"refused":{"time":`...)
	dst = auditjson.AppendTime(dst, time.Now())
	dst = append(dst, `,"index":`...)
	dst = auditjson.AppendString(dst, index)
	dst = append(dst, `,"reason":`...)
	dst = auditjson.AppendString(dst, reason)
	dst = append(dst, `},"original":`...)
	dst = auditjson.AppendString(dst, string(e.AppendJSON(nil)))
	return appendSize(dst, start)
}

func appendID(dst []byte, id uuid.UUID) []byte {
	text, _ := id.MarshalText() // it cannot fail
	return append(dst, text...)
}
