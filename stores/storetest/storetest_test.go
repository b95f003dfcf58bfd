package storetest_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/auditing-go/auditing/core"
)

// keeping is a fault that changes what is kept of each event.
func keeping(change func(*core.Event)) hooks {
	return hooks{keep: func(e core.Event) core.Event {
		e = copied(e)
		change(&e)
		return e
	}}
}

// asking is a fault that changes what is asked for.
func asking(change func(*core.Query)) hooks {
	return hooks{query: func(q core.Query) core.Query {
		change(&q)
		return q
	}}
}

func eachField(e *core.Event, change func(any) any) {
	for name, value := range e.Fields {
		e.Fields[name] = change(value)
	}
}

// faults are stores that each break one promise: the case that must notice it,
// and words of the promise that it must name.
var faults = map[string]struct {
	hooks
	in, promise string
}{
	"loses the last event of a large batch": {hooks{save: func(p *place, ctx context.Context, events []core.Event) error {
		return p.save(ctx, events[:min(len(events), 9_999)], copied)
	}}, "batch sizes", "only when every event of the batch is durable"},
	"loses all but the first tag": {hooks{save: func(p *place, ctx context.Context, events []core.Event) error {
		for i, e := range events {
			if e.Tag != events[0].Tag {
				return p.save(ctx, events[:i], copied)
			}
		}
		return p.save(ctx, events, copied)
	}}, "many tags", "only when every event of the batch is durable"},
	"keeps the events": {hooks{keep: func(e core.Event) core.Event { return e }}, "nothing kept", "keeps neither the slice nor the events"},
	"stores a duplicate twice": {hooks{save: func(p *place, ctx context.Context, events []core.Event) error {
		clear(p.ids)
		return p.save(ctx, events, copied)
	}}, "same id", "an event's ID is stored once"},
	"believes that a first event comes once": {hooks{save: func(p *place, ctx context.Context, events []core.Event) error {
		for _, e := range events {
			if e.First {
				delete(p.ids, e.ID)
			}
			_ = p.save(ctx, []core.Event{e}, copied)
		}
		return nil
	}}, "same id", "an event's ID is stored once"},
	"stores a duplicate in one batch twice": {hooks{save: func(p *place, ctx context.Context, events []core.Event) error {
		var fresh []core.Event
		for _, e := range events {
			if !p.ids[e.ID] {
				fresh = append(fresh, e)
			}
		}
		for _, e := range fresh {
			delete(p.ids, e.ID)
			_ = p.save(ctx, []core.Event{e}, copied)
		}
		return nil
	}}, "same id", "an event's ID is stored once"},
	"refuses a duplicate": {hooks{save: func(p *place, ctx context.Context, events []core.Event) error {
		for i, e := range events {
			if p.ids[e.ID] {
				return &core.BatchError{Failures: []core.Failure{{Index: i, Err: core.ErrClosed}}}
			}
		}
		return p.save(ctx, events, copied)
	}}, "same id", "one that is stored already is a success"},
	"drops the neighbours of a duplicate": {hooks{save: func(p *place, ctx context.Context, events []core.Event) error {
		for _, e := range events {
			if p.ids[e.ID] {
				return nil
			}
		}
		return p.save(ctx, events, copied)
	}}, "same id", "only when every event of the batch is durable"},
	"takes equal times for duplicates": {hooks{save: func(p *place, ctx context.Context, events []core.Event) error {
		for _, e := range events {
			found := false
			for _, old := range p.events {
				found = found || old.Time.Equal(e.Time) && old.Tag == e.Tag
			}
			if !found {
				_ = p.save(ctx, []core.Event{e}, copied)
			}
		}
		return nil
	}}, "same id", "only when every event of the batch is durable"},
	"hides its events from a second handle": {hooks{noSecond: true}, "same id", "only when every event of the batch is durable"},
	"refuses an empty name": {hooks{save: func(p *place, ctx context.Context, events []core.Event) error {
		for _, e := range events {
			if _, ok := e.Fields[""]; ok {
				return core.ErrClosed
			}
		}
		return p.save(ctx, events, copied)
	}}, "field names", "every normalised event can be stored"},
	"changes the caller's fields": {hooks{save: func(p *place, ctx context.Context, events []core.Event) error {
		err := p.save(ctx, events, copied)
		for _, e := range events {
			e.Fields["stored"] = true
		}
		return err
	}}, "batch sizes", "Save does not change the events"},
	"keeps a cancelled event and denies it": {hooks{save: func(p *place, ctx context.Context, events []core.Event) error {
		err := p.save(context.WithoutCancel(ctx), events, copied)
		if ctx.Err() != nil {
			return core.FailAll(len(events), core.Failure{Err: ctx.Err(), Retry: true})
		}
		return err
	}}, "cancelled context", "is certainly not stored"},
	"acknowledges a cancelled event and loses it": {hooks{save: func(p *place, ctx context.Context, events []core.Event) error {
		if ctx.Err() != nil {
			return nil
		}
		return p.save(ctx, events, copied)
	}}, "cancelled context", "only when every event of the batch is durable"},
	"names too few of the failed events": {hooks{save: func(p *place, ctx context.Context, events []core.Event) error {
		if ctx.Err() != nil {
			return core.FailAll(1, core.Failure{Err: ctx.Err(), Retry: true})
		}
		return p.save(ctx, events, copied)
	}}, "cancelled context", "names each event that is not known to be stored"},
	"names events that are not in the batch": {hooks{save: func(p *place, ctx context.Context, events []core.Event) error {
		if ctx.Err() != nil {
			return core.FailAll(len(events)+1, core.Failure{Err: ctx.Err(), Retry: true})
		}
		return p.save(ctx, events, copied)
	}}, "cancelled context", "names each event that is not known to be stored"},
	"refuses for want of time": {hooks{save: func(p *place, ctx context.Context, events []core.Event) error {
		if ctx.Err() != nil {
			return core.FailAll(len(events), core.Failure{Err: ctx.Err()})
		}
		return p.save(ctx, events, copied)
	}}, "cancelled context", "refused only for its own content"},
	"refuses when it is away": {hooks{save: func(p *place, ctx context.Context, events []core.Event) error {
		if p.away {
			return core.FailAll(len(events), core.Failure{Err: core.ErrClosed})
		}
		return p.save(ctx, events, copied)
	}}, "outage/away", "refused only for its own content"},
	"acknowledges while it is away": {hooks{save: func(p *place, ctx context.Context, events []core.Event) error {
		if p.away {
			return nil
		}
		return p.save(ctx, events, copied)
	}}, "outage/away", "only when every event of the batch is durable"},

	"keeps numbers as doubles": {keeping(func(e *core.Event) {
		eachField(e, func(v any) any {
			if n, ok := v.(int64); ok {
				return float64(n)
			}
			return v
		})
	}), "values", "each with its kind"},
	"keeps bytes as text": {keeping(func(e *core.Event) {
		eachField(e, func(v any) any {
			if b, ok := v.([]byte); ok {
				return string(b)
			}
			return v
		})
	}), "values", "each with its kind"},
	"keeps an empty text as nothing": {keeping(func(e *core.Event) {
		for name, v := range e.Fields {
			if v == "" {
				delete(e.Fields, name)
			}
		}
	}), "values", "each with its kind"},
	"keeps milliseconds":         {keeping(func(e *core.Event) { e.Time = e.Time.Truncate(time.Millisecond) }), "tags", "nothing that was not saved"},
	"keeps tags in lower case":   {keeping(func(e *core.Event) { e.Tag = strings.ToLower(e.Tag) }), "tags", "each with its kind"},
	"keeps the first 250 fields": {keeping(func(e *core.Event) { delete(e.Fields, "field_1999") }), "many fields", "each with its kind"},
	"keeps no request as an empty one": {keeping(func(e *core.Event) {
		if e.Request == nil {
			e.Request = &core.Request{}
		}
	}), "requests", "each with its kind"},
	"keeps the first kind of a field": {keeping(func(e *core.Event) {
		if v, ok := e.Fields["f_0_1"].(int64); ok {
			e.Fields["f_0_1"] = v != 0
		}
	}), "changing types", "each with its kind"},

	"takes To for the last time":          {asking(func(q *core.Query) { q.To = q.To.Add(time.Microsecond) }), "queries", "exactly the events that match"},
	"takes every user":                    {asking(func(q *core.Query) { q.User = "" }), "queries", "exactly the events that match"},
	"takes every tag for one not there":   {asking(func(q *core.Query) { q.Tag = strings.TrimPrefix(q.Tag, "no such tag") }), "tags", "exactly the events that match"},
	"takes a field with any value":        {asking(func(q *core.Query) { q.Fields = nil }), "queries", "exactly the events that match"},
	"takes nil for no condition":          {asking(func(q *core.Query) { q.Fields = withoutNil(q.Fields) }), "queries by field", "exactly the events that match"},
	"takes a malformed cursor for none":   {asking(func(q *core.Query) { q.After = wellFormed(q.After) }), "malformed cursors", "not the Next of a page makes Read fail"},
	"takes every limit for the largest":   {asking(func(q *core.Query) { q.Limit = core.MaxLimit }), "paging", "at most Limit events"},
	"starts the next page at the next µs": {hooks{answer: nextBy(func(c *core.Cursor) { c.ID = [16]byte{} })}, "paging", "exactly the events that match"},
	"starts the next page with the last":  {hooks{answer: nextBy(func(c *core.Cursor) { c.ID[15]++ })}, "paging", "each event exactly once"},
	"lists a tag twice":                   {hooks{list: func(tags []string) []string { return tags }}, "list of tags", "sorted and each once"},
	"lists not all tags":                  {hooks{list: func(tags []string) []string { return slices.Compact(tags)[:max(0, len(tags)/2-1)] }}, "list of tags", "the tags of what can be read"},
	"never ends": {hooks{answer: func(q core.Query, p core.Page) core.Page {
		if p.Next = q.After; len(p.Events) > 0 {
			last := p.Events[len(p.Events)-1]
			p.Next = core.Cursor{Time: last.Time, ID: last.ID}.String()
		}
		return p
	}}, "many tags", "comes to an end"},
	"gives the oldest first": {hooks{answer: func(_ core.Query, p core.Page) core.Page {
		for i, j := 0, len(p.Events)-1; i < j; i, j = i+1, j-1 {
			p.Events[i], p.Events[j] = p.Events[j], p.Events[i]
		}
		return p
	}}, "queries", "newest first"},
	"gives local times": {hooks{answer: func(_ core.Query, p core.Page) core.Page {
		for i := range p.Events {
			p.Events[i].Time = p.Events[i].Time.In(time.FixedZone("", 3600))
		}
		return p
	}}, "queries", "each with its kind"},
	"gives an absent field as nil": {hooks{answer: func(_ core.Query, p core.Page) core.Page {
		for i := range p.Events {
			if p.Events[i].Fields == nil {
				p.Events[i].Fields = core.Fields{}
			}
			p.Events[i].Fields["absent"] = nil
		}
		return p
	}}, "queries", "reads back as absent, not as nil"},

	"does not say that it is closed": {hooks{closed: errAway}, "closing", "a closed store says so"},
	"works on after Close":           {hooks{close: func(bool) (bool, error) { return true, nil }}, "closing", "a closed store says so"},
	"closes only once": {hooks{close: func(closedBefore bool) (bool, error) {
		if closedBefore {
			return false, core.ErrClosed
		}
		return false, nil
	}}, "closing", "Close may be called more than once"},
}

