package nodriver

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/auditing-go/auditing/core/auditjson"
	"github.com/auditing-go/auditing/stores/internal/sqlstore"
)

// Query implements [sqlstore.Backend].
func (b *backend) Query(ctx context.Context, _ bool, _ *sqlstore.Guess, query string, args ...any) ([][]any, error) {
	d, err := b.toRead(ctx)
	if err != nil {
		return nil, err
	}
	rows, err := d.pool.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, d.explain(err)
	}
	defer rows.Close()
	names, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	var all [][]any
	for rows.Next() {
		row := make([]any, len(names))
		into := make([]any, len(names))
		for i := range row {
			into[i] = &row[i]
		}
		if err := rows.Scan(into...); err != nil {
			return nil, err
		}
		all = append(all, row)
	}
	return all, d.explain(rows.Err())
}

// Table implements [sqlstore.Backend].
func (b *backend) Table(name string) string { return sqlstore.Quote(name) }

// Typed implements [sqlstore.Backend].
func (b *backend) Typed(column string, _ sqlstore.Kind) string { return column }

// Select implements [sqlstore.Backend]. The sign takes the column's affinity away, which
// a UNION would give to the values of other tables.
func (b *backend) Select(typed string, _ sqlstore.Kind) string { return "+" + typed }

// Moment implements [sqlstore.Backend].
func (b *backend) Moment(t time.Time, _ sqlstore.Kind) string {
	return "'" + text(t) + "'"
}

// text spells a time.
func text(t time.Time) string {
	if t.Year() > 9999 {
		return "9999-13" // which comes behind all times
	}
	return t.UTC().Format(timeLayout)
}

// Null implements [sqlstore.Backend]. That a column that is NOT NULL IS NULL is false, and
// beside false SQLite searches no index for what follows an OR.
func (b *backend) Null() string { return "+NULL" }

// odd finds what was not written as this package writes it.
var odd = sqlstore.Odd{
	Time: `NOT ("datetime" GLOB '????-??-?? ??:??:??.[0-9][0-9][0-9][0-9][0-9][0-9]+00:00'
		AND coalesce(substr("datetime", 1, 19) = strftime('%Y-%m-%d %H:%M:%S', substr("datetime", 1, 19)), 0))`,
	ID: `"audit_id" NOT GLOB '` + strings.Join([]string{hexes(8), hexes(4), hexes(4), hexes(4), hexes(12)}, "-") + `'`,
}

func hexes(n int) string { return strings.Repeat("[0-9a-f]", n) }

// Odd implements [sqlstore.Backend].
func (b *backend) Odd() sqlstore.Odd { return odd }

// Unordered implements [sqlstore.Backend]: to look up each row of an index takes longer
// than to read the table.
func (b *backend) Unordered() string { return " NOT INDEXED" }

