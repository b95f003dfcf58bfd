package core_test

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/auditing-go/auditing"

// What packages bring along, by the paths that their imports begin with.
var (
	uuidPaths     = []string{"github.com/google/uuid"}
	gorillaPaths  = []string{"github.com/gorilla/"}
	ginPaths      = []string{"github.com/gin-gonic/", "github.com/gin-contrib/"}
	echoPaths     = []string{"github.com/labstack/"}
	contribPaths  = []string{"github.com/labstack/echo-contrib"}
	gormPaths     = []string{"gorm.io/gorm", "github.com/jinzhu/"}
	pgxPaths      = []string{"github.com/jackc/", "gorm.io/driver/postgres"}
	sqlitePaths   = []string{"modernc.org/", "github.com/mattn/go-sqlite3", "gorm.io/driver/sqlite", "github.com/glebarez/", "github.com/ncruces/go-sqlite3"}
	elasticPaths  = []string{"github.com/elastic/", "github.com/opensearch-project/"}
	databasePaths = slices.Concat(gormPaths, pgxPaths, sqlitePaths, elasticPaths)

	ourAdapters = []string{module + "/nethttpaudit", module + "/ginaudit", module + "/echoaudit"}
	ourStores   = []string{module + "/stores"}
)

// TestImportPolicy says which way imports point, package by package. allow lists
// all that may come from outside the standard library, deny what may not.
func TestImportPolicy(t *testing.T) {
	join := slices.Concat[[]string]
	core := join(uuidPaths, []string{module + "/core"})
	tests := []struct {
		name     string
		packages []string
		allow    []string
		deny     []string
	}{
		{name: "core", allow: core},
		{name: "core/export", allow: core},
		{name: "nethttpaudit", allow: join(core, gorillaPaths, []string{module + "/nethttpaudit"})},
		{name: "ginaudit", deny: join(echoPaths, databasePaths, ourStores)},
		{name: "echoaudit", deny: join(ginPaths, contribPaths, databasePaths, ourStores, []string{"github.com/labstack/echo/v5", module + "/echoaudit/v5"})},
		{name: "echoaudit/v5", deny: join(ginPaths, contribPaths, databasePaths, ourStores, []string{"github.com/labstack/echo/v4", "github.com/labstack/gommon"})},
		{name: "stores", allow: join(core, []string{module + "/stores"}), deny: []string{module + "/stores/"}},
		{name: "stores/storetest", allow: join(core, []string{module + "/stores/storetest"})},
		{name: "stores/internal/sqlstore", deny: join(ginPaths, echoPaths, gorillaPaths, pgxPaths, sqlitePaths, elasticPaths, ourAdapters)},
		{name: "stores/postgres", deny: join(ginPaths, echoPaths, gorillaPaths, sqlitePaths, elasticPaths, ourAdapters)},
		{name: "stores/sqlite", deny: join(ginPaths, echoPaths, gorillaPaths, pgxPaths, elasticPaths, ourAdapters, []string{"github.com/mattn/go-sqlite3", "gorm.io/driver/sqlite"})},
		{name: "stores/spool", deny: join(ginPaths, echoPaths, gorillaPaths, databasePaths, ourAdapters)},
		{name: "stores/outbox", deny: join(ginPaths, echoPaths, gorillaPaths, pgxPaths, sqlitePaths, elasticPaths, ourAdapters)},
		{name: "stores/esstore", allow: join(core, []string{module + "/stores", module + "/stores/esstore"})},
		{
			name: "a program with gin, sessions and Postgres",
			packages: []string{
				"github.com/gin-gonic/gin", "github.com/gorilla/sessions",
				module + "/core", module + "/ginaudit", module + "/stores", module + "/stores/postgres",
			},
			deny: join(echoPaths, sqlitePaths, elasticPaths),
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if test.packages == nil {
				test.packages = []string{module + "/" + test.name}
			}
			for _, path := range dependencies(t, test.packages...) {
				if test.allow != nil && !beginsWithAny(path, test.allow) {
					t.Errorf("%s depends on %s, which is not on its list", test.name, path)
				}
				if beginsWithAny(path, test.deny) {
					t.Errorf("%s depends on %s", test.name, path)
				}
			}
		})
	}
}

// dependencies lists the packages outside the standard library that are compiled
// into a program with the given ones.
func dependencies(t *testing.T, packages ...string) []string {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", "--"}, packages...)...)
	cmd.Dir = ".."
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v", cmd, err)
	}
	paths := strings.Fields(string(out))
	for _, p := range packages {
		if !slices.Contains(paths, p) {
			t.Fatalf("go list does not list %s itself among %d packages", p, len(paths))
		}
	}
	return paths
}

func beginsWithAny(path string, prefixes []string) bool {
	return slices.ContainsFunc(prefixes, func(prefix string) bool { return strings.HasPrefix(path, prefix) })
}

// TestTopLevel keeps the top level for what a newcomer has to choose between.
func TestTopLevel(t *testing.T) {
	rooms := []string{"core", "echoaudit", "examples", "ginaudit", "nethttpaudit", "stores"}
	entries, err := os.ReadDir("..")
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if name := entry.Name(); entry.IsDir() && !strings.HasPrefix(name, ".") && !slices.Contains(rooms, name) && holdsGo(t, filepath.Join("..", name)) {
			t.Errorf("the top level has a package in %s: put it into one of %v", name, rooms)
		}
	}
	for _, room := range rooms {
		if !holdsGo(t, filepath.Join("..", room)) {
			t.Errorf("the top level has no package in %s", room)
		}
	}
}

func holdsGo(t *testing.T, dir string) (found bool) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case os.IsNotExist(err):
			return filepath.SkipAll
		case err != nil:
			return err
		case !entry.IsDir() && filepath.Ext(path) == ".go":
			found = true
			return filepath.SkipAll
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}
