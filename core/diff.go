package core

import "github.com/auditing-go/auditing/core/internal/values"

// Diff returns what changed from before to after as the fields of an audit: for each name
// whose value is another one {"old": …, "new": …}, without the side that is absent.
//
//	rec.Audit(ctx, "customer.update", core.Diff(before, after), core.On("customer", after.ID))
//
// Both are structs, maps or pointers to them, or nil, and are compared as [Event.Normalize]
// makes them, so that a field's json tag names it and "-" leaves it out. Anything else is
// compared whole, under the name "value", and so is what stands in a field. If before is a
// pointer to what the change changes, copy what it points to first.
func Diff(before, after any) Fields {
	old, now := comparable(before), comparable(after)
	changed := Fields{}
	for name, v := range old {
		if n, ok := now[name]; !ok || !values.Equal(v, n) {
			change := map[string]any{"old": v}
			if ok {
				change["new"] = n
			}
			changed[name] = change
		}
	}
	for name, v := range now {
		if _, ok := old[name]; !ok {
			changed[name] = map[string]any{"new": v}
		}
	}
	return changed
}

// comparable is one side of a Diff.
func comparable(v any) map[string]any {
	switch v := values.Normal(v).(type) {
	case nil:
		return nil
	case map[string]any:
		return v
	default:
		return map[string]any{"value": v}
	}
}
