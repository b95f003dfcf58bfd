package auditpage

import (
	"context"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/nethttpaudit/auditpage/internal/scoped"
)

const (
	// pageRows is how many events a page shows.
	pageRows = 50
	// chartEvents is how many of the newest events the first page counts a day.
	chartEvents = 500
)

// list is a search and what it has found.
type list struct {
	// The form, as it was filled in.
	Given        url.Values
	From, Before string
	Fields       []pair
	Tags         []string
	More         bool // conditions are set that are folded away else

	Asked      bool // there are rows, or reasons why there are none
	Conditions []condition
	Zone       string
	Resource   string // whose timeline it is; "" is a list
	OtherView  string // the address of the timeline as a list, or the other way round
	Rows       []row
	Chart      *chart
	Empty      []string // why there are no rows
	// Unread says that not all could be read, Unfinished that there may be more rows before Older.
	Unread, Unfinished   bool
	Newest, Newer, Older string
}

// condition is one that is asked for, with the address of the same without it.
type condition struct {
	Label   string
	Value   value
	Without string
}

// Outcomes are those to choose from.
func (*list) Outcomes() []core.Outcome {
	return []core.Outcome{core.OutcomeSuccess, core.OutcomeDenied, core.OutcomeFailure}
}

// Formats are those of an export.
func (*list) Formats() []format { return formats }

// form is the list of a search that was not made.
func (p *page) form(ctx context.Context, v viewer, a *ask, found []core.Event) *list {
	l := &list{Given: a.given, Fields: a.fields, Zone: a.zone.String(), Tags: p.tags(ctx, v, found)}
	if !a.query.From.IsZero() {
		l.From = a.query.From.Format(inputTime)
	}
	if !a.query.To.IsZero() {
		l.Before = a.query.To.Format(inputTime)
	}
	if len(l.Fields) < maxFields {
		l.Fields = append(slices.Clone(l.Fields), pair{})
	}
	for _, param := range []string{"for", "reason", "tenant", "ip", "request", "anonymous", "looks", "field"} {
		l.More = l.More || a.given.Get(param) != ""
	}
	return l
}

// list reads what is asked for, and returns the events that it shows.
func (p *page) list(ctx context.Context, v viewer, a *ask) (*list, []core.Event, error) {
	limit := pageRows
	if a.query.After == "" && !a.timeline {
		limit = chartEvents
	}
	v.reader.Looks = a.looks
	got, err := scoped.Any(ctx, v.reader, a.queries(limit))
	if err != nil && len(got.Events) == 0 {
		return nil, nil, err
	}
	rows := got.Events[:min(len(got.Events), pageRows)]
	l := p.form(ctx, v, a, rows)
	l.Asked = true
	l.Conditions = a.conditions()
	if err != nil {
		p.rec.Logger().Error("auditing: auditpage: not all audits can be read", "error", err)
		l.Unread = true
	}
	for _, e := range rows {
		l.Rows = append(l.Rows, a.row(e, shortFields))
	}
	if a.timeline {
		l.Resource, l.OtherView = a.query.Target, a.href("view", "")
	} else if a.query.Target != "" {
		l.OtherView = a.href("view", "timeline")
	}
	if limit == chartEvents && len(rows) > 0 {
		l.Chart = a.chart(got)
	}
	if len(rows) == 0 {
		l.Empty = p.reasons(ctx, v, a)
	}
	a.turn(l, got, rows)
	return l, rows, nil
}

// turn sets the addresses of the pages beside this one.
func (a *ask) turn(l *list, got core.Page, rows []core.Event) {
	older := got.Next
	if len(rows) < len(got.Events) {
		older = scoped.After(rows[len(rows)-1])
	}
	if older != "" {
		back := a.back
		if a.query.After != "" {
			back = append(slices.Clone(back), a.query.After)
		}
		l.Older = a.href("after", older, "back", strings.Join(back[max(0, len(back)-maxBack):], "."))
		l.Unfinished = len(rows) < pageRows
	}
	if a.query.After == "" {
		return
	}
	l.Newest = a.href()
	l.Newer = l.Newest
	if n := len(a.back); n > 0 {
		l.Newer = a.href("after", a.back[n-1], "back", strings.Join(a.back[:n-1], "."))
	}
}

// conditions are those that are asked for.
func (a *ask) conditions() (all []condition) {
	for _, c := range conditions {
		if text := *c.of(&a.query); text != "" {
			all = append(all, condition{c.label, short(text), a.href(c.param, "")})
		}
	}
	if a.query.Anonymous {
		all = append(all, condition{"User", short("nobody"), a.href("anonymous", "")})
	}
	for i, f := range a.fields {
		all = append(all, condition{f.Name, short(f.Value), a.withoutField(i)})
	}
	if !a.query.From.IsZero() {
		all = append(all, condition{"From", short(a.at(a.query.From)), a.href("from", "")})
	}
	if !a.query.To.IsZero() {
		all = append(all, condition{"Before", short(a.at(a.query.To)), a.href("before", "")})
	}
	return all
}

// at is a time in the zone that was asked for.
func (a *ask) at(t time.Time) string { return t.In(a.zone).Format("2006-01-02 15:04:05 MST") }

// tags are those to choose from. To who may not see all events the tags of others say
// something already, so that these are only those that were found.
func (p *page) tags(ctx context.Context, v viewer, found []core.Event) (tags []string) {
	if !v.reader.Bounded() {
		if tags, _ := p.rec.Tags(ctx); len(tags) > 0 { // what is missing can be typed all the same
			return tags
		}
	}
	for _, e := range found {
		tags = append(tags, e.Tag)
	}
	slices.Sort(tags)
	return slices.Compact(tags)
}
