package auditpage_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/nethttpaudit/auditpage"
	"github.com/auditing-go/auditing/stores/sqlite"
)

// newRecorder returns a recorder on a SQLite of its own.
func newRecorder(t *testing.T, cfg core.Config) *core.Recorder {
	t.Helper()
	cfg.Logger = slog.New(slog.NewTextHandler(t.Output(), nil))
	store, err := sqlite.Open(t.Context(), ":memory:", sqlite.Config{Logger: cfg.Logger})
	if err != nil {
		t.Fatal(err)
	}
	rec, err := core.New(store, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := rec.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return rec
}

// alice looks.
func alice(*http.Request) (string, error) { return "alice", nil }

// noon is when the events of the tests are.
var noon = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

// site is a page that is looked at.
type site struct {
	t       *testing.T
	rec     *core.Recorder
	handler http.Handler
}

func newSite(t *testing.T, rec *core.Recorder, cfg auditpage.Config) site {
	t.Helper()
	if cfg.User == nil {
		cfg.User = alice
	}
	handler, err := auditpage.New(rec, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return site{t, rec, handler}
}

// event stores an event of bob's, or as opts say.
func (s site) event(tag string, fields core.Fields, opts ...core.Option) {
	s.t.Helper()
	if err := s.rec.Audit(s.t.Context(), tag, fields, append([]core.Option{core.As("bob"), core.At(noon)}, opts...)...); err != nil {
		s.t.Fatal(err)
	}
}

func (s site) events(q core.Query) []core.Event {
	s.t.Helper()
	page, err := s.rec.Read(s.t.Context(), q)
	if err != nil {
		s.t.Fatal(err)
	}
	return page.Events
}

// answer is a response that was read.
type answer struct {
	*http.Response
	t    *testing.T
	body string
	tree *html.Node
}

// get asks for the page with params, names and values in turn.
func (s site) get(params ...string) answer {
	s.t.Helper()
	v := url.Values{}
	for i := 0; i < len(params); i += 2 {
		v.Add(params[i], params[i+1])
	}
	return s.open("?" + v.Encode())
}

// open asks for an address on the page.
func (s site) open(href string) answer {
	s.t.Helper()
	href, _, _ = strings.Cut(href, "#") // which a browser keeps to itself
	return s.do(httptest.NewRequest(http.MethodGet, "/audit/"+href, nil))
}

func (s site) do(r *http.Request) answer {
	s.t.Helper()
	w := httptest.NewRecorder()
	s.handler.ServeHTTP(w, r)
	a := answer{Response: w.Result(), t: s.t}
	body, err := io.ReadAll(a.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	a.body = string(body)
	if a.tree, err = html.Parse(strings.NewReader(a.body)); err != nil {
		s.t.Fatal(err)
	}
	return a
}

func (a answer) wantStatus(want int) answer {
	a.t.Helper()
	if a.StatusCode != want {
		a.t.Errorf("answered with %d, want %d:\n%s", a.StatusCode, want, text(a.tree))
	}
	return a
}

// all returns the elements that match.
func (a answer) all(match func(*html.Node) bool) (found []*html.Node) {
	for n := range a.tree.Descendants() {
		if n.Type == html.ElementNode && match(n) {
			found = append(found, n)
		}
	}
	return found
}

func attr(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

// text is what an element says, its blanks as one.
func text(n *html.Node) string {
	var b strings.Builder
	for d := range n.Descendants() {
		if d.Type == html.TextNode && d.Parent.Data != "style" {
			b.WriteString(d.Data)
		}
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

// rows are the cells of the table of events, under their headings.
func (a answer) rows() (rows []map[string]string) {
	for _, tr := range a.all(func(n *html.Node) bool {
		return n.Data == "tr" && n.Parent.Data == "tbody" && attr(n.Parent.Parent, "class") == "rows"
	}) {
		row := map[string]string{}
		for c := range tr.ChildNodes() {
			switch c.Data {
			case "th":
				row["When"] = text(c)
			case "td":
				row[attr(c, "data-label")] = text(c)
			}
		}
		rows = append(rows, row)
	}
	return rows
}

// link is the address behind the first link whose text is what.
func (a answer) link(what string) string {
	a.t.Helper()
	for _, n := range a.all(func(n *html.Node) bool { return n.Data == "a" && text(n) == what }) {
		return attr(n, "href")
	}
	return ""
}

// says reports whether the page's text has what in it.
func (a answer) says(what string) bool { return strings.Contains(text(a.tree), what) }

func (a answer) wantSays(what string) {
	a.t.Helper()
	if !a.says(what) {
		a.t.Errorf("the page does not say %q:\n%s", what, text(a.tree))
	}
}

// orders are the resources of the rows, in their order.
func (a answer) orders() string {
	var orders []string
	for _, row := range a.rows() {
		orders = append(orders, row["Resource"])
	}
	return strings.Join(orders, " ")
}

func TestSearch(t *testing.T) {
	s := newSite(t, newRecorder(t, core.Config{}), auditpage.Config{})
	s.event("refund", core.Fields{"amount": 9.5, "note": "first", "paid": true}, core.On("order", 1))
	s.event("refund", core.Fields{"amount": 10, "due": noon}, core.On("order", 2), core.OnBehalfOf("carol"), core.At(noon.Add(time.Hour)))
	s.event("login", core.Fields{"amount": "10"}, core.On("order", 3), core.As("dave"), core.Denied("wrong password"), core.At(noon.Add(2*time.Hour)))
	s.event("login", nil, core.On("order", 4), core.As(""), core.Anonymous(), core.At(noon.Add(26*time.Hour)))
	for _, test := range []struct {
		params []string
		want   string
	}{
		{nil, "order/4 order/3 order/2 order/1"},
		{[]string{"tag", " refund "}, "order/2 order/1"},
		{[]string{"user", "dave"}, "order/3"},
		{[]string{"anonymous", "1"}, "order/4"},
		{[]string{"for", "carol"}, "order/2"},
		{[]string{"resource", "order/1"}, "order/1"},
		{[]string{"outcome", "denied"}, "order/3"},
		{[]string{"reason", "wrong password"}, "order/3"},
		{[]string{"field", "amount", "value", "10"}, "order/3 order/2"},
		{[]string{"field", "amount", "value", "9.50"}, "order/1"},
		{[]string{"field", "amount", "value", "9.50", "field", "note", "value", "first"}, "order/1"},
		{[]string{"field", "amount", "value", "10", "field", "note", "value", "first"}, ""},
		{[]string{"field", "paid", "value", "true"}, "order/1"},
		{[]string{"field", "due", "value", "2026-11-20T13:00:00+01:00"}, "order/2"},
		{[]string{"from", "2026-11-20T13:00"}, "order/4 order/3 order/2"},
		{[]string{"before", "2026-11-20T13:00"}, "order/1"},
		{[]string{"from", "2026-11-20T14:00:00", "before", "2026-11-21", "zone", "Europe/Berlin"}, "order/3 order/2"},
		{[]string{"from", "2026-11-21"}, "order/4"},
		{[]string{"tag", "refund", "user", "dave"}, ""},
	} {
		a := s.get(test.params...).wantStatus(http.StatusOK)
		if got := a.orders(); got != test.want {
			t.Errorf("%q finds %q, want %q", test.params, got, test.want)
		}
	}
	row := s.get("outcome", "denied", "zone", "Europe/Berlin").rows()[0]
	want := map[string]string{
		"When": "2026-11-20 15:00:00", "Who": "dave", "What": "login", "Resource": "order/3", "Outcome": "denied wrong password", "Fields": "amount 10", "IP": "",
	}
	if fmt.Sprint(row) != fmt.Sprint(want) {
		t.Errorf("the row is %v, want %v", row, want)
	}
	s.get("zone", "Europe/Berlin").wantSays("When (Europe/Berlin)")
}

// TestTags: all tags that there are can be chosen, also those of which no event is listed.
func TestTags(t *testing.T) {
	s := newSite(t, newRecorder(t, core.Config{}), auditpage.Config{})
	s.event("refund", nil)
	s.event("login", nil)
	var tags []string
	for _, n := range s.get("tag", "login").all(func(n *html.Node) bool { return n.Data == "option" && n.Parent.Data == "datalist" }) {
		tags = append(tags, attr(n, "value"))
	}
	if got := strings.Join(tags, " "); got != "login refund" {
		t.Errorf("to choose from there are %s", got)
	}
}

// TestSearchOfRequests: what a request brought is found by its address and id.
func TestSearchOfRequests(t *testing.T) {
	s := newSite(t, newRecorder(t, core.Config{}), auditpage.Config{})
	r := httptest.NewRequest(http.MethodGet, "/audit/", nil)
	r.Header.Set("X-Request-ID", "request-7")
	r.RemoteAddr = "203.0.113.9:1234"
	s.do(r).wantStatus(http.StatusOK)
	s.get().wantStatus(http.StatusOK)
	for _, params := range [][]string{{"looks", "1", "ip", "203.0.113.9"}, {"looks", "1", "request", "request-7"}} {
		if rows := s.get(params...).rows(); len(rows) != 1 || rows[0]["IP"] != "203.0.113.9" {
			t.Errorf("%q finds %v", params, rows)
		}
	}
}

func TestWrongInput(t *testing.T) {
	s := newSite(t, newRecorder(t, core.Config{}), auditpage.Config{})
	s.event("refund", core.Fields{"note": "to be seen"})
	for _, test := range []struct{ param, value, want string }{
		{"from", "yesterday", "From is no time"},
		{"before", "2026-13-01", "Before is no time"},
		{"zone", "Mars/Base", "time zone is not known"},
		{"zone", "../../etc/passwd", "time zone is not known"},
		{"zone", "Local", "time zone is not known"},
		{"event", "42", "id is none"},
		{"event", "00000000-0000-0000-0000-000000000000", "id is none"},
		{"value", "9", "without the name of its field"},
		{"after", "nonsense", "no such page"},
		{"user", strings.Repeat("x", 9000), "too long"},
	} {
		a := s.get(test.param, test.value).wantStatus(http.StatusBadRequest)
		a.wantSays(test.want)
		if a.says("to be seen") {
			t.Errorf("%s=%s: events are shown", test.param, test.value)
		}
	}
	s.get("field", "a", "value", "1", "field", "b", "value", "1", "field", "c", "value", "1", "field", "d", "value", "1").wantStatus(http.StatusBadRequest)
	s.get("field", "password", "value", "guess").wantStatus(http.StatusBadRequest).wantSays("stored hidden")
}

// TestPages walks through all pages and back.
func TestPages(t *testing.T) {
	s := newSite(t, newRecorder(t, core.Config{}), auditpage.Config{})
	const events = 130
	for i := range events {
		s.event("refund", nil, core.On("order", i), core.At(noon.Add(time.Duration(i)*time.Minute)))
	}
	a := s.get("tag", "refund")
	if newer := a.link("Newer"); newer != "" {
		t.Errorf("something is newer than the newest: %s", newer)
	}
	var pages []string
	for {
		pages = append(pages, a.orders())
		href := a.link("Older")
		if href == "" {
			break
		}
		a = s.open(href).wantStatus(http.StatusOK)
	}
	all := strings.Fields(strings.Join(pages, " "))
	if len(all) != events || len(pages) != 3 || all[0] != "order/129" || all[events-1] != "order/0" {
		t.Fatalf("%d pages of %d events: %v", len(pages), len(all), all)
	}
	for i := len(pages) - 2; i >= 0; i-- {
		if a = s.open(a.link("Newer")); a.orders() != pages[i] {
			t.Errorf("back on page %d are %s", i, a.orders())
		}
	}
}

func TestEvent(t *testing.T) {
	s := newSite(t, newRecorder(t, core.Config{Service: "shop", Tenant: func(context.Context) (string, error) { return "acme", nil }}), auditpage.Config{})
	long := strings.Repeat("long ", 500) + "end"
	s.event("refund", core.Fields{"amount": 950.0, "due": noon, "key": []byte("abc"), "note": long, "change": map[string]any{"old": "a", "new": "b"}},
		core.On("order", 7), core.OnBehalfOf("carol"), core.Failed("no money"))
	list := s.get()
	if row := list.rows()[0]; !strings.Contains(row["Fields"], "… the whole") || strings.Contains(row["Fields"], "end") {
		t.Errorf("a long value is shown as %s", row["Fields"])
	}
	whole := list.link("the whole")
	if !strings.Contains(whole, "#field-5") {
		t.Errorf("the whole is at %q", whole)
	}
	a := s.open(whole).wantStatus(http.StatusOK)
	for _, want := range []string{
		"2026-11-20 12:00:00.000000 UTC", "bob", "carol", "refund", "order/7", "failure", "no money", "acme", "shop", "long end", "a → b", "amount950number", "due2026-11-20T12:00:00Ztime", "keyYWJjbytes, in base64", "outside a request",
	} {
		a.wantSays(want)
	}
	if anchor := a.all(func(n *html.Node) bool { return attr(n, "id") == "field-5" }); len(anchor) != 1 || !strings.HasPrefix(text(anchor[0]), "note") {
		t.Error("the address of the whole leads nowhere")
	}
	for _, history := range []string{"What was done to order/7", "What was done by bob"} {
		href := a.link(history)
		if rows := s.open(href).wantStatus(http.StatusOK).rows(); href == "" || len(rows) != 1 {
			t.Errorf("%q leads to %q with %d events", history, href, len(rows))
		}
	}
	s.get("event", "019ab1c2-5d3e-7f00-8a4b-3c2d1e0f9a8b").wantStatus(http.StatusNotFound).wantSays("no event 019ab1c2")
}

func TestTimeline(t *testing.T) {
	s := newSite(t, newRecorder(t, core.Config{}), auditpage.Config{})
	s.event("customer.create", core.Diff(nil, map[string]any{"name": "Ann"}), core.On("customer", 7))
	s.event("customer.update", core.Diff(map[string]any{"name": "Ann"}, map[string]any{"name": "Anne"}), core.On("customer", 7), core.At(noon.Add(time.Minute)))
	s.event("customer.delete", core.Diff(map[string]any{"name": "Anne"}, nil), core.On("customer", 7), core.At(noon.Add(time.Hour)))
	s.event("customer.create", nil, core.On("customer", 8))
	a := s.open(s.get().link("customer/7")).wantStatus(http.StatusOK)
	a.wantSays("What was done to customer/7")
	var changes []string
	for _, row := range a.rows() {
		changes = append(changes, row["Old → new"])
	}
	if got, want := strings.Join(changes, "; "), "name Anne → nothing; name Ann → Anne; name nothing → Ann"; got != want {
		t.Errorf("the timeline is %s, want %s", got, want)
	}
}
