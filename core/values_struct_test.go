package core

import (
	"encoding/json"
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/auditing-go/auditing/core/internal/values"
)

type (
	base struct {
		ID   int `json:"id"`
		Name string
	}
	Inner  struct{ Name, Deep string }
	Outer  struct{ Inner }
	Looped struct {
		*Looped
		X int
	}
	LoopA struct {
		*LoopB
		A int
	}
	LoopB struct {
		*LoopC
		B int
	}
	LoopC struct {
		*LoopB
		C int
	}
	nonStruct int
	NonStruct int
	mayBeZero struct{ N int }
	ptrZero   struct{ N int }
	badZero   struct{ N int }
)

func (m mayBeZero) IsZero() bool { return m.N == 7 }
func (m *ptrZero) IsZero() bool  { return m.N == 7 }
func (badZero) IsZero() bool     { panic("no") }

// What a struct shows is what encoding/json shows, wherever the values have no
// kind that JSON lacks.
func TestStructsAsInEncodingJSON(t *testing.T) {
	name := "n"
	for _, v := range []any{
		struct{}{},
		struct {
			A int
			b int
			C string `json:"-"`
			//lint:ignore SA5008 some write it so
			D string `json:"-,"`
			E string `json:"e"`
			F string `json:",omitempty"`
			//lint:ignore SA5008 some write it so
			G string `json:"bad\"name"`
			H string `json:"ünï.code-1"`
			I any
		}{1, 2, "c", "d", "e", "", "g", "h", nil},
		struct {
			base
			*Inner
			Extra int
		}{base{1, "base"}, &Inner{"inner", "deep"}, 2},
		struct {
			base
			*Inner
		}{base{1, "base"}, nil},
		struct {
			base
			Name string
		}{base{1, "base"}, "outer"},
		struct {
			base `json:"b"`
			Inner
		}{base{1, "base"}, Inner{"i", "d"}},
		struct {
			Outer
			A struct{ Inner }
		}{Outer{Inner{"o", "d"}}, struct{ Inner }{Inner{"p", "e"}}},
		struct { // three ways to Deep, none counts
			Inner
			Outer
			B Outer
		}{},
		struct {
			X struct {
				Name string `json:"Deep"`
			}
			Inner
			Y string `json:"Deep"`
		}{Inner: Inner{"a", "b"}, Y: "y"},
		struct {
			Name string
			base
		}{"outer", base{1, "base"}},
		Looped{&Looped{nil, 1}, 2},
		LoopA{&LoopB{&LoopC{&LoopB{nil, 1}, 2}, 3}, 4},
		struct {
			nonStruct
			NonStruct
		}{1, 2},
		struct {
			A []int          `json:",omitempty"`
			B map[string]int `json:",omitempty"`
			C *int           `json:",omitempty"`
			D [0]int         `json:",omitempty"`
			E struct{}       `json:",omitempty"`
			F float64        `json:",omitempty"`
			G bool           `json:",omitempty"`
			H *string        `json:",omitempty"`
		}{A: []int{}, H: &name},
		struct {
			A mayBeZero  `json:",omitzero"`
			B mayBeZero  `json:",omitzero"`
			C ptrZero    `json:",omitzero"`
			D *ptrZero   `json:",omitzero"`
			E *mayBeZero `json:",omitzero"`
			F time.Time  `json:",omitzero"`
			G int        `json:"g,omitzero"`
			H any        `json:",omitzero"`
			I Inner      `json:",omitzero"`
		}{A: mayBeZero{7}, C: ptrZero{7}, E: &mayBeZero{1}, H: mayBeZero{7}},
	} {
		for _, v := range []any{v, []any{v}, map[string]any{"k": v}} {
			data, err := json.Marshal(v)
			if err != nil {
				t.Fatal(err)
			}
			want, err := values.Parse(data)
			if err != nil {
				t.Fatal(err)
			}
			if got := normal(t, v); !values.Equal(got, want) {
				t.Errorf("%T:\n got %v\nwant %v", v, got, want)
			}
		}
	}
}

func TestStructs(t *testing.T) {
	when := time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, c := range []struct{ in, want any }{
		{struct {
			T time.Time
			B []byte
			F float32
			E error
		}{when, []byte("b"), 1.1, errors.New("e")}, map[string]any{"T": when, "B": []byte("b"), "F": 1.1, "E": "e"}},
		{struct {
			N int `json:",string"`
		}{1}, map[string]any{"N": int64(1)}},
		{struct {
			Z badZero `json:",omitzero"`
		}{}, map[string]any{"Z": map[string]any{"N": int64(0)}}},
		{struct {
			time.Time
			Inner
		}{when, Inner{}}, when.Format(time.RFC3339)}, // MarshalJSON is inherited
	} {
		if got := normal(t, c.in); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%T: got %v, want %v", c.in, got, c.want)
		}
	}
}
