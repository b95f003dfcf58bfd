package nethttpaudit

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
)

// defaultPaths are where a session's user is looked for; the first is where the
// usual OpenID Connect middleware puts it.
var defaultPaths = []string{"userinfo.preferred_username", "username", "user"}

// userIn returns the user at the first path that holds one, "" when none does.
func userIn(values map[any]any, paths []string) (string, error) {
	var dead error
	for _, path := range paths {
		user, err := userAt(values, path, 0)
		if end, ok := err.(deadEnd); ok {
			dead = errors.Join(dead, end) // it counts unless another path holds a user
			continue
		}
		if user != "" || err != nil {
			return user, err
		}
	}
	return "", dead
}

// userAt follows path from the key that begins at from: at each step the longest
// key that exists, so that one which itself contains dots is found.
func userAt(v any, path string, from int) (string, error) {
	for end := len(path); end >= from; end = from + strings.LastIndexByte(path[from:end], '.') {
		below, ok := child(v, path[from:end])
		switch {
		case !ok:
		case end < len(path):
			return userAt(below, path, end+1)
		default:
			user, err := asUser(below)
			if err != nil {
				err = fmt.Errorf("%q holds a %T, %w: %s, or use the User option", path, below, err, advice(below, path))
			}
			return user, err
		}
	}
	if from > 0 && !mayHold(v) {
		return "", deadEnd{fmt.Errorf("%q holds a %T, in which there is no %q: let SessionUser name another place, or use the User option", path[:from-1], v, path[from:])}
	}
	return "", nil
}

// deadEnd says that a path leads on from a value which can have nothing below it.
type deadEnd struct{ error }

func advice(v any, path string) string {
	switch reference(reflect.ValueOf(v)).Kind() {
	case reflect.Map, reflect.Struct:
		return fmt.Sprintf("let SessionUser name a place in it, such as %q", path+".id")
	}
	return "keep text or an integer there, let SessionUser name another place"
}

// mayHold reports whether a path that found nothing in v may find something in
// another value of v's type, or v itself is nothing.
func mayHold(v any) bool {
	rv := reference(reflect.ValueOf(v))
	if isNothing(rv) {
		return true
	}
	return rv.Kind() == reflect.Map && isKey(rv.Type().Key())
}

// child returns what v, a map or struct, holds under key.
func child(v any, key string) (any, bool) {
	switch m := v.(type) {
	case nil:
		return nil, false
	case map[any]any:
		c, ok := m[key]
		return c, ok
	case map[string]any:
		c, ok := m[key]
		return c, ok
	case map[string]string:
		c, ok := m[key]
		return c, ok
	}
	rv := reference(reflect.ValueOf(v))
	switch rv.Kind() {
	case reflect.Map:
		return mapChild(rv, key)
	case reflect.Struct:
		return structChild(rv, key)
	}
	return nil, false
}

func mapChild(m reflect.Value, key string) (any, bool) {
	k, keyType := reflect.ValueOf(key), m.Type().Key()
	if !isKey(keyType) {
		return nil, false
	}
	if keyType.Kind() == reflect.String {
		k = k.Convert(keyType)
	}
	return exported(m.MapIndex(k))
}

// isKey reports whether a map with such keys can have one that is a text.
func isKey(t reflect.Type) bool {
	return t.Kind() == reflect.String || reflect.TypeFor[string]().AssignableTo(t)
}

// structChild prefers a field's own name to a json name.
func structChild(s reflect.Value, key string) (any, bool) {
	var named []int
	for _, field := range reflect.VisibleFields(s.Type()) {
		if !field.IsExported() {
			continue
		}
		if field.Name == key {
			named = field.Index
			break
		}
		tag := field.Tag.Get("json")
		if json, _, _ := strings.Cut(tag, ","); named == nil && json == key && tag != "-" {
			named = field.Index
		}
	}
	if named == nil {
		return nil, false
	}
	v, err := s.FieldByIndexErr(named)
	if err != nil { // an embedded pointer on the way is nil
		return nil, true
	}
	return exported(v)
}

func exported(v reflect.Value) (any, bool) {
	if !v.IsValid() || !v.CanInterface() {
		return nil, false
	}
	return v.Interface(), true
}

// maxReferences is how many pointers are followed to a value; a pointer may point
// to itself.
const maxReferences = 16

// reference follows pointers, to what is not one unless they end nowhere. The
// result is invalid when one of them is nil.
func reference(v reflect.Value) reflect.Value {
	for range maxReferences {
		if v.Kind() != reflect.Pointer && v.Kind() != reflect.Interface {
			break
		}
		v = v.Elem()
	}
	return v
}

// isNothing reports whether v is nil or empty, as what signs nobody in is.
func isNothing(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Invalid:
		return true
	case reflect.String, reflect.Slice, reflect.Map:
		return v.Len() == 0
	case reflect.Chan, reflect.Func:
		return v.IsNil()
	}
	return false
}
