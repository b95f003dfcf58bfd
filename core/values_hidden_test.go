package core

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"testing"
)

const leak = "hunter2"

type (
	secret        string
	pointerSecret struct{ Value string }
	structSecret  struct{ Value string }
	panickySecret string
	secretByte    byte
	otherSecret   struct{ Other string }
	unexported    struct{ Inner string }
	twoSecrets    struct {
		structSecret
		otherSecret
	}
	twoPublicSecrets struct {
		StructSecret
		*PointerSecret
		Name string
	}
	StructSecret  struct{ Value string }
	PointerSecret struct{ Value string }
	shadowing     struct {
		StructSecret
		LogValue string
	}
	nested struct {
		Direct  secret
		Pointer *secret
		Any     any
		List    []secret
		Map     map[string]secret
		Keys    map[secret]int
		ByPtr   pointerSecret
		Array   [1]pointerSecret
		Bytes   []secretByte
		Fixed   [7]secretByte
		Stringy fmt.Stringer
		private secret
	}
)

var hidden = slog.StringValue("[hidden]")

func (secret) LogValue() slog.Value                  { return hidden }
func (s secret) String() string                      { return string(s) }
func (s secret) MarshalJSON() ([]byte, error)        { return json.Marshal(string(s)) }
func (*pointerSecret) LogValue() slog.Value          { return hidden }
func (s pointerSecret) String() string               { return s.Value }
func (structSecret) LogValue() slog.Value            { return hidden }
func (otherSecret) LogValue() slog.Value             { return hidden }
func (StructSecret) LogValue() slog.Value            { return hidden }
func (*PointerSecret) LogValue() slog.Value          { return hidden }
func (s panickySecret) LogValue() slog.Value         { panic(string(s)) }
func (s panickySecret) MarshalText() ([]byte, error) { return []byte(s), nil }
func (secretByte) LogValue() slog.Value              { return hidden }
func (unexported) LogValue() slog.Value              { return hidden }

// Whatever a secret stands in, it stays hidden.
func TestSecretsStayHidden(t *testing.T) {
	s := secret(leak)
	ps := &s
	var bytes [7]secretByte
	for i := range leak {
		bytes[i] = secretByte(leak[i])
	}
	tagged := struct {
		unexported `json:"named"`
		other      structSecret
		A          otherSecret
	}{unexported{leak}, structSecret{leak}, otherSecret{leak}}
	for name, v := range map[string]any{
		"itself": s, "pointer": ps, "pointer to pointer": &ps, "list": []any{s, &s}, "map": map[string]any{"k": s}, "typed list": []secret{s}, "typed map": map[int]secret{1: s},
		"key": map[secret]int{s: 1}, "key by pointer": map[*secret]int{&s: 1}, "key in any": map[any]any{s: s}, "pointer receiver": pointerSecret{leak},
		"pointer receiver, pointer": &pointerSecret{leak}, "pointer receivers in a list": []pointerSecret{{leak}}, "pointer receivers in a map": map[string]pointerSecret{"k": {leak}},
		"key with pointer receiver": map[pointerSecret]int{{leak}: 1}, "array": [1]pointerSecret{{leak}}, "bytes": bytes[:], "array of bytes": bytes, "pointer to bytes": &bytes,
		"panic": panickySecret(leak), "panics": []panickySecret{leak}, "key that panics": map[panickySecret]int{leak: 1},
		"embedded twice": twoSecrets{structSecret{leak}, otherSecret{leak}}, "embedded twice, exported": twoPublicSecrets{StructSecret{leak}, &PointerSecret{leak}, "n"}, "shadowed": shadowing{StructSecret{leak}, ""},
		"unexported": tagged, "reflect.Value": reflect.ValueOf(s), "slog.Value": slog.AnyValue(s), "slog.Attr": slog.Any("k", &s), "slog.Attr pointer": &slog.Attr{Key: "k", Value: slog.AnyValue(s)},
		"slog.Attrs": []slog.Attr{slog.Any("k", s)}, "list of slog.Value": []slog.Value{slog.AnyValue(s)}, "group": slog.GroupValue(slog.Group("g", "k", s)), "unexported reflect.Value": reflect.ValueOf(tagged).Field(1),
		"struct": nested{s, ps, s, []secret{s}, map[string]secret{"k": s}, map[secret]int{s: 1}, pointerSecret{leak}, [1]pointerSecret{{leak}}, bytes[:], bytes, s, s},
	} {
		t.Run(name, func(t *testing.T) {
			for _, limit := range []int{0, 1000, 600, 1} { // also where it is cut
				e := Event{Fields: Fields{"v": v, "w": strings.Repeat("x", 500)}}.Normalize(limit)
				text := fmt.Sprintf("%#v %s", e.Fields, e.AppendJSON(nil))
				if strings.Contains(text, leak) || strings.Contains(text, "hunte") || strings.Contains(text, "aHVudGVyMg") || strings.Contains(text, "104,") || strings.Contains(text, "0x68") {
					t.Errorf("limit %d: it leaks: %s", limit, text)
				}
				if limit == 0 && !strings.Contains(text, "[hidden]") && !strings.Contains(text, "panicked)") && !strings.Contains(text, "unexported)") && name != "embedded twice" {
					t.Errorf("it is not even shown that something is hidden: %s", text)
				}
			}
		})
	}
}

func TestStructsThatStandAlone(t *testing.T) {
	got := normal(t, twoPublicSecrets{StructSecret{leak}, &PointerSecret{leak}, "n"})
	want := map[string]any{"StructSecret": "[hidden]", "PointerSecret": "[hidden]", "Name": "n"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
