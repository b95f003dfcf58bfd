package values

import (
	"encoding/base64"
	"math"
	"slices"
	"strings"
)

// cutField counts the fields that an event was too large for.
const cutField = "audit_cut"

const (
	maxNameBytes = 1 << 10
	// minCutBytes is the least that a cut value weighs: room for its mark and a few words.
	minCutBytes = TextBytes + minTextBytes
	// cutFieldBytes is room for cutField, a suffix to its name included.
	cutFieldBytes = entryBytes + len(cutField) + 16 + numberBytes
)

// Fields returns the normalised fields in a map of their own, and what they
// weigh. It aims at no more than limit. protect may be nil.
func Fields(in map[string]any, limit int, protect Protect) (map[string]any, int) {
	if len(in) > max(limit, 0)/(entryBytes+boolBytes) {
		return cutFields(in, limit, protect)
	}
	n := normalizer{limit: limit, steps: stepsFor(limit), protect: protect}
	out := make(map[string]any, len(in))
	var rest []entry
	for name, v := range in {
		if !IsClean(name) {
			rest = append(rest, newEntry(name, v))
			continue
		}
		if v = n.named(name, n.value(v, 1)); v != nil {
			n.charge(entryBytes + len(name))
			out[name] = v
		}
		if n.stopped {
			return cutFields(in, limit, protect)
		}
	}
	if rest != nil {
		n.entries(out, rest, 0)
		if n.stopped {
			return cutFields(in, limit, protect)
		}
	}
	return out, n.size
}

// stepsFor is how many values may be looked at for a result of so many bytes. It
// is more than can be kept: values that come to nothing count, too.
func stepsFor(bytes int) int { return max(bytes, 0)/8 + 1<<12 }

// cutter fits fields into budget bytes. It takes them one by one, in the order of
// their names, and keeps no more than about twice the budget in memory.
type cutter struct {
	budget int
	fields []cutFieldValue
	// fixed is what the names weigh, least what the values do at the least, total
	// what they do now.
	fixed, least, total int
	dropped             int64
	// share is what no value can exceed any more.
	share int
}

type cutFieldValue struct {
	name  string
	value any
	// size is what the value weighs now, least what is left of it at the least.
	size, least int
	// cut says that the beginning in text takes the value's place, with a mark that
	// it was whole bytes large, or more.
	cut   bool
	text  string
	whole int
	more  bool
}

// cutFields is Fields for fields that are too large.
func cutFields(in map[string]any, limit int, protect Protect) (map[string]any, int) {
	list, counted := sortedFields(in, limit)
	c := cutter{budget: limit}
	if counted > 0 {
		c.budget -= cutFieldBytes
	}
	c.share = c.room()
	out := make(map[string]any)
	var u names
	for i, e := range list {
		n := normalizer{limit: c.share, steps: stepsFor(c.share), ordered: true, protect: protect}
		v := n.value(e.value, 1)
		if kept, changed := n.protected(e.name, v); changed {
			n = normalizer{limit: c.share, steps: stepsFor(c.share), ordered: true}
			v = n.value(kept, 1)
		}
		if v == nil && !n.stopped {
			continue
		}
		name := u.unique(out, e.name)
		if !c.add(&n, name, v) {
			c.drop(len(list)-i, counted > 0)
			break
		}
		out[name] = nil
	}
	c.fit()
	clear(out)
	size := 0
	for i := range c.fields {
		f := &c.fields[i]
		if f.cut {
			text := marked(f.text, cutMark(f.whole, f.more), c.share-TextBytes)
			f.value, f.size = text, TextBytes+len(text)
		}
		out[f.name] = f.value
		size += entryBytes + len(f.name) + f.size
	}
	if counted > math.MaxInt64-c.dropped {
		counted = math.MaxInt64 - c.dropped
	}
	if counted += c.dropped; counted > 0 {
		name := (&names{}).unique(out, cutField)
		out[name] = counted
		size += entryBytes + len(name) + numberBytes
	}
	return out, size
}

