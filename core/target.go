package core

import (
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/auditing-go/auditing/core/internal/values"
)

// On names what the audit's action was done to, such as On("order", 42). An event has one
// target, which [Event.Target] and [Query.Target] spell "order/42".
//
// kind is made of a-z, 0-9, _, . and -. id may be any value that is one text or number: 42,
// 42.0 and "42" are the same id, and so are a UUID and its text. An empty text, such as the
// name in a sign-in form that was left blank, is an id too. A kind of other characters,
// an id that is nil or made of several values, and a second target fail the audit.
func On(kind string, id any) Option { return Option{says: theTarget, text: kind, value: id} }

var errTwoTargets = errors.New("core.On: an event has one target: make an audit for each, or put the others into fields")

func (o *auditOptions) setTarget(kind string, id any) {
	if o.target != "" {
		o.fail(errTwoTargets)
		return
	}
	target, err := targetOf(kind, id)
	if err != nil {
		o.fail(fmt.Errorf("core.On: %w", err))
	}
	o.target = target
}

func targetOf(kind string, id any) (string, error) {
	if !isKind(kind) {
		return "", fmt.Errorf(`kind %.100q: make it of a-z, 0-9, _, . and -, such as "order"`, kind)
	}
	target, ok := appendID(append(append(make([]byte, 0, 64), kind...), '/'), id)
	switch {
	case !ok:
		return "", fmt.Errorf("the id of the %s is a %T: pass its key, one text or number", kind, id)
	case id == nil || len(target) == len(kind)+1 && values.Normal(id) == nil:
		return "", fmt.Errorf("the id of the %s is nil: pass its key", kind)
	}
	return string(target), nil
}

func isKind(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '_', c == '.', c == '-':
		default:
			return false
		}
	}
	return s != ""
}

// idText is the one text of an id, see [On]; "" of nil.
func idText(id any) string {
	text, _ := appendID(nil, id)
	return string(text)
}

// appendID appends the text of an id; false of what holds several values.
func appendID(dst []byte, id any) ([]byte, bool) {
	switch v := id.(type) {
	case string:
		return append(dst, v...), true
	case int:
		return strconv.AppendInt(dst, int64(v), 10), true
	}
	switch v := values.Normal(id).(type) {
	case nil:
		return dst, true
	case string:
		return append(dst, v...), true
	case bool:
		return strconv.AppendBool(dst, v), true
	case int64:
		return strconv.AppendInt(dst, v, 10), true
	case uint64:
		return strconv.AppendUint(dst, v, 10), true
	case float64:
		if v == math.Trunc(v) && math.Abs(v) < 1<<63 {
			return strconv.AppendInt(dst, int64(v), 10), true
		}
		return strconv.AppendFloat(dst, v, 'g', -1, 64), true
	case time.Time:
		return v.AppendFormat(dst, time.RFC3339Nano), true
	case []byte:
		return hex.AppendEncode(dst, v), true
	default:
		return append(dst, values.Append(nil, v)...), false // dst stays on the stack
	}
}
