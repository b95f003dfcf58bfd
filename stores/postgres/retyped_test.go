package postgres_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/stores/postgres"
	"github.com/auditing-go/auditing/stores/postgres/pgtest"
)

// TestRetyped retypes a column behind the back of a process that knows it, to types
// for which an INSERT would change the value instead of refusing it.
func TestRetyped(t *testing.T) {
	noon := time.Date(2026, 3, 4, 12, 5, 6, 789_000, time.UTC)
	for _, c := range []struct {
		value any
		types []string
	}{
		{int64(1<<53 + 1), []string{"text", "numeric", "double precision", "real", "varchar(40)"}},
		{2.5, []string{"bigint", "text", "numeric", "integer"}},
		{0.12345678901234568, []string{"real", "numeric"}},
		{false, []string{"text"}},
		{noon, []string{"date", "text", "timestamp"}},
		{"a long text", []string{"char(8)", "varchar(20)", "name"}},
		{[]byte{2}, []string{"text"}},
	} {
		for _, typ := range c.types {
			t.Run(fmt.Sprintf("%T to %s", c.value, typ), func(t *testing.T) {
				dsn := pgtest.DSN(t)
				d := connect(t, dsn)
				d.exec(made(t, dsn, "ev", core.Fields{"n": c.value}))
				s := open(t, dsn, postgres.Config{})
				write := func(n int) {
					var events []core.Event
					for range n {
						events = append(events, core.Event{Tag: "ev", User: "me", Fields: core.Fields{"n": c.value}}.Normalize(0))
					}
					save(t, s, events)
				}
				write(1)
				d.exec(`ALTER TABLE ev ALTER COLUMN n TYPE ` + typ + ` USING NULL`)
				write(1)
				write(2)
				wantStored(t, s, "ev", nil, c.value, c.value, c.value)
			})
		}
	}
}
