package postgres_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/stores/postgres"
	"github.com/auditing-go/auditing/stores/postgres/pgtest"
)

// TestCloseDoesNotOutwaitItsContext while a write is under way: it says so, and the
// connection is closed when the write has ended.
func TestCloseDoesNotOutwaitItsContext(t *testing.T) {
	dsn := pgtest.DSN(t)
	d := connect(t, dsn)
	d.exec(made(t, dsn, "ev", core.Fields{"n": 1}))
	s := open(t, withParams(dsn, "application_name=closing"), postgres.Config{})
	d.exec(`CREATE TABLE held (); INSERT INTO held DEFAULT VALUES;
		CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN
			WHILE EXISTS (SELECT FROM held) LOOP PERFORM pg_sleep(0.005); END LOOP; RETURN NEW; END$$;
		CREATE TRIGGER hold BEFORE INSERT ON ev FOR EACH ROW EXECUTE FUNCTION hold()`)
	saved := make(chan error, 1)
	go func() { saved <- s.Save(context.Background(), fresh("ev", numbered(0, 1)...)) }()
	const connections = `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'closing'`
	eventually(t, "the event is being written", func() bool { return ask[int](d, connections+` AND wait_event = 'PgSleep'`) == 1 })

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := s.Close(ctx)
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "a write") {
		t.Errorf("Close answers %v, want the end of its time and that a write is under way", err)
	}
	if n := ask[int](d, connections); n < 1 {
		t.Error("the connection that writes is closed")
	}
	d.exec(`DELETE FROM held`)
	if err := <-saved; err != nil {
		t.Errorf("the write under way: %v", err)
	}
	if n := ask[int](d, `SELECT count(*) FROM ev`); n != 1 {
		t.Errorf("%d events are stored, want 1", n)
	}
	eventually(t, "all connections are closed", func() bool { return ask[int](d, connections) == 0 })
}
