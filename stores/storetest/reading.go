package storetest

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/auditing-go/auditing/core"
)

// sample is a small trail of several tags, users and times, some of them equal.
func sample() []core.Event {
	var events []core.Event
	users := []string{"alice", "bob", "Alice", "o'brien", "alice ", "al%", "a_ice"}
	for i := range 120 {
		e := event(0, []string{"refund", "login", "Refund"}[i%3], core.Fields{"n": i % 10, "big": i > 60})
		e.User = users[i%len(users)]
		e.Time = start.Add(time.Duration(i/4) * time.Microsecond)
		events = append(events, e)
	}
	return events
}

func matching(q core.Query, events []core.Event) []core.Event {
	var found []core.Event
	for _, e := range events {
		if q.Match(e) {
			found = append(found, e)
		}
	}
	return found
}

// answers checks the queries against what Match makes of events.
func (p *place) answers(events []core.Event, queries ...core.Query) {
	p.Helper()
	for _, q := range queries {
		q.Limit = 50 // some answers take several pages
		p.holds(q, matching(q, events))
	}
}

func queries(p *place) {
	p.holdsAll(nil) // an empty place
	p.holds(core.Query{Tag: "refund", User: "alice", Fields: core.Fields{"n": 1}}, nil)
	events := append(sample(), event(3, core.TagRead, nil), event(11, core.TagRead, nil), event(500, core.TagRead, nil), event(12, "audit.other", nil))
	p.save(events...)
	at := func(us int) time.Time { return start.Add(time.Duration(us) * time.Microsecond) }
	p.answers(events,
		core.Query{},
		core.Query{Tag: "refund"},
		core.Query{Tag: "Refund"},
		core.Query{Tag: "REFUND"},
		core.Query{Tag: "nothing"},
		core.Query{NotTags: []string{"refund"}},
		core.Query{NotTags: []string{"nothing", "login", "Refund"}, User: "alice"},
		core.Query{NotTags: []string{"refund"}, Tag: "refund"},
		core.Query{NotTags: []string{core.TagRead}},
		core.Query{NotTags: []string{core.TagRead, "login", "audit.other"}, From: at(2)},
		core.Query{User: "alice"},
		core.Query{User: "Alice"},
		core.Query{User: "alice "},
		core.Query{User: "al%"},
		core.Query{User: "a_ice"},
		core.Query{User: "o'brien"},
		core.Query{User: "nobody"},
		core.Query{Tag: "login", User: "bob"},
		core.Query{From: at(10)},
		core.Query{To: at(10)},
		core.Query{From: at(10), To: at(11)},
		core.Query{From: at(10), To: at(10)},
		core.Query{From: at(12), To: at(10)},
		core.Query{From: at(10).Add(1)}, // a nanosecond later than the events
		core.Query{To: at(10).Add(1)},
		core.Query{From: at(10).In(time.FixedZone("", 5*3600))},
		core.Query{From: time.Date(-5000, 1, 1, 0, 0, 0, 0, time.UTC), To: time.Date(50_000, 1, 1, 0, 0, 0, 0, time.UTC)},
		core.Query{From: time.Date(50_000, 1, 1, 0, 0, 0, 0, time.UTC)},
		core.Query{To: time.Date(-5000, 1, 1, 0, 0, 0, 0, time.UTC)},
		core.Query{Tag: "refund", User: "alice", From: at(2), To: at(25), Fields: core.Fields{"big": false}},
		core.Query{Fields: core.Fields{"n": 3}},
		core.Query{Tag: "login", Fields: core.Fields{"n": 3, "big": true}},
	)
	for _, limit := range []int{0, -1, 1, 100, math.MaxInt} {
		p.holds(core.Query{Limit: limit, Tag: "login"}, matching(core.Query{Tag: "login"}, events))
	}
}

