package core

import (
	"bytes"
	"encoding/json"
	"math"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/auditing-go/auditing/core/internal/values"
)

// sameKinds is Equal and in addition asks for the same kinds and signs.
func sameKinds(a, b any) bool {
	switch x := a.(type) {
	case []any:
		y, ok := b.([]any)
		if !ok || len(x) != len(y) {
			return false
		}
		for i := range x {
			if !sameKinds(x[i], y[i]) {
				return false
			}
		}
		return true
	case map[string]any:
		y, ok := b.(map[string]any)
		if !ok || len(x) != len(y) {
			return false
		}
		for k := range x {
			if other, ok := y[k]; !ok || !sameKinds(x[k], other) {
				return false
			}
		}
		return true
	case float64:
		y, ok := b.(float64)
		return ok && (math.IsNaN(x) && math.IsNaN(y) || math.Float64bits(x) == math.Float64bits(y))
	case time.Time:
		y, ok := b.(time.Time)
		return ok && x == y
	}
	return reflect.DeepEqual(a, b)
}

// asJSONB returns data as Postgres gives it back from a jsonb column: other white
// space, numbers without exponent and negative zero, keys in another order.
func asJSONB(t *testing.T, data []byte) []byte {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%v in %s", err, data)
	}
	var out []byte
	var write func(v any)
	write = func(v any) {
		switch x := v.(type) {
		case map[string]any:
			sep := "{"
			for k, e := range x { // in Go's random order
				key, _ := json.Marshal(k)
				out = append(append(append(out, sep...), key...), ": "...)
				write(e)
				sep = ", "
			}
			if len(x) == 0 {
				out = append(out, '{')
			}
			out = append(out, '}')
		case []any:
			out = append(out, '[')
			for i, e := range x {
				if i > 0 {
					out = append(out, ", "...)
				}
				write(e)
			}
			out = append(out, ']')
		case json.Number:
			out = append(out, plainDigits(string(x))...)
		default:
			scalar, _ := json.Marshal(x)
			out = append(out, scalar...)
		}
	}
	write(v)
	return out
}

func plainDigits(number string) string {
	mantissa, exponent, ok := strings.Cut(number, "e")
	if !ok {
		if strings.Trim(number, "-0.") == "" {
			return strings.TrimPrefix(number, "-")
		}
		return number
	}
	shift, _ := strconv.Atoi(exponent)
	sign := ""
	if mantissa[0] == '-' {
		sign, mantissa = "-", mantissa[1:]
	}
	whole, fraction, _ := strings.Cut(mantissa, ".")
	for ; shift > 0; shift-- {
		if fraction == "" {
			fraction = "0"
		}
		whole, fraction = whole+fraction[:1], fraction[1:]
	}
	for ; shift < 0; shift++ {
		whole = "0" + whole
		fraction = whole[len(whole)-1:] + fraction
		whole = whole[:len(whole)-1]
	}
	whole = strings.TrimLeft(whole, "0")
	if whole == "" {
		whole = "0"
	}
	if fraction != "" {
		fraction = "." + fraction
	}
	return sign + whole + fraction
}

