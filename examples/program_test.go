package examples

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/auditing-go/auditing/stores/postgres/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// patience is how long a program may take for what it should do at once.
const patience = time.Minute

// programs are those that are the same shop, by their folders.
var programs = []string{"quickstart", "gin", "echo"}

// dependOnSources looks at all that the examples are built from: the go command
// remembers which files a test has looked at, and runs it again when one changes.
func dependOnSources(t *testing.T) {
	t.Helper()
	err := filepath.WalkDir("..", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && path != ".." && strings.HasPrefix(entry.Name(), ".") {
			return fs.SkipDir
		}
		// What is gone by now is none of them.
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// build builds examples and returns the folder that they are in.
func build(t *testing.T, names ...string) (dir string) {
	t.Helper()
	dependOnSources(t)
	dir = t.TempDir() + string(filepath.Separator)
	args := append([]string{"build"}, raceFlag...)
	args = append(args, "-o", dir)
	for _, name := range names {
		args = append(args, "./"+name)
	}
	if out, err := exec.Command("go", args...).CombinedOutput(); err != nil {
		t.Fatalf("go %v: %v\n%s", args, err, out)
	}
	return dir
}

// program is an example that runs.
type program struct {
	t      *testing.T
	cmd    *exec.Cmd
	url    string
	lines  chan string   // of its standard output, closed at its end
	stdout []string      // those that were read from lines
	stderr *bytes.Buffer // to be read when it has ended
	ended  bool
}

// start runs an example on a free port and returns when it says where it listens.
func start(t *testing.T, binary string, args ...string) *program {
	t.Helper()
	p := launch(t, exec.Command(binary, append([]string{"-addr", "127.0.0.1:0"}, args...)...))
	p.url = p.waitFor(regexp.MustCompile(`http://\S+`))
	return p
}

// launch starts cmd and sees to it that it ends with the test.
func launch(t *testing.T, cmd *exec.Cmd) *program {
	t.Helper()
	p := &program{t: t, cmd: cmd, lines: make(chan string, 1000), stderr: &bytes.Buffer{}}
	cmd.Stderr = p.stderr
	// The race detector would wait a second at the end of each program.
	cmd.Env = append(cmd.Environ(), "GORACE=atexit_sleep_ms=0")
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.lines)
		for s := bufio.NewScanner(stdout); s.Scan(); {
			p.lines <- s.Text()
		}
	}()
	t.Cleanup(func() {
		if !p.ended {
			p.interrupt()
		}
	})
	return p
}

// waitFor returns the first match of want in what the program prints from here on.
func (p *program) waitFor(want *regexp.Regexp) string {
	p.t.Helper()
	for {
		line, ok := p.nextLine()
		if !ok {
			stderr, _ := p.finish()
			p.t.Fatalf("the program has ended without printing %q:\n%s\n%s", want, strings.Join(p.stdout, "\n"), stderr)
		}
		if match := want.FindString(line); match != "" {
			return match
		}
	}
}

func (p *program) nextLine() (line string, ok bool) {
	p.t.Helper()
	select {
	case line, ok = <-p.lines:
		if ok {
			p.stdout = append(p.stdout, line)
		}
		return line, ok
	case <-time.After(patience):
		p.cmd.Process.Kill()
		p.t.Fatalf("the program neither ends nor goes on:\n%s", strings.Join(p.stdout, "\n"))
		return "", false
	}
}

// interrupt is Ctrl-C. It returns all that the program has printed.
func (p *program) interrupt() (stdout, stderr string) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(os.Interrupt); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.t.Error(err)
	}
	return p.end()
}

// end waits until the program has ended, which must be with success.
func (p *program) end() (stdout, stderr string) {
	p.t.Helper()
	stderr, err := p.finish()
	if err != nil {
		p.t.Errorf("%s: %v\n%s", filepath.Base(p.cmd.Path), err, stderr)
	}
	return strings.Join(p.stdout, "\n"), stderr
}

func (p *program) finish() (stderr string, err error) {
	p.t.Helper()
	p.ended = true
	for ok := true; ok; {
		_, ok = p.nextLine()
	}
	err = p.cmd.Wait()
	return p.stderr.String(), err
}

// visitor is a browser with its cookies. It does not follow redirects.
type visitor struct {
	t      *testing.T
	url    string
	client *http.Client
}

func (p *program) visitor() *visitor {
	p.t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		p.t.Fatal(err)
	}
	return &visitor{t: p.t, url: p.url, client: &http.Client{
		Jar:           jar,
		Timeout:       patience,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// signedIn is a visitor who has signed in.
func (p *program) signedIn(username string) *visitor {
	p.t.Helper()
	v := p.visitor()
	v.post("/login", url.Values{"username": {username}}).wantRedirect("/")
	return v
}

// answer is a response that was read.
type answer struct {
	*http.Response
	t    *testing.T
	body string
}

// get asks for path; headers are name and value in turn.
func (v *visitor) get(path string, headers ...string) answer {
	v.t.Helper()
	return v.do(http.MethodGet, path, "", headers)
}

func (v *visitor) post(path string, form url.Values, headers ...string) answer {
	v.t.Helper()
	return v.do(http.MethodPost, path, form.Encode(), append(headers, "Content-Type", "application/x-www-form-urlencoded"))
}

func (v *visitor) refund(order, amount string, headers ...string) answer {
	v.t.Helper()
	return v.post("/refund", url.Values{"order": {order}, "amount": {amount}}, headers...)
}

func (v *visitor) do(method, path, body string, headers []string) answer {
	v.t.Helper()
	r, err := http.NewRequest(method, v.url+path, strings.NewReader(body))
	if err != nil {
		v.t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	response, err := v.client.Do(r)
	if err != nil {
		v.t.Fatal(err)
	}
	defer response.Body.Close()
	read, err := io.ReadAll(response.Body)
	if err != nil {
		v.t.Fatal(err)
	}
	return answer{response, v.t, string(read)}
}

func (a answer) wantStatus(want int) answer {
	a.t.Helper()
	if a.StatusCode != want {
		a.t.Errorf("%s %s is answered with %s, want %d\n%s", a.Request.Method, a.Request.URL.Path, a.Status, want, a.body)
	}
	return a
}

func (a answer) wantRedirect(to string) answer {
	a.t.Helper()
	a.wantStatus(http.StatusSeeOther)
	if got := a.Header.Get("Location"); got != to {
		a.t.Errorf("%s %s leads to %q, want %q", a.Request.Method, a.Request.URL.Path, got, to)
	}
	return a
}