func fieldQueries(p *place) {
	moment := time.Date(2026, 5, 6, 7, 8, 9, 10_000, time.UTC)
	sets := []core.Fields{
		{"v": true}, {"v": 1}, {"v": 1.0}, {"v": 1.5}, {"v": "1"}, {"v": "true"}, {"v": "True"}, {"v": ""}, {"v": nil}, {},
		{"v": moment}, {"v": moment.Format(time.RFC3339Nano)}, {"v": []byte("1")}, {"v": []byte{}}, {"v": []any{}}, {"v": []any{1}},
		{"v": []any{1, 2}}, {"v": map[string]any{}}, {"v": map[string]any{"a": 1}}, {"v": map[string]any{"a": 1, "b": "x"}}, {"v": map[string]any{"a": nil}},
		{"v": math.NaN()}, {"v": math.Inf(1)}, {"v": uint64(math.MaxUint64)}, {"v": int64(math.MaxInt64)}, {"v": float64(1 << 63)},
		{"v": int64(1<<53 + 1)}, {"v": float64(1 << 53)}, {"v": strings.Repeat("long ", 5000)}, {"v": "it's \\ \"quoted\" %_"},
		{"V": 1}, {"order": 7, "my-col": "x", "a.b": 1}, {"order": 8, "my-col": "y", "user": "bob", "username": "bob", "id": 5, "audit_id": 5},
		{"v": 1, "w": "x"}, {"v": 1, "w": "y"}, {"w": "x"},
	}
	var events []core.Event
	for i, fields := range sets {
		events = append(events, event(2*i, "one", fields), event(2*i+1, "two", fields))
	}
	// Both orders, so that whichever kind a column was made for it was not the first of each.
	p.save(matching(core.Query{Tag: "one"}, events)...)
	backwards := matching(core.Query{Tag: "two"}, events)
	slices.Reverse(backwards)
	p.save(backwards...)
	for _, fields := range append(sets,
		core.Fields{"v": int8(1)}, core.Fields{"v": float32(1.5)}, core.Fields{"v": uint64(1)}, core.Fields{"v": moment.In(time.FixedZone("", 3600))},
		core.Fields{"v": 2}, core.Fields{"v": "nothing"}, core.Fields{"nothing": 1}, core.Fields{"nothing": nil}, core.Fields{"v": nil, "w": nil},
		core.Fields{"v": nil, "w": "x"}, core.Fields{"v": 1, "w": nil}, core.Fields{"a": 1}, core.Fields{"my_col": "x"}, core.Fields{`v" = 1 OR "v`: 1},
	) {
		p.answers(events, core.Query{Fields: fields}, core.Query{Tag: "two", Fields: fields})
	}
}

