package examples

import (
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/auditing-go/auditing/stores/postgres/pgtest"
)

// TestOutage is a customer of the program while its PostgreSQL is stopped.
func TestOutage(t *testing.T) {
	pgtest.Start(t) // skips without an installation
	temp := t.TempDir()
	cmd := exec.Command(filepath.Join(build(t, "outage"), "outage"), "-for", "2s")
	cmd.Env = append(os.Environ(), "TMPDIR="+temp)
	p := launch(t, cmd)
	p.url = p.waitFor(regexp.MustCompile(`http://\S+`))
	v := p.visitor()
	form := url.Values{"order": {"A-1"}}
	v.post("/", form).wantStatus(http.StatusUnauthorized)
	p.waitFor(regexp.MustCompile(`PostgreSQL is stopped`))
	for range 25 {
		v.post("/", form, "Authorization", "Basic YWxpY2U6").wantStatus(http.StatusOK)
	}
	p.waitFor(regexp.MustCompile(`PostgreSQL is back`))
	counts := regexp.MustCompile(`(\d+), of them (\d+) while PostgreSQL was away; (\d+) failed`)
	n := counts.FindStringSubmatch(p.waitFor(counts))
	p.waitFor(regexp.MustCompile(`^All ` + n[1] + ` rows arrived, each once\.$`))
	p.end()
	if n[2] == "0" || n[3] != "0" {
		t.Errorf("%s refunds were answered while PostgreSQL was away, %s failed", n[2], n[3])
	}
	if left, err := os.ReadDir(temp); err != nil || len(left) > 0 {
		t.Errorf("the program left %v behind (%v)", left, err)
	}
}
