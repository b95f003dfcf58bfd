package nethttpaudit

import (
	"encoding"
	"fmt"
	"reflect"
	"strconv"
	"strings"
)

// defaultPaths are where a session's user is looked for; the first is where the
// usual OpenID Connect middleware puts it.
var defaultPaths = []string{"userinfo.preferred_username", "username", "user"}

// userIn returns the user at the first path that holds one, "" when none does.
func userIn(values map[any]any, paths []string) (string, error) {
	for _, path := range paths {
		if user, err := userAt(values, path); user != "" || err != nil {
			return user, err
		}
	}
	return "", nil
}

// userAt follows the longest key that exists at each step, so that a key which
// itself contains dots is found.
func userAt(v any, path string) (string, error) {
	for end := len(path); end >= 0; end = strings.LastIndexByte(path[:end], '.') {
		below, ok := child(v, path[:end])
		switch {
		case !ok:
		case end == len(path):
			return asUser(below)
		default:
			return userAt(below, path[end+1:])
		}
	}
	return "", nil
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
	switch {
	case keyType.Kind() == reflect.String:
		k = k.Convert(keyType)
	case !k.Type().AssignableTo(keyType):
		return nil, false
	}
	return exported(m.MapIndex(k))
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
		return nil, false
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

// reference follows pointers. The result is invalid when one of them is nil.
func reference(v reflect.Value) reflect.Value {
	for range maxReferences {
		if v.Kind() != reflect.Pointer && v.Kind() != reflect.Interface {
			return v
		}
		v = v.Elem()
	}
	return reflect.Value{}
}

// asUser returns the user that v names, "" when it is not of a kind that names one.
func asUser(v any) (string, error) {
	switch v := v.(type) {
	case string:
		return v, nil
	case []byte:
		return string(v), nil
	case nil, bool:
		return "", nil
	}
	rv := reflect.ValueOf(v)
	below := reference(rv)
	if !below.IsValid() || below.Kind() == reflect.Map || below.Kind() == reflect.Bool {
		return "", nil
	}
	switch v := v.(type) {
	case encoding.TextMarshaler:
		text, err := v.MarshalText()
		if err != nil {
			return "", fmt.Errorf("%T.MarshalText: %w", v, err)
		}
		return string(text), nil
	case fmt.Stringer:
		return v.String(), nil
	}
	switch below.Kind() {
	case reflect.String:
		return below.String(), nil
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return strconv.FormatInt(below.Int(), 10), nil
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		return strconv.FormatUint(below.Uint(), 10), nil
	case reflect.Slice:
		if below.Type().Elem().Kind() == reflect.Uint8 {
			return string(below.Bytes()), nil
		}
	}
	return "", nil
}
