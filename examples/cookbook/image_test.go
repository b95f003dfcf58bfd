//go:build linux

package cookbook

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// TestImage builds as the Dockerfile does, and runs the program where no other file is,
// as the user of the image.
func TestImage(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root may change the root folder")
	}
	dockerfile, err := os.ReadFile("image/Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	build := regexp.MustCompile(`(?m)^RUN CGO_ENABLED=0 (go build .*) -o /shop \.$`).FindSubmatch(dockerfile)
	if build == nil {
		t.Fatalf("the Dockerfile builds nothing:\n%s", dockerfile)
	}
	root := t.TempDir()
	args := append(strings.Fields(string(build[1])), "-o", filepath.Join(root, "shop"), ".")
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir = "image"
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", args, err, out)
	}
	const nonroot = 65532
	data := filepath.Join(root, "data")
	if err := os.Mkdir(data, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(data, nonroot, nonroot); err != nil {
		t.Fatal(err)
	}
	cmd = &exec.Cmd{Path: "/shop", Args: []string{"/shop", "/data/audits.db"}, Dir: "/", Env: []string{}}
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root, Credential: &syscall.Credential{Uid: nonroot, Gid: nonroot}}
	out, err := cmd.CombinedOutput()
	if want := "1 stored in /data/audits.db\n"; err != nil || string(out) != want {
		t.Errorf("it prints %q, %v; want %q", out, err, want)
	}
}
