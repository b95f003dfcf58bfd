package examples

import (
	"bufio"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/auditing-go/auditing/stores/postgres/pgtest"
)

// TestPrograms drives the shops over HTTP: the same of each.
func TestPrograms(t *testing.T) {
	dir := build(t, programs...)
	for _, name := range programs {
		t.Run(name, func(t *testing.T) {
			e := example{filepath.Join(dir, name)}
			t.Run("refund on SQLite", func(t *testing.T) { e.testRefund(t, e.onSQLite(t)) })
			t.Run("refund on PostgreSQL", func(t *testing.T) { e.testRefund(t, e.onPostgres(t)) })
			t.Run("hostile input on SQLite", func(t *testing.T) { e.testHostile(t, e.onSQLite(t)) })
			t.Run("hostile input on PostgreSQL", func(t *testing.T) { e.testHostile(t, e.onPostgres(t)) })
			t.Run("who is not signed in", e.testNobody)
			t.Run("other sites", e.testOtherSites)
			t.Run("bad input", e.testBadInput)
			t.Run("headers", e.testHeaders)
			t.Run("cookie", e.testCookie)
			t.Run("older audits", e.testOlder)
			t.Run("Ctrl-C", e.testInterrupt)
			t.Run("default file", e.testDefaultFile)
			t.Run("no cache folder", e.testNoCacheFolder)
			t.Run("warning", e.testWarning)
			t.Run("console", e.testConsole)
			t.Run("help", e.testHelp)
			t.Run("mistakes", e.testMistakes)
		})
	}
}

type example struct{ binary string }

func (e example) onSQLite(t *testing.T) *program {
	t.Helper()
	return start(t, e.binary, "-dsn", filepath.Join(t.TempDir(), "audits.db"))
}

func (e example) onPostgres(t *testing.T) *program {
	t.Helper()
	return start(t, e.binary, "-store", "postgres_auto", "-dsn", pgtest.DSN(t))
}

// audit is one element of the array that GET /audits answers with.
type audit struct {
	Tag, Username, Datetime, Path, Host, IP string
	Fields                                  map[string]any
}

func (v *visitor) audits() (audits []audit) {
	v.t.Helper()
	a := v.get("/audits", "Accept", "application/json").wantStatus(http.StatusOK)
	if got := a.Header.Get("Content-Type"); got != "application/json" {
		v.t.Errorf("the audits are of type %q, want application/json", got)
	}
	if err := json.Unmarshal([]byte(a.body), &audits); err != nil || audits == nil {
		v.t.Fatalf("the audits are no JSON array (%v):\n%s", err, a.body)
	}
	return audits
}

// tableRow finds the cells of the newest event on the page of audits.
var (
	tableRow  = regexp.MustCompile(`(?s)<table class="rows">.*?<tbody>\s*<tr>(.*?)</tr>`)
	tableCell = regexp.MustCompile(`(?s)<td data-label="([^"]*)">(.*?)</td>`)
	htmlTag   = regexp.MustCompile(`<[^>]*>`)
)

func newestRow(page string) map[string]string {
	cells := map[string]string{}
	if row := tableRow.FindStringSubmatch(page); row != nil {
		for _, cell := range tableCell.FindAllStringSubmatch(row[1], -1) {
			cells[cell[1]] = html.UnescapeString(strings.Join(strings.Fields(htmlTag.ReplaceAllString(cell[2], " ")), " "))
		}
	}
	return cells
}

func (e example) testRefund(t *testing.T, p *program) {
	p.visitor().get("/").wantStatus(http.StatusOK)
	v := p.signedIn("alice")
	v.get("/").wantStatus(http.StatusOK)
	if got := v.audits(); len(got) != 0 {
		t.Errorf("before anything is done the trail is %+v", got)
	}
	before := time.Now().Add(-time.Minute)
	v.refund("A-1", "9.50", "X-Forwarded-For", "203.0.113.9").wantRedirect("/?order=A-1")

	got := v.audits()
	if len(got) != 1 {
		t.Fatalf("the trail is %+v, want one refund", got)
	}
	at, err := time.Parse(time.RFC3339Nano, got[0].Datetime)
	if err != nil || at.Before(before) || at.After(time.Now().Add(time.Minute)) || !strings.HasSuffix(got[0].Datetime, "Z") {
		t.Errorf("datetime is %q, want now in UTC (%v)", got[0].Datetime, err)
	}
	got[0].Datetime = ""
	want := audit{Tag: "refund", Username: "alice", Path: "/refund", Host: "127.0.0.1", IP: "203.0.113.9", Fields: map[string]any{"order": "A-1", "amount": 9.5}}
	if fmt.Sprintf("%+v", got[0]) != fmt.Sprintf("%+v", want) {
		t.Errorf("the audit is\n%+v, want\n%+v", got[0], want)
	}

	row := newestRow(v.get("/audit/?resource=order%2FA-1").wantStatus(http.StatusOK).body)
	for label, want := range map[string]string{
		"Who": "alice", "What": "refund", "Resource": "order/A-1", "IP": "203.0.113.9", "Fields": "amount 9.5 order A-1",
	} {
		if row[label] != want {
			t.Errorf("the page shows %q as %s, want %q", row[label], label, want)
		}
	}
	if home := v.get("/?order=A-1").wantStatus(http.StatusOK).body; !strings.Contains(home, `href="/audit/?view=timeline&amp;resource=order/A-1"`) {
		t.Errorf("after the refund nothing leads to its audit:\n%s", home)
	}

	v.post("/logout", nil).wantRedirect("/")
	v.get("/audits").wantStatus(http.StatusUnauthorized)
	v.get("/audit/").wantStatus(http.StatusForbidden)
	v.refund("A-2", "1").wantStatus(http.StatusUnauthorized)
}

