package stores

import (
	"net/url"
	"regexp"
	"strconv"
	"strings"
)

// openError says which driver failed and why. Drivers keep passwords out of their
// errors, but what they call may not: the text is cleaned once more here.
type openError struct {
	text string
	err  error
}

func newOpenError(driver, dsn string, err error) error {
	return &openError{text: "stores: opening " + strconv.Quote(driver) + ": " + redact(err.Error(), dsn), err: err}
}

func (e *openError) Error() string { return e.text }
func (e *openError) Unwrap() error { return e.err }

// secretForms are the places of a password in a dsn; the second group is the password.
var secretForms = []*regexp.Regexp{
	// key=password, bare or in quotes
	regexp.MustCompile(`(?i)((?:password|passwd|pwd|passphrase|secret|token|api_?key)\s*=\s*)('(?:[^'\\]|\\.)*'|[^\s&;'"]+)`),
	// scheme://user:password@host; an unescaped password may hold any character
	regexp.MustCompile(`(://[^:/?#@\s]*:)(.*)@`),
}

// redact takes dsn, and the passwords in it, out of text.
func redact(text, dsn string) string {
	quoted := strconv.Quote(dsn)
	for _, form := range []string{dsn, quoted[1 : len(quoted)-1]} {
		// A word or a path says what failed, and holds no password.
		if strings.ContainsAny(form, "=@?") || strings.Contains(form, "://") {
			text = strings.ReplaceAll(text, form, "(dsn)")
		}
	}
	for _, form := range secretForms {
		for _, at := range form.FindAllStringSubmatchIndex(dsn, -1) {
			secret, rest := strings.Trim(dsn[at[4]:at[5]], "'"), dsn[:at[4]]+dsn[at[5]:]
			// What stands in the dsn openly too, or is as short as a syllable, cannot
			// be told from what the error has to say.
			if len(secret) < 3 || strings.Contains(rest, secret) {
				continue
			}
			text = strings.ReplaceAll(text, secret, "xxxxx")
			if plain, err := url.PathUnescape(secret); err == nil {
				text = strings.ReplaceAll(text, plain, "xxxxx")
			}
		}
	}
	text = secretForms[0].ReplaceAllString(text, "${1}xxxxx")
	return secretForms[1].ReplaceAllString(text, "${1}xxxxx@")
}
