package core_test

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/auditing-go/auditing/core"
)

var noon = time.Date(2026, 7, 8, 12, 0, 0, 0, time.UTC)

func microseconds(n int) time.Time { return noon.Add(time.Duration(n) * time.Microsecond) }

func TestQueryMatch(t *testing.T) {
	type condition struct {
		name string
		q    core.Query
		want bool
	}
	e := core.Event{ID: uuid.Must(uuid.NewV7()), Tag: "refund", User: "alice", Time: noon, OnBehalfOf: "bob", Target: "order/42", Outcome: core.OutcomeDenied, Reason: "limit", Tenant: "acme", Request: &core.Request{IP: "::1", ID: "r-1"}, Fields: core.Fields{
		"bool": true, "int": 42, "whole": 42.0, "float": 2.5, "text": "it", "empty": "", "time": noon, "bytes": []byte("it"), "nan": math.NaN(),
		"big": uint64(math.MaxUint64), "near": int64(1<<53 + 1), "list": []any{1, "a"}, "map": map[string]any{"a": 1, "b": nil}, "nil": nil, "a\x00b": 1,
	}}.Normalize(0)
	conditions := []condition{
		{"nothing asked", core.Query{}, true},
		{"its tag", core.Query{Tag: "refund"}, true},
		{"a tag of another case", core.Query{Tag: "Refund"}, false},
		{"not its tag", core.Query{NotTags: []string{"login", "refund"}}, false},
		{"not another tag", core.Query{NotTags: []string{"login", "Refund"}}, true},
		{"its user", core.Query{User: "alice"}, true},
		{"another user", core.Query{User: "alice "}, false},
		{"its id", core.Query{ID: e.ID}, true},
		{"another id", core.Query{ID: uuid.Max}, false},
		{"nobody", core.Query{Anonymous: true}, false},
		{"nobody and somebody", core.Query{Anonymous: true, User: "alice"}, false},
		{"for whom", core.Query{OnBehalfOf: "bob"}, true},
		{"for another", core.Query{OnBehalfOf: "alice"}, false},
		{"its target", core.Query{Target: "order/42"}, true},
		{"another target", core.Query{Target: "order/4"}, false},
		{"its outcome", core.Query{Outcome: core.OutcomeDenied}, true},
		{"another outcome", core.Query{Outcome: core.OutcomeSuccess}, false},
		{"its reason", core.Query{Reason: "limit"}, true},
		{"another reason", core.Query{Reason: "lim"}, false},
		{"its tenant", core.Query{Tenant: "acme"}, true},
		{"another tenant", core.Query{Tenant: "ACME"}, false},
		{"its IP", core.Query{IP: "::1"}, true},
		{"another IP", core.Query{IP: "127.0.0.1"}, false},
		{"its request", core.Query{RequestID: "r-1"}, true},
		{"another request", core.Query{RequestID: "r-2"}, false},
		{"from its time", core.Query{From: noon}, true},
		{"from its time in another zone", core.Query{From: noon.In(time.FixedZone("", 3600))}, true},
		{"from a nanosecond later", core.Query{From: noon.Add(1)}, false},
		{"from a nanosecond earlier", core.Query{From: noon.Add(-1)}, true},
		{"to its time", core.Query{To: noon}, false},
		{"to a nanosecond later", core.Query{To: noon.Add(1)}, true},
		{"from before the first year", core.Query{From: time.Date(-9, 1, 1, 0, 0, 0, 0, time.UTC)}, true},
		{"to before the first year", core.Query{To: time.Date(-9, 1, 1, 0, 0, 0, 0, time.UTC)}, false},
		{"from after the last year", core.Query{From: time.Date(20_000, 1, 1, 0, 0, 0, 0, time.UTC)}, false},
		{"to after the last year", core.Query{To: time.Date(20_000, 1, 1, 0, 0, 0, 0, time.UTC)}, true},
		{"everything", core.Query{Tag: "refund", User: "alice", From: noon, To: noon.Add(1), Fields: core.Fields{"int": 42, "text": "it"}}, true},
		{"everything but one field", core.Query{Tag: "refund", User: "alice", From: noon, To: noon.Add(1), Fields: core.Fields{"int": 42, "text": "at"}}, false},
		{"Limit is not looked at", core.Query{Limit: -1}, true},
		{"after a newer event", core.Query{After: core.Cursor{Time: microseconds(1), ID: e.ID}.String()}, true},
		{"after an older event", core.Query{After: core.Cursor{Time: microseconds(-1), ID: e.ID}.String()}, false},
		{"after itself", core.Query{After: core.Cursor{Time: noon, ID: e.ID}.String()}, false},
		{"after a greater id", core.Query{After: core.Cursor{Time: noon, ID: uuid.Max}.String()}, true},
		{"after a smaller id", core.Query{After: core.Cursor{Time: noon}.String()}, false},
		{"after a malformed cursor", core.Query{After: "x"}, false},
	}
	for name, values := range map[string]struct{ equal, different []any }{
		"bool":  {[]any{true}, []any{false, 1, "true", nil}},
		"int":   {[]any{42, int8(42), uint64(42), 42.0, float32(42)}, []any{43, 42.5, "42", nil, []byte("42")}},
		"whole": {[]any{42, 42.0}, []any{"42", nil}},
		"float": {[]any{2.5, float32(2.5)}, []any{2, 3, "2.5"}},
		"text":  {[]any{"it", errors.New("it")}, []any{"It", "it ", []byte("it"), ""}},
		"empty": {[]any{""}, []any{nil, " ", []byte{}}},
		"time":  {[]any{noon, noon.Add(999), noon.In(time.FixedZone("", -3600))}, []any{microseconds(1), noon.Format(time.RFC3339Nano)}},
		"bytes": {[]any{[]byte("it"), [2]byte{'i', 't'}}, []any{"it", []byte("i")}},
		"nan":   {[]any{math.NaN(), float32(math.NaN())}, []any{0, "NaN", nil}},
		"big":   {[]any{uint64(math.MaxUint64)}, []any{-1, float64(math.MaxUint64)}},
		"near":  {[]any{1<<53 + 1}, []any{float64(1 << 53), 1 << 53}},
		"list":  {[]any{[]any{1, "a"}, [2]any{1.0, "a"}}, []any{[]any{"a", 1}, []any{1}, nil}},
		"map": {[]any{map[string]any{"a": 1}, map[string]int{"a": 1}, struct {
			A int `json:"a"`
		}{1}}, []any{map[string]any{"a": 2}, map[string]any{}}},
		"nil":      {[]any{nil, (*int)(nil), error(nil)}, []any{0, "", false}},
		"nowhere":  {[]any{nil}, []any{0, ""}},
		"a\x00b":   {[]any{1}, []any{nil, 2}},
		"a\ufffdb": {[]any{1}, []any{nil, 2}},
		"Text":     {[]any{nil}, []any{"it"}},
	} {
		for _, v := range values.equal {
			conditions = append(conditions, condition{fmt.Sprintf("%q = %T %v", name, v, v), core.Query{Fields: core.Fields{name: v}}, true})
		}
		for _, v := range values.different {
			conditions = append(conditions, condition{fmt.Sprintf("%q = %T %v", name, v, v), core.Query{Fields: core.Fields{name: v}}, false})
		}
	}
	for _, c := range conditions {
		t.Run(c.name, func(t *testing.T) {
			if got := c.q.Match(e); got != c.want {
				t.Errorf("Match = %t, want %t", got, c.want)
			}
			if got := c.q.Normalize().Match(e); got != c.want {
				t.Errorf("Match of the normalised query = %t, want %t", got, c.want)
			}
		})
	}
}

