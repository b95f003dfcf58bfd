package nethttpaudit

import (
	"encoding/json"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"
)

type (
	nameKey   string
	name      string
	id        uint32
	hashed    []byte
	stringMap map[string]string
	stringer  struct{ text string }
	pointer   struct{ text string }
	textError struct{}
	onOff     bool
	document  map[string]any
	base      struct{ Login string }
	account   struct {
		base
		*profile
		Name    string
		Email   string `json:"mail,omitempty"`
		Mail    string `json:"-"`
		private string
		Next    *account
	}
	profile struct{ Nick string }
	loop    *loop
)

func (s stringer) String() string              { return s.text }
func (p *pointer) String() string              { return p.text }
func (textError) MarshalText() ([]byte, error) { return nil, errors.New("cannot be told") }
func (onOff) String() string                   { return "on" }
func (document) String() string                { return "a document" }

func ptr[T any](v T) *T { return &v }

func TestAsUser(t *testing.T) {
	var self loop
	self = &self
	for _, c := range []struct {
		v    any
		user string
	}{
		{"alice", "alice"}, {"", ""}, {" ", " "}, {ptr("alice"), "alice"}, {ptr(ptr("alice")), "alice"},
		{name("alice"), "alice"}, {[]byte("alice"), "alice"}, {[]byte{}, ""}, {hashed("alice"), "alice"},
		{42, "42"}, {int8(-1), "-1"}, {int64(-1 << 63), "-9223372036854775808"}, {uint64(1<<64 - 1), "18446744073709551615"},
		{0, "0"}, {id(7), "7"}, {uintptr(1), "1"}, {ptr(42), "42"}, {json.Number("42"), "42"},
		{stringer{"alice"}, "alice"}, {&stringer{"alice"}, "alice"}, {&pointer{"alice"}, "alice"}, {stringer{}, ""},
		{netip.MustParseAddr("::1"), "::1"}, {time.Minute, "1m0s"},
		{nil, ""}, {true, ""}, {onOff(true), ""}, {1.5, ""}, {1i, ""}, {pointer{"alice"}, ""},
		{(*stringer)(nil), ""}, {(*pointer)(nil), ""}, {(*string)(nil), ""}, {ptr((*string)(nil)), ""}, {self, ""},
		{map[string]any{"x": 1}, ""}, {document{"x": 1}, ""}, {[]string{"alice"}, ""}, {[2]byte{1, 2}, ""},
		{struct{}{}, ""}, {func() {}, ""}, {make(chan int), ""}, {[]any(nil), ""}, {any(error(nil)), ""},
	} {
		user, err := asUser(c.v)
		if err != nil || user != c.user {
			t.Errorf("asUser(%T) = %q, %v, want %q", c.v, user, err, c.user)
		}
	}
	if user, err := asUser(textError{}); err == nil || user != "" || !strings.Contains(err.Error(), "cannot be told") {
		t.Errorf("asUser of a failing TextMarshaler = %q, %v", user, err)
	}
}

func TestUserAt(t *testing.T) {
	a := account{
		base: base{Login: "login"}, Name: "name", Email: "mail@example.com", Mail: "not by json", private: "hidden",
	}
	a.Next = &account{Name: "next"}
	for _, c := range []struct {
		values any
		path   string
		user   string
	}{
		{map[any]any{"user": "alice"}, "user", "alice"},
		{map[any]any{nameKey("user"): "alice"}, "user", ""},
		{map[any]any{"a": map[string]any{"b": map[any]any{"c": "deep"}}}, "a.b.c", "deep"},
		{map[any]any{"a": map[string]string{"b": "x"}}, "a.b", "x"},
		{map[any]any{"a": stringMap{"b": "x"}}, "a.b", "x"},
		{map[any]any{"a": map[nameKey]name{"b": "x"}}, "a.b", "x"},
		{map[any]any{"a": map[string]int{"b": 5}}, "a.b", "5"},
		{map[any]any{"a": ptr(map[string]string{"b": "x"})}, "a.b", "x"},
		{map[any]any{"a": document{"b": "x"}}, "a.b", "x"},
		{map[any]any{"a": map[int]string{1: "x"}}, "a.1", ""},
		{map[any]any{"a": map[error]string{}}, "a.b", ""},
		{map[any]any{"a": []string{"x"}}, "a.0", ""},
		{map[any]any{"a": "text"}, "a.b", ""},
		{map[any]any{"a": nil}, "a.b", ""},
		{map[any]any{"a": (*account)(nil)}, "a.Name", ""},
		{map[any]any{"a": map[string]any(nil)}, "a.b", ""},
		// A key that contains the dot goes first, at each step.
		{map[any]any{"a.b": "exact", "a": map[string]any{"b": "nested"}}, "a.b", "exact"},
		{map[any]any{"https://x.org/c": map[string]any{"d.e": "claim"}}, "https://x.org/c.d.e", "claim"},
		{map[any]any{"a.b": 1.5, "a": map[string]any{"b": "nested"}}, "a.b", ""},
		// Structs.
		{map[any]any{"a": a}, "a.Name", "name"},
		{map[any]any{"a": &a}, "a.Name", "name"},
		{map[any]any{"a": a}, "a.name", ""},
		{map[any]any{"a": a}, "a.Login", "login"},
		{map[any]any{"a": a}, "a.Nick", ""},
		{map[any]any{"a": account{profile: &profile{Nick: "nick"}}}, "a.Nick", "nick"},
		{map[any]any{"a": a}, "a.mail", "mail@example.com"},
		{map[any]any{"a": a}, "a.Mail", "not by json"},
		{map[any]any{"a": a}, "a.-", ""},
		{map[any]any{"a": a}, "a.private", ""},
		{map[any]any{"a": a}, "a.Next.Name", "next"},
		{map[any]any{"a": a}, "a.Next.Next.Name", ""},
		{map[any]any{"a": a}, "a", ""},
		// Paths that lead nowhere.
		{map[any]any{"": "empty"}, "", "empty"},
		{map[any]any{"a": "x"}, ".", ""},
		{map[any]any{"a": "x"}, "a.", ""},
		{map[any]any{"a": "x"}, ".a", ""},
		{map[any]any(nil), "a", ""},
	} {
		user, err := userAt(c.values, c.path)
		if err != nil || user != c.user {
			t.Errorf("path %q in %T: %q, %v, want %q", c.path, c.values.(map[any]any)["a"], user, err, c.user)
		}
	}
}

// FuzzUserAt: no path makes it panic, and what it finds stood there.
func FuzzUserAt(f *testing.F) {
	for _, path := range append(defaultPaths, "", ".", "a..b", "a.b.c", strings.Repeat(".", 100)) {
		f.Add(path, "a", "b")
	}
	f.Fuzz(func(t *testing.T, path, outer, inner string) {
		values := map[any]any{outer: map[string]any{inner: "nested", "struct": account{Name: "name"}}}
		user, err := userAt(values, path)
		if err != nil {
			t.Fatal(err)
		}
		if path == outer+"."+inner && user != "nested" {
			t.Fatalf("path %q found %q", path, user)
		}
		if user == "nested" && path != outer+"."+inner {
			t.Fatalf("path %q found what stands at %q", path, outer+"."+inner)
		}
	})
}
