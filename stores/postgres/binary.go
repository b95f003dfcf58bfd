package postgres

import (
	"encoding/binary"
	"math"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/auditing-go/auditing/core/auditjson"
	"github.com/auditing-go/auditing/stores/internal/sqlstore"
)

// binaryArgs is the arguments of a write in PostgreSQL's binary format. pgx's own
// encoding boxes every element of an array and costs several times as much.
type binaryArgs struct {
	buf    []byte
	rows   int    // in buf
	perRow int    // bytes, of the last write
	out    []byte // lent to the connection, see room
}

// maxKept is how large a buffer is kept from write to write.
const maxKept = 1 << 20

// maxGuess is how much is allocated at once at most, as a batch has about so much.
const maxGuess = 8 << 20

// reset forgets what was encoded, and makes room for so many rows like the last ones;
// what params returned is not valid any more.
func (w *binaryArgs) reset(rows int) {
	if w.rows > 0 {
		w.perRow = len(w.buf) / w.rows
	}
	if cap(w.buf) > maxKept {
		w.buf = nil
	}
	w.rows = rows
	w.buf = slices.Grow(w.buf[:0], min(rows*(w.perRow+w.perRow/8), maxGuess))
}

// room is a message of no bytes whose encoding gives the connection a buffer large
// enough for those behind it. pgx begins every round trip with a small buffer and
// drops the one that it outgrew: that was a quarter of all garbage.
type room []byte

// room returns one for so many bytes. The connection may have it until its next room.
func (w *binaryArgs) room(size int) room {
	if cap(w.out) < size || cap(w.out) > maxKept {
		w.out = make([]byte, 0, size+size/4)
	}
	return w.out
}

// Frontend implements [pgproto3.FrontendMessage].
func (room) Frontend() {}

// Decode implements [pgproto3.FrontendMessage].
func (room) Decode([]byte) error { return nil }

// Encode implements [pgproto3.FrontendMessage].
func (r room) Encode(sent []byte) ([]byte, error) { return append(r[:0], sent...), nil }

// params returns one argument for each column: a value of a single row, else an array.
func (w *binaryArgs) params(columns []filled, rows []sqlstore.Row) [][]byte {
	params := make([][]byte, len(columns))
	for i, c := range columns {
		start := len(w.buf)
		if len(rows) > 1 {
			w.array(c, rows)
		} else if v := c.value(&rows[0]); v != nil {
			w.buf = appendValue(w.buf, v)
		} else {
			continue
		}
		// A buffer that grows leaves these bytes where they are.
		params[i] = w.buf[start:len(w.buf):len(w.buf)]
	}
	return params
}

// elementTypes are the types of arguments, as [backend.writeInsert] names them.
var elementTypes = map[sqlstore.Kind]uint32{
	sqlstore.Text: pgtype.TextOID, sqlstore.Int: pgtype.Int8OID, sqlstore.Float: pgtype.Float8OID, sqlstore.Bool: pgtype.BoolOID,
	sqlstore.Time: pgtype.TimestamptzOID, sqlstore.LocalTime: pgtype.TimestamptzOID, sqlstore.Bytes: pgtype.ByteaOID,
	sqlstore.JSON: pgtype.TextOID, sqlstore.UUID: pgtype.UUIDOID,
}

const null = math.MaxUint32 // the length of NULL, -1

func (w *binaryArgs) array(c filled, rows []sqlstore.Row) {
	b := binary.BigEndian.AppendUint32(w.buf, 1) // dimension
	b = binary.BigEndian.AppendUint32(b, 1)      // there may be NULLs
	b = binary.BigEndian.AppendUint32(b, elementTypes[c.Kind])
	b = binary.BigEndian.AppendUint32(b, uint32(len(rows)))
	b = binary.BigEndian.AppendUint32(b, 1) // index of the first element
	for i := range rows {
		b = binary.BigEndian.AppendUint32(b, null)
		at := len(b)
		if v := c.value(&rows[i]); v != nil {
			b = appendValue(b, v)
			binary.BigEndian.PutUint32(b[at-4:], uint32(len(b)-at))
		}
	}
	w.buf = b
}

// epoch is PostgreSQL's, in microseconds.
var epoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro()

// appendValue appends a value that is not NULL: one of a field, or what
// [sqlstore.Row.Base] points to. What has no type of its own becomes JSON.
func appendValue(b []byte, v any) []byte {
	switch v := v.(type) {
	case *string:
		return append(b, *v...)
	case *time.Time:
		return appendTime(b, *v)
	case *uuid.UUID:
		return append(b, v[:]...)
	case *[]byte:
		return append(b, *v...)
	case string:
		return append(b, v...)
	case int64:
		return binary.BigEndian.AppendUint64(b, uint64(v))
	case float64:
		return binary.BigEndian.AppendUint64(b, math.Float64bits(v))
	case bool:
		if v {
			return append(b, 1)
		}
		return append(b, 0)
	case time.Time:
		return appendTime(b, v)
	case []byte:
		return append(b, v...)
	}
	return auditjson.Append(b, v)
}

func appendTime(b []byte, t time.Time) []byte {
	return binary.BigEndian.AppendUint64(b, uint64(t.UnixMicro()-epoch))
}
