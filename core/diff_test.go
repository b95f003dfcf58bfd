package core

import (
	"fmt"
	"testing"
	"time"
)

func TestDiff(t *testing.T) {
	type address struct{ City string }
	type customer struct {
		Name    string    `json:"name"`
		Age     int       `json:"age,omitempty"`
		Hidden  string    `json:"-"`
		Address *address  `json:"address"`
		Seen    time.Time `json:"seen"`
	}
	at := time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC)
	before := customer{"a", 1, "x", &address{"Graz"}, at}
	after := customer{"b", 0, "y", &address{"Graz"}, at.In(time.FixedZone("", 3600))}
	for name, c := range map[string]struct {
		before, after any
		want          Fields
	}{
		"nothing":       {before, before, Fields{}},
		"structs":       {before, &after, Fields{"name": map[string]any{"old": "a", "new": "b"}, "age": map[string]any{"old": int64(1)}}},
		"maps":          {map[string]any{"a": 1, "b": 2.0}, Fields{"a": 1.0, "b": "2", "c": nil}, Fields{"b": map[string]any{"old": 2.0, "new": "2"}}},
		"created":       {nil, map[string]any{"a": 1}, Fields{"a": map[string]any{"new": int64(1)}}},
		"deleted":       {map[string]any{"a": 1}, nil, Fields{"a": map[string]any{"old": int64(1)}}},
		"a nil pointer": {(*customer)(nil), (*customer)(nil), Fields{}},
		"values":        {1, "1", Fields{"value": map[string]any{"old": int64(1), "new": "1"}}},
		"below a field": {customer{Address: &address{"Graz"}}, customer{Address: &address{"Linz"}}, Fields{"address": map[string]any{"old": map[string]any{"City": "Graz"}, "new": map[string]any{"City": "Linz"}}}},
		"to absent":     {map[string]any{"a": []any{1}}, map[string]any{"a": nil}, Fields{"a": map[string]any{"old": []any{int64(1)}}}},
	} {
		if got := Diff(c.before, c.after); fmt.Sprint(got) != fmt.Sprint(c.want) {
			t.Errorf("%s: got %v, want %v", name, got, c.want)
		}
	}
}
