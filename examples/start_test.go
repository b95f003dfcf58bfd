package examples

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// testDefaultFile: without flags audits outlive the program, and the folder that
// it is started from stays clean.
func (e example) testDefaultFile(t *testing.T) {
	home, folder := t.TempDir(), t.TempDir()
	var kept [2]string
	for i := range kept {
		cmd := exec.Command(e.binary, "-addr", "127.0.0.1:0")
		cmd.Dir = folder
		cmd.Env = append(os.Environ(), "HOME="+home, "XDG_CACHE_HOME="+filepath.Join(home, "cache"))
		p := launch(t, cmd)
		kept[i] = strings.TrimPrefix(p.waitFor(regexp.MustCompile(`Audits are kept in .*`)), "Audits are kept in ")
		p.url = p.waitFor(regexp.MustCompile(`http://\S+`))
		v := p.signedIn("alice")
		v.refund("A-1", "9.50").wantRedirect("/?order=A-1")
		if got := v.audits(); len(got) != i+1 {
			t.Errorf("after start %d the trail is %+v", i+1, got)
		}
		p.interrupt()
	}
	if info, err := os.Stat(kept[0]); err != nil || info.Size() == 0 || !strings.HasPrefix(kept[0], home) || kept[1] != kept[0] {
		t.Errorf("the audits were kept in %q, want a file of the user's (%v)", kept, err)
	}
	if left, err := os.ReadDir(folder); err != nil || len(left) > 0 {
		t.Errorf("the program left %v where it was started (%v)", left, err)
	}
}

// testNoCacheFolder: it starts all the same where the user has no home.
func (e example) testNoCacheFolder(t *testing.T) {
	temp := t.TempDir()
	cmd := exec.Command(e.binary, "-addr", "127.0.0.1:0")
	cmd.Env = []string{"TMPDIR=" + temp}
	p := launch(t, cmd)
	p.waitFor(regexp.MustCompile(`Audits are kept in ` + regexp.QuoteMeta(temp)))
	p.url = p.waitFor(regexp.MustCompile(`http://\S+`))
	p.signedIn("alice").refund("A-1", "9.50").wantRedirect("/?order=A-1")
}

func (e example) testWarning(t *testing.T) {
	for addr, want := range map[string]bool{"127.0.0.1:0": false, "localhost:0": false, "[::1]:0": false, ":0": true, "0.0.0.0:0": true} {
		t.Run(addr, func(t *testing.T) {
			p := launch(t, exec.Command(e.binary, "-addr", addr, "-store", "console"))
			line, ok := p.nextLine()
			for ; ok && !strings.Contains(line, "http://"); line, ok = p.nextLine() {
			}
			if !ok {
				if stderr, _ := p.finish(); addr == "[::1]:0" && strings.Contains(stderr, "assign requested address") {
					t.Skip("there is no IPv6 here")
				}
				t.Fatal("the program does not say where it listens")
			}
			if got := strings.Contains(strings.Join(p.stdout, "\n"), "WARNING"); got != want {
				t.Errorf("warned: %v, want %v:\n%s", got, want, strings.Join(p.stdout, "\n"))
			}
			p.url = regexp.MustCompile(`http://\S+`).FindString(line)
			p.visitor().get("/").wantStatus(http.StatusOK)
			p.interrupt()
		})
	}
}

func (e example) testConsole(t *testing.T) {
	p := start(t, e.binary, "-store", "console")
	v := p.signedIn("alice")
	v.refund("A-1", "9.50").wantRedirect("/?order=A-1")
	p.waitFor(regexp.MustCompile(`refund: alice .*order: "A-1"`))
	v.get("/audits").wantStatus(http.StatusNotImplemented)
	v.get("/audit/").wantStatus(http.StatusNotImplemented)
}

func (e example) testHelp(t *testing.T) {
	out, err := exec.Command(e.binary, "-h").CombinedOutput()
	if err != nil {
		t.Errorf("-h ends with %v", err)
	}
	for _, want := range []string{"-addr", `"127.0.0.1:8080"`, "-store", `"sqlite"`, "-dsn"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("the help does not mention %s:\n%s", want, out)
		}
	}
}

// testMistakes: a wrong start ends with an error that says what to do instead.
func (e example) testMistakes(t *testing.T) {
	busy := e.onSQLite(t)
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"-store", "mysql"}, "console, postgres, postgres_auto, sqlite"},
		{[]string{"-store", "postgres_auto", "-dsn", "host=127.0.0.1 port=1 user=u password=hunter2 dbname=d"}, "connect"},
		{[]string{"-dsn", filepath.Join(t.TempDir(), "missing", "audits.db")}, "SQLite"},
		{[]string{"-store", "console", "-addr", strings.TrimPrefix(busy.url, "http://")}, "-addr"},
		{[]string{"-store", "console", "-addr", "nonsense"}, "-addr"},
		{[]string{"audits.db"}, "-h"},
		{[]string{"-port", "80"}, "-addr"},
	} {
		out, err := exec.Command(e.binary, test.args...).CombinedOutput()
		if err == nil || !strings.Contains(string(out), test.want) || strings.Contains(string(out), "hunter2") {
			t.Errorf("%q ends with %v and says\n%s\nwant a failure that mentions %s", test.args, err, out, test.want)
		}
	}
}
