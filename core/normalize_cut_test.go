package core

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"
)

// weigh is the estimate of what an event holds, written down a second time.
func weigh(v any) int {
	switch x := v.(type) {
	case nil:
		return 0
	case bool:
		return 8
	case string:
		return 16 + len(x)
	case []byte:
		return 40 + len(x)
	case time.Time:
		return 48
	case []any:
		sum := 40
		for _, e := range x {
			sum += 16 + weigh(e)
		}
		return sum
	case map[string]any:
		sum := 64
		for k, e := range x {
			sum += 48 + len(k) + weigh(e)
		}
		return sum
	}
	return 24
}

func weighEvent(e Event) int {
	size := 400 + len(e.Tag) + len(e.User) + weigh(map[string]any(e.Fields)) - 64
	if r := e.Request; r != nil {
		size += 10*16 + len(r.Path+r.Host+r.IP+r.Method+r.Peer+r.Forwarded+r.UserAgent+r.ID+r.Route+r.Trace)
	}
	return size
}

func TestSize(t *testing.T) {
	e := Event{Tag: "t", User: "u", Request: sampleRequest(), Fields: Fields{
		"b": true, "i": 1, "u": ^uint64(0), "f": float32(1), "s": "xyz", "t": time.Now(), "raw": []byte("12"), "n": nil,
		"l": []string{"a", "b"}, "m": map[string]any{"k": []any{nil, 1}}, "st": Inner{"a", "b"}, "bad\xff": "\xff", "json": json.RawMessage(`[1,{"a":"b"}]`),
		"arr": [2]int{}, "map": map[int]int{1: 2}, "g": []time.Duration{1}, "sec": secret("x"), "c": make(chan int),
	}}
	size := e.normalize(0, nil)
	if want := weighEvent(e); size != want {
		t.Errorf("normalize says %d bytes, the event weighs %d", size, want)
	}
	if again := e.normalize(0, nil); again != size {
		t.Errorf("the second time normalize says %d bytes, the first %d", again, size)
	}
}

func fieldsOf(n int, value func(i int) any) Fields {
	f := make(Fields, n)
	for i := range n {
		f[fmt.Sprintf("f%06d", i)] = value(i)
	}
	return f
}

// tooLarge are fields over any limit that the tests set. They are made once: that
// normalising leaves them alone is something the tests rely on.
var tooLarge = sync.OnceValue(func() map[string]Fields {
	mb := strings.Repeat("x", 10<<20)
	shared := any("leaf")
	for range 31 {
		shared = []any{shared, shared}
	}
	sharedMaps := any(map[string]any{"nothing": nil})
	for range 31 {
		sharedMaps = map[string]any{"a": sharedMaps, "b": sharedMaps, "c\xff": sharedMaps}
	}
	type tree struct{ L, R *tree }
	root := &tree{}
	for range 31 {
		root = &tree{root, root}
	}
	megabyte := make([]byte, 1<<20)
	return map[string]Fields{
		"a long string":       {"s": mb, "n": 1},
		"a long dirty string": {"s": strings.Repeat("\xff", 10<<20)},
		"long bytes":          {"b": make([]byte, 10<<20), "n": 1},
		"large and small":     {"a": mb, "b": strings.Repeat("y", 1<<10), "c": []int{1, 2}, "d": map[string]any{"x": mb}, "e": 1.5},
		"shared lists":        {"v": shared, "n": 1},
		"shared maps":         {"v": sharedMaps, "n": 1},
		"shared structs":      {"v": root, "n": 1},
		"shared bytes":        {"v": slices.Repeat([]any{megabyte}, 10000), "n": 1},
		"shared strings":      {"v": slices.Repeat([]string{mb}, 100000), "n": 1},
		"many large":          fieldsOf(2000, func(int) any { return []any{megabyte, mb} }),
		"many shared":         fieldsOf(2000, func(int) any { return shared }),
		"many tiny":           fieldsOf(100_000, func(i int) any { return i }),
		"many small":          fieldsOf(10_000, func(i int) any { return strings.Repeat("z", 100) }),
		"a giant name":        {strings.Repeat("n", 10<<20): 1, "x": 2},
		"giant names":         {strings.Repeat("n", 1<<20) + "1": 1, strings.Repeat("n", 1<<20) + "2": 2, "\xff" + strings.Repeat("n", 1<<20): 3},
		"a large map":         {"m": map[string]any(fieldsOf(50_000, func(i int) any { return i })), "n": 1},
		"a larger map":        {"m": map[string]any(fieldsOf(300_000, func(i int) any { return i })), "n": 1},
		"a large map of ints": {"m": func() any {
			m := map[int]int{}
			for i := range 50_000 {
				m[i] = i
			}
			return m
		}(), "n": 1},
		"a large list":         {"l": make([]int, 1_000_000), "n": 1},
		"a large array":        {"l": [300_000]int8{}, "n": 1},
		"large JSON":           {"j": json.RawMessage("[" + strings.Repeat("1,", 1<<20) + "1]"), "n": 1},
		"a large JSON string":  {"j": json.RawMessage(`"` + mb + `"`), "n": 1},
		"audit_cut is taken":   {"audit_cut": "mine", "s": mb, "n": 1},
		"a count from before":  {"audit_cut": int64(3), "s": mb, "n": 1},
		"texts of methods":     {"v": onlyText{mb}, "w": onlyString{mb}, "x": onlyError{1}, "n": 1},
		"names that are alike": fieldsOfNames(40_000, func(i int) string { return string([]byte{0xff - byte(i>>12), 0xbf - byte(i>>6&63), 0xbf - byte(i&63)}) }),
	}
})

