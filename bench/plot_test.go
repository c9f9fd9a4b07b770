package main

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"testing"
)

// element is one of an SVG, with its text.
type element struct {
	name string
	at   map[string]string
	text string
}

func (e element) number(t *testing.T, name string) float64 {
	t.Helper()
	v, err := strconv.ParseFloat(e.at[name], 64)
	if err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
		t.Errorf("<%s> has %s=%q", e.name, name, e.at[name])
	}
	return v
}

// elements reads an SVG, which must be well-formed.
func elements(t *testing.T, svg []byte) (all []element) {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(string(svg)))
	for {
		token, err := d.Token()
		if err == io.EOF {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		switch x := token.(type) {
		case xml.StartElement:
			e := element{name: x.Name.Local, at: map[string]string{}}
			for _, a := range x.Attr {
				e.at[a.Name.Local] = a.Value
			}
			all = append(all, e)
		case xml.CharData:
			if len(all) > 0 {
				all[len(all)-1].text += strings.TrimSpace(string(x))
			}
		}
	}
}

// TestPlot: points are where both axes say.
func TestPlot(t *testing.T) {
	t.Parallel()
	all := curves()
	lines := make([][2]line, len(all))
	for i := range lines {
		lines[i] = [2]line{{[]int{1000, 10_000, 100_000}, []float64{1, 10, 100}}, {[]int{1000, 10_000}, []float64{100, 1000}}}
	}
	lines[1] = [2]line{{[]int{1000}, []float64{0}}, {[]int{1000}, []float64{0.001}}} // as quick as can be
	svg := plot(all, lines)
	var circles, curvesOf []element
	texts := map[string]int{}
	for _, e := range elements(t, svg) {
		switch e.name {
		case "circle":
			circles = append(circles, e)
		case "polyline":
			curvesOf = append(curvesOf, e)
		case "text":
			texts[e.text]++
		}
	}
	for _, c := range all {
		if texts[c.name] != 1 {
			t.Errorf("%d panels are called %q", texts[c.name], c.name)
		}
	}
	for text, n := range map[string]int{"plic": 1, "Dovecot": 1, "1 ms": len(all) - 1 + 1, "1 s": len(all) - 1, "1 k": len(all), "100 k": len(all) - 1} {
		if texts[text] != n {
			t.Errorf("%q is written %d times, not %d", text, texts[text], n)
		}
	}
	if len(circles) != 5*(len(all)-1)+2 || len(curvesOf) != 2*len(all) {
		t.Fatalf("%d points on %d curves", len(circles), len(curvesOf))
	}
	// The first panel: from 1 ms to 1 s, from 1 k to 100 k.
	const x0, y0 = left, legendHeight + top
	for i, want := range [][2]float64{
		{x0, y0 + plotHeight}, {x0 + plotWidth/2., y0 + plotHeight*2/3.}, {x0 + plotWidth, y0 + plotHeight/3.},
		{x0, y0 + plotHeight/3.}, {x0 + plotWidth/2., y0},
	} {
		x, y := circles[i].number(t, "cx"), circles[i].number(t, "cy")
		if math.Abs(x-want[0]) > 0.1 || math.Abs(y-want[1]) > 0.1 {
			t.Errorf("point %d is at %v, %v, not at %v", i, x, y, want)
		}
		if colour := []string{ourColour, theirColour}[i/3]; circles[i].at["fill"] != colour {
			t.Errorf("point %d is %s", i, circles[i].at["fill"])
		}
	}
	var points []string
	for _, c := range circles[:3] {
		points = append(points, c.at["cx"]+","+c.at["cy"])
	}
	if got := strings.Fields(curvesOf[0].at["points"]); strings.Join(got, " ") != strings.Join(points, " ") || curvesOf[0].at["stroke"] != ourColour {
		t.Errorf("the first curve goes through %q", got)
	}
	for i, c := range circles {
		x, y := c.number(t, "cx"), c.number(t, "cy")
		if x < 0 || x > perRow*panelWidth || y < legendHeight || y > legendHeight+math.Ceil(float64(len(all))/perRow)*panelHeight {
			t.Errorf("point %d is outside, at %v, %v", i, x, y)
		}
	}
}

// TestPlotEmpty: a curve that nobody has a figure of is an empty panel.
func TestPlotEmpty(t *testing.T) {
	t.Parallel()
	svg := plot([]curve{{name: "nothing"}}, make([][2]line, 1))
	for _, e := range elements(t, svg) {
		if e.name == "circle" {
			t.Error("it has a point")
		}
	}
}

func TestPlotWords(t *testing.T) {
	t.Parallel()
	for e, want := range map[float64]string{-2: "10 µs", -1: "100 µs", 0: "1 ms", 2: "100 ms", 3: "1 s", 5: "100 s"} {
		if got := span(e); got != want {
			t.Errorf("10^%v ms is %q", e, got)
		}
	}
	for n, want := range map[int]string{100: "100", 1000: "1 k", 300_000: "300 k", 1_000_000: "1 M"} {
		if got := count(n); got != want {
			t.Errorf("%d is %q", n, got)
		}
	}
}

// TestLine: a side that takes too long is not asked for more, and has no point there.
func TestLine(t *testing.T) {
	t.Parallel()
	asked := 0
	took := map[int]float64{1: 5, 2: tooLong, 3: tooLong + 1}
	var l line
	for size := range 5 {
		c := curve{do: func(context.Context, *site) (float64, error) {
			asked++
			return took[size], nil
		}}
		if err := l.measure(t.Context(), c, nil, size); err != nil {
			t.Fatal(err)
		}
	}
	if asked != 4 || fmt.Sprint(l.sizes) != "[0 1 2 3]" || l.at(1) != "5.00" || l.at(4) != "too long" {
		t.Errorf("asked %d times, %+v", asked, l)
	}
	broken := errors.New("broken")
	l = line{}
	if err := l.measure(t.Context(), curve{do: func(context.Context, *site) (float64, error) { return 1, broken }}, nil, 1); !errors.Is(err, broken) || len(l.sizes) > 0 {
		t.Errorf("%v, %+v", err, l)
	}
}
