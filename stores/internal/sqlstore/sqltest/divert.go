package sqltest

import (
	"bytes"
	"log/slog"
	"math"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/stores/internal/sqlstore"
)

// logs collects what is logged.
type logs struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logs) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

// lines returns what was logged and forgets it.
func (l *logs) lines() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.buf.Reset()
	return strings.Split(strings.TrimSuffix(l.buf.String(), "\n"), "\n")
}

// with returns those of lines that have each of some texts.
func with(lines []string, texts ...string) (found []string) {
	for _, line := range lines {
		has := true
		for _, text := range texts {
			has = has && strings.Contains(line, text)
		}
		if has {
			found = append(found, line)
		}
	}
	return found
}

func save(t *testing.T, s core.Store, events ...core.Event) {
	t.Helper()
	for i := range events {
		events[i] = events[i].Normalize(0)
	}
	if err := s.Save(t.Context(), events); err != nil {
		t.Fatal(err)
	}
}

// statement returns that of a warning, "" when it has none.
func statement(line string) string {
	for _, before := range []string{"statement=", "what mends it: ", "let its owner run: "} {
		_, text, found := strings.Cut(line, before)
		switch {
		case !found:
		case before != "statement=":
			return strings.ReplaceAll(strings.TrimSuffix(text, `"`), `\"`, `"`)
		default:
			if text, err := strconv.Unquote(text); err == nil {
				return text
			}
			return text
		}
	}
	return ""
}

func (d Database) exec(t *testing.T, statements string) {
	t.Helper()
	db := d.SQL()
	defer db.Close()
	if _, err := db.ExecContext(t.Context(), statements); err != nil {
		t.Fatalf("%s: %v", statements, err)
	}
}

const (
	canary   = "4111-1111"
	baseOnly = `username text NOT NULL, datetime timestamptz NOT NULL, ip text, host text, path text, audit_id uuid NOT NULL, audit_tag text NOT NULL, audit_request jsonb, audit_extra jsonb`
	python   = `username text, datetime timestamp, n bigint`
	granted  = `GRANT INSERT, SELECT ON ev, audit_overflow TO PUBLIC`
)

// diversion is a way in which an event, or a part of it, is stored elsewhere than asked for.
type diversion struct {
	only   string      // of one kind of database
	before core.Fields // of an event that is stored first
	change string      // what is done then
	cfg    sqlstore.Config
	role   bool // the store is opened as a limited one
	event  core.Event
	words  []string // of the warning
	mends  string   // begins the statement, which mends it
	after  string   // where the event is then
}

