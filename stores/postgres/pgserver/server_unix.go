//go:build unix

package pgserver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// Server is a PostgreSQL server of its own folder and port on 127.0.0.1, with
// fsync on. Its methods are for one goroutine at a time.
type Server struct {
	bin      string // the folder of initdb and postgres
	dir      string
	settings []string
	port     int
	pid      int // of the postmaster; 0 while it is stopped
	guard    *exec.Cmd
	leash    io.WriteCloser // the guard's standard input
}

// startTimeout bounds initdb, a start with its recovery, and a stop.
const startTimeout = time.Minute

// installedIn is where Debian's packages put a server of each version.
var installedIn = "/usr/lib/postgresql/*/bin"

// Start makes a cluster and starts its server, with settings such as
// "max_connections=10". The error is [ErrNotInstalled] when there is none to start.
func Start(settings ...string) (*Server, error) {
	bin, err := findBinaries()
	if err != nil {
		return nil, err
	}
	s := &Server{bin: bin, settings: settings}
	if err := s.create(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	// The port was free a moment ago, which is no promise.
	for try := 0; ; try++ {
		if s.port, err = freePort(); err == nil {
			err = s.start()
		}
		if err == nil {
			return s, nil
		}
		if try == 4 || !strings.Contains(err.Error(), "could not bind") {
			return nil, errors.Join(err, s.Close())
		}
	}
}

// findBinaries returns the folder of the newest local installation.
func findBinaries() (string, error) {
	dirs, _ := filepath.Glob(installedIn)
	version := func(dir string) int {
		n, _ := strconv.Atoi(filepath.Base(filepath.Dir(dir)))
		return n
	}
	slices.SortFunc(dirs, func(a, b string) int { return version(b) - version(a) })
	if path, err := exec.LookPath("postgres"); err == nil {
		if path, err = filepath.EvalSymlinks(path); err == nil {
			dirs = append([]string{filepath.Dir(path)}, dirs...)
		}
	}
	for _, dir := range dirs {
		_, errInit := exec.LookPath(filepath.Join(dir, "initdb"))
		_, errServe := exec.LookPath(filepath.Join(dir, "postgres"))
		if errInit == nil && errServe == nil {
			return dir, nil
		}
	}
	return "", ErrNotInstalled
}

// guardScript runs beside the server and waits for a word of this process or for
// its end. It stops what was left running and removes the folder.
const guardScript = `
read -r word
if [ "$word" != stopped ] && pid=$(head -n 1 data/postmaster.pid 2>/dev/null); then
	kill -QUIT "$pid"
	for i in 1 2 3 4 5 6 7 8 9 10; do kill -0 "$pid" 2>/dev/null && sleep 1; done
fi
cd / && rm -rf "$1"
`

// create makes the folder, its guard and the cluster in it.
func (s *Server) create() error {
	parent := "" // os.TempDir
	if os.Geteuid() == 0 {
		parent = "/tmp" // TMPDIR may lie where only root can go
	}
	dir, err := os.MkdirTemp(parent, "pgserver-")
	if err != nil {
		return err
	}
	s.dir = dir
	if id := credential(); id != nil {
		if err := os.Chown(dir, int(id.Uid), int(id.Gid)); err != nil {
			return err
		}
	}
	s.guard = s.command("sh", "-c", guardScript, "pgserver-guard", dir)
	if s.leash, err = s.guard.StdinPipe(); err != nil {
		return err
	}
	if err := s.guard.Start(); err != nil {
		s.guard = nil
		return err
	}
	initdb := s.command(filepath.Join(s.bin, "initdb"), "-D", "data", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync")
	if out, err := initdb.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w: %s", err, out)
	}
	return nil
}

// command runs in the server's folder, out of reach of the terminal's signals,
// and for root as another user: PostgreSQL refuses root.
func (s *Server) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Dir = s.dir
	cmd.Env = append(os.Environ(), "PWD="+s.dir, "LC_ALL=C")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: credential()}
	return cmd
}

