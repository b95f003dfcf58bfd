package storetest

import (
	"fmt"

	"github.com/auditing-go/auditing/core"
)

func sameID(p *place) {
	other := p.another()
	once := event(0, "twice", core.Fields{"n": 0, "list": []any{1, "a"}})
	batch := []core.Event{once, event(1, "twice", core.Fields{"n": 1}), once, once, event(2, "once", core.Fields{"n": 2})}
	want := []core.Event{batch[0], batch[1], batch[4]}
	again := func(how string, h *place, events ...core.Event) {
		p.Helper()
		if err := h.trySave(p.Context(), cloneAll(events)); err != nil {
			p.broken(ruleOnce, "%s: %v", how, err)
		}
		p.holdsAll(want)
		other.holdsAll(want)
	}
	firsts := cloneAll(batch)
	for i := range firsts {
		firsts[i].First = true
	}
	again("the same event three times in one batch", p, firsts...)
	again("the same batch once more", p, batch...)
	again("one event of it alone", p, once)
	again("one event of it through a second handle", other, once)
	again("the batch through a second handle", other, batch...)

	// Neighbours that are new come with those that are stored already.
	large := eventsOf(1000, "large")
	want = append(want, large[:500]...)
	again("half of a batch", p, large[:500]...)
	want = append(want, large[500:]...)
	again("all of the batch", p, large...)
	want = append(want, event(3, "new_tag", core.Fields{"new_field": 1}))
	again("old events with one of a new tag", other, append(large[:10:10], want[len(want)-1])...)
	for i, e := range want[:3] {
		again(fmt.Sprint("event ", i, " after all this"), p, e)
	}
	// Two events may agree in everything but their IDs.
	twin := event(0, "twice", once.Fields)
	want = append(want, twin)
	again("another event with the same time and fields", p, twin)
}

func sameIDAtOnce(p *place) {
	const goroutines = 8
	handles := []*place{p, p.another()}
	var want []core.Event
	for round := range 3 {
		// A tag and a field that are new in each round.
		events := eventsOf(50, fmt.Sprint("round_", round))
		for i := range events {
			events[i].Fields[fmt.Sprint("field_", round)] = int64(i)
		}
		together(goroutines, func(g int) {
			if err := handles[g%2].trySave(p.Context(), cloneAll(events)); err != nil {
				p.broken(ruleOnce, "the same batch from %d goroutines at once: %v", goroutines, err)
			}
		})
		want = append(want, events...)
		p.holdsAll(want)
	}
}
