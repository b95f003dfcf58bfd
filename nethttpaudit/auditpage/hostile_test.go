package auditpage_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/core/audittest"
	"github.com/auditing-go/auditing/nethttpaudit"
	"github.com/auditing-go/auditing/nethttpaudit/auditpage"
)

// hostile are texts that would be markup, or a script, where something is not escaped.
var hostile = []string{
	`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `'><svg/onload=alert(1)>`, `</style><script>alert(1)</script>`,
	`javascript:alert(1)`, `JaVaScRiPt:alert(1)`, `data:text/html,<script>alert(1)</script>`, `//evil.example/`, `{{.}}`, `<!--`, `-->`, `]]>`,
	`" autofocus onfocus=alert(1) x="`, "`onmouseover=alert(1)`", `</textarea></title></table></main></body></html>`, `<base href=//evil.example>`,
	`<meta http-equiv=refresh content="0;url=//evil.example">`, `<form action=//evil.example><button>`, `<iframe srcdoc="<script>alert(1)</script>">`,
	`<math><mi xlink:href="javascript:alert(1)">`, `&lt;script&gt;`, `%3Cscript%3E`, "\x00<script>", "<scr\u200bipt>", "\u202egnp.exe", "+ADw-script+AD4-",
	`style="x:expression(alert(1))"`, `</a><a href="javascript:alert(1)">x</a>`, `#"><script>`, `?user=<script>`, "line\nline\r\nline", "\u2028\u2029",
}

// plain is what the page's HTML is made of.
var plain = map[string][]string{
	"html": {"lang"}, "head": nil, "meta": {"charset", "name", "content"}, "title": nil, "style": nil, "body": nil, "header": nil,
	"main": {"id", "tabindex"}, "a": {"class", "href", "rel", "aria-label"}, "p": {"class", "role"}, "strong": nil, "bdi": nil, "b": nil, "br": nil, "code": nil,
	"span": {"class"}, "h1": nil, "h2": {"id"}, "section": {"class", "aria-labelledby"}, "nav": {"class", "aria-label", "aria-labelledby"},
	"form": {"class", "role", "aria-label", "method"}, "label": {"class"}, "button": nil, "datalist": {"id"}, "select": {"name"}, "option": {"value", "selected"},
	"input": {"name", "value", "placeholder", "autocomplete", "list", "type", "step", "checked"}, "details": {"open"}, "summary": nil,
	"ul": {"class", "aria-label"}, "li": nil, "div": {"class"}, "dl": nil, "dt": nil, "dd": nil, "time": {"datetime"}, "del": nil, "ins": nil,
	"table": {"class"}, "caption": nil, "thead": nil, "tbody": nil, "tr": {"id"}, "th": {"scope"}, "td": {"data-label"},
	"figure": {"class"}, "figcaption": nil, "svg": {"role", "aria-label", "viewBox", "width", "height"}, "rect": {"class", "x", "y", "width", "height"},
}

func isLink(n *html.Node) bool { return n.Data == "a" }

// wantPlain: nothing on the page is anything else than what the page is made of, and no link
// leads away.
func (a answer) wantPlain() {
	a.t.Helper()
	for _, n := range a.all(func(*html.Node) bool { return true }) {
		allowed, known := plain[n.Data]
		if !known {
			a.t.Errorf("there is a %s", n.Data)
		}
		for _, attr := range n.Attr {
			if !slices.Contains(allowed, attr.Key) {
				a.t.Errorf("a %s has %s=%q", n.Data, attr.Key, attr.Val)
			}
			if attr.Key == "href" && !strings.HasPrefix(attr.Val, "?") && attr.Val != "#main" {
				a.t.Errorf("a link leads to %q", attr.Val)
			}
		}
	}
	if mains := a.all(func(n *html.Node) bool { return n.Data == "main" }); len(mains) != 1 {
		a.t.Errorf("the page has %d mains", len(mains))
	}
}

// TestHostileValues: a text in any place of an event is a text on the page.
func TestHostileValues(t *testing.T) {
	for _, bad := range hostile {
		rec := newRecorder(t, core.Config{Service: bad})
		who := nethttpaudit.User(func(*http.Request) (string, error) { return bad, nil })
		page := newSite(t, rec, auditpage.Config{User: func(*http.Request) (string, error) { return bad, nil }})
		s := page
		s.handler = nethttpaudit.Middleware(rec, who)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fields := core.Fields{bad: bad, "list": []any{bad}, "map": map[string]any{bad: bad}, "change": map[string]any{"old": bad, "new": bad + "!"}, "bytes": []byte(bad)}
			err := nethttpaudit.Audit(r, bad, fields, core.On("thing", bad), core.OnBehalfOf(bad), core.Denied(bad))
			if err != nil {
				t.Error(err)
			}
		}))
		r := httptest.NewRequest(http.MethodGet, "/?", nil)
		r.URL.Path, r.Host, r.Pattern = "/"+bad, bad, bad
		r.Header.Set("User-Agent", bad)
		r.Header.Set("X-Forwarded-For", bad)
		r.Header.Set("X-Request-ID", bad)
		s.do(r)
		list := page.get()
		rows := list.rows()
		if len(rows) != 1 {
			t.Fatalf("%q: %d events are listed", bad, len(rows))
		}
		list.wantPlain()
		event := page.open(list.all(func(n *html.Node) bool {
			return n.Data == "a" && n.FirstChild.Data == "time"
		})[0].Attr[0].Val).wantStatus(http.StatusOK)
		event.wantPlain()
		if strings.HasPrefix(bad, "<") && !strings.ContainsAny(bad, "\x00\u200b") && (!list.says(bad) || !event.says(bad)) {
			t.Errorf("%q is not shown", bad)
		}
		links := map[string]bool{}
		for _, a := range []answer{list, event} {
			if strings.ContainsAny(text(a.tree), "\u200b\u202e\u2028\u2029\x00") {
				t.Errorf("%q is shown with what cannot be seen", bad)
			}
			for _, n := range a.all(isLink) { // each leads to a page that is as plain
				if href := attr(n, "href"); strings.HasPrefix(href, "?") && !links[href] {
					links[href] = true
					page.open(href).wantPlain()
				}
			}
		}
	}
}

// TestHostileParameters: a text in any parameter is a text on the page. Each stands in three of them alone.
func TestHostileParameters(t *testing.T) {
	s := newSite(t, audittest.New(t).Recorder(), auditpage.Config{})
	s.event("refund", nil)
	params := []string{
		"tag", "user", "for", "resource", "outcome", "reason", "tenant", "ip", "request", "event", "from", "before", "zone", "after", "back", "anonymous", "looks", "view", "field", "value", "x",
	}
	for i, bad := range hostile {
		all := url.Values{}
		for _, param := range []string{params[i%len(params)], params[(i+7)%len(params)], params[(i+14)%len(params)]} {
			a := s.get(param, bad)
			if a.StatusCode != http.StatusOK && a.StatusCode != http.StatusBadRequest {
				t.Errorf("%s=%q is answered with %d", param, bad, a.StatusCode)
			}
			a.wantPlain()
		}
		for _, param := range params {
			if !slices.Contains([]string{"event", "from", "before", "zone", "after"}, param) { // which say that they are wrong
				all.Set(param, bad)
			}
		}
		s.open("?" + all.Encode()).wantStatus(http.StatusOK).wantPlain()
		s.get("field", bad, "value", bad, "resource", bad, "view", "timeline").wantStatus(http.StatusOK).wantPlain()
	}
}
