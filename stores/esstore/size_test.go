package esstore_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestWeight: who keeps audits only here pays for nothing else.
func TestWeight(t *testing.T) {
	const module = "github.com/auditing-go/auditing/"
	out, err := exec.Command("go", "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", module+"stores/esstore").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range strings.Fields(string(out)) {
		switch path {
		case module + "core", module + "core/auditjson", module + "core/ecs", module + "core/internal/values", module + "stores", module + "stores/esstore", "github.com/google/uuid":
		default:
			t.Errorf("the package brings along %s", path)
		}
	}
	if testing.Short() {
		t.Skip("two programs are not built")
	}
	size := func(name, imports, body string) int64 {
		t.Helper()
		dir := t.TempDir()
		file, binary := filepath.Join(dir, name+".go"), filepath.Join(dir, name)
		source := "package main\n\nimport (\n" + imports + "\n)\n\nfunc main() {\n" + body + "\n}\n"
		if err := os.WriteFile(file, []byte(source), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command("go", "build", "-o", binary, file).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		info, err := os.Stat(binary)
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
	plain := size("plain", `"net/http"`, `	resp, err := http.Get("http://127.0.0.1:9200/")
	if err == nil {
		resp.Body.Close()
	}
	panic(http.ListenAndServe("127.0.0.1:0", nil))`)
	ours := size("ours", `"context"
	"net/http"

	"`+module+`core"
	"`+module+`stores"
	_ "`+module+`stores/esstore"`, `	store, err := stores.Open(context.Background(), "elasticsearch", "http://127.0.0.1:9200/audits")
	if err != nil {
		panic(err)
	}
	rec, err := core.New(store, core.Config{})
	if err == nil {
		err = rec.Audit(context.Background(), "refund", core.Fields{"order": 42}, core.As("me"))
	}
	panic([]error{err, http.ListenAndServe("127.0.0.1:0", nil)})`)
	t.Logf("net/http alone: %d bytes, with audits: %d more", plain, ours-plain)
	if ours-plain > 2<<20 {
		t.Errorf("the store adds %d bytes to a program with net/http, more than 2 MB", ours-plain)
	}
}
