package sqlstore_test

import (
	"strings"
	"testing"

	"github.com/auditing-go/auditing/stores/internal/sqlstore"
)

func TestTableName(t *testing.T) {
	for _, c := range []struct {
		prefix, tag, want string // want "" is the overflow table
	}{
		{"", "mytag", "mytag"},
		{"", "MyTag", "mytag"},
		{"", "user.login", "user_login"},
		{"", "my tag", "my_tag"},
		{"", "my-tag", "my_tag"},
		{"", "9lives", "9lives"},
		{"", "public.x", "public_x"},
		{"", "order", "order"},
		{"", "größe", "gr__e"},
		{"", "ev(username) values ('pwn'); drop table ev", "ev_username__values___pwn____drop_table_ev"},
		{"a_", "x", "a_x"},
		{"", "", ""},
		{"", "---", ""},
		{"", "___", ""},
		{"", "日本", ""},
		{"", "audit_overflow", ""},
		{"", "Audit Overflow", ""},
		{"", "audit.start", ""},
		{"", "AUDIT-x", ""},
		{"a_", "audit_x", ""},
		{"", "audit", "audit"},
		{"", "auditor.x", "auditor_x"},
		{"audit_", "x", "audit_x"},
		{"a_", "audit_overflow", ""},
		{"", "a_audit_overflow", "a_audit_overflow"},
		{"", "pg_class", ""},
		{"", "PG-class", ""},
		{"", "sqlite_master", ""},
		{"a_", "pg_class", "a_pg_class"},
		{"", strings.Repeat("x", 63), strings.Repeat("x", 63)},
		{"", strings.Repeat("x", 64), ""},
		{"a_", strings.Repeat("x", 62), ""},
	} {
		got, ok := sqlstore.TableName(c.prefix, c.tag)
		if ok != (c.want != "") || ok && got != c.want {
			t.Errorf("TableName(%q, %q) = %q, %v, want %q", c.prefix, c.tag, got, ok, c.want)
		}
	}
}

func TestColumnName(t *testing.T) {
	for field, want := range map[string]bool{
		"a": true, "orderId": true, "order": true, "user": true, "select": true, "id": true, "tag": true, "9c": true, "_": true,
		"": false, "my-col": false, "my col": false, "größe": false, `a"b`: false, "a.b": false, "a\x00": false,
		"username": false, "Username": false, "DATETIME": false, "ip": false, "host": false, "path": false,
		"audit_id": false, "audit_extra": false, "audit_more": false, "Audit_Target": false, "auditor": true, "audit": true, "ctid": false, "XMIN": false, "tableoid": false,
		strings.Repeat("x", 63): true, strings.Repeat("x", 64): false,
	} {
		if got := sqlstore.ColumnName(field); got != want {
			t.Errorf("ColumnName(%q) = %v, want %v", field, got, want)
		}
	}
}

// FuzzNames: whatever the tag and the field, the names that come out need no
// trust: they are of a few harmless characters, short, and stable.
func FuzzNames(f *testing.F) {
	for _, s := range []string{"mytag", `x"; DROP TABLE y; --`, "a\x00b", "\xff", "ÄÖ", "pg_x", "K", strings.Repeat("é", 40)} {
		f.Add("", s)
		f.Add("p_", s)
	}
	harmless := func(name string, letters string) bool {
		return name != "" && len(name) <= sqlstore.MaxName && strings.Trim(name, letters) == ""
	}
	const lower = "abcdefghijklmnopqrstuvwxyz0123456789_"
	f.Fuzz(func(t *testing.T, prefix, s string) {
		if prefix != "" {
			prefix = "p_"
		}
		if name, ok := sqlstore.TableName(prefix, s); ok {
			if !harmless(name, lower) || !strings.HasPrefix(name, prefix) || name == prefix+sqlstore.Overflow {
				t.Errorf("TableName(%q, %q) = %q", prefix, s, name)
			}
			if again, ok := sqlstore.TableName("", name); prefix == "" && (!ok || again != name) {
				t.Errorf("TableName(%q) = %q, %v: it is not stable", name, again, ok)
			}
		}
		if sqlstore.ColumnName(s) && !harmless(s, lower+"ABCDEFGHIJKLMNOPQRSTUVWXYZ") {
			t.Errorf("ColumnName(%q) is true", s)
		}
		q := sqlstore.Quote(s)
		inner, ok := strings.CutPrefix(q, `"`)
		inner, ok2 := strings.CutSuffix(inner, `"`)
		if !ok || !ok2 || strings.ReplaceAll(inner, `""`, "") != strings.ReplaceAll(s, `"`, "") ||
			strings.Count(inner, `"`) != 2*strings.Count(s, `"`) {
			t.Errorf("Quote(%q) = %s", s, q)
		}
	})
}