// sortedFields returns the fields that are not nil in the order of their names, cut
// if they alone would exceed budget, and what an earlier cut has counted.
func sortedFields(in map[string]any, budget int) (list []entry, counted int64) {
	list = make([]entry, 0, len(in))
	weight, long := 0, false
	for name, v := range in {
		if v == nil {
			continue
		}
		if count, ok := v.(int64); ok && name == cutField && count > 0 {
			counted = count
			continue
		}
		e := newEntry(name, v)
		weight += entryBytes + len(e.name) + minCutBytes
		long = long || len(e.name) > maxNameBytes
		list = append(list, e)
	}
	if long && weight > budget {
		for i := range list {
			if len(list[i].name) > maxNameBytes {
				list[i].name = Cut(list[i].name, maxNameBytes-16) // a suffix fits behind it
			}
		}
	}
	slices.SortFunc(list, compareEntries)
	return list, counted
}

// room is what the values may weigh together.
func (c *cutter) room() int { return c.budget - c.fixed }

// add takes one more field, whose value n has normalised, unless not even the
// least of all values would fit then.
func (c *cutter) add(n *normalizer, name string, v any) bool {
	f := cutFieldValue{name: name, value: v, size: n.size, least: min(n.size, minCutBytes)}
	if n.stopped {
		if n.limit < minCutBytes {
			return false
		}
		f.begin(n)
	}
	fixed := c.fixed + entryBytes + len(name)
	least := c.least + f.least
	if fixed+least > c.budget {
		return false
	}
	c.fixed, c.least, c.total = fixed, least, c.total+f.size
	c.fields = append(c.fields, f)
	if c.total > 2*c.room() {
		c.fit()
	}
	c.share = min(c.share, c.room())
	return true
}

// drop gives up the last fields of the list, those that were not added and as many
// of the others as it takes to have room for their count, unless there is already.
func (c *cutter) drop(notAdded int, counted bool) {
	c.dropped = int64(notAdded)
	if !counted {
		c.budget -= cutFieldBytes
	}
	for len(c.fields) > 0 && c.fixed+c.least > c.budget {
		last := c.fields[len(c.fields)-1]
		c.fields = c.fields[:len(c.fields)-1]
		c.fixed -= entryBytes + len(last.name)
		c.least -= last.least
		c.total -= last.size
		c.dropped++
	}
}

// begin makes f the beginning of a value that n has not walked to its end.
func (f *cutFieldValue) begin(n *normalizer) {
	f.cut = true
	switch v := f.value.(type) {
	case string:
		f.text, f.whole = v, n.whole
	case nil:
		f.whole, f.more = n.size, true
	default:
		f.text, f.whole, f.more = string(Append(nil, v)), n.size, true
	}
	f.shorten(n.limit)
}

// shorten leaves of f what fits into size bytes.
func (f *cutFieldValue) shorten(size int) {
	if !f.cut {
		f.cut, f.whole = true, f.size
		switch v := f.value.(type) {
		case string:
			f.text, f.whole = v, len(v)
		case []byte:
			f.text, f.whole = base64.StdEncoding.EncodeToString(v[:min(len(v), size/4*3)]), len(v)
		default:
			f.text = string(Append(nil, v))
		}
	}
	f.value = nil
	prefix, all := cleanPrefix(f.text, max(size-TextBytes, 0))
	if !all {
		f.text = strings.Clone(prefix)
	}
	f.size = min(size, TextBytes+len(f.text)+len(cutMark(f.whole, f.more)))
}

// fit lowers the share so that the values together weigh no more than there is
// room, and cuts those that exceed it: the largest are cut first, and to one length.
func (c *cutter) fit() {
	if c.total <= c.room() {
		return
	}
	sizes := make([]int, len(c.fields))
	for i, f := range c.fields {
		sizes[i] = f.size
	}
	slices.Sort(sizes)
	room := c.room()
	share := 0
	for i, size := range sizes {
		share = room / (len(sizes) - i)
		if size > share {
			break
		}
		room -= size
	}
	c.share = min(c.share, share)
	c.total = 0
	for i := range c.fields {
		f := &c.fields[i]
		if f.size > c.share {
			f.shorten(c.share)
		}
		c.total += f.size
	}
}
