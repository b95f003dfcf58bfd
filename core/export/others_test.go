package export_test

import (
	_ "embed"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/core/export"
)

//go:embed testdata/others.py
var othersPy string

// TestReadByOthers has programs that are none of ours read every format. AUDITING_PYTHON names
// a Python that has the packages duckdb, ocsf-json-schema and jsonschema; without it whatever
// python3 has is used.
func TestReadByOthers(t *testing.T) {
	python, err := exec.LookPath("python3")
	if name := os.Getenv("AUDITING_PYTHON"); name != "" {
		python, err = name, nil
	}
	if err != nil {
		unavailable(t, err.Error())
	}
	dir := t.TempDir()
	s := &trail{events: hostile()}
	for _, f := range export.Formats() {
		file, _ := write(t, s, core.Query{}, f)
		if err := os.WriteFile(filepath.Join(dir, string(f)), []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, check := range []string{"json", "csv", "duckdb", "ocsf"} {
		t.Run(check, func(t *testing.T) {
			out, err := exec.Command(python, "-c", othersPy, check, dir).CombinedOutput()
			var exit *exec.ExitError
			switch {
			case errors.As(err, &exit) && exit.ExitCode() == 77:
				unavailable(t, string(out))
			case err != nil:
				t.Fatalf("%v\n%s", err, out)
			}
			if !strings.Contains(string(out), "checked") {
				t.Errorf("it says %s", out)
			}
		})
	}
}

func unavailable(t *testing.T, why string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal(why)
	}
	t.Skip(why)
}
