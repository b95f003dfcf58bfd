package values

import (
	"encoding"
	"encoding/json"
	"fmt"
	"log/slog"
	"reflect"
	"strconv"
	"sync"
	"time"
)

// method is the method that decides what a value becomes, in the order of precedence.
type method int

const (
	noMethod method = iota
	logValue
	marshalJSON
	marshalText
	errorText
	stringText
)

var methods = [...]struct {
	name string
	typ  reflect.Type
}{
	logValue:    {"LogValue", reflect.TypeFor[slog.LogValuer]()},
	marshalJSON: {"MarshalJSON", reflect.TypeFor[json.Marshaler]()},
	marshalText: {"MarshalText", reflect.TypeFor[encoding.TextMarshaler]()},
	errorText:   {"Error", reflect.TypeFor[error]()},
	stringText:  {"String", reflect.TypeFor[fmt.Stringer]()},
}

// typeInfo is what is worth remembering of a type that is neither a pointer nor an interface.
type typeInfo struct {
	// direct says that normalizer.value knows the type itself.
	direct bool
	method method
	// byPointer says that some of the methods need a pointer.
	byPointer    bool
	marshalsText bool
	// fields of a struct, in their order.
	fields func() []structField
}

var typeInfos sync.Map // of reflect.Type to *typeInfo

func typeOf(t reflect.Type) *typeInfo {
	if info, ok := typeInfos.Load(t); ok {
		return info.(*typeInfo)
	}
	info := &typeInfo{}
	switch t {
	case reflect.TypeFor[time.Time](), reflect.TypeFor[time.Duration](), reflect.TypeFor[json.Number](),
		reflect.TypeFor[slog.Value](), reflect.TypeFor[slog.Attr](), reflect.TypeFor[[]slog.Attr](), reflect.TypeFor[reflect.Value]():
		info.direct = true
	}
	// The methods of *T are those of T and more.
	pointer := reflect.PointerTo(t)
	for m := logValue; int(m) < len(methods); m++ {
		if !pointer.Implements(methods[m].typ) {
			continue
		}
		if info.method == noMethod {
			info.method = m
		}
		info.marshalsText = info.marshalsText || m == marshalText
		info.byPointer = info.byPointer || !t.Implements(methods[m].typ)
	}
	if t.Kind() == reflect.Struct {
		info.fields = sync.OnceValue(func() []structField { return structFields(t) })
	}
	shared, _ := typeInfos.LoadOrStore(t, info)
	return shared.(*typeInfo)
}

// receiver returns v, or a pointer to it or to a copy of it, with all its methods.
func (info *typeInfo) receiver(v reflect.Value) any {
	if !info.byPointer {
		return v.Interface()
	}
	if v.CanAddr() {
		return v.Addr().Interface()
	}
	p := reflect.New(v.Type())
	p.Elem().Set(v)
	return p.Interface()
}

// invoke calls m, which receiver has, and returns a slog.Value, JSON as []byte, or
// a string; or the reason why there is none. What a method says about its failure
// is not part of the reason: it may quote the value.
func invoke(receiver any, m method) (result any, reason string) {
	defer func() {
		if recover() != nil {
			result, reason = nil, methods[m].name+" panicked"
		}
	}()
	var data []byte
	var err error
	switch m {
	case logValue:
		return receiver.(slog.LogValuer).LogValue(), ""
	case errorText:
		return receiver.(error).Error(), ""
	case stringText:
		return receiver.(fmt.Stringer).String(), ""
	case marshalJSON:
		data, err = receiver.(json.Marshaler).MarshalJSON()
		result = data
	case marshalText:
		data, err = receiver.(encoding.TextMarshaler).MarshalText()
		result = string(data)
	}
	if err != nil {
		return nil, methods[m].name + " failed"
	}
	return result, ""
}

// call normalises what v's deciding method returns.
func (n *normalizer) call(v reflect.Value, info *typeInfo, depth int) any {
	m := info.method
	if !v.CanInterface() {
		return n.describe(v.Type(), "unexported", depth)
	}
	if n.calls == maxCalls {
		return n.describe(v.Type(), methods[m].name+" does not end", depth)
	}
	result, reason := invoke(info.receiver(v), m)
	if reason != "" {
		return n.describe(v.Type(), reason, depth)
	}
	n.calls++
	defer func() { n.calls-- }()
	switch result := result.(type) {
	case slog.Value:
		return n.slogValue(result, depth)
	case []byte:
		return n.json(result, v.Type(), depth)
	}
	return n.text(result.(string), depth)
}

