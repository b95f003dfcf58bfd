package postgres

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/auditing-go/auditing/core/auditjson"
	"github.com/auditing-go/auditing/stores/internal/sqlstore"
)

// readLockTimeout is how long a read waits for a table that somebody has locked. The
// setting ends with the read's own transaction.
const readLockTimeout = "SELECT set_config('lock_timeout', '1s', true)"

// withoutPlanning is for statements that are prepared: to plan one for its arguments takes
// longer than to run it.
const withoutPlanning = readLockTimeout + ", set_config('plan_cache_mode', 'force_generic_plan', true)"

// query is a statement with its arguments.
type query struct {
	text   string
	params [][]byte
}

func newQuery(text string, args []any) query {
	s := query{text, make([][]byte, len(args))}
	for i, v := range args {
		s.params[i] = textOf(v)
	}
	return s
}

// Query implements [sqlstore.Backend]: in one round trip, and without anything that
// would stay on the connection but statements named after their text.
func (b *backend) Query(ctx context.Context, often bool, guess *sqlstore.Guess, text string, args ...any) (rows [][]any, err error) {
	queries := []query{newQuery(text, args)}
	if guess != nil {
		// The statement's locks keep the tables as they are until this is answered too.
		text, args := b.relationsOf(toRead, guess.Names)
		queries = append(queries, newQuery(text, args))
	}
	// A server that was away takes all connections along, and a new one works.
	for range openConns + 1 {
		var results [][][]any
		var lost bool
		results, lost, err = b.query(ctx, often, queries)
		switch {
		case err == nil && guess != nil && !reflect.DeepEqual(results[1], guess.Rows):
			return nil, sqlstore.ErrChanged
		case err == nil:
			return results[0], nil
		case !lost || ctx.Err() != nil:
			return nil, err
		}
	}
	return nil, err
}

// query runs Query once; lost says that the connection was.
func (b *backend) query(ctx context.Context, often bool, queries []query) (results [][][]any, lost bool, err error) {
	conn, err := b.pool.Conn(ctx)
	if err != nil {
		return nil, false, notSent{err}
	}
	defer conn.Close()
	err = errForeignDriver
	_ = conn.Raw(func(driverConn any) error {
		c, ok := driverConn.(*stdlib.Conn)
		if !ok {
			return nil
		}
		var keep *prepared
		if often && !b.pooled && c.Conn().Config().DefaultQueryExecMode == pgx.QueryExecModeCacheStatement {
			keep = preparedOn(c.Conn().PgConn(), maxReadText)
		}
		results, err = pipeline(ctx, c.Conn().PgConn(), keep, queries)
		if state := sqlState(err); keep != nil && (state == "26000" || state == "42P05") {
			// Somebody else prepares on this session, or discards what is prepared.
			results, err = pipeline(ctx, c.Conn().PgConn(), nil, queries)
		}
		lost = c.Conn().IsClosed()
		return nil
	})
	return results, lost, err
}

// pipeline sends queries, behind the time limit for locks, and returns the rows of each.
func pipeline(ctx context.Context, c *pgconn.PgConn, keep *prepared, queries []query) (results [][][]any, err error) {
	p := c.StartPipeline(ctx)
	setting := readLockTimeout
	if keep != nil {
		setting = withoutPlanning
	}
	keep.send(p, setting, len(setting), nil, nil)
	for _, s := range queries {
		keep.send(p, s.text, len(s.text), s.params, nil)
	}
	err = p.Sync()
	for err == nil {
		var result any
		if result, err = p.GetResults(); result == nil {
			break
		}
		reader, ok := result.(*pgconn.ResultReader)
		if !ok {
			continue
		}
		rows := [][]any{}
		for reader.NextRow() {
			values := reader.Values()
			row := make([]any, len(values))
			for i, v := range values {
				if v != nil {
					row[i] = string(v)
				}
			}
			rows = append(rows, row)
		}
		_, err = reader.Close()
		results = append(results, rows)
	}
	if closeErr := p.Close(); err == nil {
		err = closeErr
	}
	keep.end(ctx, c, err)
	if err != nil {
		return nil, err
	}
	return results[1:], nil // the first is of the setting
}

// applyLockTimeout is how long Apply waits for a table at a time: whoever writes to it waits
// behind, also while a VACUUM has it.
const (
	applyLockTimeout = "SELECT set_config('lock_timeout', '50ms', true)"
	applyPause       = 200 * time.Millisecond
)

