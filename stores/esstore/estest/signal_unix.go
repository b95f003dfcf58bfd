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

// Group is the process group of the node of that number, counted from 0.
func (c *Cluster) Group(number int) int {
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
	return group
}

// Signal sends a signal to all processes of the node of that number, counted from 0.
func (c *Cluster) Signal(number int, signal syscall.Signal) {
	c.tb.Helper()
	if err := syscall.Kill(-c.Group(number), signal); err != nil {
		c.tb.Fatalf("estest: signal %v to node %d: %v", signal, number, err)
	}
}