// json normalises the JSON that a value of type t marshalled itself to.
func (n *normalizer) json(data []byte, t reflect.Type, depth int) any {
	// What is too large anyway need not be built in memory first, unless something in it has
	// to be protected; a string is cut as text.
	if large := len(data) > max(n.limit-n.size, 0) && data[0] != '"'; large && n.protect == nil && json.Valid(data) {
		return n.text(string(data), depth)
	} else if large && len(data) > maxParsedBytes {
		return n.describe(t, strconv.Itoa(len(data))+" bytes of JSON are too many", depth)
	}
	p := Parser{data: string(data)}
	v, err := p.document()
	if err != nil {
		return n.describe(t, "MarshalJSON returned no JSON", depth)
	}
	return n.value(v, depth)
}

// reflect normalises a value by its type's methods, else by its kind.
func (n *normalizer) reflect(v reflect.Value, depth int) any {
	if !n.step() {
		return nil
	}
	switch v.Kind() {
	case reflect.Invalid:
		return nil
	case reflect.Interface:
		return n.value(v.Interface(), depth)
	case reflect.Pointer:
		if v.IsNil() {
			return nil
		}
		if instead, ok := n.enter(visit{v.Pointer(), 0, v.Type()}, depth); !ok {
			return instead
		}
		defer n.leave()
		return n.reflect(v.Elem(), depth)
	case reflect.Map, reflect.Slice, reflect.Chan, reflect.Func, reflect.UnsafePointer:
		if v.IsNil() {
			return nil
		}
	}
	info := typeOf(v.Type())
	switch {
	case info.direct && v.CanInterface():
		return n.value(v.Interface(), depth)
	case info.method != noMethod:
		return n.call(v, info, depth)
	}
	return n.kind(v, info, depth)
}

// stringMap is what maps of other types, such as core's Fields, are converted to.
var stringMap = reflect.TypeFor[map[string]any]()

func (n *normalizer) kind(v reflect.Value, info *typeInfo, depth int) any {
	switch v.Kind() {
	case reflect.Bool:
		n.charge(boolBytes)
		return v.Bool()
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return n.int(v.Int())
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		return n.uint(v.Uint())
	case reflect.Float32:
		return n.float32(float32(v.Float()))
	case reflect.Float64:
		n.charge(numberBytes)
		return v.Float()
	case reflect.Complex64:
		return n.text(strconv.FormatComplex(v.Complex(), 'g', -1, 64), depth)
	case reflect.Complex128:
		return n.text(strconv.FormatComplex(v.Complex(), 'g', -1, 128), depth)
	case reflect.String:
		return n.text(v.String(), depth)
	case reflect.Slice, reflect.Array:
		return n.sequence(v, depth)
	case reflect.Map:
		if v.CanInterface() && v.CanConvert(stringMap) {
			return n.stringMap(v.Convert(stringMap).Interface().(map[string]any), depth)
		}
		return n.reflectMap(v, depth)
	case reflect.Struct:
		return n.structure(v, info.fields(), depth)
	}
	return n.text("("+typeName(v.Type())+")", depth) // a channel, function or unsafe pointer
}

// sequence normalises a slice or an array.
func (n *normalizer) sequence(v reflect.Value, depth int) any {
	if element := v.Type().Elem(); element.Kind() == reflect.Uint8 && typeOf(element).method == noMethod {
		return n.bytes(bytesOf(v), depth)
	}
	if v.Kind() == reflect.Array {
		if depth > maxDepth {
			return n.tooDeep(v.Type(), depth)
		}
	} else {
		if instead, ok := n.enter(visit{v.Pointer(), v.Len(), v.Type()}, depth); !ok {
			return instead
		}
		defer n.leave()
	}
	n.begin(listBytes, v.Len(), elementBytes)
	out := make([]any, 0, n.fitting(v.Len(), elementBytes))
	for i := range v.Len() {
		if !n.charge(elementBytes) {
			break
		}
		out = append(out, n.reflect(v.Index(i), depth+1))
	}
	return out
}

// bytesOf returns the bytes of a slice or an array of bytes, shared where it can be.
func bytesOf(v reflect.Value) []byte {
	if v.Kind() == reflect.Slice || v.CanAddr() {
		return v.Bytes()
	}
	addressable := reflect.New(v.Type()).Elem()
	addressable.Set(v)
	return addressable.Bytes()
}
