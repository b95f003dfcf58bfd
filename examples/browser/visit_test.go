package browser

import (
	"archive/zip"
	"bufio"
	"fmt"
	"io"
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

	cdpbrowser "github.com/chromedp/cdproto/browser"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// quickstart starts the example and returns its address.
func quickstart(t *testing.T) (url string) {
	t.Helper()
	dir := t.TempDir()
	build := exec.Command("go", "build", "-o", dir, "./examples/quickstart")
	build.Dir = filepath.Join("..", "..")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	program := exec.Command(filepath.Join(dir, "quickstart"), "-addr", "127.0.0.1:0", "-dsn", filepath.Join(dir, "audits.db"))
	stdout, err := program.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := program.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		program.Process.Signal(os.Interrupt)
		program.Wait()
	})
	lines := bufio.NewScanner(stdout)
	for lines.Scan() {
		if url = regexp.MustCompile(`http://\S+`).FindString(lines.Text()); url != "" {
			return url
		}
	}
	t.Fatal("the program does not say where it listens")
	return ""
}

// refunds are made by somebody with another browser.
func refunds(t *testing.T, at, user string, n int) {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	client := http.Client{Jar: jar}
	post := func(path string, form url.Values) {
		resp, err := client.PostForm(at+path, form)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Fatalf("%s: %s", path, resp.Status)
		}
	}
	post("/login", url.Values{"username": {user}})
	for i := range n {
		post("/refund", url.Values{"order": {fmt.Sprint("B-", i)}, "amount": {"1"}})
	}
}

// fill types into a field in the place of what stands there.
func (b *browser) fill(name, value string) {
	b.t.Helper()
	field := `[name=` + name + `]`
	evaluate[chromedp.Void](b, `document.querySelector("`+field+`").value = ""`)
	b.do(chromedp.SendKeys(chromedp.CSS(field), value))
}

// submit fills a field and sends its form.
func (b *browser) submit(name, value string) {
	b.t.Helper()
	b.fill(name, value)
	b.load(chromedp.KeyEvent(kb.Enter))
}

