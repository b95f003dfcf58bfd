package core

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"math/big"
	"net"
	"net/netip"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/google/uuid"

	"github.com/auditing-go/auditing/core/internal/values"
)

// maxDepth is how deep [Event.Normalize] says that values may nest.
const maxDepth = 32

type (
	namedString  string
	namedInt     int16
	namedBytes   []byte
	byteArray    [3]byte
	namedTime    time.Time
	onlyError    struct{ Code int }
	onlyText     struct{ s string }
	onlyString   struct{ s string }
	pointerText  struct{ s string }
	ownJSON      struct{ data string }
	badMethod    struct{ how string }
	manyMethods  struct{}
	textKey      struct{ A, B string }
	weekday      int
	endlessValue struct{ N int }
	ring         struct{ Next *ring }
	self         *self
)

func (e onlyError) Error() string                   { return fmt.Sprint("code ", e.Code) }
func (t onlyText) MarshalText() ([]byte, error)     { return []byte("text " + t.s), nil }
func (s onlyString) String() string                 { return "string " + s.s }
func (p *pointerText) MarshalText() ([]byte, error) { return []byte("pointer " + p.s), nil }
func (o ownJSON) MarshalJSON() ([]byte, error)      { return []byte(o.data), nil }
func (b badMethod) MarshalJSON() ([]byte, error) {
	if b.how == "panic" {
		panic("secret in a panic")
	}
	return nil, errors.New("secret in an error")
}
func (manyMethods) MarshalJSON() ([]byte, error) { return []byte(`"json"`), nil }
func (manyMethods) MarshalText() ([]byte, error) { return []byte("text"), nil }
func (manyMethods) Error() string                { return "error" }
func (manyMethods) String() string               { return "string" }
func (k textKey) MarshalText() ([]byte, error)   { return []byte(k.A + k.B), nil }
func (weekday) String() string                   { return "a day" }
func (endlessValue) LogValue() slog.Value        { return slog.AnyValue(new(endlessValue)) }

// normal returns what one field becomes and whether it is there.
func normal(t *testing.T, v any) any {
	t.Helper()
	e := Event{Fields: Fields{"v": v}}.Normalize(0)
	if got, ok := e.Fields["v"]; ok && got == nil {
		t.Errorf("%T: a nil field is there", v)
	}
	checkNormal(t, e.Fields["v"], 1)
	return e.Fields["v"]
}

// checkNormal fails unless v is of the kinds that stores rely on.
func checkNormal(t *testing.T, v any, depth int) {
	t.Helper()
	if depth > maxDepth+1 {
		t.Fatalf("nested over %d deep", maxDepth)
	}
	switch x := v.(type) {
	case nil, bool, int64, float64, []byte:
	case uint64:
		if x <= math.MaxInt64 {
			t.Errorf("uint64 %d is in the range of int64", x)
		}
	case string:
		if !values.IsClean(x) {
			t.Errorf("%q is not clean", x)
		}
	case time.Time:
		if x.Location() != time.UTC || x.Nanosecond()%1000 != 0 || x.Year() < 1 || x.Year() > 9999 {
			t.Errorf("%v is not UTC, microseconds, years 1 to 9999", x)
		}
	case []any:
		for _, element := range x {
			checkNormal(t, element, depth+1)
		}
	case map[string]any:
		for name, entry := range x {
			checkNormal(t, name, 0)
			if entry == nil {
				t.Errorf("entry %q is nil", name)
			}
			checkNormal(t, entry, depth+1)
		}
	default:
		t.Errorf("%T is no normal kind", v)
	}
}