// Apply implements [sqlstore.Backend].
func (b *backend) Apply(ctx context.Context, table string, changes []sqlstore.Change) ([]int64, error) {
	queries := []query{newQuery(durably, nil), newQuery(applyLockTimeout, nil)}
	if table != "" {
		queries = append(queries, newQuery(b.lockTable(table, "SHARE ROW EXCLUSIVE MODE"), nil))
	}
	before := len(queries)
	for _, c := range changes {
		queries = append(queries, newQuery(c.SQL+" RETURNING 1", c.Args))
	}
	for {
		results, _, err := b.query(ctx, false, queries)
		switch {
		case err == nil:
			changed := make([]int64, len(changes))
			for i := range changed {
				changed[i] = int64(len(results[before+i]))
			}
			return changed, nil
		case sqlState(err) == "42501":
			return nil, fmt.Errorf("%w: %w", sqlstore.ErrDenied, err)
		case !isLock(err) || table == "":
			return nil, err
		}
		select {
		case <-time.After(applyPause):
		case <-ctx.Done():
			return nil, err
		}
	}
}

// textOf spells an argument in the text format; nil is NULL.
func textOf(v any) []byte {
	switch v := v.(type) {
	case nil:
		return nil
	case string:
		return []byte(v)
	case []byte:
		return []byte(`\x` + hex.EncodeToString(v))
	case []string: // of names, which hold neither quotes nor backslashes, but may be null
		return []byte(`{"` + strings.Join(v, `","`) + `"}`)
	case time.Time:
		return v.UTC().AppendFormat(nil, "2006-01-02 15:04:05.999999+00")
	case float64:
		return strconv.AppendFloat(nil, v, 'g', -1, 64)
	}
	return fmt.Append(nil, v)
}

// Table implements [sqlstore.Backend].
func (b *backend) Table(name string) string {
	return sqlstore.Quote(b.cfg.Schema) + "." + sqlstore.Quote(name)
}

// Unordered implements [sqlstore.Backend].
func (b *backend) Unordered() string { return "" }

// Typed implements [sqlstore.Backend].
func (b *backend) Typed(column string, k sqlstore.Kind) string {
	switch k {
	case sqlstore.LocalTime:
		return "(" + column + " AT TIME ZONE " + b.zone + ")"
	case sqlstore.Text, sqlstore.UUID:
		return column + "::" + k.String()
	}
	return column
}

// Select implements [sqlstore.Backend].
func (b *backend) Select(typed string, k sqlstore.Kind) string {
	switch k {
	case sqlstore.Time, sqlstore.LocalTime:
		return "extract(epoch FROM " + typed + ")::text"
	case sqlstore.Float:
		return "encode(float8send(" + typed + "), 'hex')"
	case sqlstore.Bytes:
		return "encode(" + typed + ", 'hex')"
	case sqlstore.Interval:
		return "encode(interval_send(" + typed + "), 'hex')"
	}
	return typed + "::text"
}

// Param implements [sqlstore.Backend].
func (b *backend) Param(n int, k sqlstore.Kind) string {
	p := "$" + strconv.Itoa(n)
	if k == sqlstore.LocalTime {
		return "(" + p + "::timestamptz AT TIME ZONE " + b.zone + ")"
	}
	return p + "::" + k.String()
}

// Arg implements [sqlstore.Backend].
func (b *backend) Arg(v any, k sqlstore.Kind) any {
	switch v := v.(type) {
	case uuid.UUID:
		return v.String()
	case time.Time:
		if k == sqlstore.LocalTime {
			return readable(v, b.location)
		}
	}
	return v
}

// Moment implements [sqlstore.Backend].
func (b *backend) Moment(t time.Time, k sqlstore.Kind) string {
	moment := literal(string(textOf(t))) + "::timestamptz"
	if k == sqlstore.LocalTime {
		return "(" + moment + " AT TIME ZONE " + b.zone + ")"
	}
	return moment
}

// Null implements [sqlstore.Backend].
func (b *backend) Null() string { return "NULL" }

// Odd implements [sqlstore.Backend].
func (b *backend) Odd() sqlstore.Odd { return sqlstore.Odd{} }