func withoutNil(fields core.Fields) core.Fields {
	some := core.Fields{}
	for name, value := range fields {
		if value != nil {
			some[name] = value
		}
	}
	return some
}

func wellFormed(after string) string {
	if _, _, err := (core.Query{After: after}).Cursor(); err != nil {
		return ""
	}
	return after
}

// nextBy moves the place at which the next page starts.
func nextBy(move func(*core.Cursor)) func(core.Query, core.Page) core.Page {
	return func(_ core.Query, p core.Page) core.Page {
		if c, ok, err := (core.Query{After: p.Next}).Cursor(); ok && err == nil {
			move(&c)
			p.Next = c.String()
		}
		return p
	}
}

// TestFaults runs the suite on each fault in a process of its own, which has to fail.
func TestFaults(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd := exec.CommandContext(t.Context(), exe, "-test.run=^TestFault$/^"+strings.ReplaceAll(fault.in, " ", "_")+"$")
			cmd.Env = append(os.Environ(), "STORETEST_FAULT="+name)
			out, err := cmd.CombinedOutput()
			if err == nil || !bytes.Contains(out, []byte("--- FAIL: TestFault/")) || !bytes.Contains(out, []byte(fault.promise)) {
				t.Errorf("the suite on a store that %s: %v; want the case %q to fail and to name %q\n%.4000s", name, err, fault.in, fault.promise, out)
			}
		})
	}
}

func TestFault(t *testing.T) {
	fault, ok := faults[os.Getenv("STORETEST_FAULT")]
	if !ok {
		t.Skip("run by TestFaults")
	}
	runShelf(t, fault.hooks)
}
