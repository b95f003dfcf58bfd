package esstore

import (
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/core/auditjson"
	"github.com/auditing-go/auditing/core/ecs"
)

// appendDocument appends the document of e as one line. labels says that it gets the
// copy of its fields that can be searched.
func appendDocument(dst []byte, e core.Event, labels bool) []byte {
	start := len(dst)
	return appendSize(ecs.Begin(dst, e, labels), start)
}

// appendSize ends a document that begins at start, with its size in bytes: Read asks
// for no more of them at once than a server has room for.
func appendSize(dst []byte, start int) []byte {
	n := len(dst) - start
	dst = strconv.AppendInt(append(dst, `,"size":`...), int64(n), 10)
	return append(dst, "}}\n"...)
}

// appendDeadLetter appends the document under which e is kept when the server takes no
// other: nothing in it depends on what the event holds but its length.
func appendDeadLetter(dst []byte, e core.Event, index, reason string) []byte {
	start := len(dst)
	original := e.AppendJSON(nil)
	e.Request, e.Fields = nil, nil
	dst = ecs.Begin(dst, e, false)
	dst = append(dst, `,"refused":{"time":`...)
	dst = auditjson.AppendTime(dst, time.Now())
	dst = append(dst, `,"index":`...)
	dst = auditjson.AppendString(dst, index)
	dst = append(dst, `,"reason":`...)
	dst = auditjson.AppendString(dst, reason)
	dst = append(dst, `},"original":`...)
	dst = auditjson.AppendString(dst, string(original))
	return appendSize(dst, start)
}

func appendID(dst []byte, id uuid.UUID) []byte {
	text, _ := id.MarshalText() // it cannot fail
	return append(dst, text...)
}
