package main

import (
	"bytes"
	"fmt"
	"math"
)

// The plot: panels in rows, each with both axes logarithmic, so that what grows
// with the mailbox is a slope and what does not is level.
const (
	panelWidth, panelHeight   = 300, 200
	left, right, top, bottom  = 52, 14, 30, 34
	perRow                    = 3
	ourColour, theirColour    = "#1f6feb", "#d1242f"
	plotWidth, plotHeight     = panelWidth - left - right, panelHeight - top - bottom
	legendHeight              = 34
	lowestTime, smallestRange = 0.01, 2 // ms; powers of ten
)

// plot draws the curves as SVG.
func plot(all []curve, lines [][2]line) []byte {
	rows := (len(all) + perRow - 1) / perRow
	var b bytes.Buffer
	width, height := perRow*panelWidth, rows*panelHeight+legendHeight
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" font-family="Helvetica,Arial,sans-serif" font-size="11" fill="#1f2328">`+"\n", width, height, width, height)
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="#ffffff"/>`+"\n", width, height)
	for i, name := range []string{"plic", "Dovecot"} {
		x := left + i*120
		fmt.Fprintf(&b, `<line x1="%d" y1="18" x2="%d" y2="18" stroke="%s" stroke-width="3"/><text x="%d" y="22">%s</text>`+"\n",
			x, x+24, []string{ourColour, theirColour}[i], x+30, name)
	}
	for i, c := range all {
		panel(&b, c.name, lines[i], (i%perRow)*panelWidth, legendHeight+(i/perRow)*panelHeight)
	}
	b.WriteString("</svg>\n")
	return b.Bytes()
}

// panel draws one curve of both sides.
func panel(b *bytes.Buffer, title string, lines [2]line, x, y int) {
	least, most, small, large := math.Inf(1), 0.0, math.MaxInt, 0
	for _, l := range lines {
		for i, n := range l.sizes {
			t := max(l.took[i], lowestTime)
			least, most, small, large = min(least, t), max(most, t), min(small, n), max(large, n)
		}
	}
	if large == 0 {
		return
	}
	from, to := math.Floor(math.Log10(least)), math.Ceil(math.Log10(most))
	to = max(to, from+smallestRange)
	xs, xe := math.Log10(float64(small)), max(math.Log10(float64(large)), math.Log10(float64(small))+1)
	px := func(n int) float64 {
		return float64(x+left) + plotWidth*(math.Log10(float64(n))-xs)/(xe-xs)
	}
	py := func(ms float64) float64 {
		return float64(y+top) + plotHeight*(to-math.Log10(max(ms, lowestTime)))/(to-from)
	}
	fmt.Fprintf(b, `<text x="%d" y="%d" font-weight="bold">%s</text>`+"\n", x+left, y+top-10, title)
	for e := from; e <= to; e++ {
		at := py(math.Pow(10, e))
		fmt.Fprintf(b, `<line x1="%d" y1="%.1f" x2="%d" y2="%.1f" stroke="#d0d7de"/><text x="%d" y="%.1f" text-anchor="end">%s</text>`+"\n",
			x+left, at, x+left+plotWidth, at, x+left-5, at+4, span(e))
	}
	for e := math.Ceil(xs); e <= xe; e++ {
		n := int(math.Pow(10, e))
		fmt.Fprintf(b, `<text x="%.1f" y="%d" text-anchor="middle">%s</text>`+"\n", px(n), y+panelHeight-bottom+16, count(n))
	}
	for side, l := range lines {
		colour := []string{ourColour, theirColour}[side]
		fmt.Fprintf(b, `<polyline fill="none" stroke="%s" stroke-width="2" points="`, colour)
		for i, n := range l.sizes {
			fmt.Fprintf(b, "%.1f,%.1f ", px(n), py(l.took[i]))
		}
		b.WriteString("\"/>\n")
		for i, n := range l.sizes {
			fmt.Fprintf(b, `<circle cx="%.1f" cy="%.1f" r="2.5" fill="%s"/>`+"\n", px(n), py(l.took[i]), colour)
		}
	}
}

// span is a power of ten of milliseconds, for people.
func span(e float64) string {
	switch ms := math.Pow(10, e); {
	case ms >= 1000:
		return fmt.Sprintf("%g s", ms/1000)
	case ms >= 1:
		return fmt.Sprintf("%g ms", ms)
	default:
		return fmt.Sprintf("%.0f µs", ms*1000)
	}
}

func count(n int) string {
	switch {
	case n >= 1_000_000:
		return fmt.Sprintf("%d M", n/1_000_000)
	case n >= 1000:
		return fmt.Sprintf("%d k", n/1000)
	}
	return fmt.Sprint(n)
}