func TestQueryMatchesWhatIsStoredOfRawTexts(t *testing.T) {
	for _, raw := range []string{"a\x00b", "a\xffb", strings.Repeat("long", 1000)} {
		e := core.Event{
			Tag: raw, User: raw, OnBehalfOf: raw, Target: raw, Outcome: core.Outcome(raw), Reason: raw, Tenant: raw, Request: &core.Request{IP: raw, ID: raw},
		}.Normalize(0)
		q := core.Query{Tag: raw, User: raw, OnBehalfOf: raw, Target: raw, Outcome: core.Outcome(raw), Reason: raw, Tenant: raw, IP: raw, RequestID: raw}
		if !q.Match(e) || !q.Normalize().Match(e) {
			t.Errorf("a query for %.20q does not find the event that was audited so", raw)
		}
	}
}

func TestQueryNormalize(t *testing.T) {
	fields := core.Fields{"int": 42, "list": []int{1}, "gone": nil, "a\x00": (*int)(nil)}
	q := core.Query{Tag: "a\x00", User: "b\xff", From: noon.Add(1).In(time.FixedZone("", 3600)), To: noon.Add(-1), Fields: fields, Limit: -3, After: "kept"}
	want := core.Query{
		Tag: "a\ufffd", User: "b\ufffd", From: microseconds(1), To: noon, Limit: core.DefaultLimit, After: "kept",
		Fields: core.Fields{"int": int64(42), "list": []any{int64(1)}, "gone": nil, "a\ufffd": nil},
	}
	got := q.Normalize()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("Normalize = %#v\nwant %#v", got, want)
	}
	if again := got.Normalize(); !reflect.DeepEqual(again, want) {
		t.Errorf("normalising again changed it to %#v", again)
	}
	if len(fields) != 4 || fields["int"] != 42 {
		t.Errorf("Normalize changed the caller's fields: %#v", fields)
	}
	if zero := (core.Query{}).Normalize(); !reflect.DeepEqual(zero, core.Query{Limit: core.DefaultLimit}) {
		t.Errorf("the zero Query normalises to %#v", zero)
	}
	for limit, want := range map[int]int{math.MinInt: core.DefaultLimit, 0: core.DefaultLimit, 1: 1, core.MaxLimit: core.MaxLimit, math.MaxInt: core.MaxLimit} {
		if got := (core.Query{Limit: limit}).Normalize().Limit; got != want {
			t.Errorf("a Limit of %d normalises to %d, want %d", limit, got, want)
		}
	}
}

