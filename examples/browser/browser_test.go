package browser

import (
	"context"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/audits"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/nethttpaudit"
	"github.com/auditing-go/auditing/nethttpaudit/auditpage"
	"github.com/auditing-go/auditing/stores/sqlite"
)

// patience is how long a browser may take for what it should do at once.
const patience = time.Minute

// missing skips a test, but where everything has to be there it fails it.
func missing(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("there is no %s", what)
	}
	t.Skipf("there is no %s", what)
}

// npm is the path of a file of what package.json names.
func npm(t *testing.T, path string) string {
	t.Helper()
	path = filepath.Join("..", "..", ".cache", "npm", "node_modules", filepath.FromSlash(path))
	if _, err := os.Stat(path); err != nil {
		missing(t, path)
	}
	return path
}

// browser is a tab, and what went wrong in it.
type browser struct {
	t   *testing.T
	ctx context.Context

	mu       sync.Mutex
	problems []string
}

func newBrowser(t *testing.T) *browser {
	t.Helper()
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); err == nil && path == "" {
			path = found
		}
	}
	if path == "" {
		missing(t, "chromium")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox)
	allocator, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(cancel)
	ctx, cancel := chromedp.NewContext(allocator, chromedp.WithErrorf(func(string, ...any) {}))
	t.Cleanup(cancel)
	b := &browser{t: t, ctx: ctx}
	if err := chromedp.Listen(ctx, b.notice); err != nil {
		t.Fatal(err)
	}
	call(b, audits.Enable, cdp.Empty{})
	return b
}

// notice is told everything that happens in the tab.
func (b *browser) notice(event any) {
	switch e := event.(type) {
	case *page.EventJavascriptDialogOpening:
		b.problem("a dialog says " + e.Message)
		go chromedp.Call(b.ctx, page.HandleJavaScriptDialog, page.HandleJavaScriptDialogParams{Accept: true})
	case *runtime.EventExceptionThrown:
		b.problem("a script has failed: " + e.ExceptionDetails.Text)
	case *audits.EventIssueAdded:
		if policy := e.Issue.Details.ContentSecurityPolicyIssueDetails; policy != nil {
			b.problem("the policy has stopped " + policy.ViolatedDirective + " " + policy.BlockedURL)
		}
	}
}

func (b *browser) problem(what string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.problems = append(b.problems, what)
}

// troubles returns what has gone wrong since it was last asked.
func (b *browser) troubles() []string {
	evaluate[int](b, "0") // so that what came before has arrived
	b.mu.Lock()
	defer b.mu.Unlock()
	problems := b.problems
	b.problems = nil
	return problems
}

// patient is the tab's context for something that should be done at once.
func (b *browser) patient() (context.Context, context.CancelFunc) {
	return context.WithTimeout(b.ctx, patience)
}

func (b *browser) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := b.patient()
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		b.t.Fatal(err)
	}
}

// load takes steps that lead to another page, and waits for that.
func (b *browser) load(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := b.patient()
	defer cancel()
	if _, err := chromedp.RunResponse(ctx, steps...); err != nil {
		b.t.Fatal(err)
	}
}

func call[P, R any](b *browser, command cdp.Command[P, R], params P) {
	b.t.Helper()
	if _, err := chromedp.Call(b.ctx, command, params); err != nil {
		b.t.Fatal(err)
	}
}

// evaluate runs JavaScript, which the page's policy does not concern.
func evaluate[T any](b *browser, script string) T {
	b.t.Helper()
	ctx, cancel := b.patient()
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](script, chromedp.EvalAwaitPromise))
	if err != nil {
		b.t.Fatal(err)
	}
	return v
}

// text is what the elements that a selector finds say, as one reads it.
func (b *browser) text(selector string) []string {
	b.t.Helper()
	return evaluate[[]string](b, `Array.from(document.querySelectorAll('`+selector+`'), e => e.innerText.trim())`)
}

// open goes to an address.
func (b *browser) open(url string) {
	b.t.Helper()
	b.do(chromedp.Navigate(url))
}

// follow clicks the link with a text, and waits for the page behind it.
func (b *browser) follow(text string) {
	b.t.Helper()
	b.load(chromedp.Click(chromedp.Search(`//a[normalize-space()="` + text + `"]`)))
}

// look is how a page is looked at.
type look struct {
	name          string
	width, height int64
	dark          bool
}