func TestValues(t *testing.T) {
	when := time.Date(2020, 1, 2, 3, 4, 5, 6789, time.FixedZone("", 3600))
	whenUTC := time.Date(2020, 1, 2, 2, 4, 5, 6000, time.UTC)
	id := uuid.MustParse("0198c0de-0000-7000-8000-000000000001")
	seven, pseven := 7, new(int)
	*pseven = 7
	var nilStringer fmt.Stringer
	var nilError *onlyError
	var chained any = &seven
	for _, c := range []struct {
		name     string
		in, want any
	}{
		{"bool", true, true},
		{"int", -5, int64(-5)}, {"int8", int8(-8), int64(-8)}, {"int16", int16(5), int64(5)}, {"int32", int32(5), int64(5)},
		{"int64", int64(math.MinInt64), int64(math.MinInt64)},
		{"uint", uint(5), int64(5)}, {"uint8", uint8(5), int64(5)}, {"uint16", uint16(5), int64(5)}, {"uint32", uint32(5), int64(5)},
		{"uint64", uint64(math.MaxInt64), int64(math.MaxInt64)}, {"uint64 above", uint64(math.MaxInt64) + 1, uint64(1 << 63)},
		{"uint above", uint(math.MaxUint), uint64(math.MaxUint64)}, {"uintptr", uintptr(9), int64(9)},
		{"float64", 1.5, 1.5}, {"float32", float32(1.1), 1.1}, {"infinity", float32(math.Inf(-1)), math.Inf(-1)}, {"NaN", math.NaN(), math.NaN()},
		{"complex", complex(1, -2), "(1-2i)"}, {"complex64", complex64(complex(1.1, 0)), "(1.1+0i)"},
		{"string", "héllo", "héllo"}, {"bad string", "a\x00b\xff\xc3c", "a\uFFFDb\uFFFD\uFFFDc"},
		{"named string", namedString("x"), "x"}, {"named int", namedInt(3), int64(3)},

		{"bytes", []byte{1, 2}, []byte{1, 2}}, {"no bytes", []byte{}, []byte{}}, {"named bytes", namedBytes{1}, []byte{1}},
		{"array of bytes", byteArray{1, 2, 3}, []byte{1, 2, 3}}, {"array of bytes in a pointer", &byteArray{1}, []byte{1, 0, 0}},
		{"array of named bytes", [2]uint8{4, 5}, []byte{4, 5}}, {"uuid", id, id.String()}, {"pointer to uuid", &id, id.String()},
		{"IP", net.IPv4(1, 2, 3, 4), "1.2.3.4"}, {"Addr", netip.MustParseAddr("::1"), "::1"}, {"URL", url.URL{Scheme: "http", Host: "h"}, "http://h"},
		{"buffer", *bytes.NewBufferString("buffered"), "buffered"},

		{"time", when, whenUTC}, {"pointer to time", &when, whenUTC}, {"zero time", time.Time{}, time.Time{}},
		{"duration", time.Second, int64(1e9)}, {"year 10000", time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC), "10000-01-01T00:00:00Z"},
		{"year 9999 in the west", time.Date(9999, 12, 31, 23, 0, 0, 0, time.FixedZone("", -7200)), "10000-01-01T01:00:00Z"},
		{"year 0", time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC), "0000-01-01T00:00:00Z"},
		{"named time", namedTime(when), map[string]any{}},

		{"list", []any{1, nil, "x", []int{2}}, []any{int64(1), nil, "x", []any{int64(2)}}}, {"strings", []string{"a", ""}, []any{"a", ""}},
		{"empty list", []any{}, []any{}}, {"array", [2]any{nil, 1.0}, []any{nil, 1.0}}, {"floats", []float32{1.1}, []any{1.1}},
		{"times", []time.Time{when}, []any{whenUTC}}, {"pointers", []*int{nil, pseven}, []any{nil, int64(7)}},
		{"map", map[string]any{"a": 1, "b": nil, "c": map[string]any(nil)}, map[string]any{"a": int64(1)}}, {"empty map", map[string]any{}, map[string]any{}},
		{"fields", Fields{"a": 1}, map[string]any{"a": int64(1)}}, {"map of int", map[int8]string{-1: "x"}, map[string]any{"-1": "x"}},
		{"map of uint", map[uint]bool{1: true}, map[string]any{"1": true}}, {"map of text", map[textKey]int{{"a", "b"}: 1}, map[string]any{"ab": int64(1)}},
		{"map of uuid", map[uuid.UUID]int{id: 1}, map[string]any{id.String(): int64(1)}}, {"map of Stringer", map[weekday]int{3: 1}, map[string]any{"3": int64(1)}},
		{"map of bool", map[bool]int{true: 1}, map[string]any{"true": int64(1)}}, {"map of float", map[float64]int{1: 1}, map[string]any{"1.0": int64(1)}},
		{"map of struct", map[struct{ A int }]int{{1}: 1}, map[string]any{`{"A":1}`: int64(1)}}, {"map of pointer", map[*int]int{pseven: 1}, map[string]any{"7": int64(1)}},
		{"map of any", map[any]int{"s": 1, 2: 2, nil: 3}, map[string]any{"s": int64(1), "2": int64(2), "null": int64(3)}},
		{"map of time", map[time.Time]int{whenUTC: 1}, map[string]any{"2020-01-02T02:04:05.000006Z": int64(1)}},

		{"nil", nil, nil}, {"nil pointer", (*int)(nil), nil}, {"nil interface", nilStringer, nil}, {"nil map", map[string]int(nil), nil}, {"nil slice", []int(nil), nil},
		{"nil bytes", []byte(nil), nil}, {"nil strings", []string(nil), nil}, {"nil list", []any(nil), nil}, {"nil error", nilError, nil}, {"nil channel", (chan int)(nil), nil},
		{"nil func", (func())(nil), nil}, {"nil IP", net.IP(nil), nil}, {"nil raw JSON", json.RawMessage(nil), nil}, {"JSON null", ownJSON{"null"}, nil},
		{"nil reflect.Value", reflect.Value{}, nil},

		{"pointer", pseven, int64(7)}, {"pointer to pointer", &pseven, int64(7)}, {"pointer to interface", &chained, int64(7)}, {"reflect.Value", reflect.ValueOf(7), int64(7)},
		{"error", errors.New("oops"), "oops"}, {"error type", onlyError{4}, "code 4"}, {"pointer to error", &onlyError{5}, "code 5"},
		{"text", onlyText{"a"}, "text a"}, {"Stringer", onlyString{"a"}, "string a"}, {"pointer receiver", pointerText{"a"}, "pointer a"},
		{"pointer receiver in a slice", []pointerText{{"a"}}, []any{"pointer a"}}, {"pointer receiver in a map", map[string]pointerText{"k": {"a"}}, map[string]any{"k": "pointer a"}},
		{"order of methods", manyMethods{}, "json"}, {"order inside", []any{&manyMethods{}}, []any{"json"}},

		{"number", json.Number("12"), int64(12)}, {"uint64 number", json.Number("18446744073709551615"), uint64(math.MaxUint64)},
		{"integer too large", json.Number("18446744073709551616"), "18446744073709551616"}, {"fraction", json.Number("1.0"), 1.0}, {"exponent", json.Number("1e2"), 100.0},
		{"float too large", json.Number("1e999"), "1e999"}, {"no number", json.Number("+1"), "+1"}, {"empty number", json.Number(""), ""},
		{"JSON", ownJSON{`{"a":[1,2.5,null,"x\u0000"],"n":null,"$time":"2020-01-01T00:00:00Z"}`}, map[string]any{"a": []any{int64(1), 2.5, nil, "x\uFFFD"}, "$time": "2020-01-01T00:00:00Z"}},
		{"JSON that looks like a mark", ownJSON{`{"$time":"2020-01-01T00:00:00Z"}`}, map[string]any{"$time": "2020-01-01T00:00:00Z"}},
		{"raw JSON", json.RawMessage(` 99999999999999999999 `), "99999999999999999999"}, {"big.Int", big.NewInt(5), int64(5)}, {"big.Int by value", *big.NewInt(6), int64(6)},

		{"channel", make(chan int), "(chan int)"}, {"function", strings.ToUpper, "(func(string) string)"}, {"unsafe pointer", unsafe.Pointer(pseven), "(unsafe.Pointer)"},
		{"panic", badMethod{"panic"}, "(core.badMethod: MarshalJSON panicked)"}, {"failure", &badMethod{}, "(core.badMethod: MarshalJSON failed)"}, {"no JSON", ownJSON{`{"secret":`}, "(core.ownJSON: MarshalJSON returned no JSON)"},
		{"nil inside", struct{ error }{}, "(struct { error }: Error panicked)"}, {"LogValue without end", endlessValue{}, "(core.endlessValue: LogValue does not end)"},

		{"slog.Value", slog.GroupValue(slog.Int("a", 1), slog.Any("none", nil), slog.Attr{}, slog.Group("", slog.Int("b", 2))), map[string]any{"a": int64(1), "b": int64(2)}},
		{"slog.Attr", slog.Group("g", "a", 1, "a", 2), map[string]any{"g": map[string]any{"a": int64(1), "a~2": int64(2)}}}, {"pointer to slog.Attr", &slog.Attr{Key: "k", Value: slog.DurationValue(2)}, map[string]any{"k": int64(2)}},
		{"slog.Attrs", []slog.Attr{slog.Time("t", when)}, map[string]any{"t": whenUTC}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := normal(t, c.in)
			if !reflect.DeepEqual(got, c.want) && !(values.Equal(got, c.want) && got != got) {
				t.Errorf("got %T %#v, want %T %#v", got, got, c.want, c.want)
			}
		})
	}
}

