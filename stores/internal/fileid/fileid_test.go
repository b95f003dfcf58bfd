package fileid_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/auditing-go/auditing/stores/internal/fileid"
)

func TestAFileIsWhereItIs(t *testing.T) {
	dir := t.TempDir()
	path, moved := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	open, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	want := func(when string, file fileid.File, path string, there bool) {
		t.Helper()
		if file.IsAt(path) != there {
			t.Errorf("%s: it is at %s: %v, want %v", when, filepath.Base(path), !there, there)
		}
	}
	file, err := fileid.Of(open)
	if err != nil {
		t.Fatal(err)
	}
	want("made", file, path, true)
	want("made", fileid.File{}, path, false)
	if _, err := open.WriteString("longer"); err != nil {
		t.Fatal(err)
	}
	want("written to", file, path, true)
	if now, err := fileid.At(path); err != nil || now.Size != 6 || !now.Is(file) {
		t.Errorf("written to it is %+v (%v), want 6 bytes of the same file", now, err)
	}
	if err := os.Rename(path, moved); err != nil {
		t.Fatal(err)
	}
	want("moved", file, path, false)
	want("moved", file, moved, true)
	want("moved", fileid.File{}, path, false)
	if _, err := fileid.At(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("nothing is at the path, and the error is %v", err)
	}
	if err := os.WriteFile(path, []byte("longer"), 0o600); err != nil {
		t.Fatal(err)
	}
	want("with another in its place", file, path, false)
}
