package pgtest_test

import (
	"testing"

	"github.com/auditing-go/auditing/stores/postgres"
	"github.com/auditing-go/auditing/stores/postgres/pgtest"
)

// Each test gets an empty database; its package has a TestMain that calls Main.
func ExampleDSN() {
	_ = func(t *testing.T) {
		store, err := postgres.Open(t.Context(), pgtest.DSN(t), postgres.Config{})
		if err != nil {
			t.Fatal(err)
		}
		defer store.Close(t.Context())
	}
}

// A server of the test's own is stopped and started as the test likes.
func ExampleStart() {
	_ = func(t *testing.T) {
		server := pgtest.Start(t, "max_connections=10")
		server.Stop(pgtest.Immediate)
		server.Restart()
	}
}