// Member implements [sqlstore.Backend].
func (b *backend) Member(object, name string, v any, param func(any, sqlstore.Kind) string) string {
	if strings.HasPrefix(name, "$") {
		return "" // its name in the JSON may be another
	}
	object = sqlstore.Quote(object)
	field := object + " -> " + literal(name)
	like := func(v any) string { return param(string(auditjson.Append(nil, v)), sqlstore.JSON) }
	switch v := v.(type) {
	case nil:
		return "coalesce(jsonb_typeof(" + field + "), 'null') = 'null'"
	case string, bool, int64, uint64:
		return object + " @> " + like(map[string]any{name: v})
	case float64:
		if low, high := math.Nextafter(v, math.Inf(-1)), math.Nextafter(v, math.Inf(1)); !math.IsInf(low, 0) && !math.IsInf(high, 0) && !math.IsNaN(v) {
			// A number of more digits may read back as this one.
			return "(" + field + ") BETWEEN " + like(low) + " AND " + like(high)
		}
	case []any:
		return "jsonb_typeof(" + field + ") = 'array'"
	}
	return "jsonb_typeof(" + field + ") IN ('object', 'number')"
}

// Diverted implements [sqlstore.Backend].
func (b *backend) Diverted() string { return diverted }

// Value implements [sqlstore.Backend].
func (b *backend) Value(raw any, k sqlstore.Kind) (any, error) {
	v, ok := raw.(string)
	if !ok {
		return nil, nil
	}
	switch k {
	case sqlstore.Int:
		return strconv.ParseInt(v, 10, 64)
	case sqlstore.Bool:
		return strconv.ParseBool(v)
	case sqlstore.Float:
		bits, err := strconv.ParseUint(v, 16, 64)
		return math.Float64frombits(bits), err
	case sqlstore.Bytes:
		return hex.DecodeString(v)
	case sqlstore.Time, sqlstore.LocalTime:
		return parseEpoch(v)
	case sqlstore.JSON:
		return auditjson.Parse([]byte(v))
	case sqlstore.UUID:
		return uuid.Parse(v)
	case sqlstore.Interval:
		return parseInterval(v)
	}
	return v, nil
}

// parseEpoch reads seconds since 1970 with a fraction.
func parseEpoch(s string) (any, error) {
	seconds, fraction, _ := strings.Cut(s, ".")
	n, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil {
		return nil, err
	}
	micros, err := strconv.ParseInt((fraction + "000000")[:6], 10, 64)
	if strings.HasPrefix(seconds, "-") {
		micros = -micros
	}
	return time.Unix(n, micros*1000).UTC(), err
}

// parseInterval reads what interval_send gives, as the server's default style spells it.
func parseInterval(s string) (any, error) {
	data, err := hex.DecodeString(s)
	if err != nil || len(data) != 16 {
		return nil, fmt.Errorf("an interval of %d bytes", len(data))
	}
	var parts []string
	for _, p := range []struct {
		n    int32
		unit string
	}{
		{int32(binary.BigEndian.Uint32(data[12:])) / 12, "year"},
		{int32(binary.BigEndian.Uint32(data[12:])) % 12, "mon"},
		{int32(binary.BigEndian.Uint32(data[8:])), "day"},
	} {
		if p.n != 0 {
			if p.n != 1 {
				p.unit += "s"
			}
			parts = append(parts, fmt.Sprint(p.n, " ", p.unit))
		}
	}
	if micros := int64(binary.BigEndian.Uint64(data)); micros != 0 || len(parts) == 0 {
		sign := ""
		if micros < 0 {
			sign, micros = "-", -micros
		}
		seconds := micros / 1e6
		clock := fmt.Sprintf("%s%02d:%02d:%02d", sign, seconds/3600, seconds/60%60, seconds%60)
		if fraction := micros % 1e6; fraction != 0 {
			clock += "." + strings.TrimRight(fmt.Sprintf("%06d", fraction), "0")
		}
		parts = append(parts, clock)
	}
	return strings.Join(parts, " "), nil
}

// Retype implements [sqlstore.Backend].
func (b *backend) Retype(table string, c sqlstore.Column) string {
	name := sqlstore.Quote(c.Name)
	return "ALTER TABLE " + b.Table(table) + " ALTER COLUMN " + name + " TYPE " + c.Kind.String() + " USING " + name + "::" + c.Kind.String()
}

// WhyUnread implements [sqlstore.Backend].
func (b *backend) WhyUnread(err error) sqlstore.Reason {
	switch state := sqlState(err); {
	case state == "55P03", errors.Is(err, sqlstore.ErrChanged):
		return sqlstore.Stale // it is locked, or something else
	case state == "42501", strings.HasPrefix(state, "22"), strings.HasPrefix(state, "XX"):
		return sqlstore.Refused
	}
	return reasonOf(err, true)
}
