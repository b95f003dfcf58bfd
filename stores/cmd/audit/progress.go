package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/auditing-go/auditing/core"
)

// progress shows how a reader is read, newest first, on a terminal.
type progress struct {
	core.Reader
	w      io.Writer // nil when nobody looks
	from   time.Time // about when the oldest event is
	to     time.Time
	start  time.Time
	shown  time.Time
	events int
}

// showEvery is how often what is shown changes.
const showEvery = 500 * time.Millisecond

func (a *app) progress(ctx context.Context, r *reading, q core.Query) *progress {
	p := &progress{Reader: r, from: q.From, to: q.To, start: time.Now()}
	if isTerminal(a.stderr) {
		p.w = a.stderr
		if len(q.Fields) == 0 { // else each look may take long
			p.from = oldest(ctx, r, q)
		}
	}
	return p
}

// Read implements [core.Reader].
func (p *progress) Read(ctx context.Context, q core.Query) (core.Page, error) {
	page, err := p.Reader.Read(ctx, q)
	if q.After == "" {
		p.events = 0 // a format may read twice
	}
	p.events += len(page.Events)
	if n := len(page.Events); p.w != nil && n > 0 && time.Since(p.shown) > showEvery {
		p.shown = time.Now()
		fmt.Fprintf(p.w, "\r\033[K%s", p.line(time.Since(p.start), page.Events[n-1].Time))
	}
	return page, err
}

// line says how far it is after so long, when the last event that was read is of at.
func (p *progress) line(took time.Duration, at time.Time) string {
	line := fmt.Sprintf("%d events, %.0f a second, at %s", p.events, float64(p.events)/took.Seconds(), at.Format(time.DateTime))
	if done, all := p.to.Sub(at), p.to.Sub(p.from); !p.from.IsZero() && done > 0 && all >= done {
		left := time.Duration(float64(took) * float64(all-done) / float64(done))
		line += ", about " + left.Round(time.Second).String() + " left"
	}
	return line
}

func (p *progress) end() {
	if p.w != nil && !p.shown.IsZero() {
		fmt.Fprint(p.w, "\r\033[K")
	}
}

// oldest is about the time of the oldest event of q: few looks at the trail tell, each for
// one event. It is zero when there is none, or it cannot be told.
func oldest(ctx context.Context, r core.Reader, q core.Query) time.Time {
	low, high, end := time.Unix(0, 0).UTC(), q.To, q.To
	if !q.From.IsZero() {
		low = q.From
	}
	q.Limit = 1
	for found := false; high.Sub(low) > end.Sub(high)/20+time.Second; {
		q.To = low.Add(high.Sub(low) / 2)
		page, err := r.Read(ctx, q)
		switch {
		case err != nil:
			return time.Time{}
		case len(page.Events) > 0:
			high, found = page.Events[0].Time, true
		default:
			low = q.To
		}
		if !found && high.Sub(low) < time.Minute {
			break
		}
	}
	return high
}
