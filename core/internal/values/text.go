package values

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// IsClean reports whether s is valid UTF-8 without NUL. It is asked for every text
// of every event, so it looks at eight bytes of ASCII at once.
func IsClean(s string) bool {
	if len(s) < 8 {
		for i := range len(s) {
			if s[i]-1 >= utf8.RuneSelf-1 { // NUL wraps around
				return isCleanUTF8(s[i:])
			}
		}
		return true
	}
	i := 0
	for ; i+8 <= len(s); i += 8 {
		if !isASCII8(s[i : i+8]) {
			return isCleanUTF8(s[i:])
		}
	}
	return isASCII8(s[len(s)-8:]) || isCleanUTF8(s[i:])
}

// isASCII8 reports whether b, which has eight bytes, is ASCII without NUL.
func isASCII8(b string) bool {
	const low, high = 0x0101010101010101, 0x8080808080808080
	w := uint64(b[0]) | uint64(b[1])<<8 | uint64(b[2])<<16 | uint64(b[3])<<24 |
		uint64(b[4])<<32 | uint64(b[5])<<40 | uint64(b[6])<<48 | uint64(b[7])<<56
	return (w|(w-low))&high == 0
}

func isCleanUTF8(s string) bool {
	return strings.IndexByte(s, 0) < 0 && utf8.ValidString(s)
}

// Clean returns s with U+FFFD for NUL and for each byte that is not UTF-8.
func Clean(s string) string {
	if IsClean(s) {
		return s
	}
	clean, _ := cleanPrefix(s, utf8.UTFMax*len(s))
	return clean
}

// cleanPrefix returns as much of Clean(s) as fits into limit bytes, cut between
// runes, and whether that is all of it.
func cleanPrefix(s string, limit int) (prefix string, all bool) {
	if len(s) <= limit && IsClean(s) {
		return s, true
	}
	if len(s) > limit {
		k := limit
		for k > 0 && limit-k < utf8.UTFMax && !utf8.RuneStart(s[k]) {
			k--
		}
		if IsClean(s[:k]) {
			return s[:k], false
		}
	}
	var b strings.Builder
	b.Grow(min(len(s)+utf8.UTFMax, limit))
	for i := 0; i < len(s); {
		r, width := utf8.DecodeRuneInString(s[i:])
		if r == 0 {
			r = utf8.RuneError
		}
		if b.Len()+utf8.RuneLen(r) > limit {
			return b.String(), false
		}
		b.WriteRune(r)
		i += width
	}
	return b.String(), true
}

// Cut returns Clean(s), cut and marked when it is longer than limit. The
// mark is within the limit.
func Cut(s string, limit int) string {
	prefix, all := cleanPrefix(s, limit)
	if all {
		return prefix
	}
	return marked(prefix, cutMark(len(s), false), limit)
}

// cutMark ends whatever was cut. bytes is how large it was, or only how much of it
// was seen when more says so.
func cutMark(bytes int, more bool) string {
	mark := "…(cut from "
	if more {
		mark += "more than "
	}
	return mark + strconv.Itoa(bytes) + " bytes)"
}

// marked shortens a clean text so that mark fits behind it within limit.
func marked(text, mark string, limit int) string {
	text, _ = cleanPrefix(text, max(limit-len(mark), 0))
	mark, _ = cleanPrefix(mark, max(limit, 0))
	return text + mark
}