func TestAppendJSON(t *testing.T) {
	when := time.Date(2020, 1, 2, 3, 4, 5, 6000, time.UTC)
	for _, c := range []struct {
		v    any
		want string
	}{
		{nil, `null`}, {true, `true`}, {false, `false`},
		{int64(math.MinInt64), `-9223372036854775808`}, {uint64(math.MaxUint64), `18446744073709551615`},
		{1.0, `1.0`}, {-0.5, `-0.5`}, {math.Copysign(0, -1), `-0.0`}, {0.0, `0.0`}, {1e300, `1e+300`}, {1e20, `100000000000000000000.0`}, {1e21, `1e+21`},
		{-1.5e-7, `-1.5e-07`}, {1e-6, `0.000001`}, {math.MaxFloat64, `1.7976931348623157e+308`}, {5e-324, `5e-324`}, {float64(1 << 53), `9007199254740992.0`},
		{math.NaN(), `{"$float":"NaN"}`}, {math.Inf(1), `{"$float":"+Inf"}`}, {math.Inf(-1), `{"$float":"-Inf"}`},
		{"a<>&\"\\/\n\r\t\b\x7f é\u2028😀", `"a<>&\"\\/\n\r\t\u0008` + "\x7f é\u2028😀" + `"`}, {"", `""`},
		{when, `{"$time":"2020-01-02T03:04:05.000006Z"}`}, {time.Time{}, `{"$time":"0001-01-01T00:00:00.000000Z"}`},
		{[]byte("ab?"), `{"$bytes":"YWI/"}`}, {[]byte{}, `{"$bytes":""}`},
		{[]any{}, `[]`}, {[]any{nil, int64(1), []any{"x"}}, `[null,1,["x"]]`},
		{map[string]any{}, `{}`}, {map[string]any{"b": int64(1), "a": int64(2), "B": nil, "": true, "é": 1.0}, `{"":true,"a":2,"b":1,"é":1.0}`},
		{map[string]any{"$time": "x", "$": "y", "$$a": "z", "a$": "w"}, `{"$$":"y","$$$a":"z","$$time":"x","a$":"w"}`},
	} {
		got := values.Append([]byte("before "), c.v)
		if string(got) != "before "+c.want {
			t.Errorf("%T %v: got %s, want %s", c.v, c.v, got, c.want)
			continue
		}
		back, err := values.Parse([]byte(c.want))
		want := values.Normal(c.v) // without nil entries
		if err != nil || !sameKinds(back, want) {
			t.Errorf("%s comes back as %T %v, %v", c.want, back, back, err)
		}
		back, err = values.Parse(asJSONB(t, []byte(c.want)))
		if f, ok := back.(float64); ok && f == 0 {
			back = want // jsonb has no negative zero
		}
		if err != nil || !sameKinds(back, want) {
			t.Errorf("%s comes back from jsonb as %T %v, %v", c.want, back, back, err)
		}
	}
}

// Normalised fields are written whole, however large an event may be.
func TestAppendJSONCutsNothing(t *testing.T) {
	large := map[string]any{"s": strings.Repeat("x", 2*DefaultMaxEventBytes)}
	back, err := values.Parse(values.Append(nil, large))
	if err != nil || !values.Equal(back, large) || !values.Equal(large, back) {
		t.Errorf("the fields come back changed: %v", err)
	}
}

// What is not normalised is valid JSON all the same.
func TestAppendJSONOfOtherValues(t *testing.T) {
	deep := any(int64(1))
	for range 3000 {
		deep = []any{deep}
	}
	for _, c := range []struct {
		v    any
		want string
	}{
		{5, `5`}, {"a\x00\xff", `"a` + "\uFFFD\uFFFD" + `"`}, {map[string]any{"\x00": struct{ A []int }{[]int{1}}}, `{"` + "\uFFFD" + `":{"A":[1]}}`},
		{time.Date(2020, 1, 2, 3, 4, 5, 6789, time.FixedZone("", 3600)), `{"$time":"2020-01-02T02:04:05.000006Z"}`},
		{time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC), `"10000-01-01T00:00:00Z"`}, {[]any{secret(leak)}, `["[hidden]"]`},
		{[]byte(nil), `null`}, {[]any(nil), `null`}, {map[string]any(nil), `null`}, {Fields{"a": 1}, `{"a":1}`},
		{deep, ""},
	} {
		got := values.Append(nil, c.v)
		if !json.Valid(got) || c.want != "" && string(got) != c.want {
			t.Errorf("%T: %.100s, want %s", c.v, got, c.want)
		}
	}
}

