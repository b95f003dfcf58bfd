package browser

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/accessibility"
	"github.com/chromedp/chromedp"

	"github.com/auditing-go/auditing/core"
)

// views are addresses of all that the page shows.
func (t trail) views() map[string]string {
	t.t.Helper()
	newest, err := t.rec.Read(t.t.Context(), core.Query{Target: "customer/7"})
	if err != nil || len(newest.Events) != 3 {
		t.t.Fatalf("%+v, %v", newest, err)
	}
	return map[string]string{
		"list":       "",
		"folded out": "?resource=customer/7&user=alice&tag=customer.update&outcome=success&field=name&value=x&for=&reason=a&ip=203.0.113.9&looks=1",
		"conditions": "?ip=203.0.113.9&from=2026-11-20T08:00&before=2026-11-25&zone=Europe/Berlin",
		"looks":      "?looks=1",
		"event":      "?event=" + newest.Events[0].ID.String(),
		"changes":    "?event=" + newest.Events[1].ID.String() + "&zone=Europe/Berlin",
		"no event":   "?event=019ab1c2-5d3e-7f00-8a4b-3c2d1e0f9a8b",
		"timeline":   "?resource=customer/7&view=timeline",
		"nothing":    "?user=mallory&from=2026-11-20",
		"problem":    "?from=yesterday&zone=Mars",
	}
}

// violations is what axe has found, and how many rules were held.
type violations struct {
	Passes     int
	Violations []string
}

// TestAccessible: axe finds nothing at WCAG 2.2 AA, and nothing has to be scrolled sideways.
func TestAccessible(t *testing.T) {
	axe, err := os.ReadFile(npm(t, "axe-core/axe.min.js"))
	if err != nil {
		t.Fatal(err)
	}
	trail := newTrail(t)
	trail.shop()
	b := newBrowser(t)
	b.open(trail.url) // so that it is one of the looks
	views := trail.views()
	for _, look := range looks {
		b.setLook(look)
		for name, href := range views {
			b.open(trail.url + href)
			evaluate[chromedp.Void](b, `document.querySelectorAll("details").forEach(d => d.open = true)`)
			evaluate[chromedp.Void](b, string(axe))
			found := evaluate[violations](b, `axe.run(document, {resultTypes: ["violations"], runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}).then(r => ({
				Passes: r.passes.length,
				Violations: r.violations.flatMap(v => v.nodes.map(n => v.id + ": " + n.html + " " + n.failureSummary)),
			}))`)
			for _, violation := range found.Violations {
				t.Errorf("%s, %s: %s", name, look.name, violation)
			}
			if found.Passes < 15 {
				t.Errorf("%s, %s: only %d rules were held", name, look.name, found.Passes)
			}
			b.wantFits(name + ", " + look.name)
			if look.width < 500 {
				b.wantRoomy(name)
			}
		}
	}
}

// TestTableIsATable: where the rows stand below each other, a screen reader still hears of a
// table with its caption, its headings and its rows.
func TestTableIsATable(t *testing.T) {
	trail := newTrail(t)
	trail.shop()
	b := newBrowser(t)
	b.setLook(looks[2])
	b.open(trail.url + "?resource=customer/7")
	tree, err := chromedp.Call(b.ctx, accessibility.GetFullAXTree, accessibility.GetFullAXTreeParams{})
	if err != nil {
		t.Fatal(err)
	}
	roles := map[string]int{}
	for _, node := range tree.Nodes {
		if !node.Ignored && node.Role != nil {
			roles[strings.Trim(string(node.Role.Value), `"`)]++
		}
	}
	// The numbers of the chart are folded away.
	if roles["table"] != 1 || roles["caption"]+roles["Caption"] != 1 || roles["row"] != 4 || roles["columnheader"] != 7 || roles["rowheader"] != 3 || roles["cell"] != 3*6 {
		t.Errorf("a screen reader hears of %v", roles)
	}
}

// wantFits: nothing is wider than the window.
func (b *browser) wantFits(what string) {
	b.t.Helper()
	wide := evaluate[[]string](b, `document.documentElement.scrollWidth <= innerWidth ? [] : Array.from(document.querySelectorAll("body *"))
		.filter(e => e.getBoundingClientRect().right > innerWidth + 1).map(e => e.outerHTML.slice(0, 200))`)
	if len(wide) > 0 {
		b.t.Errorf("%s: wider than the window: %s", what, wide[len(wide)-1])
	}
}

// wantRoomy: on a phone a cell is as wide as its row.
func (b *browser) wantRoomy(what string) {
	b.t.Helper()
	narrow := evaluate[[]string](b, `Array.from(document.querySelectorAll(".rows td"))
		.filter(e => e.offsetWidth < .95 * e.parentElement.offsetWidth).map(e => e.outerHTML.slice(0, 200))`)
	if len(narrow) > 0 {
		b.t.Errorf("%s: %d cells are narrow: %s", what, len(narrow), narrow[0])
	}
}

// TestHTML: the checker of the W3C finds no error.
func TestHTML(t *testing.T) {
	if _, err := exec.LookPath("java"); err != nil {
		missing(t, "java")
	}
	jar, err := filepath.Abs(npm(t, "vnu-jar/build/dist/vnu.jar"))
	if err != nil {
		t.Fatal(err)
	}
	trail := newTrail(t)
	trail.shop()
	dir := t.TempDir()
	for name, href := range trail.views() {
		resp, err := http.Get(trail.url + href)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, strings.ReplaceAll(name, " ", "-")+".html"), body, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	wrong := "<!DOCTYPE html><html lang=en><title>x</title><p><table></p>" // which it has to find
	if err := os.WriteFile(filepath.Join(dir, "wrong.html"), []byte(wrong), 0o600); err != nil {
		t.Fatal(err)
	}
	checker := exec.Command("java", "-jar", jar, "--format", "json", "--exit-zero-always", "--stdout", dir)
	out, err := checker.Output()
	if err != nil {
		t.Fatal(err)
	}
	var found struct {
		Messages []struct{ Type, URL, Message, Extract string }
	}
	if err := json.Unmarshal(out, &found); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	control := 0
	for _, m := range found.Messages {
		switch {
		case m.Type != "error":
		case strings.HasSuffix(m.URL, "wrong.html"):
			control++
		default:
			t.Errorf("%s: %s: %s", filepath.Base(m.URL), m.Message, m.Extract)
		}
	}
	if control == 0 {
		t.Error("the checker finds nothing in what is wrong")
	}
}
