package core

import (
	"encoding/json"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/auditing-go/auditing/core/internal/values"
)

// source builds normalised values from fuzzed bytes.
type source struct{ data []byte }

func (s *source) byte() byte {
	if len(s.data) == 0 {
		return 0
	}
	b := s.data[0]
	s.data = s.data[1:]
	return b
}

func (s *source) uint64() (u uint64) {
	for range 8 {
		u = u<<8 | uint64(s.byte())
	}
	return u
}

func (s *source) bytes() []byte {
	n := min(int(s.byte()), len(s.data))
	b := s.data[:n:n]
	s.data = s.data[n:]
	return append([]byte{}, b...)
}

func (s *source) text() string { return values.Clean(string(s.bytes())) }

func (s *source) value(depth int) any {
	kind := s.byte() % 10
	if depth > 8 {
		kind %= 8
	}
	switch kind {
	case 0:
		return nil
	case 1:
		return s.byte()%2 == 0
	case 2:
		return int64(s.uint64())
	case 3:
		return s.uint64() | 1<<63
	case 4:
		return math.Float64frombits(s.uint64())
	case 5:
		return s.text()
	case 6:
		return time.Unix(int64(s.uint64()%315537897600)-62135596800, int64(s.uint64()%1e6)*1000).UTC()
	case 7:
		return s.bytes()
	case 8:
		list := []any{}
		for range s.byte() % 8 {
			list = append(list, s.value(depth+1))
		}
		return list
	}
	m := map[string]any{}
	for range s.byte() % 8 {
		name := s.text()
		if s.byte()%4 == 0 {
			name = []string{"$time", "$bytes", "$float", "$", "$$", "$$time"}[int(s.byte())%6]
		}
		if v := s.value(depth + 1); v != nil {
			m[name] = v
		}
	}
	return m
}

func FuzzJSONRoundTrip(f *testing.F) {
	f.Add([]byte{2, 1, 2, 3, 4, 5, 6, 7, 8})
	f.Add([]byte{4, 0x7f, 0xf8, 0, 0, 0, 0, 0, 1})
	f.Add([]byte{4, 0x44, 0x4b, 0x1a, 0xe4, 0xd6, 0xe2, 0xef, 0x50}) // 1e21
	f.Add([]byte{8, 3, 7, 2, 0xff, 0, 6, 1, 2, 3, 4, 5, 6, 7, 8, 9, 5, 3, '"', '\\', 1})
	f.Add([]byte{9, 2, 1, 'a', 1, 3, 1, 1, 1, 'b', 0, 0, 5, 20, '2', '0', '2', '0', '-', '0', '1', '-', '0', '1', 'T', '0', '0', ':', '0', '0', ':', '0', '0', 'Z'})
	f.Add([]byte(strings.Repeat("\x09\x03\x00\x00\x01", 20)))
	f.Fuzz(func(t *testing.T, data []byte) {
		s := source{data}
		v := s.value(1)
		checkNormal(t, v, 1)
		text := values.Append(nil, v)
		if !json.Valid(text) || strings.Contains(string(text), `\u0000`) {
			t.Fatalf("%#v becomes %s", v, text)
		}
		back, err := values.Parse(text)
		if err != nil || !values.Equal(back, v) || !sameKinds(back, v) {
			t.Fatalf("%#v becomes %s, that becomes %#v, %v", v, text, back, err)
		}
		if again := values.Append(nil, back); string(again) != string(text) {
			t.Fatalf("%s is written again as %s", text, again)
		}
		back, err = values.Parse(asJSONB(t, text))
		if err != nil || !values.Equal(back, v) || string(values.Append(nil, withoutSign(back))) != string(values.Append(nil, withoutSign(v))) {
			t.Fatalf("%#v becomes %s, that becomes from jsonb %#v, %v", v, text, back, err)
		}
		if !sameKinds(values.Normal(v), v) {
			t.Fatalf("normalising again changes %#v into %#v", v, values.Normal(v))
		}

		e := Event{ID: uuid.UUID(append(s.bytes(), make([]byte, 16)...)[:16]), Tag: s.text(), User: s.text(), Time: time.Unix(int64(s.byte()), 0).UTC(), Fields: Fields{}}
		if s.byte()%2 == 0 {
			e.Request = &Request{Path: s.text(), Host: s.text(), IP: s.text(), Method: s.text(), Peer: s.text(), Forwarded: s.text(), UserAgent: s.text(), ID: s.text()}
		}
		if v != nil {
			e.Fields[s.text()] = v
		}
		text = e.AppendJSON(nil)
		same, err := parseEvent(text)
		if err != nil || same.ID != e.ID || same.Tag != e.Tag || same.User != e.User || same.Time != e.Time ||
			(same.Request == nil) != (e.Request == nil) || e.Request != nil && *same.Request != *e.Request ||
			!sameKinds(map[string]any(same.Fields), map[string]any(e.Fields)) {
			t.Fatalf("%+v becomes %s, that becomes %+v, %v", e, text, same, err)
		}
	})
}