// oddlyNamed asks for values of every kind in fields whose names can be no column's.
func oddlyNamed(p *place) {
	values := []any{
		true, false, 0, 7, -7, 7.0, 7.5, 0.1, 1e300, math.MaxFloat64, math.SmallestNonzeroFloat64, int64(1<<53 + 1), float64(1 << 53),
		int64(math.MaxInt64), int64(math.MinInt64), uint64(math.MaxUint64), math.NaN(), math.Inf(-1), "7", "true", "", "null", "a b", `it's "\`, "é\u2028", "a/b",
		"\ufffd", "%_", start, []byte("7"), []byte{}, []any{}, []any{7}, map[string]any{}, map[string]any{"a": 7}, map[string]any{"$time": "x"}, nil,
	}
	names := []string{"my-field", "a.b", "$", "$time", `q"uoted`, `back\slash`, "é", "a b", "'", "[0]", strings.Repeat("long", 100)}
	var events []core.Event
	for i, v := range values {
		for j, name := range names {
			events = append(events, event(i*len(names)+j, "odd", core.Fields{name: v, "n": i}))
		}
	}
	p.save(events...)
	for _, name := range names {
		for _, v := range append(values, 8, "nothing", 7.25, start.Add(time.Second)) {
			p.answers(events, core.Query{Tag: "odd", Fields: core.Fields{name: v}})
		}
		p.answers(events, core.Query{Fields: core.Fields{name: 7, "n": 3}}, core.Query{Fields: core.Fields{name: nil, "n": 3}})
	}
}

// scattered has far more tags than a page has events, some busy and most not.
func scattered(p *place) {
	var events []core.Event
	for i := range 400 {
		tag := fmt.Sprint("tag", i%(p.suite.tags/2))
		if i%3 == 0 {
			tag = "busy"
		}
		// One name, of another kind in each tag.
		mixed := oneOfEach[i%(p.suite.tags/2)%len(oneOfEach)]
		e := event(0, tag, core.Fields{"n": i % 7, "odd-name": i % 5, "mixed": mixed})
		e.User = []string{"alice", "bob"}[i%2]
		e.Time = start.Add(time.Duration(i*i%397/2) * time.Minute)
		events = append(events, e)
	}
	p.save(events...)
	for _, q := range []core.Query{
		{}, {User: "bob"}, {From: start.Add(50 * time.Minute)}, {To: start.Add(50 * time.Minute)}, {Fields: core.Fields{"n": 3}}, {Fields: core.Fields{"odd-name": 2}},
		{User: "alice", From: start.Add(20 * time.Minute), Fields: core.Fields{"n": 1}}, {Tag: "busy"}, {User: "nobody"},
	} {
		for _, limit := range []int{3, 20, 1000} {
			q.Limit = limit
			p.holds(q, matching(q, events))
		}
	}
}

// listOfTags has tags of which several share a place, and some with a place of their own.
func listOfTags(p *place) {
	lister, ok := p.store.(core.TagLister)
	if !ok {
		p.Skipf("%T is no core.TagLister", p.store)
	}
	holds := func(want []string) {
		p.Helper()
		p.flush()
		tags, err := lister.Tags(p.Context())
		if err != nil || !slices.Equal(tags, want) {
			p.broken(ruleTags, "Tags gives %.1000q, %v; want %.1000q", tags, err, want)
			p.FailNow()
		}
	}
	holds(nil)
	tags := []string{"refund", "Refund", "user.login", "user_login", "it's", `"quoted"`, "-", "é", strings.Repeat("long", 50), "audit.read"}
	for i := range p.suite.tags {
		tags = append(tags, fmt.Sprint("tag", i))
	}
	var events []core.Event
	for i, tag := range append(tags, tags...) {
		events = append(events, event(i, tag, core.Fields{"n": i}))
	}
	p.save(events...)
	slices.Sort(tags)
	holds(tags)
}

func paging(p *place) {
	events := sample()
	p.save(events...)
	for _, q := range []core.Query{{}, {Tag: "refund"}, {User: "bob"}, {Fields: core.Fields{"big": true}}, {From: start.Add(3 * time.Microsecond)}} {
		want := matching(q, events)
		for _, limit := range []int{5, len(want) - 1, len(want), len(want) + 1} {
			q.Limit = limit
			p.holds(q, want)
		}
	}
	for _, limit := range []int{1, 2, 3, 4} { // four events share each time
		p.holds(core.Query{Limit: limit, From: start.Add(23 * time.Microsecond)}, matching(core.Query{From: start.Add(23 * time.Microsecond)}, events))
	}
	// A page that ends the trail says so.
	if page := p.page(core.Query{Limit: 121}); page.Next != "" {
		p.broken(ruleNext, "a page with all %d events still has the Next %q", len(page.Events), page.Next)
	}
	// A cursor is good for another limit and through another handle.
	first := p.page(core.Query{Limit: 50})
	if len(first.Events) != 50 || first.Next == "" {
		p.broken(ruleNext, "the first page of 50 holds %d events of 120 and has the Next %q", len(first.Events), first.Next)
		p.FailNow()
	}
	p.another().same("what comes behind the first page", ruleNext, p.read(core.Query{Limit: 9, After: first.Next}), newestFirst(events)[50:])
}

func arrivals(p *place) {
	events := sample()
	p.save(events...)
	p.flush()
	seen := map[uuid.UUID]int{}
	late := map[uuid.UUID]bool{}
	q := core.Query{Limit: 10}
	for number := 0; ; number++ {
		page := p.page(q)
		for _, e := range page.Events {
			seen[e.ID]++
		}
		if page.Next == "" || number > 100 {
			break
		}
		q.After = page.Next
		// New events before, among and behind those that are being read.
		var more []core.Event
		if number < 5 {
			for i := range 9 {
				e := event(0, []string{"refund", fmt.Sprint("late_", number)}[i%2], core.Fields{"late": i})
				e.Time = start.Add(time.Duration(i*5-5) * time.Microsecond)
				late[e.ID] = true
				more = append(more, e)
			}
			p.save(more...)
		}
	}
	for _, e := range events {
		if seen[e.ID] != 1 {
			p.broken(ruleLate, "%s was there before the first page and came %d times", describe(e), seen[e.ID])
			p.FailNow()
		}
	}
	for id, times := range seen {
		if late[id] && times > 1 {
			p.broken(ruleLate, "an event that arrived late came %d times", times)
		}
	}
}

func malformedCursors(p *place) {
	p.save(sample()...)
	p.flush()
	next := p.page(core.Query{Limit: 1}).Next
	for _, after := range []string{
		"x", " ", "0", "-1", "null", "{}", "'; DROP TABLE refund; --", "\x00", "\xff", strings.Repeat("A", 10_000), next + "A", next[:len(next)/2], " " + next,
		next + "\n", "2026-01-02T03:04:05Z", uuid.NewString(),
	} {
		for _, q := range []core.Query{{After: after}, {After: after, Tag: "refund"}, {After: after, Tag: "nothing"}} {
			if page, err := p.reader.Read(p.Context(), q); !errors.Is(err, core.ErrCursor) {
				p.broken(ruleCursor, "Read of %s gave %d events and the error %v", describeQuery(q), len(page.Events), err)
			}
		}
	}
}
