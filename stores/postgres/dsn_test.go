package postgres

import (
	"net/url"
	"strings"
	"testing"
)

// FuzzDSN: our own settings come out of a DSN of either form exactly as they were put
// in, and do not reach the server; an error never shows the DSN.
func FuzzDSN(f *testing.F) {
	f.Add("host=127.0.0.1 user=postgres dbname=mydb audit_schema=audit", "audit", "a_", "Europe/Berlin")
	f.Add("postgres://me:hunter2@127.0.0.1/mydb?audit_zone=UTC&sslmode=disable", `it's "x"`, `\`, "")
	f.Add("host=a,b port=1,2 password='a b\\'c' target_session_attrs=any", " ", "=", "%zz")
	f.Add("://", "'", "a b", "\x00\xff")
	f.Add("password=hunter2 sslmode=nonsense", "x", "y", "z")
	f.Fuzz(func(t *testing.T, dsn, schema, prefix, zone string) {
		if !strings.Contains(dsn, "ssl") && !strings.Contains(dsn, "file") { // no files
			var cfg Config
			_, err := parseDSN(dsn, &cfg)
			if err != nil && len(dsn) > 12 && strings.Contains(err.Error(), dsn) {
				t.Fatalf("the error shows the DSN: %v", err)
			}
		}
		if strings.Contains(schema+prefix+zone, "\x00") {
			return // pgx takes no DSN with it
		}
		want := Config{Schema: schema, Prefix: prefix, Zone: zone}
		keyword := func(value string) string { return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(value) + "'" }
		query := url.Values{"audit_schema": {schema}, "audit_prefix": {prefix}, "audit_zone": {zone}}.Encode()
		query = strings.ReplaceAll(query, "+", "%20") // as PostgreSQL has it
		for _, dsn := range []string{
			"host=127.0.0.1 audit_schema=" + keyword(schema) + " audit_prefix=" + keyword(prefix) + " audit_zone=" + keyword(zone) + " user=me",
			"postgres://me@127.0.0.1/mydb?" + query,
		} {
			var cfg Config
			conn, err := parseDSN(dsn, &cfg)
			if err != nil {
				t.Fatalf("%q: %v", dsn, err)
			}
			if cfg != want {
				t.Fatalf("%q is read as %+v, want %+v", dsn, cfg, want)
			}
			for name := range conn.RuntimeParams {
				if strings.HasPrefix(name, "audit_") {
					t.Fatalf("%q sends %s to the server", dsn, name)
				}
			}
		}
	})
}
