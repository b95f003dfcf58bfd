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
	dst = append(dst, `,"audit":{"micros":`...)
	dst = appendInt(dst, e.Time.UnixMicro())
	if r := e.Request; r != nil {
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

// appendWhoAndWhat begins a document with what every form of it holds.
func appendWhoAndWhat(dst []byte, e core.Event) []byte {
	dst = append(dst, `{"@timestamp":`...)
	dst = auditjson.AppendTime(dst, e.Time)
	dst = append(dst, `,"tag":`...)
	tagStart := len(dst)
	dst = auditjson.AppendString(dst, e.Tag)
	tagEnd := len(dst)
	dst = append(dst, `,"event":{"action":`...)
	dst = append(dst, dst[tagStart:tagEnd]...)
	dst = append(dst, `,"id":"`...)
	dst = appendID(dst, e.ID)
	dst = append(dst, `"},"user":{"name":`...)
	dst = auditjson.AppendString(dst, e.User)
	dst = append(dst, '}')
	return dst
}

// appendRequest writes url always, so that a request that says nothing can be told
// from none.
func appendRequest(dst []byte, r *core.Request) []byte {
	dst = append(dst, `,"url":{"path":`...)
	dst = auditjson.AppendString(dst, r.Path)
	dst = appendFact(dst, `,"domain":`, r.Host)
	dst = append(dst, '}')
	if r.IP != "" {
		dst = append(dst, `,"source":{"ip":`...)
		dst = append(auditjson.AppendString(dst, r.IP), '}')
	}
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
	if r.UserAgent != "" {
		dst = append(dst, `,"user_agent":{"original":`...)
		dst = append(auditjson.AppendString(dst, r.UserAgent), '}')
	}
	return dst
}

func appendFact(dst []byte, key, value string) []byte {
	if value == "" {
		return dst
	}
	return auditjson.AppendString(append(dst, key...), value)
}

// appendDeadLetter appends the document under which e is kept when the server takes no
// other: nothing in it depends on what the event holds but its length.
func appendDeadLetter(dst []byte, e core.Event, index, reason string) []byte {
	start := len(dst)
	dst = appendWhoAndWhat(dst, e)
	dst = append(dst, `,"audit":{"micros":`...)
	dst = appendInt(dst, e.Time.UnixMicro())
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