// withoutSign returns v with 0 for -0, which jsonb does not have.
func withoutSign(v any) any {
	switch x := v.(type) {
	case float64:
		if x == 0 {
			return 0.0
		}
	case []any:
		for i := range x {
			x[i] = withoutSign(x[i])
		}
	case map[string]any:
		for k := range x {
			x[k] = withoutSign(x[k])
		}
	}
	return v
}

func FuzzParseJSON(f *testing.F) {
	for _, s := range []string{
		`null`, `{"$time":"2020-01-02T03:04:05Z"}`, `{"$$time":"x","$a":1}`, `[1,1.0,-0,1e400,18446744073709551616]`, `"\ud800\u0000\/"`, `{"a":null,"a":[{}]}`, "[\"\xff\"]", `01`, `[1,]`,
		`{"id":"0198c0de-0000-7000-8000-000000000001","tag":"t","username":"","datetime":"2020-01-02T03:04:05Z","path":"/","request":{"id":"x"},"fields":{"$time":"2020-01-02T03:04:05Z"}}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		v, err := values.Parse(data)
		if (err == nil) != json.Valid(data) && !strings.Contains(err.Error(), "too deep") {
			t.Fatalf("%q: %v, but it is valid: %v", data, err, json.Valid(data))
		}
		if err == nil {
			checkKinds(t, v)
			text := values.Append(nil, v)
			if back, err := values.Parse(text); err != nil || !sameKinds(back, v) {
				t.Fatalf("%q becomes %#v, that becomes %s, that becomes %#v, %v", data, v, text, back, err)
			}
		}
		if e, err := parseEvent(data); err == nil && e.Fields != nil { // null is no event
			text := e.AppendJSON(nil)
			if back, err := parseEvent(text); err != nil || string(back.AppendJSON(nil)) != string(text) {
				t.Fatalf("%q becomes %s, that becomes %+v, %v", data, text, back, err)
			}
		}
		var e, back Event
		if e.ParseDetails(data) == nil {
			if err := back.ParseDetails(e.AppendDetails(nil)); err != nil || !reflect.DeepEqual(back, e) && e.HasDetails() && *e.Request != (Request{}) {
				t.Fatalf("%q becomes %+v, that becomes %+v, %v", data, e, back, err)
			}
		}
	})
}

// checkKinds is checkNormal for foreign JSON, which may nest deeper.
func checkKinds(t *testing.T, v any) {
	t.Helper()
	switch x := v.(type) {
	case []any:
		for _, e := range x {
			checkKinds(t, e)
		}
	case map[string]any:
		for k, e := range x {
			checkNormal(t, k, 1)
			checkKinds(t, e)
		}
	default:
		checkNormal(t, v, 1)
	}
}
