package examples

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/sessions"

	"github.com/auditing-go/auditing/stores/postgres/pgtest"
)

// TestReadmeConsole runs the first program of README.md, which has no store yet.
func TestReadmeConsole(t *testing.T) {
	text := section(t, mainReadme, "Start")
	want := blocks(t, text, "")[0].text
	got := goCommand(t, outside(t, map[string]string{"main.go": blocks(t, text, "go")[0].text}), "run", ".")
	if _, what, _ := strings.Cut(want, "Z "); !consoleTime.MatchString(got) || !strings.HasSuffix(got, "Z "+what) {
		t.Errorf("it prints\n%s\nREADME.md says\n%s", got, want)
	}
}

var consoleTime = regexp.MustCompile(`^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+Z `)

// shownByPsql is the query and what psql answers, in the first such block of text.
func shownByPsql(t *testing.T, text string) (query, answer string) {
	t.Helper()
	prompt, answer, _ := strings.Cut(blocks(t, text, "")[0].text, "\n")
	query, found := strings.CutPrefix(prompt, "mydb=# ")
	if !found {
		t.Fatalf("the first line of what psql shows is %q", prompt)
	}
	return query, answer
}

// newPsql starts a server without the database mydb, to which programs and psql find
// by the DSN of the documents. The returned function asks psql.
func newPsql(t *testing.T) (ask func(query string) (answer string)) {
	t.Helper()
	psql, err := exec.LookPath("psql")
	if err != nil {
		t.Skip("no psql: ", err)
	}
	server := pgtest.Start(t)
	// The DSN leaves the port to libpq's own rules.
	t.Setenv("PGPORT", fmt.Sprint(server.Port()))
	t.Setenv("PGTZ", "UTC")
	t.Setenv("PGSSLMODE", "disable")
	return func(query string) string {
		t.Helper()
		cmd := exec.Command(psql, "-X", "-h", "127.0.0.1", "-U", "postgres", "-P", "pager=off", "mydb", "-c", query)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("psql: %v\n%s", err, out)
		}
		return trimmed(string(out))
	}
}

// wantShown: psql answers as the document says, but for the times of the rows in table.
func wantShown(t *testing.T, ask func(query string) string, table, query, want string) {
	t.Helper()
	for i, at := range readmeTime.FindAllString(want, -1) {
		nth := fmt.Sprintf("(SELECT audit_id FROM %s ORDER BY datetime OFFSET %d LIMIT 1)", table, i)
		shift := "UPDATE " + table + " SET datetime = '" + at + "' WHERE now() - datetime < '1 hour' AND audit_id = " + nth
		if got := ask(shift); got != "UPDATE 1" {
			t.Errorf("%s: %s", shift, got)
		}
	}
	if got, want := ask(query), trimmed(want); got != want {
		t.Errorf("psql prints\n%s\nthe document says\n%s", got, want)
	}
}

// TestReadmePostgres runs the program of the Postgres store's README, and compares what
// psql then prints.
func TestReadmePostgres(t *testing.T) {
	text := section(t, postgresReadme, "One audit")
	query, want := shownByPsql(t, text)
	ask := newPsql(t)
	if out := goCommand(t, outside(t, map[string]string{"main.go": blocks(t, text, "go")[0].text}), "run", "."); out != "" {
		t.Errorf("the program prints\n%s", out)
	}
	wantShown(t, ask, "mytag", query, want)
}

// TestReadmeGin runs README.md's program on gin, on another port: alice's refunds are the
// rows at the top of README.md, and an interrupt ends the program in order.
func TestReadmeGin(t *testing.T) {
	query, want := shownByPsql(t, readme(t, mainReadme))
	text := blocks(t, section(t, mainReadme, "With gin"), "go")[0].text
	ask := newPsql(t)
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := free.Addr().String()
	free.Close()
	const key = "a secret key of thirty-two bytes"
	t.Setenv("SESSION_KEY", key)
	dir := outside(t, map[string]string{"main.go": strings.Replace(text, "127.0.0.1:8080", addr, 1)})
	goCommand(t, dir, "build", "-o", "shop", ".")
	p := launch(t, exec.Command(filepath.Join(dir, "shop")))

	session := signedIn(t, []byte(key), "alice")
	// gin says on its standard output when the routes stand, not yet that it listens.
	p.waitFor(regexp.MustCompile("POST.*/refund"))
	for _, c := range []struct {
		form string
		want int
	}{{"order=A-1&amount=9.5", http.StatusOK}, {"order=A-2&amount=950", http.StatusForbidden}} {
		r, err := http.NewRequest(http.MethodPost, "http://"+addr+"/refund", strings.NewReader(c.form))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("X-Forwarded-For", "203.0.113.9")
		r.AddCookie(session)
		if response := answered(t, r); response.StatusCode != c.want {
			t.Errorf("the refund %s is answered with %s", c.form, response.Status)
		}
	}
	p.interrupt()
	wantShown(t, ask, "refund", query, want)
}

// signedIn is the cookie of a session of user's.
func signedIn(t *testing.T, key []byte, user string) *http.Cookie {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, "/", nil)
	session, _ := sessions.NewCookieStore(key).Get(r, "session") // the request has none yet
	session.Values["username"] = user
	w := httptest.NewRecorder()
	if err := session.Save(r, w); err != nil {
		t.Fatal(err)
	}
	return w.Result().Cookies()[0]
}

// answered sends r until somebody listens.
func answered(t *testing.T, r *http.Request) *http.Response {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		response, err := http.DefaultClient.Do(r)
		if err == nil {
			response.Body.Close()
			return response
		}
		if !errors.Is(err, syscall.ECONNREFUSED) || time.Now().After(deadline) {
			t.Fatal(err)
		}
		if r.Body, err = r.GetBody(); err != nil {
			t.Fatal(err)
		}
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
