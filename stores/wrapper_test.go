package stores_test

import (
	"context"
	"strings"
	"testing"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/stores"
)

func TestOpenOfADriverInFrontOfAnother(t *testing.T) {
	stores.RegisterWrapper("test-front", func(_ context.Context, driver, dsn string) (core.Store, error) {
		return nowhere{driver + " " + dsn}, nil
	})
	store, err := stores.Open(t.Context(), "test-front+console+x", "a;dsn")
	if err != nil || store != (nowhere{"console+x a;dsn"}) {
		t.Errorf("Open = %v, %v; want what the wrapper made of the rest of the name and the dsn", store, err)
	}
	stores.Register("test-front+own", func(context.Context, string) (core.Store, error) { return nowhere{"its own"}, nil })
	if store, err := stores.Open(t.Context(), "test-front+own", ""); err != nil || store != (nowhere{"its own"}) {
		t.Errorf("Open = %v, %v; want the driver that has this very name", store, err)
	}
}

func TestOpenOfASpoolNotCompiledIn(t *testing.T) {
	for driver, want := range map[string]string{
		"spool+postgres_auto": `import _ "github.com/auditing-go/auditing/stores/spool"`,
		"spool":               "in front of another driver",
	} {
		if _, err := stores.Open(t.Context(), driver, ""); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Open(%q): %v; want an error with %q", driver, err, want)
		}
	}
}
