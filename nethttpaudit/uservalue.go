package nethttpaudit

import (
	"database/sql/driver"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

var errUnreadable = errors.New("which cannot be read as a user")

// asUser returns the user that v names, "" when v is nothing. What it cannot read
// is an error: it must not pass for nobody.
func asUser(v any) (string, error) {
	below := reference(reflect.ValueOf(v))
	if isNothing(below) {
		return "", nil
	}
	switch v := below.Interface().(type) {
	case string:
		return v, nil
	case json.Number:
		return numberUser(v)
	case json.RawMessage, time.Time, time.Duration:
		return "", errUnreadable
	}
	if kind := below.Kind(); kind == reflect.Map || kind == reflect.Bool {
		return "", errUnreadable // whatever methods it has
	}
	valuer, isValuer := v.(driver.Valuer)
	if isValuer {
		value, err := valuer.Value()
		if err != nil || value == nil {
			return "", failed("Value", err)
		}
		below = reflect.ValueOf(value)
	}
	switch v := v.(type) {
	case encoding.TextMarshaler:
		text, err := v.MarshalText()
		return string(text), failed("MarshalText", err)
	case fmt.Stringer:
		return v.String(), nil
	}
	if isValuer && below.Kind() == reflect.Slice {
		return "", errUnreadable // JSON or a binary id
	}
	return plainUser(below)
}

func failed(method string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("whose %s fails (%w)", method, err)
}

// plainUser reads a value that has no methods for that.
func plainUser(v reflect.Value) (string, error) {
	switch v.Kind() {
	case reflect.String:
		return v.String(), nil
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return strconv.FormatInt(v.Int(), 10), nil
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		return strconv.FormatUint(v.Uint(), 10), nil
	case reflect.Float32:
		return wholeUser(v.Float(), 1<<24)
	case reflect.Float64:
		return wholeUser(v.Float(), 1<<53)
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 && utf8.Valid(v.Bytes()) {
			return string(v.Bytes()), nil
		}
	}
	return "", errUnreadable
}

// wholeUser reads what an integer became in a session that was kept as JSON. From
// limit on, two integers may have become one float.
func wholeUser(f, limit float64) (string, error) {
	if f != math.Trunc(f) || math.Abs(f) >= limit { // NaN differs from itself
		return "", errUnreadable
	}
	return strconv.FormatInt(int64(f), 10), nil
}

func numberUser(n json.Number) (string, error) {
	if strings.Trim(string(n), "-0123456789") == "" {
		return string(n), nil
	}
	f, err := n.Float64()
	if err != nil {
		return "", errUnreadable
	}
	return wholeUser(f, 1<<53)
}
