// Package estest gives tests genuine Elasticsearch and OpenSearch servers. It is a test
// helper, not API: it may change with any version.
//
// [Each] runs a test on one of either kind: those that the environment variables
// AUDITING_ELASTICSEARCH_URL and AUDITING_OPENSEARCH_URL name, of whatever version,
// else servers that .ci/elastic has downloaded before, which are started for the tests
// of one package and ended by [Main]. Where there is neither the test is skipped, with
// CI=true it fails.
//
// [Start] gives a test one or three nodes of its own, to kill, stop and continue. No
// server outlives the test process, however it ends.
package estest

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// Kind is one of the two servers.
type Kind string

const (
	Elasticsearch Kind = "elasticsearch"
	OpenSearch    Kind = "opensearch"
)

// Kinds are both.
var Kinds = []Kind{Elasticsearch, OpenSearch}

// Env names the environment variable with the URL of a running server of this kind, as
// http://127.0.0.1:9200. Tests create and delete indices and templates there.
func (k Kind) Env() string { return "AUDITING_" + strings.ToUpper(string(k)) + "_URL" }

// errNoServer means that nothing is there to start.
var errNoServer = errors.New("no server")

// shared are the servers that the tests of one process have together.
var shared struct {
	sync.Mutex
	ready   bool // Main runs, so that somebody ends them
	servers map[Kind]*Cluster
	errs    map[Kind]error
}

// Main runs the tests, ends the shared servers and exits. A package whose tests use
// [URL] or [Each] has
//
//	func TestMain(m *testing.M) { estest.Main(m) }
func Main(m *testing.M) {
	shared.ready = true
	shared.servers, shared.errs = map[Kind]*Cluster{}, map[Kind]error{}
	code := m.Run()
	for kind, c := range shared.servers {
		if err := c.end(); err != nil {
			fmt.Fprintf(os.Stderr, "estest: ending %s: %v\n", kind, err)
			code = max(code, 1)
		}
	}
	os.Exit(code)
}

// Each runs test as a subtest on a server of each kind.
func Each(t *testing.T, test func(t *testing.T, url string)) {
	t.Helper()
	for _, kind := range Kinds {
		t.Run(string(kind), func(t *testing.T) { test(t, URL(t, kind)) })
	}
}

// URL returns the URL of the shared server of that kind, without a slash at its end.
func URL(tb testing.TB, kind Kind) string {
	tb.Helper()
	if url := os.Getenv(kind.Env()); url != "" {
		return strings.TrimSuffix(url, "/")
	}
	shared.Lock()
	defer shared.Unlock()
	if !shared.ready {
		tb.Fatal("estest: add func TestMain(m *testing.M) { estest.Main(m) } to this package's tests: it ends the servers")
	}
	if shared.servers[kind] == nil && shared.errs[kind] == nil {
		c, err := launch(kind, 1)
		if err != nil {
			shared.errs[kind] = err
		} else {
			shared.servers[kind] = c
		}
	}
	if err := shared.errs[kind]; err != nil {
		unavailable(tb, err)
	}
	return shared.servers[kind].URLs[0]
}

// unavailable ends a test that has no server.
func unavailable(tb testing.TB, err error) {
	tb.Helper()
	if errors.Is(err, errNoServer) && os.Getenv("CI") != "true" {
		tb.Skip("estest: ", err)
	}
	tb.Fatal("estest: ", err)
}

// Index returns a name for an index that the server does not have. When the test ends,
// it and all indices, data streams and templates whose names begin with it are deleted.
func Index(tb testing.TB, url string) string {
	tb.Helper()
	name := "estest-" + strings.ToLower(rand.Text()[:12])
	tb.Cleanup(func() {
		// Servers delete nothing by a pattern.
		for _, kind := range []string{"_data_stream", "_index_template"} {
			for _, found := range names(tb, url, kind, name) {
				Do(tb, http.MethodDelete, url+"/"+kind+"/"+found, "")
			}
		}
		for _, found := range names(tb, url, "", name) {
			Do(tb, http.MethodDelete, url+"/"+found, "")
		}
	})
	return name
}

// names lists what begins with name, or with "auditing-" and name.
func names(tb testing.TB, url, kind, name string) []string {
	tb.Helper()
	var all []string
	if kind == "" {
		status, body := Do(tb, http.MethodGet, url+"/"+name+"*/_settings?expand_wildcards=all", "")
		found := map[string]any{}
		if status == http.StatusOK && json.Unmarshal([]byte(body), &found) == nil {
			for index := range found {
				all = append(all, index)
			}
		}
		return all
	}
	for _, prefix := range []string{"", "auditing-"} {
		_, body := Do(tb, http.MethodGet, url+"/"+kind+"/"+prefix+name+"*", "")
		var found struct {
			Templates   []struct{ Name string } `json:"index_templates"`
			DataStreams []struct{ Name string } `json:"data_streams"`
		}
		_ = json.Unmarshal([]byte(body), &found) // a server without data streams answers otherwise
		for _, f := range append(found.Templates, found.DataStreams...) {
			all = append(all, f.Name)
		}
	}
	return all
}

// Do sends one request with a JSON body, or none when it is "", and returns the answer
// whatever its status is.
func Do(tb testing.TB, method, url, body string) (status int, answer string) {
	tb.Helper()
	// The test's own context is over in its Cleanup.
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	status, answer, err := do(ctx, method, url, body)
	if err != nil {
		tb.Fatalf("estest: %s %s: %v", method, url, err)
	}
	return status, answer
}

func do(ctx context.Context, method, url, body string) (int, string, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader([]byte(body)))
	if err != nil {
		return 0, "", err
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(answer), err
}

// client keeps no connection open: tests look for goroutines that are left.
var client = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
