package proof_test

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/auditing-go/auditing/stores/postgres/pgtest"
)

// disk is a small one, for a tablespace.
type disk struct {
	dir  string // where it is mounted
	name string // of the tablespace on it
}

// newDisk mounts one, which only root may do, and makes a tablespace on it.
func newDisk(t *testing.T, server *pgtest.Server, bytes int) *disk {
	t.Helper()
	if runtime.GOOS != "linux" || os.Geteuid() != 0 {
		t.Skip("only root on Linux can mount a small disk")
	}
	d := &disk{name: "small_" + strings.ToLower(rand.Text())}
	var err error
	if d.dir, err = os.MkdirTemp("/tmp", "proof-disk-"); err != nil { // the server's user can go there
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Remove(d.dir) })
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", fmt.Sprint("mode=0711,size=", bytes), "tmpfs", d.dir).CombinedOutput(); err != nil {
		t.Skipf("a small disk cannot be mounted here: %v: %s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", "--lazy", d.dir).CombinedOutput(); err != nil {
			t.Errorf("umount: %v: %s", err, out)
		}
	})
	tables := filepath.Join(d.dir, "tables")
	if err := os.Mkdir(tables, 0o700); err != nil {
		t.Fatal(err)
	}
	admin := connect(t, server.DSN())
	var data string
	if err := admin.QueryRow(t.Context(), "SHOW data_directory").Scan(&data); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("chown", "--reference="+data, tables).CombinedOutput(); err != nil {
		t.Fatalf("chown: %v: %s", err, out)
	}
	execute(t, admin, "CREATE TABLESPACE "+d.name+" LOCATION '"+tables+"'")
	return d
}

func (d *disk) ballast() string { return filepath.Join(d.dir, "ballast") }

// fill leaves no room on the disk.
func (d *disk) fill(t *testing.T) {
	t.Helper()
	f, err := os.Create(d.ballast())
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	block := make([]byte, 4096)
	for err == nil {
		_, err = f.Write(block)
	}
	if !errors.Is(err, errDiskFull) {
		t.Fatal(err)
	}
}

func (d *disk) free(t *testing.T) {
	t.Helper()
	if err := os.Remove(d.ballast()); err != nil {
		t.Fatal(err)
	}
}