func TestParseJSON(t *testing.T) {
	for _, c := range []struct {
		in   string
		want any
	}{
		{" \t\n\r1 ", int64(1)}, {`-0`, int64(0)}, {`-0.0`, math.Copysign(0, -1)}, {`1E2`, 100.0}, {`18446744073709551616`, float64(1 << 64)}, {`-9223372036854775809`, -float64(1 << 63)},
		{`1e400`, "1e400"}, {`-1e400`, "-1e400"}, {`1e-400`, 0.0},
		{`"\u00e9\ud83d\ude00\b\f\/\"\u002F"`, "é😀\b\f/\"/"}, {`"\u0000\ud800\udc00\ud800x\udc00"`, "\uFFFD\U00010000\uFFFDx\uFFFD"}, {`"\ud800\u0041"`, "\uFFFDA"}, {"\"\xff\"", "\uFFFD"}, {"\"\\n\xff\"", "\n\uFFFD"},
		{`[ ]`, []any{}}, {`[1 , [ 2 ] ]`, []any{int64(1), []any{int64(2)}}}, {`{ }`, map[string]any{}}, {`{"a":1,"a":2,"b":3,"b":null}`, map[string]any{"a": int64(2)}},
		{`{"$time":"2020-01-02T03:04:05+01:00"}`, time.Date(2020, 1, 2, 2, 4, 5, 0, time.UTC)},
		// What only looks like a mark stays what it is.
		{`{"$time":"yesterday"}`, map[string]any{"$time": "yesterday"}}, {`{"$time":1}`, map[string]any{"$time": int64(1)}}, {`{"$time":"0001-01-01T00:00:00+01:00"}`, map[string]any{"$time": "0001-01-01T00:00:00+01:00"}},
		{`{"$bytes":"?"}`, map[string]any{"$bytes": "?"}}, {`{"$float":"1.0"}`, map[string]any{"$float": "1.0"}}, {`{"$other":"x"}`, map[string]any{"$other": "x"}}, {`{"$":"x"}`, map[string]any{"$": "x"}},
		{`{"$float":"NaN","a":null}`, map[string]any{"$float": "NaN"}}, {`{"$float":"x","$float":"NaN"}`, map[string]any{"$float": "NaN"}}, {`{"$$float":"NaN"}`, map[string]any{"$float": "NaN"}},
		{`{"$$$a":"x"}`, map[string]any{"$$a": "x"}}, {`[{"$float":"NaN"}]`, []any{math.NaN()}},
	} {
		got, err := values.Parse([]byte(c.in))
		if err != nil || !sameKinds(got, c.want) {
			t.Errorf("%s: got %T %v, %v; want %T %v", c.in, got, got, err, c.want, c.want)
		}
	}
	for _, in := range []string{
		"", " ", "nul", "tru", "falsy", "-", "01", "1.", ".5", "1e", "1e+", "+1", "0x1", "1 2", "NaN", `"`, `"\`, `"\x"`, `"\u12"`, `"\u12g4"`, "\"\x00\"", "\"a\\n\x1f\"", `"a\n`, "'a'",
		"[", "[1", "[1,", "[1,]", "[,1]", "[1 2]", "]", "{", `{"a"`, `{"a":`, `{"a":1`, `{"a":1,`, `{"a":1,}`, `{a:1}`, `{"a" 1}`, `{"a":1 "b":2}`, `{1:2}`, "\ufeff1", "1\x00",
		strings.Repeat("[", 1<<20), strings.Repeat(`{"a":`, 1<<20),
	} {
		if json.Valid([]byte(in)) {
			t.Fatalf("%q is valid", in)
		}
		v, err := values.Parse([]byte(in))
		if err == nil || v != nil || !strings.Contains(err.Error(), "invalid JSON at byte ") {
			t.Errorf("%.40q: got %v, %v", in, v, err)
		}
	}
	if _, err := values.Parse([]byte(`{"user":"hunter2","x":hunter2}`)); err == nil || strings.Contains(err.Error(), leak) {
		t.Errorf("the error is %v", err)
	}
	nested := strings.Repeat("[", 1000) + strings.Repeat("]", 1000)
	v, err := values.Parse([]byte(nested))
	if err != nil || string(values.Append(nil, v)) != nested {
		t.Errorf("nested as deep as allowed: %v", err)
	}
}

