package values

import (
	"encoding/base64"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"
	"unicode/utf8"
)

// Parse is auditjson.Parse.
func Parse(data []byte) (any, error) { return NewParser(data).document() }

// NewParser returns a parser of what [Append] and [AppendObject] wrote.
func NewParser(data []byte) *Parser { return &Parser{data: string(data), marks: true} }

// Parser reads one JSON document. Its strings are parts of data, which is one
// allocation instead of one each.
type Parser struct {
	data string
	at   int
	// marks says that the document may hold what Append marked. Other JSON is
	// taken literally, and its integers beyond uint64 are texts.
	marks bool
}

func (p *Parser) document() (any, error) {
	v, err := p.Value(0)
	if err == nil {
		err = p.End()
	}
	if err != nil {
		return nil, err
	}
	return v, nil
}

// End makes sure that nothing but white space follows.
func (p *Parser) End() error {
	if p.Peek(); p.at < len(p.data) {
		return p.Fail("something follows the value")
	}
	return nil
}

// Fail returns an error that names where p stands.
func (p *Parser) Fail(reason string) error {
	return fmt.Errorf("auditing: invalid JSON at byte %d: %s", p.at, reason)
}

// Peek skips white space and returns the next byte, 0 at the end.
func (p *Parser) Peek() byte {
	for ; p.at < len(p.data); p.at++ {
		switch c := p.data[p.at]; c {
		case ' ', '\t', '\n', '\r':
		default:
			return c
		}
	}
	return 0
}

// accept skips c if it is next.
func (p *Parser) accept(c byte) bool {
	if p.Peek() != c {
		return false
	}
	p.at++
	return true
}

// Value reads a value that stands depth deep.
func (p *Parser) Value(depth int) (any, error) {
	switch c := p.Peek(); {
	case c == '"':
		return p.String()
	case c == '{':
		return p.Object(depth, p.marks)
	case c == '[':
		return p.list(depth)
	case c == 't':
		return true, p.Literal("true")
	case c == 'f':
		return false, p.Literal("false")
	case c == 'n':
		return nil, p.Literal("null")
	case c == '-' || '0' <= c && c <= '9':
		width := scanNumber(p.data[p.at:])
		if width == 0 {
			return nil, p.Fail("a number without digits")
		}
		p.at += width
		return parseNumber(p.data[p.at-width:p.at], p.marks), nil
	case p.at == len(p.data):
		return nil, p.Fail("it ends too early")
	}
	return nil, p.Fail("no value begins like this")
}

// Literal reads true, false or null.
func (p *Parser) Literal(word string) error {
	if !strings.HasPrefix(p.data[p.at:], word) {
		return p.Fail("expected " + word)
	}
	p.at += len(word)
	return nil
}

func (p *Parser) list(depth int) (any, error) {
	list := []any{}
	if depth >= maxJSONDepth {
		return nil, p.Fail("nested too deep")
	}
	for p.at++; ; {
		if len(list) == 0 && p.accept(']') {
			return list, nil
		}
		v, err := p.Value(depth + 1)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
		if p.accept(']') {
			return list, nil
		}
		if !p.accept(',') {
			return nil, p.Fail("expected , or ]")
		}
	}
}

