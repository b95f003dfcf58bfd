package core

import "strings"

// isReserved reports whether a tag is one for events of the library's own.
func isReserved(tag string) bool {
	const prefix = "audit"
	return len(tag) > len(prefix) && (tag[len(prefix)] == '.' || tag[len(prefix)] == '_') && strings.EqualFold(tag[:len(prefix)], prefix)
}

func (r *Recorder) warnReserved(tag string) {
	if tag, first := r.reserved.add(tag); first {
		r.logger().Warn("auditing: tags that begin with audit. or audit_ are the library's: use another, so that its own events cannot be confused with this one", "tag", tag)
	}
}
