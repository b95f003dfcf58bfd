package core

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"unicode/utf8"
)

// hiddenText takes the place of a secret.
const hiddenText = "(hidden)"

// Secrets is the [Config.Protect] of a recorder that was given none. It puts "(hidden)" in the
// place of texts, bytes and numbers, at whatever depth, that stand under a name with one of
// these as whole words, in any case and with any separator or none (API_KEY, apiKey, api-key):
//
//	password, passwd, passphrase, secret, client secret, access token, refresh token,
//	api key, private key, authorization, cookie, cvv
//
// A plural counts too, and so does a name that goes on, as in password_hash, unless it ends in
// a word for what is no secret: password_changed_at, cookie_count, api_key_id. true, false and
// times stay, and so does what stands under token, key, session or code alone.
func Secrets(name string, v any) any {
	if !isSecret(name) {
		return v
	}
	return hide(v)
}

// Hidden is a function for [Config.Protect] that hides under more names what [Secrets] hides
// under its own: Hidden("pin", "card number"). Names match as they do there.
func Hidden(names ...string) func(name string, v any) any {
	words := wordsOf(names)
	return func(name string, v any) any {
		if !words.in(name) {
			return v
		}
		return hide(v)
	}
}

func hide(v any) any { return replace(v, func(any) any { return hiddenText }) }

// words are names of secrets, which stand in others as whole words.
type words struct {
	byLetter [256][]string // in lower case and without separators, by their first letter
	others   []string      // that have other letters: they are compared as they are
}

var secrets = wordsOf([]string{"password", "passwd", "passphrase", "private key", "secret", "access token", "api key", "authorization", "refresh token", "cookie", "cvv"})

func wordsOf(names []string) *words {
	w := &words{}
	for _, name := range names {
		letters := strings.Map(func(r rune) rune {
			switch {
			case r < utf8.RuneSelf && isLetter(byte(r)):
				return rune(lower(byte(r)))
			case r == ' ', r == '_', r == '-', r == '.':
				return -1
			}
			return utf8.RuneError
		}, name)
		if letters == "" || strings.ContainsRune(letters, utf8.RuneError) {
			w.others = append(w.others, name)
			continue
		}
		w.byLetter[letters[0]] = append(w.byLetter[letters[0]], letters)
	}
	return w
}

// harmless are the last words of names for what is known about a secret.
var harmless = []string{
	"at", "on", "date", "time", "changed", "created", "updated", "used", "expires", "expired", "expiry", "age", "count", "length",
	"policy", "required", "reset", "attempts", "strength", "id", "type", "version",
}

// isSecret reports whether Secrets hides what has such a name.
func isSecret(name string) bool { return secrets.in(name) }

// in reports whether one of the words stands in a name, and what it is a name of is no less
// a secret for what follows.
func (w *words) in(name string) bool {
	behindLetter := false
	for i := range len(name) {
		c := name[i]
		small := 'a' <= c && c <= 'z'
		if small && behindLetter { // within a word, as most are
			continue
		}
		behindLetter = small || isUpper(c)
		words := w.byLetter[lower(c)]
		if words == nil || !startsWord(name, i) {
			continue
		}
		for _, secret := range words {
			if end, ok := matchWords(name, i, secret); ok && !isHarmless(name[end:]) {
				return true
			}
		}
	}
	return slices.Contains(w.others, name)
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		c += 'a' - 'A'
	}
	return c
}

func isLetter(c byte) bool { return 'a' <= lower(c) && lower(c) <= 'z' }
func isUpper(c byte) bool  { return 'A' <= c && c <= 'Z' }

// startsWord reports whether a word of name starts at i: behind what is no letter, and at a
// capital behind a small letter or before one, as in "userPassword" and "APIKey".
func startsWord(name string, i int) bool {
	if !isLetter(name[i]) {
		return false
	}
	if i == 0 || !isLetter(name[i-1]) {
		return true
	}
	return isUpper(name[i]) && (!isUpper(name[i-1]) || i+1 < len(name) && isLetter(name[i+1]) && !isUpper(name[i+1]))
}

// matchWords reports whether the words of name from i on begin with those of secret, one of
// words.byLetter, and where they end.
func matchWords(name string, i int, secret string) (end int, ok bool) {
	for n := 0; n < len(secret); i++ {
		switch {
		case i == len(name):
			return 0, false
		case lower(name[i]) == secret[n]:
			n++
		case n == 0 || isLetter(name[i]):
			return 0, false
		}
	}
	if i < len(name) && lower(name[i]) == 's' && endsWord(name, i+1) {
		return i + 1, true
	}
	return i, endsWord(name, i)
}

func endsWord(name string, i int) bool {
	return i == len(name) || !isLetter(name[i]) || startsWord(name, i)
}

// isHarmless reports whether the rest of a name, behind the secret's words, says that it is
// something else.
func isHarmless(rest string) bool {
	end := len(rest)
	for end > 0 && !isLetter(rest[end-1]) {
		end--
	}
	for i := end - 1; i >= 0; i-- {
		if startsWord(rest, i) {
			return slices.Contains(harmless, strings.ToLower(rest[i:end]))
		}
	}
	return false
}

// replace returns v with f's answer in the place of each text, number and byte slice in it.
func replace(v any, f func(any) any) any {
	switch v := v.(type) {
	case string, []byte, int64, uint64, float64:
		return f(v)
	case []any:
		list := make([]any, len(v))
		for i, element := range v {
			list[i] = replace(element, f)
		}
		return list
	case map[string]any:
		m := make(map[string]any, len(v))
		for name, element := range v {
			m[name] = replace(element, f)
		}
		return m
	}
	return v
}

// isHidden reports whether anything in v was hidden.
func isHidden(v any) bool {
	found := false
	replace(v, func(v any) any {
		found = found || v == any(hiddenText)
		return v
	})
	return found
}

// hidesAnything reports whether replace would change v.
func hidesAnything(v any) bool {
	found := false
	replace(v, func(v any) any {
		found = true
		return v
	})
	return found
}

// Keyed is a function for [Config.Protect] that keeps values findable without keeping them: in
// the place of each text, number and byte slice under one of the names it puts
// "hmac:" and the first 32 hexadecimal digits of its HMAC-SHA-256 with key. Equal values become
// equal, 42 and "42" too, and [Recorder.Read] finds them by the value itself. Names match as
// they do in [Secrets]; put Keyed before Secrets to keep one of its own names findable. Whoever
// has the key can try out what a value was, so it belongs where passwords do; an empty key
// hides the values as Secrets does.
func Keyed(key []byte, names ...string) func(name string, v any) any {
	key, words := slices.Clone(key), wordsOf(names)
	return func(name string, v any) any {
		if !words.in(name) {
			return v
		}
		return replace(v, func(v any) any {
			if len(key) == 0 {
				return hiddenText
			}
			text, _ := appendID(nil, v)
			mac := hmac.New(sha256.New, key)
			mac.Write(text)
			return "hmac:" + hex.EncodeToString(mac.Sum(nil)[:16])
		})
	}
}
