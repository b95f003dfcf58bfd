package scoped_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/nethttpaudit/auditpage/internal/scoped"
)

var start = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)

// pick is one of the few values, so that conditions often meet.
func pick[T any](rnd *rand.Rand, of ...T) T { return of[rnd.IntN(len(of))] }

// someEvents are events whose values a query of someQuery often asks for.
func someEvents(rnd *rand.Rand, n int) []core.Event {
	events := make([]core.Event, n)
	for i := range events {
		e := core.Event{
			ID: uuid.UUID{byte(rnd.IntN(256)), byte(i >> 8), byte(i), 1}, Time: start.Add(time.Duration(rnd.IntN(10)) * time.Hour),
			Tag: pick(rnd, "refund", "login", core.TagRead), User: pick(rnd, "", "alice", "bob"), Target: pick(rnd, "", "order/1", "order/2"),
			Tenant: pick(rnd, "t1", "t2"), Outcome: pick(rnd, "", core.OutcomeSuccess, core.OutcomeDenied),
			Request: pick(rnd, nil, &core.Request{IP: pick(rnd, "192.0.2.1", "192.0.2.2"), ID: pick(rnd, "", "r1")}),
			Fields:  core.Fields{"amount": pick[any](rnd, nil, 1, 2.5, "1"), "note": pick[any](rnd, nil, "x")},
		}
		if e.Tag == core.TagRead {
			e.Fields["query"] = someQuery(rnd).Normalize().Describe()
		}
		events[i] = e.Normalize(core.DefaultMaxEventBytes)
	}
	return events
}

func someQuery(rnd *rand.Rand) core.Query {
	var q core.Query
	for range rnd.IntN(3) {
		switch rnd.IntN(10) {
		case 9:
			q.NotTags = []string{pick(rnd, "refund", "login", core.TagRead)}
		case 0:
			q.Tag = pick(rnd, "refund", "login", core.TagRead)
		case 1:
			q.User = pick(rnd, "alice", "bob")
		case 2:
			q.Anonymous = true
		case 3:
			q.Target = pick(rnd, "order/1", "order/2")
		case 4:
			q.Tenant = pick(rnd, "t1", "t2")
		case 5:
			q.From = start.Add(time.Duration(rnd.IntN(10)) * time.Hour)
		case 6:
			q.To = start.Add(time.Duration(rnd.IntN(10)) * time.Hour)
		case 7:
			q.Fields = core.Fields{pick(rnd, "amount", "note"): pick[any](rnd, nil, 1, 2.5, "1", "x")}
		case 8:
			q.IP = pick(rnd, "192.0.2.1", "192.0.2.2")
		}
	}
	return q
}

// store is a core.Reader of events.
type store []core.Event

func (s store) Read(_ context.Context, q core.Query) (core.Page, error) { return q.Page(s) }

func ids(events []core.Event) (ids []uuid.UUID) {
	for _, e := range events {
		ids = append(ids, e.ID)
	}
	return ids
}

// walk reads all pages of what read gives.
func walk(t *testing.T, q core.Query, read func(core.Query) (core.Page, error)) (all []core.Event) {
	t.Helper()
	for range 10_000 {
		page, err := read(q)
		if err != nil {
			t.Fatal(err)
		}
		if len(page.Events) > q.Limit {
			t.Fatalf("a page of %d events where %d were asked for", len(page.Events), q.Limit)
		}
		all = append(all, page.Events...)
		if q.After = page.Next; q.After == "" {
			return all
		}
	}
	t.Fatal("the pages do not end")
	return nil
}

// TestAnd: what both of two queries match is what And of them matches.
func TestAnd(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	events := someEvents(rnd, 100)
	conflicts := 0
	for range 1500 {
		a, b := someQuery(rnd), someQuery(rnd)
		if rnd.IntN(20) == 0 {
			a.ID, b.ID = pick(rnd, events...).ID, pick(rnd, events...).ID
		}
		both, ok := scoped.And(a, b)
		if !ok {
			conflicts++
		}
		for _, e := range events {
			if got, want := ok && both.Match(e), a.Match(e) && b.Match(e); got != want {
				t.Fatalf("%+v and %+v: of %+v it is %v, want %v", a, b, e, got, want)
			}
		}
	}
	if conflicts < 100 {
		t.Errorf("only %d of the queries were in conflict", conflicts)
	}
}

