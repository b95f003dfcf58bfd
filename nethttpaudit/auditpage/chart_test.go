package auditpage_test

import (
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/nethttpaudit/auditpage"
)

// TestChart counts by the days of the zone.
func TestChart(t *testing.T) {
	s := newSite(t, newRecorder(t, core.Config{}), auditpage.Config{})
	for _, hours := range []int{0, 1, 11, 12, 60} {
		s.event("refund", nil, core.At(noon.Add(time.Duration(hours)*time.Hour)))
	}
	for zone, want := range map[string]string{"UTC": "3 1 0 1", "Europe/Berlin": "2 2 0 1"} {
		a := s.get("zone", zone)
		var counts []string
		for _, td := range a.all(func(n *html.Node) bool { return n.Data == "td" && attr(n, "data-label") == "" }) {
			counts = append(counts, text(td))
		}
		if got := strings.Join(counts, " "); got != want {
			t.Errorf("in %s the days have %s events, want %s", zone, got, want)
		}
		if bars := a.all(func(n *html.Node) bool { return n.Data == "rect" }); len(bars) != 4 || attr(bars[0], "height") != "64" || attr(bars[2], "height") != "0" {
			t.Errorf("in %s there are %d bars", zone, len(bars))
		}
		if rows := s.open(a.link("2026-11-23")).rows(); len(rows) != 1 {
			t.Errorf("the day leads to %d events", len(rows))
		}
	}
}
