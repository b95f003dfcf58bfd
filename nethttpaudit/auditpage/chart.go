package auditpage

import (
	"slices"
	"time"

	"github.com/auditing-go/auditing/core"
)

// chart is how many events there were on each day.
type chart struct {
	Bars          []bar
	Width, Height int
	First, Last   string
	Most          int
	// Incomplete says that only the newest so many were counted, so that the first day lacks some.
	Incomplete int
}

// bar is one day.
type bar struct {
	X, Y, Width, Height int
	Day                 string
	Count               int
	Href                string
	Partial             bool
}

const (
	chartDays   = 31
	chartHeight = 64
	barStep     = 20
	barWidth    = 16
)

// chart counts the events of the first page, by the days of the zone asked for.
func (a *ask) chart(got core.Page) *chart {
	c := &chart{Height: chartHeight}
	counts := map[string]int{}
	for _, e := range got.Events {
		day := e.Time.In(a.zone).Format(time.DateOnly)
		counts[day]++
	}
	oldest := got.Events[len(got.Events)-1].Time.In(a.zone).Format(time.DateOnly)
	year, month, day := got.Events[0].Time.In(a.zone).Date()
	for n := range chartDays {
		date := time.Date(year, month, day-n, 0, 0, 0, 0, time.UTC)
		name := date.Format(time.DateOnly)
		b := bar{Day: name, Count: counts[name], Width: barWidth, Href: a.href("from", name, "before", date.AddDate(0, 0, 1).Format(time.DateOnly), "view", "")}
		b.Partial = name == oldest && got.Next != ""
		c.Bars = append(c.Bars, b)
		c.Most = max(c.Most, b.Count)
		if name <= oldest {
			break
		}
	}
	slices.Reverse(c.Bars)
	for i := range c.Bars {
		b := &c.Bars[i]
		b.X, b.Height = i*barStep, (b.Count*chartHeight+c.Most-1)/c.Most
		b.Y = chartHeight - b.Height
	}
	c.Width = len(c.Bars) * barStep
	c.First, c.Last = c.Bars[0].Day, c.Bars[len(c.Bars)-1].Day
	if got.Next != "" {
		c.Incomplete = len(got.Events)
	}
	return c
}
