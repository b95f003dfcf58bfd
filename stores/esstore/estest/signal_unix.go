//go:build unix

package estest

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// ownGroup puts a process into a process group of its own.
func ownGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// Signal sends a signal to all processes of the node of that number, counted from 0.
func (c *Cluster) Signal(number int, signal syscall.Signal) {
	c.tb.Helper()
	file := filepath.Join(c.dir, "n"+strconv.Itoa(number+1), "pid")
	data, err := os.ReadFile(file)
	if err != nil {
		c.tb.Fatal("estest: ", err)
	}
	group, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil || group <= 1 {
		c.tb.Fatalf("estest: %s holds no process group", file)
	}
	if err := syscall.Kill(-group, signal); err != nil {
		c.tb.Fatalf("estest: signal %v to node %d: %v", signal, number, err)
	}
}
