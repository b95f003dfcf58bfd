package core

import "strings"

// TagRead is the tag of events that say who looked at the trail, as what shows it to people
// audits. They are always [Durable].
const TagRead = "audit.read"

// isReserved reports whether a tag is one that only the library itself uses.
func isReserved(tag string) bool {
	const prefix = "audit"
	return tag != TagRead && len(tag) > len(prefix) && (tag[len(prefix)] == '.' || tag[len(prefix)] == '_') && strings.EqualFold(tag[:len(prefix)], prefix)
}

func (r *Recorder) warnReserved(tag string) {
	if tag, first := r.reserved.add(tag); first {
		r.logger().Warn("auditing: tags that begin with audit. or audit_ are the library's: use another, so that its own events cannot be confused with this one", "tag", tag)
	}
}