// Member implements [sqlstore.Backend]. Reading JSON is slow, so that the text is searched first
// for what must be in it.
func (b *backend) Member(object, name string, v any, param func(any, sqlstore.Kind) string) string {
	if !plain(name) || strings.HasPrefix(name, "$") {
		return ""
	}
	object = sqlstore.Quote(object)
	path := param(`$."`+name+`"`, sqlstore.Text)
	valid := func(condition, otherwise string) string {
		return "CASE WHEN json_valid(" + object + ") THEN " + condition + " ELSE " + otherwise + " END"
	}
	// with finds what meets the condition where one of the texts is.
	with := func(condition string, texts ...string) string {
		for i, text := range texts {
			texts[i] = "instr(" + object + ", " + param(text, sqlstore.Text) + ")"
		}
		return "((" + strings.Join(texts, " OR ") + ") AND " + valid(condition, "0") + ")"
	}
	isOf := func(types string) string { return "json_type(" + object + ", " + path + ") IN (" + types + ")" }
	extract := "json_extract(" + object + ", " + path + ")"
	number := func(v float64, plain string) string {
		return with(extract+" BETWEEN "+param(math.Nextafter(v, math.Inf(-1)), sqlstore.Float)+
			" AND "+param(math.Nextafter(v, math.Inf(1)), sqlstore.Float), spellings(v, plain)...)
	}
	const escape = `\` // may be in the place of any character of a string
	switch v := v.(type) {
	case nil:
		return valid("coalesce(json_type("+object+", "+path+"), 'null') = 'null'", "1")
	case bool:
		word := strconv.FormatBool(v)
		return with(isOf("'"+word+"'"), word)
	case string:
		if strings.ContainsRune(v, '\uFFFD') {
			return valid(isOf("'text'"), "0") // which may stand for something else
		}
		return with(extract+" = "+param(v, sqlstore.Text), v, escape)
	case int64:
		return number(float64(v), strconv.FormatInt(v, 10))
	case uint64:
		return number(float64(v), strconv.FormatUint(v, 10))
	case float64:
		if !math.IsNaN(v) && !math.IsInf(v, 0) && math.Abs(v) < math.MaxFloat64 {
			v += 0 // makes -0 what it equals
			return number(v, strconv.FormatFloat(v, 'f', -1, 64))
		}
	case time.Time:
		return with(isOf("'object'"), v.UTC().Format(":05"), escape) // the same in all zones
	case []byte:
		return with(isOf("'object'"), "$bytes", escape)
	case []any:
		return with(isOf("'array'"), "[")
	}
	return valid(isOf("'object', 'integer', 'real'"), "0")
}

// Diverted implements [sqlstore.Backend].
func (b *backend) Diverted() string { return diverted }

// spellings returns texts of which one is in v as anybody writes it: plainly or, if it is
// large or small, with an exponent, with as many digits as it needs or with 17.
func spellings(v float64, plain string) []string {
	without := func(format byte, digits int) string {
		text, _, _ := strings.Cut(strconv.FormatFloat(v, format, digits, 64), "e")
		return text
	}
	all := []string{plain, without('g', 17)}
	if size := math.Abs(v); size != 0 && size < 1e-4 || size >= 1e15 {
		all = append(all, without('e', -1))
	}
	var texts []string
	for _, text := range all {
		if !slices.ContainsFunc(texts, func(t string) bool { return strings.Contains(text, t) }) {
			texts = append(texts, text)
		}
	}
	return texts
}

// plain reports whether a text stands in JSON, and in a path, as it is.
func plain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' || c == '/' {
			return false
		}
	}
	return true
}

// Retype implements [sqlstore.Backend]: SQLite has no such statement.
func (b *backend) Retype(string, sqlstore.Column) string { return "" }

// Param implements [sqlstore.Backend].
func (b *backend) Param(n int, _ sqlstore.Kind) string { return "?" + strconv.Itoa(n) }

// Keeps implements [sqlstore.Backend]. SQLite turns NaN into NULL.
func (b *backend) Keeps(v any, _ sqlstore.Kind) bool {
	f, ok := v.(float64)
	return !ok || !math.IsNaN(f)
}

// Arg implements [sqlstore.Backend].
func (b *backend) Arg(v any, _ sqlstore.Kind) any {
	switch v := v.(type) {
	case time.Time:
		return text(v)
	case uuid.UUID:
		return v.String()
	case bool:
		if v {
			return int64(1)
		}
		return int64(0)
	case []any, map[string]any:
		return string(auditjson.Append(nil, v))
	}
	return v
}

// Value implements [sqlstore.Backend].
func (b *backend) Value(raw any, k sqlstore.Kind) (any, error) {
	text, isText := raw.(string)
	if bytes, ok := raw.([]byte); ok && k != sqlstore.Bytes {
		text, isText = string(bytes), true
	}
	switch {
	case raw == nil:
		return nil, nil
	case k == sqlstore.Bytes:
		if bytes, ok := raw.([]byte); ok {
			return append([]byte{}, bytes...), nil
		}
	case isText && k == sqlstore.JSON:
		return auditjson.Parse([]byte(text))
	case isText && k == sqlstore.Time:
		// What is spelled otherwise does not stand in the order of times.
		t, err := time.Parse(timeLayout, text)
		if err == nil && len(text) != len(timeLayout) {
			err = errors.New("a time that is spelled otherwise")
		}
		return t.UTC(), err
	case isText && k == sqlstore.UUID:
		id, err := uuid.Parse(text)
		if err == nil && id.String() != text {
			err = errors.New("an id that is spelled otherwise")
		}
		return id, err
	case isText:
		return text, nil
	}
	switch v := raw.(type) {
	case time.Time:
		return v.UTC(), nil
	case int64:
		switch k {
		case sqlstore.Bool:
			return v != 0, nil
		case sqlstore.Float:
			return float64(v), nil
		}
		return v, nil
	case float64, bool:
		return v, nil
	}
	return nil, fmt.Errorf("unexpected %T", raw)
}
