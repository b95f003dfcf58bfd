package estest

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Version is the version of a kind that tests start when they are not given a server;
// the environment variables AUDITING_ELASTICSEARCH_VERSION and
// AUDITING_OPENSEARCH_VERSION name another one.
func (k Kind) Version() string {
	if v := os.Getenv("AUDITING_" + strings.ToUpper(string(k)) + "_VERSION"); v != "" {
		return v
	}
	return "-"
}

// Cluster is a server of the test's own, of one or three nodes.
type Cluster struct {
	// URLs are those of the nodes n1, n2, …
	URLs []string
	// Kind is which of the two it is.
	Kind Kind

	tb     testing.TB
	dir    string
	script *exec.Cmd
	stdin  io.WriteCloser
	stderr *bytes.Buffer
}

// Start starts a server of so many nodes, 1 or 3, and ends it when the test ends. The
// test is skipped, with CI=true it fails, where none is downloaded.
func Start(tb testing.TB, kind Kind, nodes int) *Cluster {
	tb.Helper()
	c, err := launch(kind, nodes)
	if err != nil {
		unavailable(tb, err)
	}
	c.tb = tb
	tb.Cleanup(func() {
		if err := c.end(); err != nil {
			tb.Error("estest: ", err)
		}
	})
	return c
}

func launch(kind Kind, nodes int) (*Cluster, error) {
	script, err := findScript()
	if err != nil {
		return nil, err
	}
	if err := exec.Command(script, "have", string(kind), kind.Version()).Run(); err != nil {
		return nil, fmt.Errorf("%w: run .ci/elastic fetch %s, or set %s to the URL of one", errNoServer, kind, kind.Env())
	}
	parent := os.TempDir()
	if os.Geteuid() == 0 {
		parent = "/tmp" // the server's own user has to reach it
	}
	dir, err := os.MkdirTemp(parent, "estest-")
	if err != nil {
		return nil, err
	}
	c := &Cluster{Kind: kind, dir: dir, stderr: &bytes.Buffer{}}
	// It ends the nodes when its standard input does, which is at the latest when this
	// process is gone.
	c.script = exec.Command(script, "run", string(kind), kind.Version(), dir, strconv.Itoa(nodes))
	c.script.Stderr = c.stderr
	c.script.SysProcAttr = ownGroup() // so that an interrupt for the tests leaves it to clean up
	if c.stdin, err = c.script.StdinPipe(); err != nil {
		return nil, err
	}
	stdout, err := c.script.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := c.script.Start(); err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		c.stdin.Close()
		return nil, fmt.Errorf("starting %s: %w: %s", kind, errors.Join(err, c.script.Wait()), c.stderr)
	}
	c.URLs = strings.Split(strings.TrimSpace(line), ",")
	return c, nil
}

// findScript finds .ci/elastic from the folder of the package that is tested upwards.
func findScript() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		script := filepath.Join(dir, ".ci", "elastic")
		if _, err := os.Stat(script); err == nil {
			return script, nil
		}
		if up := filepath.Dir(dir); up != dir {
			dir = up
			continue
		}
		return "", fmt.Errorf("%w: .ci/elastic is in no folder above this one", errNoServer)
	}
}

// end ends all nodes and waits until they are gone.
func (c *Cluster) end() error {
	c.stdin.Close()
	if err := c.script.Wait(); err != nil {
		return fmt.Errorf("%w: %s", err, c.stderr)
	}
	return nil
}

// Restart starts a node that was killed, counted from 0, on what it left behind.
func (c *Cluster) Restart(number int) {
	c.tb.Helper()
	address := strings.TrimPrefix(c.URLs[number], "http://")
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			break // what it had open is closed: its locks too
		}
		conn.Close()
		if time.Now().After(deadline) {
			c.tb.Fatalf("estest: node %d still listens", number)
		}
	}
	out, err := exec.Command(c.script.Path, "restart", string(c.Kind), c.Kind.Version(), c.dir, strconv.Itoa(number+1)).CombinedOutput()
	if err != nil {
		c.tb.Fatalf("estest: starting node %d again: %v: %s", number, err, out)
	}
}

// Hosts are the nodes as a DSN names them: host:port, separated by commas.
func (c *Cluster) Hosts() string {
	return strings.ReplaceAll(strings.Join(c.URLs, ","), "http://", "")
}

// Master returns the number of the elected master, counted from 0, as the node of
// number ask sees it.
func (c *Cluster) Master(ask int) int {
	c.tb.Helper()
	for range 100 {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		status, body, err := do(ctx, http.MethodGet, c.URLs[ask]+"/_cat/master?format=json", "")
		cancel()
		var found []struct{ Node string }
		if err == nil && status == http.StatusOK && json.Unmarshal([]byte(body), &found) == nil && len(found) == 1 {
			if n, err := strconv.Atoi(strings.TrimPrefix(found[0].Node, "n")); err == nil {
				return n - 1
			}
		}
		time.Sleep(100 * time.Millisecond)
	}
	c.tb.Fatal("estest: no master is elected")
	return -1
}

// Healthy waits until the server at url has exactly so many nodes and every replica in
// its place.
func Healthy(tb testing.TB, url string, nodes int) {
	tb.Helper()
	var last string
	// A server that is starting refuses the connection at once.
	for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		status, body, err := do(ctx, http.MethodGet, fmt.Sprintf("%s/_cluster/health?wait_for_status=green&wait_for_nodes=%d&timeout=2s", url, nodes), "")
		cancel()
		if err == nil && status == http.StatusOK {
			return
		}
		last = fmt.Sprint(body, err)
	}
	tb.Fatalf("estest: the cluster is not healthy: %s", last)
}