func TestCycles(t *testing.T) {
	r := &ring{}
	r.Next = r
	m := map[string]any{}
	m["m"] = m
	list := []any{nil}
	list[0] = list
	var s self
	s = &s
	var any1 any
	any1 = &any1
	named := map[int]any{}
	named[1] = named
	for _, c := range []struct {
		name     string
		in, want any
	}{
		{"pointer", r, map[string]any{"Next": "(cycle: *core.ring)"}},
		{"map", m, map[string]any{"m": "(cycle: map[string]any)"}},
		{"slice", list, []any{"(cycle: []any)"}},
		{"pointer to itself", s, "(cycle: core.self)"},
		{"interface", any1, "(cycle: *any)"},
		{"map of int", named, map[string]any{"1": "(cycle: map[int]any)"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := normal(t, c.in); !reflect.DeepEqual(got, c.want) {
				t.Errorf("got %#v, want %#v", got, c.want)
			}
		})
	}
	shared := &onlyText{"s"}
	if got := normal(t, []any{shared, shared}); !reflect.DeepEqual(got, []any{"text s", "text s"}) {
		t.Errorf("what occurs twice is no cycle: %v", got)
	}
}

func TestDepth(t *testing.T) {
	nest := func(n int) any {
		var v any = 1
		for range n {
			inner := v
			v = map[string]any{"v": &inner} // pointers do not count
		}
		return v
	}
	depth := func(v any) (n int, last any) {
		for {
			m, ok := v.(map[string]any)
			if !ok {
				return n, v
			}
			n, v = n+1, m["v"]
		}
	}
	if n, last := depth(normal(t, nest(maxDepth))); n != maxDepth || last != int64(1) {
		t.Errorf("%d deep, then %v; want all of it", n, last)
	}
	if n, last := depth(normal(t, nest(maxDepth+1))); n != maxDepth || last != "(map[string]any: nested over 32 deep)" {
		t.Errorf("%d deep, then %v; want it cut", n, last)
	}
	for _, v := range []any{[]string{}, [1]any{}, struct{}{}, map[int]int{}, []any{}, slog.GroupValue()} {
		in := any(v)
		for range maxDepth {
			in = []any{in}
		}
		got := normal(t, in)
		for range maxDepth {
			got = got.([]any)[0]
		}
		if s, ok := got.(string); !ok || !strings.Contains(s, "nested over 32 deep") {
			t.Errorf("%T: %v is kept too deep", v, got)
		}
	}
	deep := json.RawMessage(strings.Repeat("[", 40) + strings.Repeat("]", 40))
	normal(t, deep)
	if got := normal(t, ownJSON{strings.Repeat("[", 5e6)}); got != "(core.ownJSON: MarshalJSON returned no JSON)" {
		t.Errorf("got %v", got)
	}
}