func (e example) testHostile(t *testing.T, p *program) {
	const user, order = `<script>`, `"><img src=x>`
	v := p.signedIn(user)
	v.refund(order, "1").wantRedirect("/?order=" + url.QueryEscape(order))
	if got := v.audits(); len(got) != 1 || got[0].Username != user || got[0].Fields["order"] != order {
		t.Errorf("the trail is %+v", got)
	}
	page := v.get("/audit/").wantStatus(http.StatusOK).body
	for _, raw := range []string{"<script", "<img", order} {
		if strings.Contains(page, raw) {
			t.Errorf("the page holds %s unescaped:\n%s", raw, page)
		}
	}
	row := newestRow(page)
	if row["Who"] != user || !strings.HasSuffix(row["Fields"], order) {
		t.Errorf("the page shows %q and %q", row["Who"], row["Fields"])
	}
	raw := v.get("/audits", "Accept", "application/json")
	if strings.ContainsAny(raw.body, "<>") {
		t.Errorf("a browser that guesses could take this for HTML:\n%s", raw.body)
	}
}

// cancelWarning is the log's line about an audit that nobody signs.
var cancelWarning = regexp.MustCompile(`auditing: cancelled: nobody could be identified.*tags=.*audits`)

func (e example) testNobody(t *testing.T) {
	p := e.onSQLite(t)
	stranger := p.visitor()
	forged := []string{"Cookie", "session=MTY5NDAwMDAwMHxuYW1lfGZvcmdlZA=="}
	tries := []answer{
		stranger.get("/audits"),
		stranger.get("/audits", "Accept", "application/json"),
		stranger.get("/audits", forged...),
		stranger.refund("A-1", "9.50"),
		stranger.refund("A-1", "9.50", forged...),
		stranger.post("/refund", nil),
	}
	for _, a := range tries {
		a.wantStatus(http.StatusUnauthorized)
		if strings.Contains(a.body, "Audit trail") {
			t.Errorf("the answer shows the trail:\n%s", a.body)
		}
	}
	if got := tries[1].Header.Get("Content-Type"); got != "application/json" {
		t.Errorf("who asked for JSON is refused with %q", got)
	}
	if got := p.signedIn("alice").audits(); len(got) != 0 {
		t.Errorf("what nobody tried is stored: %+v", got)
	}
	stdout, stderr := p.interrupt()
	if want := fmt.Sprintf("Audits: %d attempted, 0 stored, %[1]d cancelled, 0 failed, 0 unknown", len(tries)); !strings.Contains(stdout, want) {
		t.Errorf("the program does not print %q:\n%s", want, stdout)
	}
	if !cancelWarning.MatchString(stderr) {
		t.Errorf("the log does not say that an audit was cancelled:\n%s", stderr)
	}
}

func (e example) testOtherSites(t *testing.T) {
	p := e.onSQLite(t)
	v := p.signedIn("alice")
	form := url.Values{"username": {"mallory"}, "order": {"A-1"}, "amount": {"9.50"}}
	for _, headers := range [][]string{
		{"Origin", "http://evil.example"},
		{"Origin", "null"},
		{"Origin", strings.Replace(p.url, "127.0.0.1", "127.0.0.2", 1)},
		{"Sec-Fetch-Site", "cross-site"},
		{"Sec-Fetch-Site", "same-site"},
		{"Sec-Fetch-Site", "cross-site", "Origin", p.url},
	} {
		for _, path := range []string{"/login", "/refund", "/logout"} {
			a := v.post(path, form, headers...)
			if a.wantStatus(http.StatusForbidden); len(a.Cookies()) > 0 {
				t.Errorf("%s with %q sets cookies", path, headers)
			}
		}
	}
	if got := v.audits(); len(got) != 0 {
		t.Errorf("other sites have refunded: %+v", got)
	}
	// Links from elsewhere work, and so do the page's own forms.
	v.get("/audits", "Sec-Fetch-Site", "cross-site").wantStatus(http.StatusOK)
	v.refund("A-1", "9.50", "Origin", p.url).wantRedirect("/?order=A-1")
	v.refund("A-2", "9.50", "Origin", p.url, "Sec-Fetch-Site", "same-origin").wantRedirect("/?order=A-2")
	if got := v.audits(); len(got) != 2 || got[0].Username != "alice" {
		t.Errorf("the trail is %+v, want two refunds of alice's", got)
	}
}

