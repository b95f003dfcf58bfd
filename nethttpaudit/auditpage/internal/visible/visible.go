// Package visible finds in a text what a reader would not see: characters that have no
// shape or no width, that turn the direction of what follows, or that pile up.
package visible

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Part is a stretch of a text as it is, or the name of a character that cannot be seen.
type Part struct {
	Text string
	Mark string // such as U+202E; then Text is ""
	// Times is how often the character stands there in a row.
	Times int
	// Break says that it ends a line.
	Break bool
}

// Parts returns the first limit characters of s, and whether there are more; 0 is all.
func Parts(s string, limit int) (parts []Part, cut bool) {
	s, cut = first(s, limit)
	// Blanks are seen between other characters only.
	end := len(strings.TrimRight(s, " "))
	begin := len(s) - len(strings.TrimLeft(s, " "))
	plain, accents := 0, 0 // where the stretch began, how many stand on one letter
	for i, r := range s {
		if unicode.Is(unicode.M, r) {
			accents++
		} else {
			accents = 0
		}
		atEdge := r == ' ' && (i < begin || i >= end)
		if !hides(r) && accents <= maxAccents && !atEdge {
			continue
		}
		if plain < i {
			parts = append(parts, Part{Text: s[plain:i]})
		}
		if n := len(parts); n > 0 && parts[n-1].Mark == name(r) {
			parts[n-1].Times++
		} else {
			parts = append(parts, Part{Mark: name(r), Times: 1, Break: r == '\n'})
		}
		_, size := utf8.DecodeRuneInString(s[i:])
		plain = i + size
	}
	if plain < len(s) {
		parts = append(parts, Part{Text: s[plain:]})
	}
	return parts, cut
}

// maxAccents is how many accents a letter may have, in any language that is written.
const maxAccents = 3

func first(s string, limit int) (string, bool) {
	if limit > 0 && len(s) > limit {
		for i := range s {
			if limit == 0 {
				return s[:i], true
			}
			limit--
		}
	}
	return s, false
}

// hides reports whether r cannot be seen.
func hides(r rune) bool {
	const brailleBlank = '\u2800'
	switch {
	case r == ' ', r > ' ' && r < utf8.RuneSelf-1:
		return false
	case !unicode.IsGraphic(r), r == brailleBlank:
		return true
	}
	return unicode.In(r, unicode.Zs, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector)
}

func name(r rune) string {
	switch r {
	case '\n':
		return `\n`
	case '\r':
		return `\r`
	case '\t':
		return `\t`
	}
	return fmt.Sprintf("U+%04X", r)
}