// TestReader: walking the pages gives what may be seen, each event once and in order.
func TestReader(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	for range 300 {
		events := someEvents(rnd, rnd.IntN(150))
		r := scoped.Reader{From: store(events), Scope: someQuery(rnd), Looks: rnd.IntN(2) == 0}
		if rnd.IntN(2) == 0 {
			r.Hide = func(tag, field string) bool { return tag == "refund" && field == "amount" }
		}
		q := someQuery(rnd)
		q.Limit = 1 + rnd.IntN(20)
		got := walk(t, q, func(q core.Query) (core.Page, error) { return r.Read(t.Context(), q) })

		bounded := r.Bounded()
		var want []core.Event
		for _, e := range events {
			_, byAmount := q.Fields["amount"]
			look := e.Tag == core.TagRead
			switch {
			case !q.Match(e), !r.Scope.Match(e), look && !r.Looks && q.Tag == "",
				r.Hide != nil && byAmount && e.Tag == "refund":
				continue
			case look && bounded:
				continue // looked at below
			}
			want = append(want, e)
		}
		slices.SortFunc(want, core.Event.Compare)
		seen := slices.DeleteFunc(slices.Clone(got), func(e core.Event) bool { return bounded && e.Tag == core.TagRead })
		if fmt.Sprint(ids(seen)) != fmt.Sprint(ids(want)) {
			t.Fatalf("%+v in %+v gives %d events, want %d", q, r.Scope, len(seen), len(want))
		}
		for _, e := range got {
			if _, there := e.Fields["amount"]; there && r.Hide != nil && e.Tag == "refund" {
				t.Fatalf("a hidden field is shown: %+v", e)
			}
		}
	}
}

// TestLooks: who is bounded sees of others' looks only those that were bounded as well.
func TestLooks(t *testing.T) {
	look := func(q core.Query) core.Event {
		return core.Event{ID: uuid.New(), Tag: core.TagRead, Tenant: "t1", Time: start, Fields: core.Fields{"query": q.Describe(), "first": "an id"}}
	}
	scope := core.Query{Tenant: "t1", Fields: core.Fields{"shop": 7}}
	events := store{
		look(core.Query{}),
		look(core.Query{Tenant: "t1"}),
		look(core.Query{Tenant: "t2", Fields: core.Fields{"shop": 7}}),
		look(core.Query{Tenant: "t1", Fields: core.Fields{"shop": 8}}),
		look(core.Query{Tenant: "t1", Fields: core.Fields{"shop": 7}}),
		look(core.Query{Tenant: "t1", User: "alice", Fields: core.Fields{"shop": 7.0}}),
	}
	for i := range events {
		events[i].Fields["shop"] = 7
		events[i] = events[i].Normalize(core.DefaultMaxEventBytes)
	}
	got, err := scoped.Reader{From: events, Scope: scope, Looks: true}.Read(t.Context(), core.Query{})
	if err != nil || len(got.Events) != 2 {
		t.Errorf("%d looks are seen (%v): %+v, want 2", len(got.Events), err, got.Events)
	}
	got, err = scoped.Reader{From: events, Looks: true}.Read(t.Context(), core.Query{})
	if err != nil || len(got.Events) != len(events) {
		t.Errorf("who may see all sees %d looks (%v)", len(got.Events), err)
	}
}