type pinned struct{ self *pinned }

func (p *pinned) String() string { return fmt.Sprint(p.self == p) }

// A method with a pointer receiver is called on the caller's own value if it can
// be reached: a copy may not be what it was.
func TestPointerReceiversGetTheValueItself(t *testing.T) {
	p := &pinned{}
	p.self = p
	list := []pinned{{}}
	list[0].self = &list[0]
	for _, v := range []any{p, &p, struct{ P *pinned }{p}.P, list[:1:1][0].self} {
		if got := normal(t, v); got != "true" {
			t.Errorf("%T: it was called on a copy", v)
		}
	}
	if got := normal(t, list); !reflect.DeepEqual(got, []any{"true"}) {
		t.Errorf("got %v", got)
	}
	if got := normal(t, *p); got != "false" {
		t.Errorf("got %v", got)
	}
}

type counting struct{ calls *int }

func (c counting) LogValue() slog.Value { *c.calls++; return slog.AnyValue(nil) }

// What comes to nothing weighs nothing, and is not looked at without end either.
func TestNothingIsWalkedWithoutEnd(t *testing.T) {
	calls := 0
	nothing := make(map[string]any)
	for i := range 1000 {
		nothing[fmt.Sprint(i)] = counting{&calls}
	}
	list := make([]any, 10_000)
	for i := range list {
		list[i] = nothing
	}
	got := normal(t, list)
	if text, _ := got.(string); !strings.HasPrefix(text, "[{},{}") || !strings.HasSuffix(text, " bytes)") {
		t.Errorf("got %.100v", got)
	}
	if calls > 500_000 {
		t.Errorf("%d values were looked at", calls)
	}
}

