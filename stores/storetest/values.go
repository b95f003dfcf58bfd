package storetest

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/auditing-go/auditing/core"
)

// kinds are values of every kind, with the ends of their ranges.
var kinds = core.Fields{
	"bool true":       true,
	"bool false":      false,
	"int 0":           0,
	"int -1":          -1,
	"int min":         int64(math.MinInt64),
	"int max":         int64(math.MaxInt64),
	"int 2^53+1":      int64(1<<53 + 1),
	"uint max":        uint64(math.MaxUint64),
	"uint 2^63":       uint64(1 << 63),
	"float":           2.5,
	"float 0.1":       0.1,
	"float integral":  3.0,
	"float -0":        math.Copysign(0, -1),
	"float max":       math.MaxFloat64,
	"float min":       math.SmallestNonzeroFloat64,
	"float 2^63":      float64(1 << 63),
	"NaN":             math.NaN(),
	"+Inf":            math.Inf(1),
	"-Inf":            math.Inf(-1),
	"string empty":    "",
	"string":          "some data",
	"string blanks":   "  two before, a tab and a line after\t\r\n",
	"string quotes":   `'a' "b" \c \\d $1 ? %s {"e": [f]} 'g''h'`,
	"string escapes":  `\u0000 \ud800 \x00 \N \.`,
	"string NaN":      "NaN",
	"string null":     "null",
	"string number":   "42",
	"string time":     "2026-01-02T03:04:05Z",
	"string UTF-8":    "žluťoučký 漢字 👩🏽‍🚀 \u2028\u202e\ufeff\u0001\u007f\u0085",
	"string U+FFFD":   "a\ufffdb",
	"string no UTF-8": "a\xffb\x00c",
	"time":            start,
	"time year 1":     time.Date(1, 1, 1, 0, 0, 0, 1000, time.UTC),
	"time year 9999":  time.Date(9999, 12, 31, 23, 59, 59, 999999000, time.UTC),
	"time 1970":       time.Unix(0, 0),
	"time zoned":      time.Date(1969, 12, 31, 23, 59, 59, 999999000, time.FixedZone("", -7*3600-1800)),
	"time leap day":   time.Date(1900, 2, 28, 23, 59, 59, 1000, time.UTC),
	"bytes empty":     []byte{},
	"bytes":           []byte("\x00\xff\\x41'"),
	"list empty":      []any{},
	"list nil":        []any{nil},
	"map empty":       map[string]any{},
	"map marks": map[string]any{
		"$": 1, "$$": 2, "$time": "2026-01-02T03:04:05Z", "$bytes": "AAAA", "$float": "NaN", "": "no name", "a.b": "dot", "a\"b": "quote",
	},
	"map $time":  map[string]any{"$time": "2026-01-02T03:04:05Z"},
	"map $bytes": map[string]any{"$bytes": "AAAA"},
	"map $uint":  map[string]any{"$uint": "18446744073709551615"},
	"map $float": map[string]any{"$float": "NaN"},
	"map $nan":   map[string]any{"$nan": nil},
}

func values(p *place) {
	all := core.Fields{"nothing": nil}
	var list []any
	nested := map[string]any{}
	for name, value := range kinds {
		all[name] = value
		list = append(list, value)
		nested[name] = value
	}
	deep := any("bottom")
	for i := range 30 {
		if deep = []any{deep}; i%2 == 0 {
			deep = map[string]any{"down": deep}
		}
	}
	together := []core.Event{
		event(0, "values", all),
		event(1, "values", core.Fields{"list": list, "map": nested, "deep": deep}),
		event(2, "values", nil),
		event(3, "values", core.Fields{}),
		event(4, "large", core.Fields{"text": strings.Repeat("é", 500_000), "after": "it"}),
		event(5, "large", core.Fields{"bytes": make([]byte, 500_000), "list": make([]int, 50_000)}),
	}
	// The same names again, now that the place knows them, each alone.
	var alone []core.Event
	for name, value := range kinds {
		alone = append(alone, event(10+len(alone), "values", core.Fields{name: value}))
	}
	times := []core.Event{
		{Tag: "times", User: "alice", Time: time.Date(1, 1, 1, 0, 0, 0, 1000, time.UTC), Fields: core.Fields{"a": 1}},
		{Tag: "times", User: "alice", Time: time.Date(1969, 12, 31, 23, 59, 59, 999999000, time.UTC)},
		{Tag: "times", User: "alice", Time: time.Date(9999, 12, 31, 23, 59, 59, 999999000, time.UTC)},
		{Tag: "times", User: strings.Repeat("ü", 100)},
		{Tag: "times", User: "o'brien \"x\" \\ \n; --"},
	}
	for i := range times {
		times[i] = times[i].Normalize(0)
	}
	p.save(together...)
	p.save(alone...)
	p.save(times...)
	p.holdsAll(append(append(together, alone...), times...))
}

