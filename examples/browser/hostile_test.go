package browser

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/auditing-go/auditing/core"
)

// hostile are texts that run a script, send one elsewhere or break the page where something
// is not escaped, or that hide what stands beside them.
var hostile = []string{
	`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `'><svg/onload=alert(1)>`, `</style><style>body{display:none}</style>`,
	`</title><script>alert(1)</script>`, `javascript:alert(1)`, `data:text/html,<script>alert(1)</script>`, `<base href="//evil.example/">`,
	`<meta http-equiv="refresh" content="0;url=//evil.example/">`, `" autofocus onfocus="alert(1)`, `<iframe src="javascript:alert(1)"></iframe>`,
	`</bdi></td></tr></table></main>`, `<!--`, `<plaintext>`, `<details open ontoggle=alert(1)>`, `<link rel=stylesheet href=//evil.example/x.css>`,
	"\u202e\u202e gnp.exe", "a\u200bb\u2060c\ufeffd", "Z\u0361\u0362\u0363\u0364\u0365\u0366\u0367\u0368\u0369\u036a\u036b\u036c\u036d\u036e\u036f", "\ufdfd\ufdfd\ufdfd", "𒐫𒐫𒐫𒐫",
	"a\n\n\n\n\n\nb", "                                        x",
}

// TestHostileTexts: no text in an event or an address runs anything, and none changes how the
// page is laid out.
func TestHostileTexts(t *testing.T) {
	trail := newTrail(t)
	long := ""
	for i, bad := range hostile {
		long += bad
		for range 20 {
			bad += bad[:min(len(bad), 20)]
		}
		if i%2 == 0 {
			bad = hostile[i]
		}
		trail.event(hostile[i], "203.0.113.9", hostile[i], core.Fields{bad: bad, "list": []any{bad}, "change": map[string]any{"old": bad, "new": bad + "x"}},
			core.On("thing", bad), core.OnBehalfOf(bad), core.Denied(bad))
	}
	trail.event("x", "203.0.113.9", "long", core.Fields{"long": long, "wide": string(make([]byte, 3000))}, core.On("thing", long))
	b := newBrowser(t)
	for _, look := range []look{looks[0], looks[2]} {
		b.setLook(look)
		b.open(trail.url)
		b.wantFits("the list, " + look.name)
		hrefs := evaluate[[]string](b, `Array.from(document.querySelectorAll('.rows tbody th a'), a => a.getAttribute("href"))`)
		if len(hrefs) < len(hostile) {
			t.Fatalf("%d events are listed", len(hrefs))
		}
		for i, href := range hrefs {
			if b.open(trail.url + href); i < len(hostile)+1 {
				b.wantFits("an event, " + look.name)
			}
			if mains := b.text("body > main"); len(mains) != 1 {
				t.Errorf("%s has %d mains", href, len(mains))
			}
		}
	}
	for i, bad := range hostile {
		params := []string{"user", "resource", "tag", "reason", "field", "zone", "from", "after", "back", "event", "value", "view"}
		v := url.Values{}
		for _, param := range params[i%3:] {
			v.Set(param, bad)
		}
		b.open(trail.url + "?" + v.Encode())
		v = url.Values{"user": {bad}, "resource": {bad}, "field": {bad}, "value": {bad}}
		b.open(trail.url + "?" + v.Encode())
		b.wantFits("a search for " + bad)
	}
	if problems := b.troubles(); len(problems) > 0 {
		t.Errorf("something has run or was stopped: %q", problems)
	}
}

// TestTroublesAreSeen: a page under the same policy that tries to run something is noticed.
func TestTroublesAreSeen(t *testing.T) {
	trail := newTrail(t)
	resp, err := http.Get(trail.url)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		if r.URL.Path == "/bad" {
			w.Header().Set("Content-Security-Policy", resp.Header.Get("Content-Security-Policy"))
		}
		w.Write([]byte("<!DOCTYPE html><title>x</title><script>alert(1)</script><p>done"))
	}))
	defer server.Close()
	b := newBrowser(t)
	for _, path := range []string{"/bad", "/worse"} {
		b.open(server.URL + path)
		b.do(chromedp.WaitVisible(chromedp.CSS("p")))
		if problems := b.troubles(); len(problems) == 0 {
			t.Errorf("nothing is noticed of %s", path)
		}
	}
}
