package examples

import (
	"fmt"
	"go/format"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/auditing-go/auditing/stores/postgres/pgtest"
)

// block is a fenced block of README.md.
type block struct {
	lang, text string
	line       int // of its first line
}

func readme(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// section returns what stands under a heading of README.md.
func section(t *testing.T, heading string) string {
	t.Helper()
	_, text, found := strings.Cut(readme(t), "\n## "+heading+"\n")
	if !found {
		t.Fatalf("README.md has no heading %q", heading)
	}
	text, _, _ = strings.Cut(text, "\n## ")
	return text
}

// blocks returns the fenced blocks of a language in text.
func blocks(t *testing.T, text, lang string) (found []block) {
	t.Helper()
	var open *block
	for n, line := range strings.Split(text, "\n") {
		fence, isFence := strings.CutPrefix(line, "```")
		switch {
		case isFence && open == nil:
			open = &block{lang: fence, line: n + 2}
		case isFence:
			if open.lang == lang {
				found = append(found, *open)
			}
			open = nil
		case open != nil:
			open.text += line + "\n"
		}
	}
	if open != nil {
		t.Fatalf("the block at line %d is not closed", open.line)
	}
	return found
}

// outside writes the files, by their paths, into a module of its own that
// requires this one as another program would, and returns its folder.
func outside(t *testing.T, files map[string]string) (dir string) {
	t.Helper()
	dependOnSources(t)
	dir = t.TempDir()
	here, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	read := func(name string) string {
		text, err := os.ReadFile(filepath.Join(here, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	const module = "github.com/auditing-go/auditing"
	files["go.mod"] = strings.Replace(read("go.mod"), "module "+module, "module example.org/readme", 1) +
		"\nrequire " + module + " v0.0.0\nreplace " + module + " => " + strconv.Quote(here) + "\n"
	files["go.sum"] = read("go.sum")
	for path, text := range files {
		path = filepath.Join(dir, filepath.FromSlash(path))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// imports are what a block without a package clause may use.
var imports = map[string]string{
	"ginaudit": "github.com/auditing-go/auditing/ginaudit",
	"netip":    "net/netip",
}

// wrapped makes a program of a block that is only statements.
func wrapped(text string) string {
	var b strings.Builder
	b.WriteString("package main\n\nimport (\n")
	for _, name := range slices.Sorted(maps.Keys(imports)) {
		if strings.Contains(text, name+".") {
			fmt.Fprintf(&b, "\t%q\n", imports[name])
		}
	}
	b.WriteString(")\n\nvar rec *core.Recorder\n\nfunc main() {\n" + text + "}\n")
	return strings.Replace(b.String(), "import (\n", "import (\n\t\"github.com/auditing-go/auditing/core\"\n", 1)
}

// TestReadmeGo compiles every block of Go in README.md, and runs its tests.
func TestReadmeGo(t *testing.T) {
	files := map[string]string{}
	tests := 0
	for _, b := range blocks(t, readme(t), "go") {
		name, text := "main.go", b.text
		if !strings.HasPrefix(text, "package ") {
			text = wrapped(text)
		} else if formatted, err := format.Source([]byte(text)); err != nil || string(formatted) != text {
			t.Errorf("README.md:%d: the block is not formatted by gofmt (%v)", b.line, err)
		}
		if strings.Contains(text, "func Test") {
			name = "shop_test.go"
			tests++
		}
		files[fmt.Sprintf("line%d/%s", b.line, name)] = text
	}
	if len(files) < 6 || tests == 0 {
		t.Fatalf("README.md has only %d blocks of Go, %d of them tests", len(files), tests)
	}
	dir := outside(t, files)
	goCommand(t, dir, "vet", "./...")
	out := goCommand(t, dir, "test", "-v", "./...")
	if passed := strings.Count(out, "--- PASS: "); passed < tests {
		t.Errorf("%d of the README's tests have passed, want %d:\n%s", passed, tests, out)
	}
}

func goCommand(t *testing.T, dir string, args ...string) (output string) {
	t.Helper()
	cmd := exec.Command("go", args...)
	cmd.Dir = dir
	// A workspace would not know this module.
	cmd.Env = append(cmd.Environ(), "GOWORK=off")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// TestReadmePostgres runs the README's program as it stands against a server
// without the database mydb, and compares what psql then prints.
func TestReadmePostgres(t *testing.T) {
	text := section(t, "Plain Postgres")
	program := blocks(t, text, "go")[0].text
	shown := blocks(t, text, "")[0].text
	prompt, want, _ := strings.Cut(shown, "\n")
	query, found := strings.CutPrefix(prompt, "mydb=# ")
	if !found {
		t.Fatalf("the first line of what psql shows is %q", prompt)
	}
	psql, err := exec.LookPath("psql")
	if err != nil {
		t.Skip("no psql: ", err)
	}
	server := pgtest.Start(t)
	// The README's DSN leaves the port to libpq's own rules.
	t.Setenv("PGPORT", fmt.Sprint(server.Port()))
	t.Setenv("PGTZ", "UTC")
	t.Setenv("PGSSLMODE", "disable")
	dir := outside(t, map[string]string{"main.go": program})
	if out := goCommand(t, dir, "run", "."); out != "" {
		t.Errorf("the program prints\n%s", out)
	}
	ask := func(query string) string {
		cmd := exec.Command(psql, "-X", "-h", "127.0.0.1", "-U", "postgres", "-P", "pager=off", "mydb", "-c", query)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("psql: %v\n%s", err, out)
		}
		return trimmed(string(out))
	}
	// The time is now; from here on it is the README's.
	shift := "UPDATE mytag SET datetime = '" + readmeTime.FindString(want) + "' WHERE now() - datetime < '1 hour'"
	if got := ask(shift); got != "UPDATE 1" {
		t.Errorf("%s: %s", shift, got)
	}
	if got, want := ask(query), trimmed(want); got != want {
		t.Errorf("psql prints\n%s\nREADME.md says\n%s", got, want)
	}
}

var readmeTime = regexp.MustCompile(`\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}\+00`)

// trimmed is psql's output without the blanks at the ends of lines.
func trimmed(text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		lines[i] = strings.TrimRight(line, " ")
	}
	return strings.TrimSpace(strings.Join(lines, "\n"))
}

var (
	markdownLink = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	fencedBlock  = regexp.MustCompile("(?ms)^```.*?^```$")
	codeSpan     = regexp.MustCompile("`([^`]+)`")
	// pathLike is a path in this repository, as a package or a file.
	pathLike = regexp.MustCompile(`^(?:\./)?((?:core|examples|stores|ginaudit|echoaudit|nethttpaudit)(?:/[\w.-]+)+)/?$`)
	runPath  = regexp.MustCompile(`go (?:run|test) (\./[\w./-]+)`)
)

// TestReadmePaths: every link and path leads somewhere.
func TestReadmePaths(t *testing.T) {
	text := readme(t)
	seen := 0
	check := func(path string) {
		seen++
		if _, err := os.Stat(filepath.Join("..", filepath.FromSlash(path))); err != nil {
			t.Errorf("README.md names %s: %v", path, err)
		}
	}
	for _, link := range markdownLink.FindAllStringSubmatch(text, -1) {
		if !strings.Contains(link[1], "://") {
			path, _, _ := strings.Cut(link[1], "#")
			check(path)
		}
	}
	for _, code := range codeSpan.FindAllStringSubmatch(fencedBlock.ReplaceAllString(text, ""), -1) {
		if path := pathLike.FindStringSubmatch(code[1]); path != nil {
			check(path[1])
		}
	}
	for _, run := range runPath.FindAllStringSubmatch(text, -1) {
		check(strings.TrimSuffix(run[1], "/..."))
	}
	if seen < 6 {
		t.Errorf("README.md names only %d paths: are they still found?", seen)
	}
}