func credential() *syscall.Credential {
	if os.Geteuid() != 0 {
		return nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		if u, err := user.Lookup(name); err == nil {
			uid, errU := strconv.ParseUint(u.Uid, 10, 32)
			gid, errG := strconv.ParseUint(u.Gid, 10, 32)
			if errU == nil && errG == nil {
				return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
			}
		}
	}
	return nil
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// start starts the postmaster and waits until it takes connections. After a kill the
// children of the one before may take a moment to end; until then they refuse it.
func (s *Server) start() error {
	for began := time.Now(); ; time.Sleep(100 * time.Millisecond) {
		err := s.launch()
		if err == nil || !strings.Contains(err.Error(), "pre-existing shared memory block") || time.Since(began) > startTimeout {
			return err
		}
	}
}

func (s *Server) launch() error {
	logged, err := os.Create(filepath.Join(s.dir, "log"))
	if err != nil {
		return err
	}
	defer logged.Close()
	args := []string{"-D", "data", "-p", strconv.Itoa(s.port), "-h", "127.0.0.1", "-k", s.dir, "-c", "max_connections=300"}
	for _, setting := range s.settings {
		args = append(args, "-c", setting)
	}
	cmd := s.command(filepath.Join(s.bin, "postgres"), args...)
	cmd.Stdout, cmd.Stderr = logged, logged
	if err := cmd.Start(); err != nil {
		return err
	}
	// It is waited for by its id alone, without a goroutine: tests look for leaks.
	s.pid = cmd.Process.Pid
	_ = cmd.Process.Release()

	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	for {
		conn, err := pgx.Connect(ctx, s.DSN())
		if err == nil {
			return conn.Close(ctx)
		}
		if s.exited() || ctx.Err() != nil {
			out, _ := os.ReadFile(logged.Name())
			return fmt.Errorf("the server did not start: %w: %s", err, bytes.TrimSpace(out))
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// exited reports whether the postmaster has ended, and takes note of it.
func (s *Server) exited() bool {
	if s.pid != 0 {
		pid, err := syscall.Wait4(s.pid, nil, syscall.WNOHANG, nil)
		if pid == s.pid || errors.Is(err, syscall.ECHILD) {
			s.pid = 0
		}
	}
	return s.pid == 0
}

// Port is the server's port on 127.0.0.1; it stays the same over a restart.
func (s *Server) Port() int { return s.port }

// DSN is the server's DSN for its database postgres, also while it is stopped.
func (s *Server) DSN() string {
	return fmt.Sprintf("host=127.0.0.1 port=%d user=postgres dbname=postgres sslmode=disable", s.port)
}

// Restart starts the server again on its port, after a fast shutdown when it
// runs, and returns when it takes connections.
func (s *Server) Restart() error {
	if err := s.Stop(Fast); err != nil {
		return err
	}
	return s.start()
}

// Stop stops the server and returns when it has ended. One that is stopped
// already stays so.
func (s *Server) Stop(how Shutdown) error {
	if s.exited() {
		return nil
	}
	signal := syscall.SIGINT
	switch how {
	case Immediate:
		signal = syscall.SIGQUIT
	case Kill:
		// Stopped first, the postmaster makes no more children while they are killed.
		_ = syscall.Kill(s.pid, syscall.SIGSTOP)
		for _, child := range childrenOf(s.pid) {
			_ = syscall.Kill(child, syscall.SIGKILL)
		}
		signal = syscall.SIGKILL
	}
	if err := syscall.Kill(s.pid, signal); err != nil {
		return fmt.Errorf("%s stop: %w", how, err)
	}
	for deadline := time.Now().Add(startTimeout); !s.exited(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			return fmt.Errorf("the server did not end after a %s stop", how)
		}
	}
	return nil
}

// childrenOf looks into /proc. Where there is none the children are left to see
// for themselves that their postmaster is gone.
func childrenOf(parent int) (children []int) {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		stat, _ := os.ReadFile(path)
		// pid (name) state parent …, and the name may hold any character
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
		if len(fields) > 1 && fields[1] == strconv.Itoa(parent) {
			if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path))); err == nil {
				children = append(children, pid)
			}
		}
	}
	return children
}

// Close stops the server and removes its folder.
func (s *Server) Close() error {
	err := s.Stop(Fast)
	if err != nil {
		err = errors.Join(err, s.Stop(Kill))
	}
	if s.guard != nil {
		_, _ = io.WriteString(s.leash, "stopped\n")
		err = errors.Join(err, s.leash.Close(), s.guard.Wait())
		s.guard = nil
	}
	if s.dir != "" {
		err = errors.Join(err, os.RemoveAll(s.dir))
	}
	return err
}
