package spool

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
)

func init() {
	children["own"] = func(dir string) error {
		if _, err := Open(dir, &memory{down: true}, Config{}); err != nil {
			return err
		}
		fmt.Println("open")
		_, err := io.Copy(io.Discard, os.Stdin) // until the parent lets go or kills
		return err
	}
}

// startChild runs this test binary as another process and waits for its first line.
func startChild(t *testing.T, name, arg string) (cmd *exec.Cmd, stdin io.WriteCloser, stdout *bufio.Reader) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd = exec.CommandContext(t.Context(), exe, arg)
	cmd.Env = append(os.Environ(), childEnv+"="+name)
	cmd.Stderr = os.Stderr
	if stdin, err = cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, stdin, bufio.NewReader(out)
}

func TestOneProcessOwnsADirectory(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cmd, _, out := startChild(t, "own", dir)
	if line, err := out.ReadString('\n'); line != "open\n" {
		t.Fatalf("the child said %q (%v)", line, err)
	}
	_, err := Open(dir, &memory{}, Config{})
	if want := fmt.Sprintf("process %d on host ", cmd.Process.Pid); !errors.Is(err, ErrOwned) || !strings.Contains(err.Error(), want) {
		t.Errorf("Open while another process owns the directory: %v; want an error that names %s", err, want)
	}
	if _, err := Salvage(dir, t.TempDir()); !errors.Is(err, ErrOwned) {
		t.Errorf("Salvage while another process owns the directory: %v", err)
	}
	cmd.Process.Kill()
	cmd.Wait()
	// Its id is still in the file, and does not matter.
	s := openSpool(t, dir, &memory{}, Config{}, quick())
	if _, err := Open(dir, &memory{}, Config{}); !errors.Is(err, ErrOwned) || !strings.Contains(err.Error(), "this process") {
		t.Errorf("Open twice in one process: %v", err)
	}
	closeSpool(t, s)
	openSpool(t, dir, &memory{}, Config{}, quick())
}