var looks = []look{{"light", 1280, 900, false}, {"dark", 1280, 900, true}, {"narrow", 320, 700, false}}

func (b *browser) setLook(l look) {
	b.t.Helper()
	scheme := "light"
	if l.dark {
		scheme = "dark"
	}
	var options []chromedp.EmulateViewportOption
	if l.width < 500 {
		options = append(options, chromedp.EmulateMobile)
	}
	b.do(chromedp.EmulateViewport(l.width, l.height, options...))
	call(b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
}

// trail is a page of audits that are looked at by carol.
type trail struct {
	t   *testing.T
	rec *core.Recorder
	url string
}

func newTrail(t *testing.T) trail {
	t.Helper()
	logger := slog.New(slog.NewTextHandler(t.Output(), nil))
	store, err := sqlite.Open(t.Context(), ":memory:", sqlite.Config{Logger: logger})
	if err != nil {
		t.Fatal(err)
	}
	rec, err := core.New(store, core.Config{Logger: logger})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { rec.Close(context.Background()) })
	handler, err := auditpage.New(rec, auditpage.Config{User: func(*http.Request) (string, error) { return "carol", nil }})
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/audit/", handler)
	server := httptest.NewUnstartedServer(mux)
	server.Config.ErrorLog = log.New(t.Output(), "", 0)
	server.Start()
	t.Cleanup(server.Close)
	return trail{t, rec, server.URL + "/audit/"}
}

// event audits what is done in a request from an address.
func (t trail) event(user, ip, tag string, fields core.Fields, opts ...core.Option) {
	t.t.Helper()
	who := nethttpaudit.User(func(*http.Request) (string, error) { return user, nil })
	r := httptest.NewRequest(http.MethodPost, "https://shop.example.com/", nil)
	r.URL.Path += strings.ReplaceAll(tag, ".", "/")
	r.RemoteAddr = ip + ":1234"
	r.Header.Set("User-Agent", "Mozilla/5.0")
	nethttpaudit.Middleware(t.rec, who)(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if err := nethttpaudit.Audit(r, tag, fields, opts...); err != nil {
			t.t.Error(err)
		}
	})).ServeHTTP(httptest.NewRecorder(), r)
}

// shop fills the trail with two weeks of a shop.
func (t trail) shop() {
	start := time.Date(2026, 11, 10, 8, 30, 0, 0, time.UTC)
	for day := range 14 {
		for n := range 3 + day*5%7 {
			order := 100 + day*7 + n
			at := core.At(start.AddDate(0, 0, day).Add(time.Duration(n*47+day) * time.Minute))
			t.event([]string{"alice", "bob", "dora"}[(day+n)%3], "203.0.113.9", "refund", core.Fields{"amount": 9.5 + float64(n)}, core.On("order", order), core.Succeeded(), at)
		}
	}
	at := func(minutes int) core.Option {
		return core.At(start.AddDate(0, 0, 14).Add(time.Duration(minutes) * time.Minute))
	}
	type customer struct {
		Name  string `json:"name"`
		City  string `json:"city"`
		Limit int    `json:"limit"`
	}
	ann := customer{"Ann Lee", "Zürich", 100}
	anne := customer{"Anne Lee", "Zürich", 250}
	t.event("alice", "203.0.113.9", "customer.create", core.Diff(nil, ann), core.On("customer", 7), core.Succeeded(), at(0))
	t.event("", "198.51.100.23", "login", nil, core.Anonymous(), core.On("user", "alice"), core.Denied("wrong password"), at(31))
	t.event("alice", "203.0.113.9", "login", core.Fields{"method": "passkey"}, core.On("user", "alice"), core.Succeeded(), at(32))
	t.event("alice", "203.0.113.9", "customer.update", core.Diff(ann, anne), core.On("customer", 7), core.Succeeded(), at(35))
	t.event("alice", "203.0.113.9", "refund", core.Fields{"amount": 950}, core.On("order", 183), core.Denied("more than 100"), at(41))
	t.event("root", "203.0.113.4", "customer.update", core.Fields{"note": "name as on the passport: \u202eeeL ennA\u202c", "letter": strings.Repeat("Dear Anne, ", 40)},
		core.On("customer", 7), core.OnBehalfOf("alice"), core.Succeeded(), at(58))
}
