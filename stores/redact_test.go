package stores_test

import (
	"context"
	"errors"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/stores"
)

// FuzzOpenError: whatever a driver says about a DSN, its password is not in the error
// that the application gets.
func FuzzOpenError(f *testing.F) {
	var says string
	stores.Register("talkative", func(context.Context, string) (core.Store, error) { return nil, errors.New(says) })
	f.Add("hunter2", "cannot connect to ", ": refused")
	f.Add("p@ss:word/?#", "", " (tried 3 times)")
	f.Add(`a b'c\d`, "dial: ", "")
	f.Add("\x00\n\xffé", "\n", `"`)
	f.Fuzz(func(t *testing.T, password, before, after string) {
		u := url.URL{Scheme: "postgres", User: url.UserPassword("app", password), Host: "127.0.0.1", Path: "/mydb"}
		_, inURL, _ := strings.Cut(u.User.String(), ":")
		inQuotes := strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(password)
		for dsn, secret := range map[string]string{
			u.String(): inURL,
			"host=127.0.0.1 password='" + inQuotes + "' dbname=mydb": inQuotes,
		} {
			// What is short, or stands elsewhere too, cannot be told from other words.
			rest := before + after + strings.Replace(dsn, secret, "", 1) + `(dsn) xxxxx stores: opening "talkative": `
			if len(secret) < 4 || sharesText(rest, secret) {
				continue
			}
			for _, says = range []string{before + dsn + after, before + strconv.Quote(dsn) + after, before + secret + after} {
				if _, err := stores.Open(t.Context(), "talkative", dsn); err == nil || strings.Contains(err.Error(), secret) {
					t.Fatalf("the driver says %q of %q, and the application gets %q", says, dsn, err)
				}
			}
		}
	})
}

// sharesText reports whether three bytes of secret in a row stand in text.
func sharesText(text, secret string) bool {
	for i := range len(secret) - 2 {
		if strings.Contains(text, secret[i:i+3]) {
			return true
		}
	}
	return false
}
