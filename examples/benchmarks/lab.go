package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// repo is the library's folder, seen from this module's.
const repo = "../.."

// lab is what the subjects share: how much to measure, a folder, and what has to be
// ended.
type lab struct {
	time        time.Duration
	rounds      int
	quick, long bool

	dir  string
	ends []func() error
}

// choose returns one of three sizes: of -quick, of neither, of -long.
func (l *lab) choose(quick, normal, long int) int {
	switch {
	case l.quick:
		return quick
	case l.long:
		return long
	}
	return normal
}

// open makes the folder.
func (l *lab) open() (err error) {
	parent := "" // os.TempDir
	if os.Geteuid() == 0 {
		parent = "/tmp" // servers run as somebody else, who may not reach TMPDIR
	}
	if l.dir, err = os.MkdirTemp(parent, "auditing-benchmarks-"); err != nil {
		return err
	}
	l.atEnd(func() error { return os.RemoveAll(l.dir) })
	return os.Chmod(l.dir, 0o711)
}

// atEnd calls end when what is measured now is over.
func (l *lab) atEnd(end func() error) { l.ends = append(l.ends, end) }

// scope returns what ends all that was begun after it.
func (l *lab) scope() (done func() error) {
	first := len(l.ends)
	return func() error { return l.end(first) }
}

// end ends what was begun, the newest first, and leaves the first ones.
func (l *lab) end(first int) (err error) {
	for len(l.ends) > first {
		last := len(l.ends) - 1
		end := l.ends[last]
		l.ends = l.ends[:last]
		err = errors.Join(err, end())
	}
	return err
}

// script runs a script of .ci with more of an environment and returns what it prints.
func script(ctx context.Context, environment []string, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "bash", append([]string{filepath.Join(repo, ".ci", name)}, args...)...)
	cmd.Env = append(os.Environ(), environment...)
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf(".ci/%s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(said.String()))
	}
	return strings.TrimSpace(string(out)), nil
}