// Object reads an object, which is a mark if marks allow it and it is one.
func (p *Parser) Object(depth int, marks bool) (any, error) {
	m := make(map[string]any)
	raw := "" // the last key as it is written
	count := 0
	err := p.Members(depth, func(key string) error {
		raw = key
		count++
		if p.marks && len(key) > 1 && key[:2] == "$$" {
			key = key[1:]
		}
		v, err := p.Value(depth + 1)
		if v != nil {
			m[key] = v
		} else {
			delete(m, key)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if marks && count == 1 {
		if text, ok := m[raw].(string); ok {
			if v, ok := unmark(raw, text); ok {
				return v, nil
			}
		}
	}
	return m, nil
}

// Members reads an object and calls member with each key, to read the value.
func (p *Parser) Members(depth int, member func(key string) error) error {
	if depth >= maxJSONDepth {
		return p.Fail("nested too deep")
	}
	if !p.accept('{') {
		return p.Fail("expected an object")
	}
	for first := true; ; first = false {
		if first && p.accept('}') {
			return nil
		}
		if p.Peek() != '"' {
			return p.Fail("expected a key")
		}
		key, err := p.String()
		if err != nil {
			return err
		}
		if !p.accept(':') {
			return p.Fail("expected :")
		}
		if err := member(key); err != nil {
			return err
		}
		if p.accept('}') {
			return nil
		}
		if !p.accept(',') {
			return p.Fail("expected , or }")
		}
	}
}

// unmark returns the value that a mark stands for.
func unmark(mark, text string) (v any, ok bool) {
	switch mark {
	case timeMark:
		t, err := time.Parse(time.RFC3339Nano, text)
		t = t.UTC().Truncate(time.Microsecond)
		return t, err == nil && Storable(t)
	case bytesMark:
		b, err := base64.StdEncoding.DecodeString(text)
		return b, err == nil
	case floatMark:
		switch text {
		case "NaN":
			return math.NaN(), true
		case "+Inf":
			return math.Inf(1), true
		case "-Inf":
			return math.Inf(-1), true
		}
	}
	return nil, false
}

// String reads a string, with U+FFFD for NUL and for what is not UTF-8.
func (p *Parser) String() (string, error) {
	p.at++
	start, ascii := p.at, true
	for i := start; i < len(p.data); i++ {
		c := p.data[i]
		switch {
		case plain[c]:
		case c == '"':
			p.at = i + 1
			if ascii {
				return p.data[start:i], nil
			}
			return Clean(p.data[start:i]), nil
		case c == '\\':
			return p.escaped(start)
		case c < ' ':
			p.at = i
			return "", p.Fail("a control character in a string")
		default:
			ascii = false
		}
	}
	p.at = len(p.data)
	return "", p.Fail("a string does not end")
}

// escaped reads a string in which there is a backslash.
func (p *Parser) escaped(start int) (string, error) {
	var text []byte
	for i := start; i < len(p.data); i++ {
		c := p.data[i]
		switch {
		case c == '"':
			p.at = i + 1
			return Clean(string(text)), nil
		case c < ' ':
			p.at = i
			return "", p.Fail("a control character in a string")
		case c != '\\':
			text = append(text, c)
			continue
		}
		r, width := unescape(p.data[i+1:])
		if width == 0 {
			p.at = i
			return "", p.Fail("no such escape")
		}
		text = utf8.AppendRune(text, r)
		i += width
	}
	p.at = len(p.data)
	return "", p.Fail("a string does not end")
}

// unescape returns the rune of the escape whose backslash precedes s and how long
// it is; 0 when there is none. Half a surrogate pair is U+FFFD.
func unescape(s string) (r rune, width int) {
	if len(s) == 0 {
		return 0, 0
	}
	switch s[0] {
	case '"', '\\', '/':
		return rune(s[0]), 1
	case 'b':
		return '\b', 1
	case 'f':
		return '\f', 1
	case 'n':
		return '\n', 1
	case 'r':
		return '\r', 1
	case 't':
		return '\t', 1
	case 'u':
		r, ok := hexRune(s[1:])
		if !ok {
			return 0, 0
		}
		if utf16.IsSurrogate(r) && len(s) > 6 && s[5] == '\\' && s[6] == 'u' {
			low, _ := hexRune(s[7:])
			if pair := utf16.DecodeRune(r, low); pair != utf8.RuneError {
				return pair, 11
			}
		}
		return r, 5
	}
	return 0, 0
}

func hexRune(s string) (r rune, ok bool) {
	if len(s) < 4 {
		return 0, false
	}
	for i := range 4 {
		c := s[i]
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c|0x20 && c|0x20 <= 'f':
			c = c | 0x20 - 'a' + 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

// scanNumber returns how long the JSON number is that s begins with, 0 when there is none.
func scanNumber(s string) int {
	i := 0
	digits := func() bool {
		start := i
		for i < len(s) && '0' <= s[i] && s[i] <= '9' {
			i++
		}
		return i > start
	}
	if i < len(s) && s[i] == '-' {
		i++
	}
	if i < len(s) && s[i] == '0' {
		i++
	} else if !digits() {
		return 0
	}
	if i < len(s) && s[i] == '.' {
		if i++; !digits() {
			return 0
		}
	}
	if i < len(s) && s[i]|0x20 == 'e' {
		if i++; i < len(s) && (s[i] == '+' || s[i] == '-') {
			i++
		}
		if !digits() {
			return 0
		}
	}
	return i
}

// parseNumber returns the number that a JSON literal stands for: int64, uint64
// above its range, float64, or the literal itself when it is too large. Large
// integers are rounded to float64 only if asked for.
func parseNumber(literal string, roundIntegers bool) any {
	isInteger := true
	for i := range len(literal) {
		if c := literal[i]; c == '.' || c|0x20 == 'e' {
			isInteger = false
			break
		}
	}
	if isInteger {
		if i, err := strconv.ParseInt(literal, 10, 64); err == nil {
			return i
		}
		if u, err := strconv.ParseUint(literal, 10, 64); err == nil {
			return u
		}
		if !roundIntegers {
			return literal
		}
	}
	f, err := strconv.ParseFloat(literal, 64)
	if err != nil {
		return literal
	}
	return f
}
