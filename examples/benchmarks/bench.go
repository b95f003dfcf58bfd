package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"time"
)

// The figures that are measured. Of all but Rate less is better.
const (
	Rate    = "events/s"
	P50     = "p50 ms"
	P99     = "p99 ms"
	Nanos   = "ns"
	Bytes   = "B"
	Allocs  = "allocs"
	Millis  = "ms"
	Seconds = "s"
	MB      = "MB"
)

// Sample is what one measurement saw, by figure.
type Sample map[string]float64

// Subject is one part of the table.
type Subject struct {
	Name, Title string
	// Cases prepares the lines. A missing error becomes a line that says why there
	// is nothing to see.
	Cases func(ctx context.Context, l *lab) ([]Case, error)
}

// Case is one line of the table: ours and what stands beside it.
type Case struct {
	Name    string
	Figures []string // in the order of the table; the first is drawn
	Sides   []Side   // ours first
	Wants   []Want
}

// Side is one way to do the work of a Case.
type Side struct {
	Name string
	// Measure works for about d.
	Measure func(ctx context.Context, d time.Duration) (Sample, error)
	// Missing says why it cannot be measured here.
	Missing string
	// Aside keeps it out of the picture: what is no rival.
	Aside bool
}

// Want is what a figure of ours has to reach, as a ratio to that of the side
// Beside, absolutely without one.
type Want struct {
	Figure  string
	Beside  string  `json:",omitempty"`
	AtLeast float64 `json:",omitempty"`
	AtMost  float64 `json:",omitempty"`
	// LimitedBy names a side that shows how far the ground allows to go, as a ratio
	// to LimitBeside, which defaults to Beside.
	LimitedBy   string `json:",omitempty"`
	LimitBeside string `json:",omitempty"`
	// Reason says why it is missed, where it is.
	Reason string `json:",omitempty"`
}

// missing is an error that says why something cannot be measured on this machine.
type missing string

func (m missing) Error() string { return string(m) }

// measure runs all cases of a subject.
func (s Subject) measure(ctx context.Context, l *lab) (SubjectResult, error) {
	r := SubjectResult{Name: s.Name, Title: s.Title, Machine: machine(), Measured: time.Now().UTC().Truncate(time.Second), Each: l.time.String(), Rounds: l.rounds}
	done := l.scope()
	cases, err := s.Cases(ctx, l)
	var why missing
	if errors.As(err, &why) {
		r.Missing = why.Error()
		return r, done()
	}
	for i := 0; i < len(cases) && err == nil; i++ {
		var c CaseResult
		c, err = cases[i].measure(ctx, l.rounds, l.time)
		r.Cases = append(r.Cases, c)
	}
	return r, errors.Join(err, done())
}

// measure lets the sides take turns, every other round in the opposite order, so that
// what changes on the machine meanwhile meets all of them. A first round is not counted.
func (c Case) measure(ctx context.Context, rounds int, d time.Duration) (CaseResult, error) {
	samples := make([][]Sample, len(c.Sides))
	for round := -1; round < rounds; round++ {
		for i := range c.Sides {
			if round%2 != 0 {
				i = len(c.Sides) - 1 - i
			}
			side, time := c.Sides[i], d
			if side.Missing != "" {
				continue
			}
			if round < 0 {
				time = d / 4
			}
			runtime.GC()
			sample, err := side.Measure(ctx, time)
			if err == nil {
				err = ctx.Err()
			}
			if err != nil {
				return CaseResult{}, fmt.Errorf("%s, %s: %w", c.Name, side.Name, err)
			}
			if round >= 0 {
				samples[i] = append(samples[i], sample)
			}
		}
	}
	return c.result(samples), nil
}

// result sums up what the rounds saw.
func (c Case) result(samples [][]Sample) CaseResult {
	r := CaseResult{Name: c.Name, Figures: c.Figures}
	for i, side := range c.Sides {
		s := SideResult{Name: side.Name, Missing: side.Missing, Aside: side.Aside}
		if side.Missing == "" {
			s.Seen = map[string]Spread{}
			for _, figure := range c.Figures {
				if _, ok := samples[i][0][figure]; !ok {
					continue // nobody waits for it
				}
				s.Seen[figure] = spread(samples[i], func(round int) float64 { return samples[i][round][figure] })
			}
			s.Ratio = ratio(samples[0], samples[i], c.Figures[0])
		}
		r.Sides = append(r.Sides, s)
	}
	for _, want := range c.Wants {
		r.Wants = append(r.Wants, c.holds(want, samples))
	}
	return r
}

// holds sums up what became of want.
func (c Case) holds(want Want, samples [][]Sample) WantResult {
	w := WantResult{Want: want}
	named := func(name string) int {
		return slices.IndexFunc(c.Sides, func(s Side) bool { return s.Name == name })
	}
	seen := func(of []Sample, beside string) Spread {
		if beside == "" {
			return spread(of, func(round int) float64 { return of[round][want.Figure] })
		}
		return ratio(of, samples[named(beside)], want.Figure)
	}
	if want.Beside != "" && len(samples[named(want.Beside)]) == 0 {
		w.Missing = c.Sides[named(want.Beside)].Missing
		return w
	}
	w.Seen = seen(samples[0], want.Beside)
	w.Met = w.Seen.Median >= want.AtLeast && (want.AtMost == 0 || w.Seen.Median <= want.AtMost)
	if i := named(want.LimitedBy); i >= 0 && len(samples[i]) > 0 {
		limit := seen(samples[i], cmp.Or(want.LimitBeside, want.Beside))
		w.Limit = &limit
	}
	return w
}

// ratio is ours over theirs, of the same round each.
func ratio(ours, theirs []Sample, figure string) Spread {
	return spread(ours, func(round int) float64 { return ours[round][figure] / theirs[round][figure] })
}

func spread(samples []Sample, value func(round int) float64) Spread {
	values := make([]float64, len(samples))
	for round := range samples {
		values[round] = value(round)
	}
	slices.Sort(values)
	n := len(values)
	return Spread{Median: (values[(n-1)/2] + values[n/2]) / 2, Low: values[0], High: values[n-1]}
}
