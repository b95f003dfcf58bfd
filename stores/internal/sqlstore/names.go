package sqlstore

import (
	"fmt"
	"maps"
	"strings"
)

// Overflow is the name, behind the prefix, of the table for events that have no
// table of their own.
const Overflow = "audit_overflow"

// MaxName is how long a name may be, in bytes: PostgreSQL cuts longer ones
// silently, and they would then collide.
const MaxName = 63

const maxPrefix = 32

func checkPrefix(prefix string) error {
	ok := len(prefix) <= maxPrefix
	for i := range len(prefix) {
		ok = ok && isLower(prefix[i])
	}
	if !ok || strings.HasPrefix(prefix, "pg_") || strings.HasPrefix(prefix, "sqlite_") {
		return fmt.Errorf("auditing: table prefix %q: use at most %d of a-z, 0-9 and _, not beginning with pg_ or sqlite_", prefix, maxPrefix)
	}
	return nil
}

func isLower(c byte) bool {
	return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '_'
}

// TableName returns the name of the table for tag: its letters in lower case, and
// _ for every character that is not a-z, 0-9 or _. It is false for a tag that has
// no table of its own and shares [Overflow]: one that leaves no letter or digit,
// is too long, or whose table would have a name that the database keeps for itself, or
// this package: those that begin with audit_ behind the prefix.
func TableName(prefix, tag string) (name string, ok bool) {
	var b strings.Builder
	b.WriteString(prefix)
	for _, r := range tag {
		switch {
		case 'A' <= r && r <= 'Z':
			r += 'a' - 'A'
			ok = true
		case 'a' <= r && r <= 'z' || '0' <= r && r <= '9':
			ok = true
		case r != '_':
			r = '_'
		}
		b.WriteByte(byte(r))
		if b.Len() > MaxName {
			return "", false
		}
	}
	name = b.String()
	if !ok || isOwn(name[len(prefix):]) || strings.HasPrefix(name, "pg_") || strings.HasPrefix(name, "sqlite_") {
		return "", false
	}
	return name, true
}

// ColumnName reports whether a field of that name can be a column: letters of
// ASCII, digits and _, at most [MaxName] of them, and not a name of the columns
// that every table has or of PostgreSQL's and SQLite's own ones, nor one that begins
// with audit_, in any case.
func ColumnName(field string) bool {
	if field == "" || len(field) > MaxName {
		return false
	}
	for i := range len(field) {
		if c := field[i]; !isLower(c) && (c < 'A' || c > 'Z') {
			return false
		}
	}
	return !isOwn(field) && !reserved[strings.ToLower(field)]
}

var reserved = func() map[string]bool {
	m := maps.Clone(isBase)
	for _, name := range []string{"ctid", "xmin", "xmax", "cmin", "cmax", "tableoid", "oid", "rowid", "_rowid_"} {
		m[name] = true
	}
	return m
}()

// Quote returns name as a quoted SQL identifier.
func Quote(name string) string {
	return `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
}

func (s *Store) tableName(tag string) (string, bool) { return TableName(s.cfg.Prefix, tag) }
func (s *Store) overflowName() string                { return s.cfg.Prefix + Overflow }
