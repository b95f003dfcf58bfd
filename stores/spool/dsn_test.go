package spool

import (
	"strings"
	"testing"
)

// FuzzDSN: directory and next DSN come out exactly as they were put in.
func FuzzDSN(f *testing.F) {
	for _, dsn := range []string{"", "dir=/a;b", "dir=;x", "dir=/a;b;c='d;e'", "dir= /a;b", ";dir=/a;", "dir=/a", "dir=\x00;\xff"} {
		f.Add(dsn)
	}
	f.Fuzz(func(t *testing.T, dsn string) {
		dir, next, _, err := parseDSN(dsn)
		switch {
		case err != nil && strings.HasPrefix(dsn, "dir=/") && strings.Contains(dsn, ";") && !strings.ContainsAny(dsn, " \t\n\v\f\r") && isASCII(dsn):
			t.Fatalf("%q: %v", dsn, err)
		case err != nil:
		case "dir="+dir+";"+next != dsn || dir == "" || strings.Contains(dir, ";"):
			t.Fatalf("%q is read as the directory %q and %q", dsn, dir, next)
		}
	})
}

func isASCII(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r > 127 }) < 0
}
