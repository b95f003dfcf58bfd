package estest_test

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/auditing-go/auditing/stores/esstore/estest"
)

func TestMain(m *testing.M) { estest.Main(m) }

func TestIndexIsDeletedWithAllThatBelongsToIt(t *testing.T) {
	estest.Each(t, func(t *testing.T, url string) {
		var name string
		t.Run("inner", func(t *testing.T) {
			name = estest.Index(t, url)
			for path, body := range map[string]string{
				"/" + name: "", "/" + name + "-2026.11": "",
				"/_index_template/auditing-" + name: `{"index_patterns":["` + name + `"],"priority":1000}`,
			} {
				if status, answer := estest.Do(t, http.MethodPut, url+path, body); status != http.StatusOK {
					t.Fatalf("PUT %s: %d %s", path, status, answer)
				}
			}
		})
		for _, path := range []string{"/" + name, "/" + name + "-2026.11", "/_index_template/auditing-" + name} {
			if status, _ := estest.Do(t, http.MethodGet, url+path, ""); status != http.StatusNotFound {
				t.Errorf("GET %s: %d after the test; want it to be deleted", path, status)
			}
		}
	})
}

// TestWithoutAServer runs itself where nothing is downloaded.
func TestWithoutAServer(t *testing.T) {
	if os.Getenv("ESTEST_CHILD") != "" {
		estest.URL(t, estest.Elasticsearch)
		t.Fatal("there is a server")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, ci := range []string{"true", ""} {
		cmd := exec.Command(self, "-test.run", "^TestWithoutAServer$", "-test.v")
		cmd.Env = append(os.Environ(), "ESTEST_CHILD=1", "CI="+ci, "AUDITING_ELASTIC_CACHE="+filepath.Join(t.TempDir(), "empty"), estest.Elasticsearch.Env()+"=")
		out, err := cmd.CombinedOutput()
		if (err != nil) != (ci == "true") || !strings.Contains(string(out), ".ci/elastic fetch") || strings.Contains(string(out), "SKIP") != (ci == "") {
			t.Errorf("with CI=%q the test ends with %v and says %s; want it to fail only with CI=true, and to say how to get a server", ci, err, out)
		}
	}
}