func requests(p *place) {
	long := strings.Repeat("/long", 2000)
	var events []core.Event
	for i, r := range []*core.Request{
		nil,
		{},
		{
			Path: "/some/path", Host: "example.com", IP: "203.0.113.9", Method: "POST", Peer: "10.0.0.1",
			Forwarded: "203.0.113.9, 10.0.0.2", UserAgent: "curl/8", ID: "7f3a",
		},
		{Path: "/a b/\x00/\xff/'; DROP TABLE requests; --", Host: "::1", IP: "fe80::1", Forwarded: "<script>, \"x\"", UserAgent: "\r\nforged: line"},
		{Path: long, Host: long, IP: long, Method: long, Peer: long, Forwarded: long, UserAgent: long, ID: long},
		{IP: "unknown"},
		{Path: "/only"},
		{Host: "only"},
		{UserAgent: "only"},
	} {
		e := event(i, "requests", core.Fields{"n": i})
		e.Request = r
		events = append(events, e.Normalize(0))
	}
	// First outside a request, so that what a request adds comes later.
	p.save(events[0])
	p.save(events...)
	p.holdsAll(events)
}

// oneOfEach has a value of every kind, and of numbers those that fit another
// kind's column only by losing something.
var oneOfEach = []any{
	true, 42, int64(1<<53 + 1), uint64(math.MaxUint64), 2.5, 3.0, math.NaN(), "42", "text",
	start, []byte("42"), []any{1, "2"}, map[string]any{"a": 1},
}

func changingTypes(p *place) {
	first, second := core.Fields{}, core.Fields{}
	for i, a := range oneOfEach {
		for j, b := range oneOfEach {
			name := fmt.Sprintf("f_%d_%d", i, j)
			first[name], second[name] = a, b
		}
	}
	var all []core.Event
	for i, tag := range []string{"one_batch", "two_batches"} {
		n := 10 * i
		events := []core.Event{event(n, tag, first), event(n+1, tag, second), event(n+2, tag, first), event(n+3, tag, second)}
		if tag == "one_batch" {
			p.save(events[:2]...)
			p.save(events[2:]...)
		} else {
			for _, e := range events {
				p.save(e)
			}
		}
		all = append(all, events...)
	}
	// Every kind in one field, one batch, in both orders.
	for i, v := range oneOfEach {
		all = append(all, event(100+i, "up", core.Fields{"v": v}), event(100+i, "down", core.Fields{"v": oneOfEach[len(oneOfEach)-1-i]}))
	}
	all = append(all, event(200, "up", core.Fields{"v": nil}), event(200, "down", core.Fields{"w": 1}))
	p.save(all[8:]...)
	p.holdsAll(all)
}

func manyFields(p *place) {
	fields, others := core.Fields{}, core.Fields{}
	for i := range 2000 {
		fields[fmt.Sprintf("field_%04d", i)] = i
		others[fmt.Sprintf("other_%04d", i)] = fmt.Sprint("text ", i)
	}
	events := []core.Event{
		event(0, "wide", core.Fields{"before": true}),
		event(1, "wide", fields),
		event(2, "wide", others),
		event(3, "wide", fields),
		event(4, "wide", core.Fields{"after": true}),
	}
	p.save(events[:2]...)
	p.save(events[2:]...)
	p.holdsAll(events)
}
