package browser

import (
	"flag"
	"os"
	"testing"

	"github.com/chromedp/chromedp"
)

var picture = flag.String("picture", "", "`file` to write the picture of README.md to")

// TestPicture makes the picture of README.md.
func TestPicture(t *testing.T) {
	trail := newTrail(t)
	trail.shop()
	b := newBrowser(t)
	b.setLook(looks[0])
	b.do(chromedp.EmulateViewport(1180, 1000, chromedp.EmulateScale(1.5)))
	b.open(trail.url + "?from=2026-11-10&before=2026-11-25")
	png, err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot())
	if err != nil {
		t.Fatal(err)
	}
	if len(png) < 20_000 {
		t.Errorf("the picture has %d bytes", len(png))
	}
	if *picture != "" {
		if err := os.WriteFile(*picture, png, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
