package values

import (
	"bytes"
	"math"
	"time"
)

// Equal is auditjson.Equal.
func Equal(a, b any) bool {
	a, b = normalKind(a), normalKind(b)
	switch x := a.(type) {
	case nil:
		return b == nil
	case bool:
		y, ok := b.(bool)
		return ok && x == y
	case string:
		y, ok := b.(string)
		return ok && x == y
	case int64:
		return equalInt(x, b)
	case uint64:
		return equalUint(x, b)
	case float64:
		return equalFloat(x, b)
	case time.Time:
		y, ok := b.(time.Time)
		return ok && x.Equal(y)
	case []byte:
		y, ok := b.([]byte)
		return ok && bytes.Equal(x, y)
	case []any:
		y, ok := b.([]any)
		return ok && equalLists(x, y)
	case map[string]any:
		y, ok := b.(map[string]any)
		return ok && equalMaps(x, y)
	}
	return false
}

// normalKind normalises v unless it is of a normal kind already.
func normalKind(v any) any {
	switch v.(type) {
	case nil, bool, string, int64, uint64, float64, time.Time, []byte, []any, map[string]any:
		return v
	}
	return Normal(v)
}

func equalInt(x int64, b any) bool {
	switch y := b.(type) {
	case int64:
		return x == y
	case uint64:
		return x >= 0 && uint64(x) == y
	case float64:
		// -2^63 <= y < 2^63 makes the conversion exact for a whole y.
		return y == math.Trunc(y) && y >= -1<<63 && y < 1<<63 && int64(y) == x
	}
	return false
}

func equalUint(x uint64, b any) bool {
	switch y := b.(type) {
	case int64:
		return equalInt(y, x)
	case uint64:
		return x == y
	case float64:
		return y == math.Trunc(y) && y >= 0 && y < 1<<64 && uint64(y) == x
	}
	return false
}

func equalFloat(x float64, b any) bool {
	switch y := b.(type) {
	case int64:
		return equalInt(y, x)
	case uint64:
		return equalUint(y, x)
	case float64:
		return x == y || math.IsNaN(x) && math.IsNaN(y)
	}
	return false
}

func equalLists(x, y []any) bool {
	if len(x) != len(y) {
		return false
	}
	for i := range x {
		if !Equal(x[i], y[i]) {
			return false
		}
	}
	return true
}

func equalMaps(x, y map[string]any) bool {
	present := 0
	for name, v := range x {
		if v == nil {
			continue
		}
		present++
		if !Equal(v, y[name]) {
			return false
		}
	}
	for _, v := range y {
		if v != nil {
			present--
		}
	}
	return present == 0
}
