//go:build unix

package pgserver

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// installation makes a folder as that of one version of PostgreSQL, with programs
// that do nothing.
func installation(t *testing.T, root, version string, programs ...string) (bin string) {
	t.Helper()
	bin = filepath.Join(root, version, "bin")
	if err := os.MkdirAll(bin, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range programs {
		if err := os.WriteFile(filepath.Join(bin, name), []byte("#!/bin/sh\n"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return bin
}

func TestFindBinaries(t *testing.T) {
	defer func(dirs string) { installedIn = dirs }(installedIn)
	root := t.TempDir()
	installedIn = filepath.Join(root, "*", "bin")
	t.Setenv("PATH", "")
	if _, err := findBinaries(); !errors.Is(err, ErrNotInstalled) {
		t.Errorf("with nothing installed: %v", err)
	}
	installation(t, root, "9", "initdb", "postgres")
	newest := installation(t, root, "15", "initdb", "postgres")
	installation(t, root, "17", "initdb") // without a server
	if bin, err := findBinaries(); err != nil || bin != newest {
		t.Errorf("found %s, %v; want %s", bin, err, newest)
	}
	inPath := installation(t, t.TempDir(), "14", "initdb", "postgres")
	t.Setenv("PATH", inPath)
	if bin, err := findBinaries(); err != nil || bin != inPath {
		t.Errorf("found %s, %v; want the one in PATH, %s", bin, err, inPath)
	}
}