// TestHideDeep: a hidden name is hidden wherever it stands, and the stored event stays whole.
func TestHideDeep(t *testing.T) {
	e := core.Event{ID: uuid.New(), Tag: "hr", Time: start, Fields: core.Fields{
		"salary": 1, "change": map[string]any{"salary": 2, "name": "a"}, "list": []any{map[string]any{"salary": 3, "x": 4}},
	}}.Normalize(core.DefaultMaxEventBytes)
	look := core.Event{ID: uuid.New(), Tag: core.TagRead, Time: start, Fields: core.Fields{
		"query": core.Query{Fields: core.Fields{"salary": 1}}.Describe(),
	}}.Normalize(core.DefaultMaxEventBytes)
	hide := func(tag, field string) bool { return tag == "hr" && field == "salary" }
	r := scoped.Reader{From: store{e, look}, Hide: hide, Looks: true}
	got, err := r.Read(t.Context(), core.Query{})
	if err != nil || len(got.Events) != 2 {
		t.Fatalf("%+v, %v", got, err)
	}
	for _, e := range got.Events {
		want := "map[change:map[name:a] list:[map[x:4]]]"
		if e.Tag == core.TagRead {
			want = "map[query:map[]]"
		}
		if s := fmt.Sprint(map[string]any(e.Fields)); s != want {
			t.Errorf("the fields are %s, want %s", s, want)
		}
	}
	if e.Fields["salary"] == nil || look.Fields["query"].(map[string]any)["fields"] == nil {
		t.Error("what is stored has changed")
	}
}

// TestAny: walking the pages of several queries gives what any of them matches.
func TestAny(t *testing.T) {
	rnd := rand.New(rand.NewPCG(5, 6))
	for range 300 {
		events := someEvents(rnd, rnd.IntN(200))
		base := someQuery(rnd)
		base.Limit = 1 + rnd.IntN(20)
		values := []any{1, "1", 2.5, "x"}[:1+rnd.IntN(4)]
		// One that leaves much out gives pages that are not full.
		reader := scoped.Reader{From: store(events), Hide: func(tag, field string) bool { return tag == "login" }}
		got := walk(t, base, func(q core.Query) (core.Page, error) {
			var queries []core.Query
			for _, v := range values {
				q := q
				q.Fields = core.Fields{"amount": v}
				queries = append(queries, q)
			}
			return scoped.Any(t.Context(), reader, queries)
		})
		var want []core.Event
		for _, e := range events {
			for _, v := range values {
				q := base
				q.Fields = core.Fields{"amount": v}
				if q.Match(e) && e.Tag != "login" && (e.Tag != core.TagRead || q.Tag == core.TagRead) {
					want = append(want, e)
				}
			}
		}
		slices.SortFunc(want, core.Event.Compare)
		if fmt.Sprint(ids(got)) != fmt.Sprint(ids(want)) {
			t.Fatalf("%+v with the values %v gives %d events, want %d", base, values, len(got), len(want))
		}
	}
}

// ending is a store whose reads end with their context, but the first.
type ending struct {
	store
	cancel context.CancelFunc
	reads  int
}

func (s *ending) Read(ctx context.Context, q core.Query) (core.Page, error) {
	if s.reads++; s.reads == 2 {
		s.cancel()
		return core.Page{}, ctx.Err()
	}
	return s.store.Read(ctx, q)
}

// TestReaderEnds: what was found when the time is over is a page that goes on.
func TestReaderEnds(t *testing.T) {
	events := someEvents(rand.New(rand.NewPCG(7, 8)), 100)
	ctx, cancel := context.WithCancel(t.Context())
	s := &ending{store: events, cancel: cancel}
	r := scoped.Reader{From: s, Hide: func(tag, field string) bool { return tag == "login" }}
	q := core.Query{Limit: 10, Fields: core.Fields{"note": "x"}}
	whole := q
	page, err := r.Read(ctx, q)
	if err != nil || page.Next == "" || len(page.Events) == 0 || len(page.Events) >= 10 {
		t.Fatalf("%d events, next %q, %v", len(page.Events), page.Next, err)
	}
	q.After = page.Next
	rest := walk(t, q, func(q core.Query) (core.Page, error) { return r.Read(t.Context(), q) })
	all := walk(t, whole, func(q core.Query) (core.Page, error) { return r.Read(t.Context(), q) })
	if len(page.Events)+len(rest) != len(all) {
		t.Errorf("%d and %d events of %d", len(page.Events), len(rest), len(all))
	}
}
