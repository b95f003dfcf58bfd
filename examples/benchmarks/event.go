package main

import (
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/auditing-go/auditing/core"
)

// tag and user are those of every audit; the tag is also the name of its table.
const (
	tag  = "refund"
	user = "alice"
)

// fields are the four that every audit has. None of their names is a word of SQL: the
// Python library does not quote them.
func fields(n int) core.Fields {
	return core.Fields{"item": n, "amount": 9.5, "what": "a book", "ok": true}
}

// row is the same event for the peers.
type row struct {
	Username string
	Datetime time.Time
	AuditID  uuid.UUID `gorm:"primaryKey"`
	AuditTag string
	Item     int64
	Amount   float64
	What     string
	OK       bool
}

// columns are those of a row, in the order of its values.
var columns = []string{"username", "datetime", "audit_id", "audit_tag", "item", "amount", "what", "ok"}

func newRow(n int) row {
	return row{user, time.Now().UTC(), uuid.Must(uuid.NewV7()), tag, int64(n), 9.5, "a book", true}
}

func (r row) values() []any {
	return []any{r.Username, r.Datetime, r.AuditID, r.AuditTag, r.Item, r.Amount, r.What, r.OK}
}

// insertInto is the INSERT of one row; param gives the placeholder of each value.
func insertInto(table string, param func(n int) string) string {
	params := make([]string, len(columns))
	for i := range params {
		params[i] = param(i + 1)
	}
	return "INSERT INTO " + table + " (" + strings.Join(columns, ", ") + ") VALUES (" + strings.Join(params, ", ") + ")"
}

// newRows returns rows that are ready to be written.
func newRows(n int) []row {
	rows := make([]row, n)
	for i := range rows {
		rows[i] = newRow(i)
	}
	return rows
}

// newBatches returns n events, 1,000 a batch, that are ready to be saved.
func newBatches(n int) [][]core.Event {
	var batches [][]core.Event
	for from := 0; from < n; from += batchSize {
		batch := make([]core.Event, min(batchSize, n-from))
		for i := range batch {
			batch[i] = core.Event{Tag: tag, User: user, Fields: fields(from + i)}.Normalize(0)
		}
		batches = append(batches, batch)
	}
	return batches
}

// batchSize is how many events a drain writes at a time.
const batchSize = 1000
