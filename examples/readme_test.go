package examples

import (
	"fmt"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	pathpkg "path"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/auditing-go/auditing/core"
)

// block is a fenced block of a document.
type block struct {
	lang, text string
	line       int // of its first line
}

// The documents whose words are proved here, by their paths in the repository.
const (
	mainReadme     = "README.md"
	coreReadme     = "core/README.md"
	postgresReadme = "stores/postgres/README.md"
)

func readme(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", filepath.FromSlash(path)))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// documents are all Markdown files of the repository.
func documents(t *testing.T) (paths []string) {
	t.Helper()
	err := fs.WalkDir(os.DirFS(".."), ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && (path == ".git" || path == ".cache") {
			return fs.SkipDir
		}
		if strings.HasSuffix(path, ".md") {
			paths = append(paths, path)
		}
		return nil
	})
	if err != nil || len(paths) < 6 {
		t.Fatalf("the documents are %v (%v)", paths, err)
	}
	return paths
}

// section returns what stands under a heading of a document.
func section(t *testing.T, path, heading string) string {
	t.Helper()
	_, text, found := strings.Cut(readme(t, path), "\n## "+heading+"\n")
	if !found {
		t.Fatalf("%s has no heading %q", path, heading)
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

// imports are what a block without a package clause may use, by the names it uses.
var imports = map[string]string{
	"audittest":    "github.com/auditing-go/auditing/core/audittest",
	"core":         "github.com/auditing-go/auditing/core",
	"ginaudit":     "github.com/auditing-go/auditing/ginaudit",
	"http":         "net/http",
	"httptest":     "net/http/httptest",
	"netip":        "net/netip",
	"nethttpaudit": "github.com/auditing-go/auditing/nethttpaudit",
	"stores":       "github.com/auditing-go/auditing/stores",
}

// Where a block that is only statements stands: in a program, or in a test when it tests.
const (
	inProgram = "var (\n\tctx = context.Background()\n\trec *core.Recorder\n)\n\nfunc main() {\n%s}\n"
	inTest    = `func refund(w http.ResponseWriter, r *http.Request) {
	if err := nethttpaudit.Audit(r, "refund", nethttpaudit.Fields{"order": r.FormValue("order")}); err != nil {
		http.Error(w, "try again", http.StatusServiceUnavailable)
	}
}

func TestRefund(t *testing.T) {
%s}
`
)

// wrapped makes a program, or a test, of a block that is only statements.
func wrapped(text string) string {
	imported := "import (\n"
	lines := strings.SplitAfter(text, "\n")
	text = ""
	for _, line := range lines {
		if spec, ok := strings.CutPrefix(line, "import "); ok {
			imported += "\t" + spec
		} else {
			text += line
		}
	}
	frame, std := inProgram, "context"
	if strings.Contains(text, "audittest.") {
		frame, std = inTest, "testing"
	}
	text = fmt.Sprintf(frame, text)
	// What an example leaves for its reader to use is used.
	text = strings.ReplaceAll(text, "store, err := ", "_, _ = ")
	imported += fmt.Sprintf("\t%q\n", std)
	for _, name := range slices.Sorted(maps.Keys(imports)) {
		if regexp.MustCompile(`\b` + name + `\.`).MatchString(text) {
			imported += fmt.Sprintf("\t%q\n", imports[name])
		}
	}
	return "package main\n\n" + imported + ")\n\n" + text
}

// TestReadmeGo compiles every block of Go in the documents, and runs their tests.
func TestReadmeGo(t *testing.T) {
	files := map[string]string{}
	tests := 0
	for _, path := range documents(t) {
		for _, b := range blocks(t, readme(t, path), "go") {
			name, text := "main.go", b.text
			if !strings.HasPrefix(text, "package ") {
				text = wrapped(text)
			} else if formatted, err := format.Source([]byte(text)); err != nil || string(formatted) != text {
				t.Errorf("%s:%d: the block is not formatted by gofmt (%v)", path, b.line, err)
			}
			if strings.Contains(text, "func Test") {
				name = "readme_test.go"
				tests++
			}
			files[fmt.Sprintf("%s/line%d/%s", strings.Trim(strings.TrimSuffix(path, ".md"), "."), b.line, name)] = text
		}
	}
	if len(files) < 6 || tests == 0 {
		t.Fatalf("the documents have only %d blocks of Go, %d of them tests", len(files), tests)
	}
	dir := outside(t, files)
	goCommand(t, dir, "vet", "./...")
	out := goCommand(t, dir, "test", "-v", "./...")
	if passed := strings.Count(out, "--- PASS: "); passed < tests {
		t.Errorf("%d of the documents' tests have passed, want %d:\n%s", passed, tests, out)
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

var (
	markdownLink = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	fencedBlock  = regexp.MustCompile("(?ms)^```.*?^```$")
	codeSpan     = regexp.MustCompile("`([^`]+)`")
	// pathLike is a path in this repository, as a package or a file.
	pathLike = regexp.MustCompile(`^(?:\./)?((?:core|examples|stores|ginaudit|echoaudit|nethttpaudit)(?:/[\w.-]+)+)/?$`)
	runPath  = regexp.MustCompile(`go (?:run|test) (\./[\w./-]+)`)
)

// TestReadmePaths: every link and path in the documents leads somewhere.
func TestReadmePaths(t *testing.T) {
	for _, document := range documents(t) {
		text := fencedBlock.ReplaceAllString(readme(t, document), "")
		check := func(from, path string) {
			if _, err := os.Stat(filepath.Join("..", filepath.FromSlash(from), filepath.FromSlash(path))); err != nil {
				t.Errorf("%s names %s: %v", document, path, err)
			}
		}
		for _, link := range markdownLink.FindAllStringSubmatch(text, -1) {
			if path, _, _ := strings.Cut(link[1], "#"); path != "" && !strings.Contains(path, "://") {
				check(pathpkg.Dir(document), path)
			}
		}
		for _, code := range codeSpan.FindAllStringSubmatch(text, -1) {
			if path := pathLike.FindStringSubmatch(code[1]); path != nil {
				check(".", path[1])
			}
		}
		for _, run := range runPath.FindAllStringSubmatch(readme(t, document), -1) {
			check(".", strings.TrimSuffix(run[1], "/..."))
		}
	}
}

// TestReadmeIsShort: README.md is read to its end.
func TestReadmeIsShort(t *testing.T) {
	if n := strings.Count(readme(t, mainReadme), "\n"); n > 170 {
		t.Errorf("README.md has %d lines: more belongs into the README of a package", n)
	}
}

// namedInCore is a name of package core, or one of its types' fields and methods.
var namedInCore = regexp.MustCompile(`^(core|Config|Event|Recorder|Request|Query)\.([A-Z]\w*)`)

// TestReadmeNames: what the documents name in package core is there.
func TestReadmeNames(t *testing.T) {
	types := map[string]reflect.Type{
		"Config": reflect.TypeFor[core.Config](), "Event": reflect.TypeFor[core.Event](), "Recorder": reflect.TypeFor[*core.Recorder](),
		"Request": reflect.TypeFor[core.Request](), "Query": reflect.TypeFor[core.Query](),
	}
	exported := exportedNames(t, filepath.Join("..", "core"))
	found := 0
	for _, document := range documents(t) {
		for _, code := range codeSpan.FindAllStringSubmatch(fencedBlock.ReplaceAllString(readme(t, document), ""), -1) {
			name := namedInCore.FindStringSubmatch(code[1])
			if name == nil {
				continue
			}
			found++
			ok := exported[name[2]]
			if of := types[name[1]]; of != nil {
				_, ok = of.MethodByName(name[2])
				if of.Kind() == reflect.Struct && !ok {
					_, ok = of.FieldByName(name[2])
				}
			}
			if !ok {
				t.Errorf("%s names %s, which is not in package core", document, name[0])
			}
		}
	}
	if found < 50 {
		t.Errorf("the documents have only %d names of package core", found)
	}
}

// exportedNames are those that a package declares.
func exportedNames(t *testing.T, dir string) map[string]bool {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, path := range paths {
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		for _, decl := range file.Decls {
			switch d := decl.(type) {
			case *ast.FuncDecl:
				names[d.Name.Name] = names[d.Name.Name] || d.Recv == nil
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					switch s := spec.(type) {
					case *ast.TypeSpec:
						names[s.Name.Name] = true
					case *ast.ValueSpec:
						for _, name := range s.Names {
							names[name.Name] = true
						}
					}
				}
			}
		}
	}
	return names
}
