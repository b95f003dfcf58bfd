package postgres

import (
	"encoding/binary"
	"math"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/stores/gormstore"
)

// wire is the arguments of a write in PostgreSQL's binary format. pgx's own
// encoding boxes every element of an array and costs several times as much.
type wire struct {
	buf []byte
}

// maxKept is how large a buffer is kept from write to write.
const maxKept = 1 << 20

// reset forgets what was encoded; what params returned is not valid any more.
func (w *wire) reset() {
	if cap(w.buf) > maxKept {
		w.buf = nil
	}
	w.buf = w.buf[:0]
}

// params returns one argument for each column: a value of a single row, else an array.
func (w *wire) params(columns []filled, rows []gormstore.Row) [][]byte {
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
var elementTypes = map[gormstore.Kind]uint32{
	gormstore.Text: pgtype.TextOID, gormstore.Int: pgtype.Int8OID, gormstore.Float: pgtype.Float8OID, gormstore.Bool: pgtype.BoolOID,
	gormstore.Time: pgtype.TimestamptzOID, gormstore.LocalTime: pgtype.TimestamptzOID, gormstore.Bytes: pgtype.ByteaOID,
	gormstore.JSON: pgtype.TextOID, gormstore.UUID: pgtype.UUIDOID,
}

const null = math.MaxUint32 // the length of NULL, -1

func (w *wire) array(c filled, rows []gormstore.Row) {
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

// appendValue appends a value that is not NULL. []byte is what a bytea holds or
// JSON that stands already; what has no type of its own becomes JSON.
func appendValue(b []byte, v any) []byte {
	switch v := v.(type) {
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
		return binary.BigEndian.AppendUint64(b, uint64(v.UnixMicro()-epoch))
	case []byte:
		return append(b, v...)
	case uuid.UUID:
		return append(b, v[:]...)
	}
	return core.AppendJSON(b, v)
}