func parseEvent(data []byte) (e Event, err error) {
	err = e.UnmarshalJSON(data)
	return e, err
}

func TestEventJSON(t *testing.T) {
	e := Event{
		ID: uuid.MustParse("0198c0de-0000-7000-8000-000000000001"), Tag: "refund", User: "alice \"<é>", Time: time.Date(2020, 1, 2, 3, 4, 5, 6000, time.UTC),
		Request:    &Request{Path: "/a b", Host: "h", IP: "::1", Method: "POST", Peer: "p", Forwarded: "f", UserAgent: "ua", ID: "r", Route: "/{x}", Trace: "t"},
		OnBehalfOf: "bob", Target: "order/1", Outcome: OutcomeFailure, Reason: "why", Tenant: "acme", Service: "shop",
		Fields: Fields{"order": int64(42), "amount": 9.0, "$x": time.Time{}, "nested": map[string]any{"$time": "user's own"}},
	}
	const want = `{"id":"0198c0de-0000-7000-8000-000000000001","tag":"refund","username":"alice \"<é>","datetime":"2020-01-02T03:04:05.000006Z",` +
		`"path":"/a b","host":"h","ip":"::1","request":{"method":"POST","peer":"p","forwarded":"f","user_agent":"ua","id":"r","route":"/{x}","trace":"t","outcome":"failure","reason":"why","for":"bob","target":"order/1","tenant":"acme","service":"shop"},` +
		`"fields":{"$$x":{"$time":"0001-01-01T00:00:00.000000Z"},"amount":9.0,"nested":{"$$time":"user's own"},"order":42}}`
	if got := string(e.AppendJSON(nil)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	noRequest, emptyRequest, oneDetail, bare := e, e, e, Event{Fields: Fields{}}
	noRequest.Request = nil
	emptyRequest.Request = &Request{}
	oneDetail.Request = &Request{Peer: "p"}
	oneDetail.Fields = Fields{"$time": "2020-01-02T03:04:05Z"} // alone it looks like a mark
	for _, e := range []Event{e, noRequest, emptyRequest, oneDetail, bare} {
		data := e.AppendJSON(nil)
		back, err := parseEvent(data)
		if err != nil || !reflect.DeepEqual(back, e) {
			t.Errorf("%s comes back as %+v, %v", data, back, err)
		}
		if back, err = parseEvent(asJSONB(t, data)); err != nil || !reflect.DeepEqual(back, e) {
			t.Errorf("%s comes back from jsonb as %+v, %v", data, back, err)
		}
		// encoding/json escapes <, > and &, and calls the methods.
		var list []Event
		if data, err = json.Marshal([]Event{e}); err == nil {
			err = json.Unmarshal(data, &list)
		}
		if err != nil || !reflect.DeepEqual(list, []Event{e}) {
			t.Errorf("%s comes back from encoding/json as %+v, %v", data, list, err)
		}
	}
	kept := e
	if err := json.Unmarshal([]byte("null"), &kept); err != nil || !reflect.DeepEqual(kept, e) {
		t.Errorf("null changes an event: %v, %v", kept, err)
	}
}

func TestParseEventJSONFromElsewhere(t *testing.T) {
	const begin = `{"id":"0198c0de-0000-7000-8000-000000000001","tag":"t","datetime":"2020-01-02T03:04:05+01:00"`
	e, err := parseEvent([]byte(begin + `,"new":[1],"request":{"new":{},"peer":"p"},"fields":null}`))
	if err != nil || e.Request == nil || e.Request.Peer != "p" || e.Fields == nil || e.Time != time.Date(2020, 1, 2, 2, 4, 5, 0, time.UTC) {
		t.Errorf("got %+v, %v", e, err)
	}
	if e, err := parseEvent([]byte(begin + `,"request":null}`)); err != nil || e.Request != nil {
		t.Errorf("got %+v, %v", e, err)
	}
	for in, want := range map[string]string{
		`[]`: "expected an object", begin: "expected , or }", begin + `} x`: "follows", begin + `,"username":1}`: "username is not a string",
		begin + `,"fields":[]}`: "fields is not an object", begin + `,"request":1}`: "expected an object", begin + `,"request":{"id":7}}`: "id is not a string",
		`{"tag":"t","datetime":"2020-01-02T03:04:05Z"}`: "no event", `{"id":"x"}`: "no event",
		`{"id":"{198c0de-0000-7000-8000-000000000001}","tag":"","datetime":"2020-01-02T03:04:05Z"}`: "not a UUID",
		`{"id":"0198c0de000070008000000000000001","tag":"","datetime":"2020-01-02T03:04:05Z"}`:      "not a UUID",
		`{"id":"0198c0de-0000-7000-8000-000000000001","tag":"","datetime":"2020-01-02 03:04:05.6"}`: "not RFC 3339",
	} {
		if e, err := parseEvent([]byte(in)); err == nil || !strings.Contains(err.Error(), want) || !reflect.DeepEqual(e, Event{}) {
			t.Errorf("%s: got %+v, %v; want an error with %q", in, e, err, want)
		}
	}
}

func TestDetails(t *testing.T) {
	all := Event{
		Request: &Request{Method: "m", Peer: "p", Forwarded: "f", UserAgent: "u", ID: "i", Route: "r", Trace: "t"},
		Outcome: OutcomeDenied, Reason: "why", OnBehalfOf: "bob", Target: "order/1", Tenant: "acme", Service: "shop",
	}
	for _, c := range []struct {
		e    Event
		want string
	}{
		{Event{}, `{}`},
		{Event{Request: &Request{UserAgent: "u\x00", ID: "\"i"}}, `{"user_agent":"u` + "\uFFFD" + `","id":"\"i"}`},
		{Event{Request: &Request{Method: "GET", Peer: "::1", Forwarded: "x, y"}}, `{"method":"GET","peer":"::1","forwarded":"x, y"}`},
		{Event{Target: "order/1", Outcome: OutcomeSuccess}, `{"outcome":"success","target":"order/1"}`},
		{all, `{"method":"m","peer":"p","forwarded":"f","user_agent":"u","id":"i","route":"r","trace":"t",` +
			`"outcome":"denied","reason":"why","for":"bob","target":"order/1","tenant":"acme","service":"shop"}`},
	} {
		got := c.e.AppendDetails(nil)
		if string(got) != c.want {
			t.Errorf("got %s, want %s", got, c.want)
		}
		var back Event
		if err := back.ParseDetails(asJSONB(t, got)); err != nil || !reflect.DeepEqual(back, c.e.Normalize(0).withoutFields()) {
			t.Errorf("%s comes back as %+v, %v", got, back, err)
		}
	}
	shared := &Request{Path: "/", Host: "h", IP: "i"}
	e := Event{Request: shared}
	if got := e.AppendDetails(nil); string(got) != `{}` {
		t.Errorf("path, host and ip have their own places: %s", got)
	}
	if err := e.ParseDetails([]byte(`{"peer":"p"}`)); err != nil || *e.Request != (Request{Path: "/", Host: "h", IP: "i", Peer: "p"}) || shared.Peer != "" {
		t.Errorf("got %+v, %v; shared: %+v", e.Request, err, shared)
	}
	for _, in := range []string{"", "[]", `"x"`, `{"peer":1}`, `{"outcome":1}`, `{} {}`, `nil`, `{"a":}`, "null"} {
		e := Event{Request: &Request{ID: "kept"}, Target: "kept/1"}
		if err := e.ParseDetails([]byte(in)); (err == nil) != (in == "null") || *e.Request != (Request{ID: "kept"}) || e.Target != "kept/1" {
			t.Errorf("%s: got %+v, %v", in, e, err)
		}
	}
}

// withoutFields is e with nothing but its details.
func (e Event) withoutFields() Event {
	e.ID, e.Time, e.Fields = uuid.UUID{}, time.Time{}, nil
	return e
}