func TestQueryOfNobody(t *testing.T) {
	e := core.Event{Tag: "login"}.Normalize(0)
	if !(core.Query{Anonymous: true}).Match(e) || (core.Query{IP: "::1"}).Match(e) || (core.Query{RequestID: "r"}).Match(e) {
		t.Error("an event without a user and a request is not found by that")
	}
}

// trail is n events, four at each time, in no order.
func trail(n int) []core.Event {
	events := make([]core.Event, n)
	for i := range events {
		events[(i*7)%n] = core.Event{Tag: []string{"a", "b"}[i%2], User: "alice", Time: microseconds(i / 4), Fields: core.Fields{"n": i}}.Normalize(0)
	}
	return events
}

func TestQueryPageWalks(t *testing.T) {
	events := trail(101)
	before := slices.Clone(events)
	for _, limit := range []int{1, 3, 4, 50, 100, 101, 102} {
		for _, q := range []core.Query{{Limit: limit}, {Limit: limit, Tag: "b"}, {Limit: limit, To: microseconds(7)}, {Limit: limit, Tag: "nothing"}} {
			var want []core.Event
			for _, e := range events {
				if q.Match(e) {
					want = append(want, e)
				}
			}
			slices.SortFunc(want, core.Event.Compare)
			var got []core.Event
			for pages := 0; ; pages++ {
				page, err := q.Page(events)
				if err != nil {
					t.Fatal(err)
				}
				if len(page.Events) > limit || pages > len(events) || page.Next != "" && len(page.Events) != limit {
					t.Fatalf("page %d of %+v holds %d events, Next %q", pages, q, len(page.Events), page.Next)
				}
				got = append(got, page.Events...)
				if q.After = page.Next; q.After == "" {
					break
				}
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("the pages of limit %d, tag %q give %d events; want %d, newest first", limit, q.Tag, len(got), len(want))
			}
		}
	}
	if !reflect.DeepEqual(events, before) {
		t.Error("Page changed its argument")
	}
	if page, err := (core.Query{After: "x"}).Page(events); !errors.Is(err, core.ErrCursor) || len(page.Events) > 0 {
		t.Errorf("Page with a malformed cursor = %d events, %v; want ErrCursor", len(page.Events), err)
	}
}

