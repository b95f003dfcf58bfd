package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/auditing-go/auditing/core"
)

func batchSizes(p *place) {
	for _, none := range [][]core.Event{nil, {}} {
		if err := p.trySave(p.Context(), none); err != nil {
			p.broken(ruleDurable, "Save of no events: %v", err)
		}
	}
	var all []core.Event
	for _, size := range []int{1, 2, 1000, 10_000} {
		events := eventsOf(size, fmt.Sprint("batch_of_", size))
		p.save(events...)
		if size <= 1000 {
			p.holds(core.Query{Tag: events[0].Tag}, events)
		}
		all = append(all, events...)
	}
	p.holdsAll(all)
}

func manyTags(p *place) {
	var all []core.Event
	for batch := range 2 {
		var events []core.Event
		for i := range p.suite.tags {
			events = append(events, event(batch*p.suite.tags+i, fmt.Sprint("tag_", i), core.Fields{"n": i, fmt.Sprint("batch_", batch): true}))
		}
		p.save(events...)
		all = append(all, events...)
	}
	p.holdsAll(all)
	for _, i := range []int{0, p.suite.tags / 2, p.suite.tags - 1} {
		p.holds(core.Query{Tag: fmt.Sprint("tag_", i)}, []core.Event{all[i], all[p.suite.tags+i]})
	}
}

func concurrentSaves(p *place) {
	const goroutines, rounds, size = 8, 4, 10
	handles := []*place{p, p.another()}
	var all []core.Event
	batches := make([][][]core.Event, goroutines)
	for g := range goroutines {
		for round := range rounds {
			var batch []core.Event
			for i := range size {
				// Two goroutines meet on each new tag, all of them on each new field of it.
				e := event(len(all)+i, fmt.Sprint("tag_", round, "_", (g+i)/2%4), core.Fields{
					"goroutine": g, fmt.Sprint("round_", round): i, fmt.Sprint("mixed_", round, "_", i): oneOfEach[g%len(oneOfEach)],
				})
				batch = append(batch, e)
			}
			batches[g] = append(batches[g], batch)
			all = append(all, batch...)
		}
	}
	together(goroutines, func(g int) {
		for round, batch := range batches[g] {
			if err := handles[g%2].trySave(p.Context(), batch); err != nil {
				p.broken(ruleConcurrent, "Save number %d of goroutine %d: %v", round, g, err)
			}
		}
	})
	p.holdsAll(all)
	handles[1].holdsAll(all)
}

// together runs f in n goroutines that start at once, and waits for them.
func together(n int, f func(i int)) {
	var ready, done sync.WaitGroup
	ready.Add(n)
	for i := range n {
		done.Go(func() {
			ready.Done()
			ready.Wait()
			f(i)
		})
	}
	done.Wait()
}

func nothingKept(p *place) {
	fields := func(i int) core.Fields {
		return core.Fields{"n": i, "bytes": []byte("kept"), "list": []any{"kept"}, "map": map[string]any{"kept": true}}
	}
	events := []core.Event{}
	for i := range 100 {
		e := event(i, fmt.Sprint("kept_", i%3), fields(i))
		e.Request = &core.Request{Path: "/kept"}
		events = append(events, e)
	}
	want := cloneAll(events)
	p.save(events...)
	for i, e := range events {
		copy(e.Fields["bytes"].([]byte), "lost")
		e.Fields["list"].([]any)[0] = "lost"
		e.Fields["map"].(map[string]any)["kept"] = false
		e.Fields["n"] = -1
		e.Fields["more"] = "lost"
		e.Request.Path = "/lost"
		events[i] = event(i, "lost", nil)
	}
	got := p.read(core.Query{Limit: core.MaxLimit})
	for i := range got {
		for _, w := range want {
			if w.ID == got[i].ID {
				if d := difference(w, got[i]); d != "" {
					p.broken(ruleNotKept, "the events were changed after Save returned, and now %s", d)
					return
				}
			}
		}
	}
	if len(got) != len(want) {
		p.broken(ruleNotKept, "the slice was changed after Save returned, and now %d events of %d are there", len(got), len(want))
	}
	p.holdsAll(want)
}

func cancelledContext(p *place) {
	var saved []core.Event
	attempt := func(name string, events []core.Event, cancelNow bool) {
		ctx, cancel := context.WithCancel(p.Context())
		defer cancel()
		if cancelNow {
			cancel()
		}
		result := make(chan error, 1)
		go func() { result <- p.trySave(ctx, events) }()
		cancel()
		select {
		case err := <-result:
			p.notRefused(name, err)
			p.checkOutcome(name, events, err)
		case <-time.After(patience):
			p.broken(ruleEnds, "%s: Save has not returned %s after its context ended", name, patience)
			p.FailNow()
		}
		if err := p.trySave(p.Context(), events); err != nil {
			p.broken(ruleAgain, "%s: saving again: %v", name, err)
		}
		saved = append(saved, events...)
		p.holdsAll(saved)
	}
	attempt("cancelled before", eventsOf(3, "before"), true)
	attempt("cancelled during a batch", eventsOf(2000, "during"), false)
	attempt("cancelled during a batch of many tags", func() (events []core.Event) {
		for i := range 20 {
			events = append(events, event(i, fmt.Sprint("during_", i%5), core.Fields{fmt.Sprint("field_", i): i}))
		}
		return events
	}(), false)
}

// checkOutcome holds what Save said against what is there.
func (p *place) checkOutcome(name string, events []core.Event, err error) {
	p.Helper()
	failed := map[int]core.Failure{}
	var batch *core.BatchError
	if errors.As(err, &batch) {
		for _, f := range batch.Failures {
			_, twice := failed[f.Index]
			if f.Index < 0 || f.Index >= len(events) || f.Err == nil || twice {
				p.broken(ruleNamed, "%s: of %d events, a failure names number %d (twice: %t) with the error %v", name, len(events), f.Index, twice, f.Err)
				return
			}
			failed[f.Index] = f
		}
	} else if err != nil {
		return // nothing is known
	}
	stored := map[uuid.UUID]bool{}
	for _, e := range p.read(core.Query{Limit: core.MaxLimit}) {
		stored[e.ID] = true
	}
	for i, e := range events {
		f, named := failed[i]
		switch {
		case !named && !stored[e.ID]:
			rule := ruleDurable
			if batch != nil {
				rule = ruleNamed
			}
			p.broken(rule, "%s: Save returned %v, but %s is not there", name, err, describe(e))
			return
		case named && !f.Unknown && stored[e.ID]:
			p.broken(ruleCertain, "%s: Save said that %s is not stored, but it is there: %v", name, describe(e), f.Err)
			return
		}
	}
}