var allDiversions = map[string]diversion{
	"a tag without a letter":        {event: core.Event{Tag: "日本"}, words: []string{"a tag has no table", "tag=日本", "use a tag"}},
	"a tag that is too long":        {event: core.Event{Tag: strings.Repeat("x", sqlstore.MaxName+1)}, words: []string{"a tag has no table", "xxx", "use a tag"}},
	"a tag of the database":         {event: core.Event{Tag: "pg.x"}, words: []string{"a tag has no table", "tag=pg.x", "use a tag"}},
	"a tag of the tables":           {event: core.Event{Tag: "audit-overflow"}, words: []string{"a tag has no table", "use a tag"}},
	"too many tables":               {cfg: sqlstore.Config{MaxTables: 1}, event: core.Event{Tag: "ev"}, words: []string{"no room for another table", "table=ev", "raise MaxTables"}},
	"somebody else's table":         {change: `CREATE TABLE ev (id bigint)`, event: core.Event{Tag: "ev"}, words: []string{"a table is not used", "table=ev", "is not one of audits"}},
	"a view":                        {before: core.Fields{}, change: `ALTER TABLE ev RENAME TO old; CREATE VIEW ev AS SELECT username, audit_id FROM old`, event: core.Event{Tag: "ev"}, words: []string{"a table is not used", "table=ev", "is not one of audits"}},
	"a table without a key":         {change: `CREATE TABLE ev (` + baseOnly + `)`, event: core.Event{Tag: "ev"}, words: []string{"a table is not used", "table=ev", "not unique"}, mends: "CREATE UNIQUE INDEX", after: "ev"},
	"a table without a base column": {change: `CREATE TABLE ev (` + strings.TrimSuffix(baseOnly, ", audit_extra jsonb") + `, PRIMARY KEY (audit_id))`, event: core.Event{Tag: "ev"}, words: []string{"a table is not used", "no column audit_extra"}, mends: "ALTER TABLE", after: "ev"},
	"a base column of another type": {only: postgres, change: `CREATE TABLE ev (` + strings.Replace(baseOnly, "host text", "host varchar(9)", 1) + `, PRIMARY KEY (audit_id))`, event: core.Event{Tag: "ev"}, words: []string{"a table is not used", "host is of type"}, mends: "ALTER TABLE", after: "ev"},
	"Python's, not to be altered":   {only: postgres, change: `CREATE TABLE ev (` + python + `)`, cfg: sqlstore.Config{Fixed: true}, event: core.Event{Tag: "ev"}, words: []string{"a table is not used", "of the Python library"}},
	"an ungranted table":            {only: postgres, before: core.Fields{}, change: `GRANT INSERT, SELECT ON audit_overflow TO PUBLIC`, role: true, event: core.Event{Tag: "ev"}, words: []string{"a table is not used", "may not be written to"}, mends: "GRANT", after: "ev WHERE username = 'me'"},
	"a missing table":               {cfg: sqlstore.Config{Fixed: true}, event: core.Event{Tag: "ev"}, words: []string{"a table is missing", "table=ev"}, mends: "CREATE TABLE", after: "ev"},
	"missing for a limited role":    {only: postgres, change: `GRANT INSERT, SELECT ON audit_overflow TO PUBLIC`, cfg: sqlstore.Config{Fixed: true}, role: true, event: core.Event{Tag: "ev", Fields: core.Fields{"n": 1}}, words: []string{"a table is missing", "table=ev"}, mends: "CREATE TABLE", after: "ev WHERE n = 1"},
	"a role that may not create":    {only: postgres, change: `GRANT INSERT, SELECT ON audit_overflow TO PUBLIC`, role: true, event: core.Event{Tag: "ev", Fields: core.Fields{"n": 1}}, words: []string{"a table cannot be made", "permission denied"}, mends: "CREATE TABLE", after: "ev WHERE n = 1"},
	"a refused row":                 {before: core.Fields{"n": 1}, change: `CREATE UNIQUE INDEX u ON ev (n)`, event: core.Event{Tag: "ev", Fields: core.Fields{"n": 1}}, words: []string{"a table refuses events", "table=ev", "reason="}},

	"a fraction among whole numbers":    {only: postgres, before: core.Fields{"n": 1}, event: with1("n", 9.5), words: []string{"type double precision and the column of type bigint"}, mends: "ALTER TABLE", after: "ev WHERE n = 9.5"},
	"a fraction that cannot be mended":  {only: sqlite, before: core.Fields{"n": 1}, event: with1("n", 9.5), words: []string{"type double precision and the column of type bigint", "name the field otherwise"}},
	"a number in a text":                {before: core.Fields{"n": canary}, event: with1("n", 4), words: []string{"does not take a value", "table=ev", "field=n", "type bigint and the column of type text", "name the field otherwise"}},
	"a text in a number":                {before: core.Fields{"n": 1}, event: with1("n", canary), words: []string{"type text and the column of type bigint", "name the field otherwise"}},
	"a number that a float cannot keep": {before: core.Fields{"n": 1.5}, event: with1("n", int64(math.MaxInt64)), words: []string{"does not keep such a value", "name the field otherwise"}},
	"NaN":                               {only: sqlite, before: core.Fields{"n": 1.5}, event: with1("n", math.NaN()), words: []string{"does not keep such a value", "name the field otherwise"}},
	"a number above bigint":             {event: with1("n", uint64(math.MaxUint64)), words: []string{"above those of bigint", "as texts"}},
	"a column of a narrower type":       {only: postgres, before: core.Fields{}, change: `ALTER TABLE ev ADD COLUMN n varchar(50)`, event: with1("n", canary), words: []string{"field=n", "of type character varying(50)"}, mends: "ALTER TABLE", after: "ev WHERE n = '" + canary + "'"},
	"a column of a type of no kind":     {before: core.Fields{}, change: `ALTER TABLE ev ADD COLUMN n numeric`, event: with1("n", 1.25), words: []string{"field=n", "of type numeric"}, mends: "ALTER TABLE", after: "ev WHERE n = 1.25"},
	"a field in another case":           {before: core.Fields{"orderId": 1}, event: with1("ORDERID", 1), words: []string{"a field cannot have a column", "field=ORDERID", "another case", "name the field orderId"}},
	"a field that is no name":           {event: with1("my-field", canary), words: []string{"a field cannot have a column", "field=my-field", "other characters", "name the field otherwise"}},
	"a field without a name":            {event: with1("", canary), words: []string{"a field cannot have a column", "it has no name", "name the field otherwise"}},
	"a field of the library's":          {event: with1("audit_reason", canary), words: []string{"a field cannot have a column", "begin with audit_", "name the field otherwise"}},
	"a field of the tables'":            {event: with1("username", canary), words: []string{"a field cannot have a column", "is kept for", "name the field otherwise"}},
	"a field that is too long":          {event: with1(strings.Repeat("x", sqlstore.MaxName+1), canary), words: []string{"a field cannot have a column", "longer than 63 bytes", "name the field otherwise"}},
	"too many columns":                  {cfg: sqlstore.Config{MaxColumns: 9}, event: with1("n", canary), words: []string{"no room for another column", "field=n", "9 columns", "raise MaxColumns"}},
	"a missing column":                  {before: core.Fields{}, cfg: sqlstore.Config{Fixed: true}, event: with1("n", canary), words: []string{"a column is missing", "table=ev", "field=n"}, mends: "ALTER TABLE", after: "ev WHERE n = '" + canary + "'"},
	"a role that may not alter":         {only: postgres, before: core.Fields{}, change: granted, role: true, event: with1("n", canary), words: []string{"a column cannot be made", "field=n", "must be owner"}, mends: "ALTER TABLE", after: "ev WHERE n = '" + canary + "'"},

	"no room for a fact":              {cfg: sqlstore.Config{MaxColumns: 9}, event: core.Event{Tag: "ev", Target: "card/" + canary}, words: []string{"no room for another column", "field=audit_target", "raise MaxColumns"}},
	"a missing column of a fact":      {before: core.Fields{}, cfg: sqlstore.Config{Fixed: true}, event: core.Event{Tag: "ev", Target: "card/" + canary}, words: []string{"a column is missing", "field=audit_target"}, mends: "ALTER TABLE", after: "ev WHERE audit_target = 'card/" + canary + "'"},
	"a fact's column of another type": {before: core.Fields{}, change: `ALTER TABLE ev ADD COLUMN audit_target bigint`, event: core.Event{Tag: "ev", Target: "card/" + canary}, words: []string{"does not take a value", "field=audit_target", "column of type bigint"}, mends: "ALTER TABLE", after: "ev WHERE audit_target = 'card/" + canary + "'"},
	"a fact's column in another case": {before: core.Fields{}, change: `ALTER TABLE ev ADD COLUMN "AUDIT_TARGET" text`, event: core.Event{Tag: "ev", Target: "card/" + canary}, words: []string{"cannot have a column", "field=audit_target", "another case"}, mends: "ALTER TABLE", after: "ev WHERE audit_target = 'card/" + canary + "'"},
}