// export chooses a format, sends the form and returns the lines of the file.
func (b *browser) export(t *testing.T, format string) []string {
	t.Helper()
	dir := t.TempDir()
	ended := make(chan string, 1)
	if err := chromedp.ListenBrowser(b.ctx, func(event any) {
		if e, ok := event.(*cdpbrowser.EventDownloadProgress); ok && e.State != cdpbrowser.DownloadProgressStateInProgress {
			ended <- e.GUID
		}
	}); err != nil {
		t.Fatal(err)
	}
	events := true
	if _, err := chromedp.CallBrowser(b.ctx, cdpbrowser.SetDownloadBehavior, cdpbrowser.SetDownloadBehaviorParams{
		Behavior: cdpbrowser.SetDownloadBehaviorBehaviorAllowAndName, DownloadPath: dir, EventsEnabled: &events,
	}); err != nil {
		t.Fatal(err)
	}
	b.do(chromedp.SendKeys(chromedp.CSS(`[name=format]`), "JSON"), chromedp.Click(chromedp.CSS(`.export button`)))
	var name string
	select {
	case name = <-ended:
	case <-time.After(patience):
		t.Fatal("nothing was downloaded")
	}
	z, err := zip.OpenReader(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	file, err := z.File[0].Open()
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(file)
	if err != nil || !strings.HasSuffix(z.File[0].Name, "."+format) {
		t.Fatalf("%s: %v", z.File[0].Name, err)
	}
	return strings.Split(strings.TrimSpace(string(data)), "\n")
}

// TestVisit is what somebody does who tries the quickstart.
func TestVisit(t *testing.T) {
	at := quickstart(t)
	refunds(t, at, "bob", 60)
	b := newBrowser(t)
	b.open(at)
	b.submit("username", "alice")
	b.fill("order", "A-1")
	b.submit("amount", "9.50")
	b.follow("What was done to it")
	if rows := b.text(".rows tbody tr"); len(rows) != 1 || !strings.Contains(rows[0], "alice") || !strings.Contains(rows[0], "success") {
		t.Errorf("the refund's timeline is %q", rows)
	}
	b.open(at)
	b.fill("order", "A-2")
	b.submit("amount", "950")
	if problem := b.text(".problem"); len(problem) != 1 || !strings.Contains(problem[0], "more than 100") {
		t.Errorf("a refund of 950 is answered with %q", problem)
	}
	b.open(at)
	b.follow("The audit trail")

	rows := func() int { return len(b.text(".rows tbody tr")) }
	if n := rows(); n != 50 {
		t.Errorf("the first page has %d events", n)
	}
	b.follow("Older")
	if n := rows(); n != 12 {
		t.Errorf("the second page has %d events", n)
	}
	b.follow("Newer")
	if n := rows(); n != 50 {
		t.Errorf("back on the first page are %d events", n)
	}
	b.do(chromedp.SendKeys(chromedp.CSS(`[name=outcome]`), "denied"))
	b.submit("user", "alice")
	if got := b.text("td[data-label=Resource]"); len(got) != 1 || got[0] != "order/A-2" {
		t.Errorf("what was denied to alice is %q", got)
	}
	b.load(chromedp.Click(chromedp.CSS(".rows tbody th a")))
	for _, want := range []string{"order/A-2", "denied", "more than 100", "127.0.0.1", "/refund"} {
		if facts := strings.Join(b.text("dd"), "\n"); !strings.Contains(facts, want) {
			t.Errorf("the event does not say %s:\n%s", want, facts)
		}
	}
	b.follow("What was done to order/A-2")
	if got := b.text("caption"); len(got) != 1 || !strings.Contains(got[0], "order/A-2") {
		t.Errorf("the history of the resource is %q", got)
	}
	if events := b.export(t, "jsonl"); len(events) != 1 || !strings.Contains(events[0], "order/A-2") {
		t.Errorf("the export has %q", events)
	}
	b.open(at + "/audit/?user=mallory")
	if got := b.text("main"); !strings.Contains(got[0], "Nothing was found") {
		t.Errorf("of mallory there is %s", got)
	}
	if problems := b.troubles(); len(problems) > 0 {
		t.Errorf("meanwhile: %q", problems)
	}
}

// focused says which element has the focus, and whether one sees that.
type focused struct {
	Name, Text string
	Seen       bool
}

func (b *browser) focused() focused {
	b.t.Helper()
	return evaluate[focused](b, `(() => {
		const e = document.activeElement, box = e.getBoundingClientRect(), style = getComputedStyle(e)
		return {
			Name: e.tagName + (e.name ? "/" + e.name : ""), Text: (e.innerText || "").trim(),
			Seen: box.width > 0 && box.right > 0 && box.left < innerWidth && box.bottom > 0 && box.top < innerHeight && style.outlineStyle != "none",
		}
	})()`)
}

// TestKeyboard: everything is reached by Tab, in order and so that one sees where one is, and
// a search needs nothing else.
func TestKeyboard(t *testing.T) {
	trail := newTrail(t)
	trail.shop()
	b := newBrowser(t)
	b.setLook(looks[0])
	b.open(trail.url + "?resource=customer/7&outcome=success")
	b.do(chromedp.KeyEvent(kb.Tab))
	if f := b.focused(); f.Text != "Skip to the content" || !f.Seen {
		t.Errorf("the first of all is %+v", f)
	}
	want := evaluate[[]string](b, `Array.from(document.querySelectorAll('a[href], input, select, button, summary'))
		.filter(e => e.checkVisibility()).map(e => e.tagName + (e.name ? "/" + e.name : ""))`)
	var got []string
	for range want {
		f := b.focused()
		if got = append(got, f.Name); !f.Seen {
			t.Errorf("one does not see that the focus is on %+v", f)
		}
		b.do(chromedp.KeyEvent(kb.Tab))
		for f.Name == "INPUT/from" || f.Name == "INPUT/before" { // which have parts
			if b.focused().Name != f.Name {
				break
			}
			b.do(chromedp.KeyEvent(kb.Tab))
		}
	}
	if strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("Tab leads to\n%v, want\n%v", got, want)
	}

	b.open(trail.url)
	b.do(chromedp.KeyEvent(kb.Tab), chromedp.KeyEvent(kb.Enter))
	if f := b.focused(); f.Name != "MAIN" {
		t.Errorf("the skip link leads to %+v", f)
	}
	b.do(chromedp.KeyEvent(kb.Tab))
	if f := b.focused(); f.Name != "INPUT/resource" {
		t.Fatalf("the first of the content is %+v", f)
	}
	b.load(chromedp.KeyEvent("customer/7" + kb.Enter))
	if rows := b.text(".rows tbody tr"); len(rows) != 3 {
		t.Errorf("the search has found %q", rows)
	}
}
