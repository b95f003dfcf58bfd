//go:build unix

package pgtest

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// Bouncer starts a PgBouncer in transaction mode before the server of dsn and returns
// the DSN of the same database through it. Two connections to the server serve all
// clients of a database. The test is skipped, with CI=true it fails, where none is
// installed.
func Bouncer(tb testing.TB, dsn string) string {
	tb.Helper()
	path, err := exec.LookPath("pgbouncer")
	if err != nil {
		if path, err = exec.LookPath("/usr/sbin/pgbouncer"); err != nil {
			if os.Getenv("CI") == "true" {
				tb.Fatal("pgtest: no PgBouncer is installed: apt-get install pgbouncer")
			}
			tb.Skip("pgtest: no PgBouncer is installed: apt-get install pgbouncer")
		}
	}
	server, err := pgx.ParseConfig(dsn)
	if err != nil {
		tb.Fatal("pgtest: ", err)
	}
	for try := 1; ; try++ {
		port, err := startBouncer(tb, path, server)
		if err == nil {
			return fmt.Sprintf("host=127.0.0.1 port=%d user=%s dbname=%s sslmode=disable", port, server.User, server.Database)
		}
		if try == 3 { // the port was free a moment ago, which is no promise
			tb.Fatal("pgtest: ", err)
		}
	}
}

func startBouncer(tb testing.TB, path string, server *pgx.ConnConfig) (port int, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	port = l.Addr().(*net.TCPAddr).Port
	l.Close()
	dir, err := os.MkdirTemp("/tmp", "pgbouncer-")
	if err != nil {
		return 0, err
	}
	tb.Cleanup(func() { os.RemoveAll(dir) })
	password := ""
	if server.Password != "" {
		password = " password='" + strings.ReplaceAll(server.Password, "'", "''") + "'"
	}
	ini := filepath.Join(dir, "pgbouncer.ini")
	config := fmt.Sprintf(`[databases]
* = host=%s port=%d user=%s%s
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %d
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 2
max_client_conn = 200
server_login_retry = 0.1
logfile = %s
`, server.Host, server.Port, server.User, password, port, filepath.Join(dir, "log"))
	if err := os.WriteFile(ini, []byte(config), 0o644); err != nil {
		return 0, err
	}
	// The shell ends it when this process does, however that ends.
	cmd := exec.Command("sh", "-c", `"$0" -q "$1" & read -r word; kill -INT $!; wait $!`, path, ini)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if os.Geteuid() == 0 { // PgBouncer refuses root
		u, err := user.Lookup("nobody")
		if err != nil {
			return 0, err
		}
		uid, _ := strconv.Atoi(u.Uid)
		gid, _ := strconv.Atoi(u.Gid)
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		if err := os.Chown(dir, uid, gid); err != nil {
			return 0, err
		}
	}
	leash, err := cmd.StdinPipe()
	if err != nil {
		return 0, err
	}
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	tb.Cleanup(func() {
		_ = leash.Close()
		_ = cmd.Wait()
	})
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if conn, err := net.Dial("tcp", fmt.Sprint("127.0.0.1:", port)); err == nil {
			return port, conn.Close()
		}
	}
	out, _ := os.ReadFile(filepath.Join(dir, "log"))
	return 0, errors.New("PgBouncer does not start: " + string(out))
}
