// Package values brings the values of an event's fields to the kinds that stores keep,
// cuts what is too large, compares them, and writes and reads their JSON. Packages core
// and auditjson are how others use it.
package values

import (
	"encoding/base64"
	"encoding/json"
	"log/slog"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// What a value weighs in memory, about, in bytes.
const (
	EventBytes   = 400
	entryBytes   = 48 // of a map, beside its name and value
	elementBytes = 16 // of a slice, beside its value
	mapBytes     = 64
	listBytes    = 40
	TextBytes    = 16
	numberBytes  = 24
	boolBytes    = 8
)

// maxLoneBytes is how large a value may be that is normalised outside an event.
const maxLoneBytes = 1 << 20

const (
	// maxDepth is how deep maps, slices and structs may nest.
	maxDepth = 32
	// maxPath bounds pointers to interfaces to pointers …, which nest without depth.
	maxPath = 8 * maxDepth
	// maxCalls is how many methods may hand on to each other.
	maxCalls = 32
	// maxListedEntries is how large a map may be to be sorted for the beginning of its text.
	maxListedEntries = 1 << 18
	minTextBytes     = 64
)

// normalizer brings values to the kinds that core.Fields lists and weighs them. It
// stops as soon as the result would weigh more than limit or after steps values,
// so that no input, however it expands, is walked without end.
type normalizer struct {
	limit, size int
	steps       int
	// stopped says that what was returned is only the beginning, or, unless
	// ordered, not to be used at all.
	stopped bool
	// ordered walks maps in the order of their names, so that the beginning is the
	// same each time.
	ordered bool
	// whole is how many bytes the text had of which the outermost value is the beginning.
	whole int
	calls int
	path  []visit

	protect Protect
}

// visit identifies a pointer, map or slice that is being walked.
type visit struct {
	at     uintptr
	length int
	typ    reflect.Type
}

// Normal normalises one value as a field of an event of maxLoneBytes.
func Normal(v any) any {
	fields, _ := Fields(map[string]any{"": v}, maxLoneBytes, nil)
	return fields[""]
}

// charge adds to the weight and reports whether the walk goes on.
func (n *normalizer) charge(bytes int) bool {
	n.size += bytes
	n.stopped = n.stopped || n.size > n.limit
	return !n.stopped
}

// step counts one more value and reports whether the walk goes on.
func (n *normalizer) step() bool {
	n.steps--
	n.stopped = n.stopped || n.steps < 0
	return !n.stopped
}

// value normalises v, which stands depth deep; an event's field is 1 deep.
func (n *normalizer) value(v any, depth int) any {
	if !n.step() {
		return nil
	}
	switch x := v.(type) {
	case nil:
		return nil
	case string:
		if n.size+TextBytes+len(x) <= n.limit && IsClean(x) {
			n.size += TextBytes + len(x)
			return v
		}
		return n.text(x, depth)
	case bool:
		n.charge(boolBytes)
		return v
	case int:
		return n.int(int64(x))
	case int64:
		n.charge(numberBytes)
		return v
	case float64:
		n.charge(numberBytes)
		return v
	case uint64:
		if x > math.MaxInt64 {
			n.charge(numberBytes)
			return v
		}
		return n.int(int64(x))
	case int32:
		return n.int(int64(x))
	case uint:
		return n.uint(uint64(x))
	case time.Time:
		return n.time(x, depth)
	case time.Duration:
		return n.int(int64(x))
	case []byte:
		return n.bytes(x, depth)
	case map[string]any:
		return n.stringMap(x, depth)
	case []any:
		return n.list(x, depth)
	case []string:
		return n.texts(x, depth)
	case json.Number:
		return n.number(string(x), depth)
	case slog.Value:
		return n.slogValue(x, depth)
	case slog.Attr:
		return n.group([]slog.Attr{x}, depth)
	case []slog.Attr:
		if x == nil {
			return nil
		}
		return n.group(x, depth)
	case reflect.Value:
		if x.IsValid() && !x.CanInterface() {
			return n.describe(x.Type(), "unexported", depth)
		}
		return n.reflect(x, depth)
	}
	return n.reflect(reflect.ValueOf(v), depth)
}

func (n *normalizer) int(i int64) any {
	n.charge(numberBytes)
	return i
}

func (n *normalizer) uint(u uint64) any {
	if u > math.MaxInt64 {
		n.charge(numberBytes)
		return u
	}
	return n.int(int64(u))
}

func (n *normalizer) float32(f float32) any {
	n.charge(numberBytes)
	// Its shortest decimal, so that 1.1 does not become 1.100000023841858.
	d, _ := strconv.ParseFloat(strconv.FormatFloat(float64(f), 'g', -1, 32), 64)
	return d
}

// number normalises a JSON number literal; anything else is a text.
func (n *normalizer) number(s string, depth int) any {
	if scanNumber(s) != len(s) || s == "" {
		return n.text(s, depth)
	}
	v := parseNumber(s, false)
	if text, ok := v.(string); ok {
		return n.text(text, depth)
	}
	n.charge(numberBytes)
	return v
}

func (n *normalizer) time(t time.Time, depth int) any {
	t = t.UTC().Truncate(time.Microsecond)
	if !Storable(t) {
		return n.text(t.Format(time.RFC3339Nano), depth)
	}
	n.charge(2 * numberBytes)
	return t
}

func (n *normalizer) text(s string, depth int) any {
	room := n.limit - n.size - TextBytes
	if len(s) <= room {
		if c := Clean(s); len(c) <= room {
			n.size += TextBytes + len(c)
			return c
		}
	}
	n.charge(max(TextBytes+len(s), room+TextBytes+1))
	switch {
	case !n.ordered:
		return nil
	case depth == 1:
		n.whole = len(s)
		prefix, _ := cleanPrefix(s, max(room, 0))
		return prefix
	}
	return Cut(s, max(room, minTextBytes))
}

// bytes copies b, because its owner may go on writing to it.
func (n *normalizer) bytes(b []byte, depth int) any {
	if b == nil {
		return nil
	}
	room := n.limit - n.size - listBytes
	if n.charge(listBytes + len(b)) {
		return append(make([]byte, 0, len(b)), b...)
	}
	if !n.ordered {
		return nil
	}
	prefix := base64.StdEncoding.EncodeToString(b[:min(len(b), max(room, minTextBytes)/4*3)])
	if depth == 1 {
		n.whole = len(b)
		return prefix
	}
	return marked(prefix, cutMark(len(b), false), max(room, minTextBytes))
}

// describe says what stood where no value can be kept. It never shows the value.
func (n *normalizer) describe(t reflect.Type, reason string, depth int) any {
	return n.text("("+typeName(t)+": "+reason+")", depth)
}

func typeName(t reflect.Type) string {
	return Cut(strings.ReplaceAll(t.String(), "interface {}", "any"), 256)
}

// enter begins to walk what id identifies, depth deep; leave ends it. When it must
// not be walked, the text to keep instead is returned.
func (n *normalizer) enter(id visit, depth int) (instead any, ok bool) {
	if depth > maxDepth && id.typ.Kind() != reflect.Pointer || len(n.path) >= maxPath {
		return n.tooDeep(id.typ, depth), false
	}
	if slices.Contains(n.path, id) {
		return n.text("(cycle: "+typeName(id.typ)+")", depth), false
	}
	n.path = append(n.path, id)
	return nil, true
}

func (n *normalizer) leave() { n.path = n.path[:len(n.path)-1] }

func (n *normalizer) tooDeep(t reflect.Type, depth int) any {
	return n.describe(t, "nested over "+strconv.Itoa(maxDepth)+" deep", depth)
}

// begin charges for what holds count others that weigh at least each. It spares
// the walk when the result will be of no use.
func (n *normalizer) begin(bytes, count, each int) bool {
	if !n.ordered && count > (n.limit-n.size)/each {
		n.stopped = true
	}
	return n.charge(bytes)
}

// fitting is how many of count values that weigh at least each can still be kept.
func (n *normalizer) fitting(count, each int) int {
	return min(count, max(n.limit-n.size, 0)/each+1)
}

func (n *normalizer) list(list []any, depth int) any {
	if list == nil {
		return nil
	}
	v := reflect.ValueOf(list)
	if instead, ok := n.enter(visit{v.Pointer(), len(list), v.Type()}, depth); !ok {
		return instead
	}
	defer n.leave()
	n.begin(listBytes, len(list), elementBytes)
	out := make([]any, 0, n.fitting(len(list), elementBytes))
	for _, element := range list {
		if !n.charge(elementBytes) {
			break
		}
		out = append(out, n.value(element, depth+1))
	}
	return out
}

func (n *normalizer) texts(list []string, depth int) any {
	if list == nil {
		return nil
	}
	if depth > maxDepth {
		return n.tooDeep(reflect.TypeFor[[]string](), depth)
	}
	n.begin(listBytes, len(list), elementBytes+TextBytes)
	out := make([]any, 0, n.fitting(len(list), elementBytes+TextBytes))
	for _, s := range list {
		if !n.charge(elementBytes) {
			break
		}
		out = append(out, n.text(s, depth+1))
	}
	return out
}

func (n *normalizer) stringMap(m map[string]any, depth int) any {
	if m == nil {
		return nil
	}
	v := reflect.ValueOf(m)
	if instead, ok := n.enter(visit{v.Pointer(), 0, v.Type()}, depth); !ok {
		return instead
	}
	defer n.leave()
	if n.ordered && len(m) > maxListedEntries {
		return n.tooMany(v, depth)
	}
	n.begin(mapBytes, len(m), 1)
	out := make(map[string]any, n.fitting(len(m), entryBytes))
	var rest []entry
	for name, x := range m {
		if n.stopped {
			break
		}
		if n.ordered || !IsClean(name) {
			rest = append(rest, newEntry(name, x))
			continue
		}
		if x = n.named(name, n.value(x, depth+1)); x != nil {
			n.charge(entryBytes + len(name))
			out[name] = x
		}
	}
	n.entries(out, rest, depth)
	return out
}

func (n *normalizer) tooMany(m reflect.Value, depth int) any {
	return n.describe(m.Type(), strconv.Itoa(m.Len())+" entries are too many", depth)
}
