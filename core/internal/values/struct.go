package values

import (
	"cmp"
	"reflect"
	"slices"
	"strings"
	"unicode"
)

// structField is one field that a struct shows, as encoding/json would name it.
type structField struct {
	name   string
	tagged bool
	// index leads to it through embedded structs.
	index     []int
	omitEmpty bool
	omitZero  bool
}

// structFields lists what a struct shows, in the order of declaration. Of several
// fields with one name the least embedded counts, among those the only tagged one;
// if that leaves more than one, none counts.
func structFields(t reflect.Type) []structField {
	var shown []structField
	taken := make(map[string]bool)
	visited := map[reflect.Type]bool{t: true}
	level := []embedded{{typ: t}}
	for len(level) > 0 {
		var found []structField
		var next []embedded
		for _, e := range level {
			fields, inner := e.split()
			found = append(found, fields...)
			next = append(next, inner...)
		}
		byName := make(map[string][]structField)
		for _, f := range found {
			if !taken[f.name] {
				byName[f.name] = append(byName[f.name], f)
			}
		}
		for name, rivals := range byName {
			taken[name] = true
			if f, ok := dominant(rivals); ok {
				shown = append(shown, f)
			}
		}
		level = slices.DeleteFunc(next, func(e embedded) bool { return visited[e.typ] })
		for _, e := range level {
			visited[e.typ] = true
		}
	}
	slices.SortFunc(shown, func(a, b structField) int {
		return slices.CompareFunc(a.index, b.index, cmp.Compare[int])
	})
	return shown
}

func dominant(rivals []structField) (structField, bool) {
	if len(rivals) == 1 {
		return rivals[0], true
	}
	var tagged []structField
	for _, f := range rivals {
		if f.tagged {
			tagged = append(tagged, f)
		}
	}
	if len(tagged) == 1 {
		return tagged[0], true
	}
	return structField{}, false
}

// embedded is a struct type whose fields belong to the one around it.
type embedded struct {
	typ   reflect.Type
	index []int
}

// split tells the fields of e from the structs it embeds in turn.
func (e embedded) split() (fields []structField, inner []embedded) {
	for i := range e.typ.NumField() {
		sf := e.typ.Field(i)
		name, options, _ := strings.Cut(sf.Tag.Get("json"), ",")
		if sf.Tag.Get("json") == "-" {
			continue
		}
		if !validName(name) {
			name = ""
		}
		typ := sf.Type
		if typ.Kind() == reflect.Pointer && typ.Name() == "" {
			typ = typ.Elem()
		}
		index := append(slices.Clip(e.index), i)
		isStruct := sf.Anonymous && typ.Kind() == reflect.Struct
		switch {
		case isStruct && name == "" && !standsAlone(typ):
			inner = append(inner, embedded{typ, index})
			continue
		case !sf.IsExported() && (!isStruct || name == ""):
			continue
		}
		f := structField{name: name, tagged: name != "", index: index}
		if name == "" {
			f.name = sf.Name
		}
		for option := range strings.SplitSeq(options, ",") {
			f.omitEmpty = f.omitEmpty || option == "omitempty"
			f.omitZero = f.omitZero || option == "omitzero"
		}
		fields = append(fields, f)
	}
	return fields, inner
}

// standsAlone says that an embedded struct is a value of its own: taking it apart
// would show what its LogValue hides, or lose what its other methods say. The
// struct around it does not inherit these methods when two embedded ones have them.
func standsAlone(t reflect.Type) bool {
	info := typeOf(t)
	return info.direct || info.method == logValue || info.method == marshalJSON || info.method == marshalText
}

// validName says which names encoding/json accepts in a tag.
func validName(name string) bool {
	for _, r := range name {
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("!#$%&()*+-./:;<=>?@[]^_{|}~ ", r) {
			return false
		}
	}
	return true
}

func (n *normalizer) structure(v reflect.Value, fields []structField, depth int) any {
	if depth > maxDepth {
		return n.tooDeep(v.Type(), depth)
	}
	n.begin(mapBytes, len(fields), 1)
	out := make(map[string]any, n.fitting(len(fields), entryBytes))
	for i := range fields {
		if n.stopped {
			break
		}
		f := &fields[i]
		fv, ok := fieldOf(v, f.index)
		if !ok || f.omitEmpty && isEmpty(fv) || f.omitZero && isZero(fv) {
			continue
		}
		if x := n.named(f.name, n.reflect(fv, depth+1)); x != nil {
			n.charge(entryBytes + len(f.name))
			out[f.name] = x
		}
	}
	return out
}

// fieldOf follows index; there is no field behind an embedded nil pointer.
func fieldOf(v reflect.Value, index []int) (field reflect.Value, ok bool) {
	for i, x := range index {
		if i > 0 && v.Kind() == reflect.Pointer {
			if v.IsNil() {
				return v, false
			}
			v = v.Elem()
		}
		v = v.Field(x)
	}
	return v, true
}

func isEmpty(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Array, reflect.Map, reflect.Slice, reflect.String:
		return v.Len() == 0
	case reflect.Struct:
		return false
	case reflect.Chan, reflect.Func, reflect.UnsafePointer, reflect.Complex64, reflect.Complex128:
		return false
	}
	return v.IsZero()
}

type zeroer interface{ IsZero() bool }

// isZero asks the IsZero method of the field's type, if it has one; a value whose
// IsZero panics is not zero.
func isZero(v reflect.Value) (zero bool) {
	t := v.Type()
	byPointer := reflect.PointerTo(t).Implements(reflect.TypeFor[zeroer]())
	if !byPointer && !t.Implements(reflect.TypeFor[zeroer]()) || !v.CanInterface() {
		return v.IsZero()
	}
	if (v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface) && v.IsNil() {
		return true
	}
	defer func() {
		if recover() != nil {
			zero = false
		}
	}()
	if t.Implements(reflect.TypeFor[zeroer]()) {
		return v.Interface().(zeroer).IsZero()
	}
	return (&typeInfo{byPointer: true}).receiver(v).(zeroer).IsZero()
}
