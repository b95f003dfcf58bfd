package values

import (
	"reflect"
)

// Protect returns what is to be kept in the place of v, a normalised value that stands
// under name, or false when v itself is.
type Protect func(name string, v any) (kept any, changed bool)

// maxParsedBytes is how much JSON is parsed to protect what is in it.
const maxParsedBytes = 32 << 20

// protected is what to keep in the place of v, not yet normalised, or false.
func (n *normalizer) protected(name string, v any) (kept any, changed bool) {
	if n.protect == nil || v == nil {
		return v, false
	}
	return n.protect(name, v)
}

// named returns what to keep of v, which was normalised and stands under name.
func (n *normalizer) named(name string, v any) any {
	kept, changed := n.protected(name, v)
	if !changed {
		return v
	}
	// It is not protected again, and what v weighed stays charged.
	m := normalizer{limit: maxLoneBytes, steps: stepsFor(maxLoneBytes), ordered: true}
	return m.value(kept, 2)
}

// Same reports whether a, of any kind, is the normalised value b itself.
func Same(a, b any) bool {
	switch y := b.(type) {
	case nil:
		return a == nil
	case []byte:
		x, ok := a.([]byte)
		return ok && len(x) == len(y) && (len(x) == 0 || &x[0] == &y[0])
	case []any:
		x, ok := a.([]any)
		return ok && len(x) == len(y) && (len(x) == 0 || &x[0] == &y[0])
	case map[string]any:
		x, ok := a.(map[string]any)
		return ok && reflect.ValueOf(x).Pointer() == reflect.ValueOf(y).Pointer()
	}
	return reflect.TypeOf(a) == reflect.TypeOf(b) && a == b
}