func fieldsOfNames(n int, name func(i int) string) Fields {
	f := make(Fields, n)
	for i := range n {
		f[name(i)] = i
	}
	return f
}

func TestCut(t *testing.T) {
	for name, fields := range tooLarge() {
		t.Run(name, func(t *testing.T) {
			for _, limit := range []int{DefaultMaxEventBytes, 64 << 10, 2000, 1} {
				e := Event{Tag: "t", Fields: fields}
				size := e.normalize(limit, nil)
				if want := weighEvent(e); size != want {
					t.Errorf("limit %d: normalize says %d bytes, the event weighs %d", limit, size, want)
				}
				if size > limit && (len(e.Fields) > 1 || size > 401+150) {
					t.Errorf("limit %d: %d bytes, %d fields", limit, size, len(e.Fields))
				}
				if limit >= 64<<10 && size < limit/25 && name != "a giant name" && name != "giant names" && name != "a larger map" {
					t.Errorf("limit %d: only %d bytes are left", limit, size)
				}
				checkNormal(t, map[string]any(e.Fields), 0)
				checkSame(t, e, limit)
				if limit >= 2000 && fields["n"] != nil && e.Fields["n"] != int64(1) {
					t.Errorf("limit %d: the small field became %v", limit, e.Fields["n"])
				}
				other := Event{ID: e.ID, Tag: "t", Time: e.Time, Fields: fields}.Normalize(limit)
				if !reflect.DeepEqual(e.Fields, other.Fields) {
					t.Errorf("limit %d: it is cut differently each time", limit)
				}
			}
		})
	}
}

func TestCutMarks(t *testing.T) {
	fields := tooLarge()
	normal := func(name string) Fields { return Event{Fields: fields[name]}.Normalize(64 << 10).Fields }
	for _, c := range []struct{ of, field, begins, ends string }{
		{"a long string", "s", "xxx", "xxx…(cut from 10485760 bytes)"},
		{"a long dirty string", "s", "\uFFFD", "\uFFFD…(cut from 10485760 bytes)"},
		{"long bytes", "b", "AAAA", "AAAA…(cut from 10485760 bytes)"},
		{"shared lists", "v", "[[[[[[", " bytes)"},
		{"a large map", "m", `{"f000000":0,"f000001":1,"f000002":2,`, " bytes)"},
		{"a large map of ints", "m", `{"0":0,"1":1,"10":10,"100":100,`, " bytes)"},
		{"a larger map", "m", "(map[string]any: 300000 entries are too many)", ""},
		{"a large list", "l", "[0,0,0,0", " bytes)"},
		{"large JSON", "j", "[1,1,1,1", "…(cut from 2097155 bytes)"},
		{"a large JSON string", "j", "xxxx", "xxx…(cut from 10485760 bytes)"},
		{"texts of methods", "v", "text xxx", "xxx…(cut from 10485765 bytes)"},
		{"texts of methods", "x", "code 1", ""},
		{"audit_cut is taken", "audit_cut", "mine", ""},
		{"large and small", "b", "yyy", "yyy"},
		{"large and small", "d", `{"x":"xxxxx`, " bytes)"},
	} {
		text, _ := normal(c.of)[c.field].(string)
		if !strings.HasPrefix(text, c.begins) || !strings.HasSuffix(text, c.ends) || !utf8.ValidString(text) {
			t.Errorf("%s: %q … %q", c.of, text[:min(60, len(text))], text[max(0, len(text)-60):])
		}
	}
	mixed := normal("large and small")
	if a, d := len(mixed["a"].(string)), len(mixed["d"].(string)); a != d || a < 30_000 {
		t.Errorf("the two largest have %d and %d bytes", a, d)
	}
	if !reflect.DeepEqual(mixed["c"], []any{int64(1), int64(2)}) {
		t.Errorf("a small value was cut: %v", mixed["c"])
	}
	// Nothing that fits is touched, to the last byte.
	e := Event{Tag: "t", Fields: Fields{"s": strings.Repeat("x", 1000)}}
	size := e.normalize(0, nil)
	if exact := (Event{Fields: e.Fields}).Normalize(size - 1); !reflect.DeepEqual(exact.Fields, e.Fields) {
		t.Errorf("an event of the limit was cut: %v", exact.Fields)
	}
	if less := (Event{Fields: e.Fields}).Normalize(size - 2); !strings.HasSuffix(less.Fields["s"].(string), "…(cut from 1000 bytes)") {
		t.Errorf("an event over the limit was not cut: %v", less.Fields)
	}
}

