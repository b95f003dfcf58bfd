package main

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"math"
	"slices"
)

// The picture is two columns of bars: how many times ahead of each peer ours is, on a
// logarithmic scale around 1. It brings its own background, in light and in dark, so
// that it can be read on any page.
const (
	pictureWidth = 900
	columnWidth  = 430
	margin       = 16
	labelWidth   = 204 // of the peers' names, in front of the bars
	lineHeight   = 17
	farthest     = 64. // times ahead, at the right edge
	behind       = 4.  // times behind, at the left edge
)

const style = `
	text { font: 11px ui-sans-serif, system-ui, "Segoe UI", Helvetica, Arial, sans-serif; fill: #59636e }
	.page { fill: #ffffff; stroke: #d1d9e0 } .one { stroke: #818b98 } .grid { stroke: #e6eaef }
	.title { font-size: 15px; font-weight: 600; fill: #1f2328 } .subject { font-size: 12.5px; font-weight: 600; fill: #1f2328 }
	.case { font-weight: 600 } .value { font-weight: 600; fill: #1f2328 }
	.ahead { fill: #2da44e } .back { fill: #d4772c }
	@media (prefers-color-scheme: dark) {
		text { fill: #9198a1 }
		.page { fill: #0d1117; stroke: #3d444d } .one { stroke: #656c76 } .grid { stroke: #21262d }
		.title, .subject, .value { fill: #f0f6fc }
		.ahead { fill: #3fb950 } .back { fill: #db8b45 }
	}`

// bar is one peer in the picture.
type bar struct {
	name  string
	ahead float64 // how many times ours is ahead of it
}

// block is one line of the table in the picture.
type block struct {
	name string
	bars []bar
}

// panel is one subject in the picture.
type panel struct {
	title  string
	blocks []block
}

func (p panel) height() int {
	h := 2 * lineHeight
	for _, b := range p.blocks {
		h += (len(b.bars)+1)*lineHeight + 4
	}
	return h
}

// panels are what the results have to draw.
func panels(results []SubjectResult) (all []panel) {
	for _, s := range results {
		p := panel{title: s.Title}
		for _, c := range s.Cases {
			figure := c.Figures[0]
			b := block{name: c.Name + ", " + figure}
			for _, side := range c.Sides[1:] {
				if side.Aside || side.Missing != "" || side.Ratio.Median <= 0 {
					continue
				}
				ahead := side.Ratio.Median
				if figure != Rate { // less is better
					ahead = 1 / ahead
				}
				b.bars = append(b.bars, bar{side.Name, ahead})
			}
			if len(b.bars) > 0 {
				p.blocks = append(p.blocks, b)
			}
		}
		if len(p.blocks) > 0 {
			all = append(all, p)
		}
	}
	return all
}

// drawing is the picture of the results as SVG.
func drawing(results []SubjectResult) []byte {
	const top = 64
	all := panels(results)
	// Whole panels, of the columns always into the shorter one.
	var columns [2][]panel
	heights := []int{top, top}
	for _, p := range all {
		i := slices.Index(heights, slices.Min(heights))
		columns[i] = append(columns[i], p)
		heights[i] += p.height()
	}
	height := slices.Max(heights) + margin
	var b bytes.Buffer
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %[1]d %[2]d" role="img">`+"\n<style>%s\n</style>\n", pictureWidth, height, style)
	fmt.Fprintf(&b, `<rect class="page" x="0.5" y="0.5" width="%d" height="%d" rx="8"/>`+"\n", pictureWidth-1, height-1)
	text(&b, margin, 28, "title", "start", "How many times ahead of each: auditing = 1")
	text(&b, margin, 47, "", "start", "Medians of measurements taken in turn, in one run on one machine. Logarithmic; to the left of the line it is behind.")
	for i, panels := range columns {
		x, y := margin+i*(columnWidth+2*margin-8), top
		for _, p := range panels {
			p.draw(&b, x, y)
			y += p.height()
		}
	}
	b.WriteString("</svg>\n")
	return b.Bytes()
}

// draw puts the panel at a place.
func (p panel) draw(b *bytes.Buffer, x, y int) {
	text(b, x, y+18, "subject", "start", p.title)
	y += lineHeight + 8
	for _, block := range p.blocks {
		text(b, x, y+12, "case", "start", block.name)
		y += lineHeight
		bottom := y + len(block.bars)*lineHeight
		for _, times := range []float64{0.25, 1, 4, 16, farthest} {
			class := "grid"
			if times == 1 {
				class = "one"
			}
			fmt.Fprintf(b, `<path class="%s" d="M%.1f %dV%d"/>`+"\n", class, across(x, times), y, bottom)
		}
		for _, bar := range block.bars {
			bar.draw(b, x, y)
			y += lineHeight
		}
		y += 4
	}
}

func (r bar) draw(b *bytes.Buffer, x, y int) {
	text(b, x+labelWidth-6, y+12, "", "end", r.name)
	from, to, class := across(x, 1), across(x, r.ahead), "ahead"
	at, anchor := to+4, "start"
	if r.ahead < 1 {
		from, to, class = to, from, "back"
		at = to + 4 // the name is to the left
	}
	// The value of a bar that reaches the edge stands in front of its end.
	if at > float64(x+columnWidth-30) {
		at, anchor = to-4, "end"
	}
	fmt.Fprintf(b, `<rect class="%s" x="%.1f" y="%d" width="%.1f" height="%d" rx="2"/>`+"\n", class, from, y+2, max(to-from, 1), lineHeight-5)
	text(b, int(at), y+12, "value", anchor, number(r.ahead)+"×")
}

// across is where so many times ahead is drawn.
func across(x int, times float64) float64 {
	times = min(max(times, 1/behind), farthest)
	share := math.Log(times*behind) / math.Log(farthest*behind)
	return float64(x+labelWidth) + share*float64(columnWidth-labelWidth-34)
}

func text(b *bytes.Buffer, x, y int, class, anchor, s string) {
	fmt.Fprintf(b, `<text x="%d" y="%d" class="%s" text-anchor="%s">`, x, y, class, anchor)
	xml.EscapeText(b, []byte(s))
	b.WriteString("</text>\n")
}