const (
	postgres = "postgres"
	sqlite   = "sqlite"
)

func with1(name string, v any) core.Event { return core.Event{Tag: "ev", Fields: core.Fields{name: v}} }

// diversions are warned of once each, with what ends them and without a value.
func diversions(t *testing.T, database func(*testing.T) Database) {
	for name, c := range allDiversions {
		t.Run(name, func(t *testing.T) {
			d := database(t)
			if kind := map[bool]string{true: postgres, false: sqlite}[d.Limited != nil]; c.only != "" && c.only != kind {
				t.Skip("there is no such in", kind)
			}
			owner := closing(t, d.Open(sqlstore.Config{}))
			if c.before != nil {
				save(t, owner, core.Event{Tag: "ev", User: "before", Fields: c.before})
			}
			if c.change != "" {
				d.exec(t, c.change)
			}
			var log logs
			c.cfg.Logger = log.logger()
			open := d.Open
			if c.role {
				open = d.Limited
			}
			s := closing(t, open(c.cfg))
			event := func() core.Event {
				e := c.event
				e.User = "me"
				return e
			}
			save(t, s, event(), event())
			save(t, s, event())
			told := with(log.lines(), "WARN")
			if len(told) != 1 || len(with(told, c.words...)) != 1 {
				t.Fatalf("want one warning with %q, got:\n%s", c.words, strings.Join(told, "\n"))
			}
			if len(with(told, canary)) > 0 {
				t.Errorf("a value is told: %s", told[0])
			}
			mends := statement(told[0])
			if !strings.HasPrefix(mends, c.mends) || mends != "" && c.mends == "" {
				t.Fatalf("the statement is %q, want one that begins with %q", mends, c.mends)
			}
			if mends == "" {
				return
			}
			d.exec(t, mends)
			s = closing(t, open(c.cfg))
			save(t, s, event())
			if n := d.count(t, "SELECT count(*) FROM "+c.after); n != 1 {
				t.Errorf("%d rows of %s after %s, want 1", n, c.after, mends)
			}
			if told := with(log.lines(), "WARN"); len(told) > 0 {
				t.Errorf("after %s there is told:\n%s", mends, strings.Join(told, "\n"))
			}
		})
	}
}