const cutField = "audit_cut"

func TestCutFields(t *testing.T) {
	in := tooLarge()["many tiny"]
	e := Event{Fields: in}.Normalize(64 << 10)
	kept := len(e.Fields) - 1
	if e.Fields[cutField] != int64(len(in)-kept) || kept < 500 {
		t.Errorf("%d of %d fields are left, %s says %v", kept, len(in), cutField, e.Fields[cutField])
	}
	for i := range kept {
		if e.Fields[fmt.Sprintf("f%06d", i)] != int64(i) {
			t.Fatalf("the first %d names are not all there: no %d", kept, i)
		}
	}
	e = Event{Fields: tooLarge()["giant names"]}.Normalize(0)
	var names []string
	for name := range e.Fields {
		names = append(names, name)
		if len(name) > 1<<10 {
			t.Errorf("a name of %d bytes", len(name))
		}
	}
	slices.Sort(names)
	if len(names) != 3 || !strings.HasSuffix(names[0], "n…(cut from 1048577 bytes)") || names[1] != names[0]+"~2" || !strings.HasPrefix(names[2], "\uFFFD") {
		t.Errorf("%d names", len(names))
	}
	// Long names stay as they are while there is room for them.
	long := strings.Repeat("n", 10_000)
	if e := (Event{Fields: Fields{long: 1, "s": strings.Repeat("x", 2<<20)}}).Normalize(0); e.Fields[long] != int64(1) {
		t.Error("a name was cut although its value could be")
	}
	// An event that was cut once is counted on.
	small := fieldsOf(100, func(i int) any { return i })
	small[cutField] = int64(7)
	e = Event{Fields: small}.Normalize(2000)
	if got, want := e.Fields[cutField], int64(7+100-(len(e.Fields)-1)); got != want || want == 7 {
		t.Errorf("%s is %v, want %d", cutField, got, want)
	}
	// Room for the count is made only when there is something to count.
	two := Event{Tag: "t", Fields: Fields{"a": 1, "b": 2}}
	size := two.normalize(0, nil)
	three := Event{Fields: Fields{"a": 1, "b": 2, "c": strings.Repeat("x", 200)}}
	if three.normalize(size+130, nil); len(three.Fields) != 3 {
		t.Errorf("%v", three.Fields)
	}
	three.Fields["c"], three.Fields["d"] = strings.Repeat("x", 200), strings.Repeat("y", 200)
	three.Fields["e"] = 5
	if got := three.normalize(size+190, nil); got > size+190 || three.Fields["a"] != int64(1) || three.Fields[cutField] == nil {
		t.Errorf("%d of %d bytes: %v", got, size+190, three.Fields)
	}
	small[cutField] = "mine"
	if e = (Event{Fields: small}).Normalize(2000); e.Fields[cutField] != "mine" || e.Fields[cutField+"~2"] == nil {
		t.Errorf("%v", e.Fields)
	}
}