func TestNamesThatBecomeTheSame(t *testing.T) {
	in := map[string]any{"a\x00": 1, "a\xff": 2, "a\uFFFD": 3, "a\uFFFD~2": 4, "b": 5}
	want := map[string]any{"a\uFFFD": int64(3), "a\uFFFD~2": int64(4), "a\uFFFD~3": int64(1), "a\uFFFD~4": int64(2), "b": int64(5)}
	for range 20 { // the order in which Go walks a map must not matter
		if got := normal(t, in); !reflect.DeepEqual(got, want) {
			t.Fatalf("got %v, want %v", got, want)
		}
		if got := (Event{Fields: maps.Clone(in)}).Normalize(0).Fields; !reflect.DeepEqual(map[string]any(got), want) {
			t.Fatalf("fields: got %v, want %v", got, want)
		}
		got := normal(t, map[textKey]any{{"a", "bc"}: 3, {"ab", "c"}: 1, {"abc", ""}: 2, {"", "abc"}: nil})
		if want := map[string]any{"abc": int64(1), "abc~2": int64(2), "abc~3": int64(3)}; !reflect.DeepEqual(got, want) {
			t.Fatalf("got %v, want %v", got, want)
		}
	}
	got := normal(t, map[any]any{1: "int", "1": "string", math.NaN(): 1, math.Inf(1): 2})
	want = map[string]any{"1": "int", "1~2": "string", `{"$float":"NaN"}`: int64(1), `{"$float":"+Inf"}`: int64(2)}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestEqual(t *testing.T) {
	now := time.Now()
	for _, c := range []struct {
		a, b any
		want bool
	}{
		{nil, nil, true}, {nil, int64(0), false}, {true, true, true}, {true, int64(1), false}, {"a", "a", true}, {"a", []byte("a"), false},
		{int64(1), 1.0, true}, {int64(-1), uint64(math.MaxUint64), false}, {uint64(5), int64(5), true}, {uint64(5), 5.0, true},
		{int64(1<<53 + 1), float64(1 << 53), false}, {int64(1 << 53), float64(1 << 53), true}, {uint64(1<<63 + 1), float64(1 << 63), false},
		{uint64(1 << 63), float64(1 << 63), true}, {uint64(math.MaxUint64), float64(1 << 64), false}, {int64(math.MaxInt64), float64(1 << 63), false},
		{int64(math.MinInt64), -float64(1 << 63), true}, {int64(math.MinInt64), float64(1 << 63), false}, {uint64(1 << 63), float64(1 << 64), false}, {uint64(0), -0.5, false},
		{int64(1), 1.5, false}, {math.NaN(), math.NaN(), true}, {math.NaN(), int64(0), false},
		{math.Inf(1), math.Inf(1), true}, {math.Inf(1), uint64(math.MaxUint64), false}, {0.0, math.Copysign(0, -1), true},
		{now, now.UTC(), true}, {now, now.Add(1), false}, {now, now.String(), false}, {[]byte{1}, []byte{1}, true}, {[]byte{1}, []byte{2}, false},
		{[]any{int64(1), nil}, []any{1.0, nil}, true}, {[]any{}, []any{nil}, false}, {[]any{int64(1)}, map[string]any{}, false},
		{map[string]any{"a": nil}, map[string]any{}, true}, {map[string]any{"a": int64(1)}, map[string]any{"a": 1.0, "b": nil}, true},
		{map[string]any{"a": int64(1)}, map[string]any{"b": int64(1)}, false}, {map[string]any{}, map[string]any{"b": int64(1)}, false},
		{42, int64(42), true}, {Fields{"a": 1}, map[string]any{"a": int64(1)}, true}, {json.Number("1"), 1.0, true}, {(*int)(nil), nil, true},
	} {
		if got := values.Equal(c.a, c.b); got != c.want {
			t.Errorf("values.Equal(%T %v, %T %v) = %v", c.a, c.a, c.b, c.b, got)
		}
		if got := values.Equal(c.b, c.a); got != c.want {
			t.Errorf("values.Equal(%T %v, %T %v) = %v", c.b, c.b, c.a, c.a, got)
		}
	}
}