func (e example) testBadInput(t *testing.T) {
	p := e.onSQLite(t)
	for _, name := range []string{"", "   ", strings.Repeat("x", 101)} {
		v := p.visitor()
		v.post("/login", url.Values{"username": {name}}).wantStatus(http.StatusBadRequest)
		v.get("/audits").wantStatus(http.StatusUnauthorized)
	}
	v := p.signedIn("  " + strings.Repeat("x", 100) + " ")
	for _, amount := range []string{"", "ten", "0", "-1", "NaN", "Inf", "1e999"} {
		if a := v.refund("A-1", amount).wantStatus(http.StatusBadRequest); !strings.Contains(a.body, "amount must be") {
			t.Errorf("the answer to the amount %q does not say what is wrong:\n%s", amount, a.body)
		}
	}
	for _, order := range []string{"", " ", strings.Repeat("x", 101)} {
		v.refund(order, "1").wantStatus(http.StatusBadRequest)
	}
	tooLarge := url.Values{"order": {"A-1"}, "amount": {"1"}, "padding": {strings.Repeat("x", 1<<20)}}
	v.post("/refund", tooLarge).wantStatus(http.StatusBadRequest)
	v.get("/audits?after=nonsense").wantStatus(http.StatusBadRequest)
	if got := v.audits(); len(got) != 0 {
		t.Errorf("refused refunds are in the trail: %+v", got)
	}
}

// pageStyle is the page's style sheet, and foreign is what the content security
// policy would keep from working.
var (
	pageStyle = regexp.MustCompile(`(?s)<style>(.*?)</style>`)
	foreign   = regexp.MustCompile(`(?i)<(script|link|img|iframe|base|object)\b|\s(style|src|on[a-z]+)=`)
)

func (e example) testHeaders(t *testing.T) {
	p := e.onSQLite(t)
	v := p.signedIn("alice")
	v.refund("A-1", "9.50")
	answers := []answer{
		v.get("/audit/").wantStatus(http.StatusOK),
		v.get("/audits", "Accept", "application/json").wantStatus(http.StatusOK),
		v.get("/").wantStatus(http.StatusOK),
		v.refund("", "").wantStatus(http.StatusBadRequest),
		p.visitor().get("/").wantStatus(http.StatusOK),
		p.visitor().get("/audits").wantStatus(http.StatusUnauthorized),
		v.post("/logout", nil, "Origin", "null").wantStatus(http.StatusForbidden),
		v.get("/nowhere").wantStatus(http.StatusNotFound),
	}
	pages := 0
	for _, a := range answers {
		of := a.Status + " of " + a.Request.URL.Path
		if got := a.Header.Get("X-Content-Type-Options"); got != "nosniff" {
			t.Errorf("%s: X-Content-Type-Options is %q", of, got)
		}
		policy := a.Header.Get("Content-Security-Policy")
		if !strings.HasPrefix(policy, "default-src 'none'; style-src 'sha256-") || !strings.Contains(policy, "form-action 'self'") || strings.Contains(policy, "unsafe") {
			t.Errorf("%s: the content security policy is %q", of, policy)
		}
		if !strings.HasPrefix(a.body, "<!DOCTYPE html>") {
			continue
		}
		pages++
		styles := pageStyle.FindAllStringSubmatch(a.body, -1)
		if len(styles) != 1 {
			t.Fatalf("%s: the page has %d style sheets", of, len(styles))
		}
		sum := sha256.Sum256([]byte(styles[0][1]))
		if hash := "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"; !strings.Contains(policy, hash) {
			t.Errorf("%s: the policy is %q, which does not allow the page's style sheet, %s", of, policy, hash)
		}
		if found := foreign.FindString(a.body); found != "" {
			t.Errorf("%s: the policy forbids the page's own %q", of, found)
		}
	}
	if pages < 4 {
		t.Errorf("only %d of the answers were pages", pages)
	}
}

