package sqlite_test

import (
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/stores/gormstore"
	"github.com/auditing-go/auditing/stores/sqlite"
	"github.com/auditing-go/auditing/stores/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func openFile(t *testing.T, file string, cfg sqlite.Config) *gormstore.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), file, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestContract(t *testing.T) {
	files := map[core.Store]string{}
	open := func(t *testing.T) core.Store {
		file := filepath.Join(t.TempDir(), "audits.db")
		s := openFile(t, file, sqlite.Config{})
		files[s] = file
		return s
	}
	reopen := func(t *testing.T, first core.Store) core.Store { return openFile(t, files[first], sqlite.Config{}) }
	storetest.Run(t, open, storetest.Reopen(reopen))
}
