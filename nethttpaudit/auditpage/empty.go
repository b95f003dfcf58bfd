package auditpage

import (
	"context"
	"strings"
	"time"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/nethttpaudit/auditpage/internal/scoped"
)

// reasons says why nothing was found, as far as the viewer may know.
func (p *page) reasons(ctx context.Context, v viewer, a *ask) (reasons []string) {
	q := a.query
	if q.After != "" {
		return []string{"There is nothing older."}
	}
	if _, ok := scoped.And(q, v.reader.Scope); !ok {
		return []string{"What is asked for lies outside of what you may see, or no event can have all of it at once."}
	}
	newest := func(q core.Query) time.Time {
		q.Limit = 1
		got, err := v.reader.Read(ctx, q)
		if err != nil || len(got.Events) == 0 {
			return time.Time{}
		}
		return got.Events[0].Time
	}
	last := newest(core.Query{})
	if last.IsZero() {
		return []string{"No event that you may see is kept yet."}
	}
	windowed := !q.From.IsZero() || !q.To.IsZero()
	if windowed && newest(core.Query{From: q.From, To: q.To}).IsZero() {
		reasons = append(reasons, "Nothing at all that you may see was audited in this time.")
		if !q.From.IsZero() && last.Before(q.From) {
			reasons = append(reasons, "The newest event is of "+a.at(last)+".")
		} else if before := newest(core.Query{To: q.From}); !q.From.IsZero() && !before.IsZero() {
			reasons = append(reasons, "The newest event before that is of "+a.at(before)+".")
		} else {
			reasons = append(reasons, "No event before that is kept.")
		}
		return reasons
	}
	if windowed {
		reasons = append(reasons, "There are events in this time, but none with all of the other conditions at once.")
	} else {
		reasons = append(reasons, "There are events, the newest of "+a.at(last)+", but none with all of these conditions at once.")
	}
	reasons = append(reasons, "Texts are compared whole, and upper and lower case differ.")
	if q.Target != "" && !strings.Contains(q.Target, "/") {
		reasons = append(reasons, "A resource is its kind, a slash and its id, such as order/42.")
	}
	if len(a.fields) > 0 {
		reasons = append(reasons, "A value is looked for as a text, a number, true or false and a time, not inside of lists and objects.")
		if v.reader.Hide != nil {
			reasons = append(reasons, "Fields that are hidden here are not searched.")
		}
	}
	return reasons
}