func (e example) testCookie(t *testing.T) {
	file := filepath.Join(t.TempDir(), "audits.db")
	p := start(t, e.binary, "-dsn", file)
	v := p.visitor()
	in := v.post("/login", url.Values{"username": {"alice"}}).wantRedirect("/").Cookies()
	if len(in) != 1 || !in[0].HttpOnly || in[0].SameSite != http.SameSiteLaxMode || in[0].Path != "/" || in[0].Domain != "" {
		t.Fatalf("signing in sets the cookies %+v, want one that is HttpOnly and SameSite=Lax", in)
	}
	v.refund("A-1", "9.50").wantRedirect("/?order=A-1")
	out := v.post("/logout", nil).wantRedirect("/").Cookies()
	if len(out) != 1 || out[0].Name != in[0].Name || out[0].MaxAge >= 0 {
		t.Errorf("signing out sets the cookies %+v, want the one of signing in deleted", out)
	}
	p.interrupt()

	// The key is a fresh one; the trail is the same.
	p = start(t, e.binary, "-dsn", file)
	p.visitor().get("/audits", "Cookie", in[0].Name+"="+in[0].Value).wantStatus(http.StatusUnauthorized)
	if got := p.signedIn("bob").audits(); len(got) != 1 || got[0].Username != "alice" {
		t.Errorf("after a restart the trail is %+v", got)
	}
}

func (e example) testOlder(t *testing.T) {
	v := e.onSQLite(t).signedIn("alice")
	const refunds = 51
	for i := range refunds {
		v.refund(fmt.Sprint("A-", i), "1").wantStatus(http.StatusSeeOther)
	}
	link := regexp.MustCompile(`href="([^"]+)">Older`).FindStringSubmatch(v.get("/audit/").body)
	if link == nil {
		t.Fatal("no link leads to the older audits")
	}
	older := v.get("/audit/" + html.UnescapeString(link[1])).wantStatus(http.StatusOK).body
	if n := strings.Count(older, `data-label="Who"`); n != 1 || strings.Contains(older, ">Older") {
		t.Errorf("the second page shows %d audits, want 1:\n%s", n, older)
	}
	next := regexp.MustCompile(`^<(/audits\?after=.+)>; rel="next"$`).FindStringSubmatch(v.get("/audits").Header.Get("Link"))
	if next == nil {
		t.Fatal("no link leads to the older audits in JSON")
	}
	var rest []audit
	if err := json.Unmarshal([]byte(v.get(next[1]).wantStatus(http.StatusOK).body), &rest); err != nil || len(rest) != 3 {
		t.Errorf("the second page in JSON has %d audits (%v), want 3, as the looks at the page are among those before", len(rest), err)
	}
}

// testInterrupt: a request that has begun when Ctrl-C comes is answered, and its
// audit is stored.
func (e example) testInterrupt(t *testing.T) {
	file := filepath.Join(t.TempDir(), "audits.db")
	p := start(t, e.binary, "-dsn", file)
	v := p.signedIn("alice")
	where, err := url.Parse(p.url)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", where.Host)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	body := url.Values{"order": {"the last"}, "amount": {"1"}}.Encode()
	cookie := v.client.Jar.Cookies(where)[0]
	// The server says "100 Continue" when the handler reads the body: then it is under way.
	fmt.Fprintf(conn, "POST /refund HTTP/1.1\r\nHost: %s\r\nCookie: %s=%s\r\nExpect: 100-continue\r\n"+
		"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\n", where.Host, cookie.Name, cookie.Value, len(body))
	read := bufio.NewReader(conn)
	if begun, err := http.ReadResponse(read, nil); err != nil || begun.StatusCode != http.StatusContinue {
		t.Fatalf("the request is not under way: %+v, %v", begun, err)
	}
	if err := p.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	p.waitFor(regexp.MustCompile("Draining"))
	fmt.Fprint(conn, body)
	response, err := http.ReadResponse(read, nil)
	if err != nil || response.StatusCode != http.StatusSeeOther {
		t.Errorf("the request under way is answered with %+v, %v", response, err)
	}
	stdout, _ := p.end()
	if want := "Audits: 1 attempted, 1 stored, 0 cancelled, 0 failed, 0 unknown"; !strings.Contains(stdout, want) {
		t.Errorf("the program does not print %q:\n%s", want, stdout)
	}
	if left, err := filepath.Glob(file + "-*"); err != nil || len(left) > 0 {
		t.Errorf("the database was not closed: %v is left (%v)", left, err)
	}
	if got := start(t, e.binary, "-dsn", file).signedIn("bob").audits(); len(got) != 1 || got[0].Fields["order"] != "the last" {
		t.Errorf("the trail is %+v, want the last refund", got)
	}
}
