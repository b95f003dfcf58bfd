package values

import (
	"bytes"
	"log/slog"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// entry is one entry of a map under the name it is going to have.
type entry struct {
	name string
	// was is the name before it was cleaned.
	was   string
	value any
}

func newEntry(name string, value any) entry { return entry{Clean(name), name, value} }

// compareEntries orders by name; of names that have become the same, the one that
// was so before comes first and keeps it.
func compareEntries(a, b entry) int {
	if c := strings.Compare(a.name, b.name); c != 0 {
		return c
	}
	if a.was == b.was {
		return 0
	}
	if a.was == a.name {
		return -1
	}
	if b.was == b.name {
		return 1
	}
	return strings.Compare(a.was, b.was)
}

// names makes names unique: a name that is taken gets the suffix "~2", "~3", …
type names struct{ next map[string]int }

func (u *names) unique(taken map[string]any, name string) string {
	if _, ok := taken[name]; !ok {
		return name
	}
	if u.next == nil {
		u.next = make(map[string]int)
	}
	for i := max(u.next[name], 2); ; i++ {
		numbered := name + "~" + strconv.Itoa(i)
		if _, ok := taken[numbered]; !ok {
			u.next[name] = i + 1
			return numbered
		}
	}
}

// entries normalises list into out, which holds the entries whose names need no care.
func (n *normalizer) entries(out map[string]any, list []entry, depth int) {
	slices.SortFunc(list, compareEntries)
	var u names
	for i := 0; i < len(list); {
		same := i
		for ; i < len(list) && compareEntries(list[same], list[i]) == 0; i++ {
			if n.stopped {
				return
			}
			list[i].value = n.named(list[i].name, n.value(list[i].value, depth+1))
		}
		if i-same > 1 { // keys of one text: only their values tell them apart
			slices.SortFunc(list[same:i], func(a, b entry) int {
				return bytes.Compare(Append(nil, a.value), Append(nil, b.value))
			})
		}
		for _, e := range list[same:i] {
			if e.value != nil {
				name := u.unique(out, e.name)
				n.charge(entryBytes + len(name))
				out[name] = e.value
			}
		}
	}
}

func (n *normalizer) reflectMap(m reflect.Value, depth int) any {
	if instead, ok := n.enter(visit{m.Pointer(), 0, m.Type()}, depth); !ok {
		return instead
	}
	defer n.leave()
	if n.ordered && m.Len() > maxListedEntries {
		return n.tooMany(m, depth)
	}
	n.begin(mapBytes, m.Len(), 1)
	if n.stopped {
		return map[string]any{}
	}
	list := make([]entry, 0, m.Len())
	for it := m.MapRange(); it.Next(); {
		list = append(list, newEntry(n.keyText(it.Key(), depth), it.Value().Interface()))
	}
	out := make(map[string]any, n.fitting(len(list), entryBytes))
	n.entries(out, list, depth)
	return out
}

// keyText is the name that a map's key becomes. As in encoding/json, a string is
// itself, then MarshalText counts, then a number is its digits; any other key is
// its normalised text, or the JSON of its normalised value. LogValue beats them all.
func (n *normalizer) keyText(key reflect.Value, depth int) string {
	for hops := 0; hops < maxDepth && canFollow(key); hops++ {
		key = key.Elem()
	}
	if key.IsValid() && key.Kind() != reflect.Pointer && key.Kind() != reflect.Interface {
		switch info := typeOf(key.Type()); {
		case info.method == logValue:
		case key.Kind() == reflect.String:
			return key.String()
		case info.marshalsText:
			if text, reason := invoke(info.receiver(key), marshalText); reason == "" {
				return text.(string)
			}
		case key.CanInt():
			return strconv.FormatInt(key.Int(), 10)
		case key.CanUint():
			return strconv.FormatUint(key.Uint(), 10)
		}
	}
	// Its weight is that of the name it becomes, not its own.
	k := normalizer{limit: maxLoneBytes, steps: n.steps, ordered: true, calls: n.calls, path: n.path, protect: n.protect}
	v := k.reflect(key, depth+1)
	n.steps = k.steps
	if text, ok := v.(string); ok {
		return text
	}
	return string(Append(nil, v))
}

func canFollow(v reflect.Value) bool {
	return (v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface) && !v.IsNil()
}

// slogValue normalises what LogValue returns.
func (n *normalizer) slogValue(v slog.Value, depth int) any {
	if v.Kind() == slog.KindGroup {
		return n.group(v.Group(), depth)
	}
	if v.Kind() == slog.KindLogValuer {
		return n.value(v.LogValuer(), depth)
	}
	return n.value(v.Any(), depth)
}

func (n *normalizer) group(attrs []slog.Attr, depth int) any {
	if depth > maxDepth {
		return n.tooDeep(reflect.TypeFor[[]slog.Attr](), depth)
	}
	n.begin(mapBytes, len(attrs), 1)
	out := make(map[string]any, n.fitting(len(attrs), entryBytes))
	n.attrs(out, &names{}, attrs, depth)
	return out
}

// attrs follows the rules of slog's handlers: an empty Attr is nothing, a group
// without a name is part of the one around it.
func (n *normalizer) attrs(out map[string]any, u *names, attrs []slog.Attr, depth int) {
	for _, a := range attrs {
		if !n.step() {
			return
		}
		if a.Key == "" && a.Value.Kind() == slog.KindGroup && depth < maxDepth {
			n.attrs(out, u, a.Value.Group(), depth+1)
			continue
		}
		if a.Equal(slog.Attr{}) {
			continue
		}
		if v := n.named(a.Key, n.slogValue(a.Value, depth+1)); v != nil {
			name := u.unique(out, Clean(a.Key))
			n.charge(entryBytes + len(name))
			out[name] = v
		}
	}
}