func TestCompare(t *testing.T) {
	low, high := uuid.UUID{1}, uuid.UUID{2}
	inOrder := []core.Event{{Time: microseconds(1), ID: low}, {Time: noon, ID: high}, {Time: noon, ID: low}, {Time: microseconds(-1), ID: high}}
	for i, a := range inOrder {
		for j, b := range inOrder {
			if got := a.Compare(b); got < 0 != (i < j) || got > 0 != (i > j) {
				t.Errorf("Compare of number %d and number %d of a page = %d", i, j, got)
			}
		}
	}
	if inZone := (core.Event{Time: noon.In(time.FixedZone("", 60)), ID: high}); inZone.Compare(inOrder[1]) != 0 {
		t.Error("the zone of a time changes the order")
	}
}

func TestCursorIsText(t *testing.T) {
	for _, at := range []time.Time{noon, time.Date(1, 1, 1, 0, 0, 0, 1000, time.UTC), time.Date(1969, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(9999, 12, 31, 23, 59, 59, 999999000, time.UTC)} {
		want := core.Cursor{Time: at, ID: uuid.Must(uuid.NewV7())}
		text := want.String()
		if strings.Trim(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			t.Errorf("the cursor %q does not fit a URL", text)
		}
		if got, ok, err := (core.Query{After: text}).Cursor(); got != want || !ok || err != nil {
			t.Errorf("Cursor of %q = %v, %t, %v; want %v", text, got, ok, err, want)
		}
	}
	if _, ok, err := (core.Query{}).Cursor(); ok || err != nil {
		t.Errorf("Cursor of a first page = %t, %v; want none and no error", ok, err)
	}
	_, ok, err := core.Query{After: strings.Repeat("\n", 100_000)}.Cursor()
	if ok || !errors.Is(err, core.ErrCursor) || len(err.Error()) > 500 || strings.Contains(err.Error(), "\n") {
		t.Errorf("Cursor of a long text = %t, %.600v; want a short ErrCursor", ok, err)
	}
}

func FuzzCursor(f *testing.F) {
	f.Add(core.Cursor{Time: noon, ID: uuid.Max}.String())
	f.Add(core.Cursor{Time: time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC)}.String())
	f.Add("")
	f.Add("x")
	f.Add(strings.Repeat("A", 32))
	f.Add(strings.Repeat("_", 32))
	f.Add(strings.Repeat("A", 31) + "\n")
	f.Fuzz(func(t *testing.T, after string) {
		c, ok, err := core.Query{After: after}.Cursor()
		switch {
		case after == "" && (ok || err != nil), after != "" && ok != (err == nil):
			t.Fatalf("Cursor of %q = %t, %v", after, ok, err)
		case err != nil && !errors.Is(err, core.ErrCursor):
			t.Fatalf("Cursor of %q: %v is no ErrCursor", after, err)
		case ok && c.String() != after:
			t.Fatalf("Cursor of %q is written as %q: two texts for one place", after, c)
		case ok && (c.Time.Year() < 1 || c.Time.Year() > 9999 || c.Time.Location() != time.UTC):
			t.Fatalf("Cursor of %q is at %s, where no event is", after, c.Time)
		}
	})
}
