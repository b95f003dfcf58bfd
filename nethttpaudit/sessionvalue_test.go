package nethttpaudit

import (
	"errors"
	"strings"
	"testing"
)

type (
	nameKey   string
	name      string
	stringMap map[string]string
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
)

func (document) String() string { return "a document" }

func ptr[T any](v T) *T { return &v }

func TestUserAt(t *testing.T) {
	a := account{
		base: base{Login: "login"}, Name: "name", Email: "mail@example.com", Mail: "not by json", private: "hidden",
	}
	a.Next = &account{Name: "next"}
	for _, c := range []struct {
		values any
		path   string
		user   string // or "error: " and what it says
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
		{map[any]any{"a": map[int]string{1: "x"}}, "a.1", "error: \"a\" holds a map[int]string, in which there is no \"1\""},
		{map[any]any{"a": map[error]string{errors.New("b"): "x"}}, "a.b", "error: in which there is no"},
		{map[any]any{"a": map[error]string{}}, "a.b", ""},
		{map[any]any{"a": map[string]int{"c": 5}}, "a.b", ""},
		{map[any]any{"a": []string{"x"}}, "a.0", "error: in which there is no"},
		{map[any]any{"a": []string{}}, "a.0", ""},
		{map[any]any{"a": "text"}, "a.b", "error: holds a string, in which there is no \"b\": let SessionUser name another place, or use the User option"},
		{map[any]any{"a": map[string]any{"b": `{"c": "x"}`}}, "a.b.c", "error: \"a.b\" holds a string, in which there is no \"c\""},
		{map[any]any{"a": ""}, "a.b", ""},
		{map[any]any{"a": nil}, "a.b", ""},
		{map[any]any{"a": (*account)(nil)}, "a.Name", ""},
		{map[any]any{"a": map[string]any(nil)}, "a.b", ""},
		// A key that contains the dot goes first, at each step.
		{map[any]any{"a.b": "exact", "a": map[string]any{"b": "nested"}}, "a.b", "exact"},
		{map[any]any{"https://x.org/c": map[string]any{"d.e": "claim"}}, "https://x.org/c.d.e", "claim"},
		{map[any]any{"a.b": 1.5, "a": map[string]any{"b": "nested"}}, "a.b", "error: \"a.b\" holds a float64, which cannot be read as a user"},
		// Structs.
		{map[any]any{"a": a}, "a.Name", "name"},
		{map[any]any{"a": &a}, "a.Name", "name"},
		{map[any]any{"a": a}, "a.name", "error: \"a\" holds a nethttpaudit.account, in which there is no \"name\""},
		{map[any]any{"a": &a}, "a.name", "error: holds a *nethttpaudit.account, in"},
		{map[any]any{"a": a}, "a.Login", "login"},
		{map[any]any{"a": a}, "a.Nick", ""},
		{map[any]any{"a": account{profile: &profile{Nick: "nick"}}}, "a.Nick", "nick"},
		{map[any]any{"a": a}, "a.mail", "mail@example.com"},
		{map[any]any{"a": a}, "a.Mail", "not by json"},
		{map[any]any{"a": a}, "a.-", "error: no \"-\""},
		{map[any]any{"a": a}, "a.private", "error: no \"private\""},
		{map[any]any{"a": a}, "a.Next.Name", "next"},
		{map[any]any{"a": a}, "a.Next.Next.Name", ""},
		{map[any]any{"a": a}, "a", `error: "a" holds a nethttpaudit.account, which cannot be read as a user: let SessionUser name a place in it, such as "a.id", or use the User option`},
		{map[any]any{"a": map[string]any{"x": 1}}, "a", `error: "a" holds a map[string]interface {}, which cannot be read as a user: let SessionUser name a place in it, such as "a.id"`},
		{map[any]any{"a": true}, "a", `error: "a" holds a bool, which cannot be read as a user: keep text or an integer there, let SessionUser name another place, or use the User option`},
		// Paths that lead nowhere.
		{map[any]any{"": "empty"}, "", "empty"},
		{map[any]any{"a": "x"}, ".", ""},
		{map[any]any{"a": "x"}, "a.", "error: in which there is no \"\""},
		{map[any]any{"a": "x"}, ".a", ""},
		{map[any]any(nil), "a", ""},
	} {
		user, err := userAt(c.values, c.path, 0)
		if text, ok := strings.CutPrefix(c.user, "error: "); ok {
			if user != "" || err == nil || !strings.Contains(err.Error(), text) {
				t.Errorf("path %q: %q, %v, want an error that says %s", c.path, user, err, text)
			}
		} else if err != nil || user != c.user {
			t.Errorf("path %q in %T: %q, %v, want %q", c.path, c.values.(map[any]any)["a"], user, err, c.user)
		}
	}
}

// What stands at the first path decides; what leads nowhere does so only when no
// other path holds a user.
func TestUserIn(t *testing.T) {
	for _, c := range []struct {
		values map[any]any
		user   string
		err    string
	}{
		{map[any]any{"userinfo": "text", "user": "alice"}, "alice", ""},
		{map[any]any{"userinfo": "text", "username": "", "user": nil}, "", `"userinfo" holds a string, in which there is no "preferred_username"`},
		{map[any]any{"userinfo": account{}, "username": 1.5, "user": "alice"}, "", `"username" holds a float64`},
		{map[any]any{"username": false, "user": "alice"}, "", `"username" holds a bool`},
		{map[any]any{"user": account{}, "username": "alice"}, "alice", ""},
		{map[any]any{"userinfo": map[string]any{"name": "bob"}}, "", ""},
	} {
		user, err := userIn(c.values, defaultPaths)
		if user != c.user || (err != nil) != (c.err != "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%v: %q, %v, want %q and an error that says %q", c.values, user, err, c.user, c.err)
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
		user, err := userAt(values, path, 0)
		if user != "" && err != nil {
			t.Fatalf("path %q found %q and %v", path, user, err)
		}
		if path == outer+"."+inner && user != "nested" {
			t.Fatalf("path %q found %q", path, user)
		}
		if user == "nested" && path != outer+"."+inner {
			t.Fatalf("path %q found what stands at %q", path, outer+"."+inner)
		}
	})
}
