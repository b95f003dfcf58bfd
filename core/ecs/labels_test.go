package ecs

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/auditing-go/auditing/core"
)

// TestLabelsOfEqualValues: a query by a value must find every value that equals it.
func TestLabelsOfEqualValues(t *testing.T) {
	for _, same := range [][]any{
		{1, int8(1), uint64(1), 1.0},
		{0, 0.0, math.Copysign(0, -1)},
		{math.NaN(), math.NaN()},
		{uint64(1 << 63), float64(1 << 63)},
		{int64(math.MinInt64), float64(math.MinInt64)},
		{1e15, int64(1e15)},
		{time.Unix(0, 0), time.Unix(0, 0).UTC()},
	} {
		want, ok := Label(core.Event{Fields: core.Fields{"v": same[0]}}.Normalize(0).Fields["v"])
		for _, v := range same {
			if got, _ := Label(core.Event{Fields: core.Fields{"v": v}}.Normalize(0).Fields["v"]); got != want || !ok {
				t.Errorf("%T %v has the label %q, %v has %q", v, v, got, same[0], want)
			}
		}
	}
}

func TestLabelsAreBounded(t *testing.T) {
	fields := core.Fields{}
	for i := range 5000 {
		fields["field_"+uuid.NewString()] = strings.Repeat("é", 10+i)
	}
	dst, cut := appendLabels(nil, fields)
	if !cut || len(dst) > maxLabelTotal+maxLabelBytes*6+MaxName || !json.Valid(dst) {
		t.Errorf("%d bytes of labels, marked as cut: %t, valid: %t", len(dst), cut, json.Valid(dst))
	}
	if got := cutLabel("x" + strings.Repeat("é", maxLabelBytes)); !utf8.ValidString(got) || len(got) != maxLabelBytes-1 {
		t.Errorf("a long value is cut to %d bytes, valid: %t", len(got), utf8.ValidString(got))
	}
}
