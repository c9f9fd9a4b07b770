package main

import (
	"context"
	"errors"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"
)

func TestMedian(t *testing.T) {
	t.Parallel()
	for _, x := range []struct {
		all  []float64
		want float64
	}{{[]float64{7}, 7}, {[]float64{9, 1, 5}, 5}, {[]float64{4, 1, 100, 2}, 3}, {[]float64{2, 1}, 1.5}, {[]float64{3, -1, unable}, -1}} {
		given := slices.Clone(x.all)
		if got := median(x.all); got != x.want {
			t.Errorf("the median of %v is %v, not %v", x.all, got, x.want)
		}
		if !slices.Equal(given, x.all) {
			t.Errorf("%v became %v", given, x.all)
		}
	}
}

func TestNumber(t *testing.T) {
	t.Parallel()
	for v, want := range map[float64]string{0: "0.00", 0.0004: "0.000", 0.0372: "0.037", 0.0999: "0.100", 0.1: "0.10", 0.596: "0.60", 1.5: "1.50",
		99.4: "99.40", 100: "100", 1234.6: "1235", -0.5: "-0.50", -120.4: "-120"} {
		if got := number(v); got != want {
			t.Errorf("%v is written %q, not %q", v, got, want)
		}
	}
	for v, want := range map[float64]string{0.02: "0.02", 1: "1", 1.5: "1.5", 100: "100"} {
		if got := trim(v); got != want {
			t.Errorf("%v is trimmed to %q, not %q", v, got, want)
		}
	}
}

func TestRow(t *testing.T) {
	t.Parallel()
	for name, x := range map[string]struct {
		m            measure
		ours, theirs float64
		want         string
	}{
		"no mark":                  {measure{}, 30, 20, "| 30.00 | 20.00 | 1.50 |  |"},
		"reach met":                {measure{reach: 0.3}, 3, 20, "| 3.00 | 20.00 | 0.15 | ≤ 0.3 |"},
		"reach met exactly":        {measure{reach: 0.5}, 10, 20, "| 10.00 | 20.00 | 0.50 | ≤ 0.5 |"},
		"reach missed":             {measure{reach: 0.5}, 10.01, 20, "| 10.01 | 20.00 | 0.50 | ≤ 0.5, missed |"},
		"reach, both none":         {measure{reach: 0.5}, 0, 0, "| 0.00 | 0.00 | - | ≤ 0.5 |"},
		"least met":                {measure{least: 10}, 3000, 290, "| 3000 | 290 | 10.34 | ≥ 10 |"},
		"least met exactly":        {measure{least: 2}, 40, 20, "| 40.00 | 20.00 | 2.00 | ≥ 2 |"},
		"least missed":             {measure{least: 2}, 39, 20, "| 39.00 | 20.00 | 1.95 | ≥ 2, missed |"},
		"most met":                 {measure{most: 25}, 25, 507, "| 25.00 | 507 | 0.049 | ≤ 25 KiB |"},
		"most missed":              {measure{most: 25}, 25.1, 507, "| 25.10 | 507 | 0.050 | ≤ 25 KiB, missed |"},
		"most, others are worse":   {measure{most: 1}, 1.003, 5, "| 1.00 | 5.00 | 0.20 | ≤ 1 KiB, missed |"},
		"they cannot: reach":       {measure{reach: 0.5}, 10, unable, "| 10.00 | - | - | ≤ 0.5 |"},
		"they cannot: least":       {measure{least: 2}, 10, unable, "| 10.00 | - | - | ≥ 2 |"},
		"they cannot: most missed": {measure{most: 5}, 10, unable, "| 10.00 | - | - | ≤ 5 KiB, missed |"},
		"they cannot: no mark":     {measure{}, 10, unable, "| 10.00 | - | - |  |"},
		"we cannot: reach":         {measure{reach: 0.5}, unable, 10, "| - | 10.00 | - | ≤ 0.5, missed |"},
		"we cannot: least":         {measure{least: 2}, unable, 10, "| - | 10.00 | - | ≥ 2, missed |"},
		"we cannot: most":          {measure{most: 2}, unable, 10, "| - | 10.00 | - | ≤ 2 KiB, missed |"},
		"we cannot: no mark":       {measure{}, unable, 10, "| - | 10.00 | - |  |"},
		"nobody can":               {measure{reach: 1}, unable, unable, "| - | - | - | ≤ 1, missed |"},
	} {
		x.m.name, x.m.unit = "memory", "KiB"
		if got, want := x.m.row(x.ours, x.theirs), "| memory | KiB "+x.want; got != want {
			t.Errorf("%s:\n%s\n%s", name, got, want)
		}
	}
}

// TestCompare: both sides are prepared, then measured in turns.
func TestCompare(t *testing.T) {
	t.Parallel()
	var done []string
	figures := map[string][]float64{"a": {5, 1, 9}, "b": {30, 10, 20}}
	m := measure{
		prepare: func(_ context.Context, s *site) error {
			done = append(done, "prepare "+s.name)
			return nil
		},
		do: func(_ context.Context, s *site) (float64, error) {
			done = append(done, s.name)
			v := figures[s.name][0]
			figures[s.name] = figures[s.name][1:]
			return v, nil
		},
	}
	ours, theirs := &site{name: "a"}, &site{name: "b"}
	a, b, err := m.compare(t.Context(), 3, ours, theirs)
	if a != 5 || b != 20 || err != nil {
		t.Error(a, b, err)
	}
	if want := []string{"prepare a", "prepare b", "a", "b", "a", "b", "a", "b"}; !slices.Equal(done, want) {
		t.Errorf("in the order %q", done)
	}
	figures, done = map[string][]float64{"a": {4}, "b": {2}}, nil
	m.once, m.prepare = true, nil
	if a, b, err = m.compare(t.Context(), 3, ours, theirs); a != 4 || b != 2 || err != nil || len(done) != 2 {
		t.Error(a, b, err, done)
	}
	broken := errors.New("broken")
	fails := func(name string) func(context.Context, *site) error {
		return func(_ context.Context, s *site) error {
			if s.name == name {
				return broken
			}
			return nil
		}
	}
	for _, name := range []string{"a", "b"} {
		for what, m := range map[string]measure{
			"prepare": {prepare: fails(name), do: func(context.Context, *site) (float64, error) { return 1, nil }},
			"do":      {do: func(ctx context.Context, s *site) (float64, error) { return 1, fails(name)(ctx, s) }},
		} {
			if _, _, err := m.compare(t.Context(), 2, ours, theirs); !errors.Is(err, broken) || !strings.Contains(err.Error(), name+": ") {
				t.Errorf("%s of %s: %v", what, name, err)
			}
		}
	}
}

// usual is a run without flags.
func usual(t *testing.T) options {
	t.Helper()
	o, err := parse(nil, t.Output())
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// TestMeasures: names are different, as rows are chosen by them, a mark is of one
// kind, and what waits for the disk does not wait for what others left to it.
func TestMeasures(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, m := range measures(usual(t).sizes) {
		if m.name == "" || m.unit == "" || m.do == nil || strings.Contains(m.name, "|") || seen[m.name] {
			t.Errorf("%q is no row of its own", m.name)
		}
		seen[m.name] = true
		marks := 0
		for _, mark := range []float64{m.reach, m.least, m.most} {
			if mark != 0 {
				marks++
			}
		}
		if marks > 1 {
			t.Errorf("%s has %d marks", m.name, marks)
		}
		if strings.HasSuffix(m.unit, "/s") != (m.least != 0) && marks > 0 {
			t.Errorf("%s: its mark looks the wrong way", m.name)
		}
		for _, word := range []string{"APPEND", "STORE", "COPY", "MOVE", "EXPUNGE", "ingest", "relay through", "250 while relaying", "one message to"} {
			if strings.Contains(m.name, word) && !m.writes {
				t.Errorf("%s waits for the disk, which is not said", m.name)
			}
		}
	}
}

// TestDocumented: the table of docs/performance.md has the rows that are measured,
// with their marks, its ratios are those of its figures, and what is missed is
// called so.
func TestDocumented(t *testing.T) {
	t.Parallel()
	rows := documented(t)
	for _, m := range measures(usual(t).sizes) {
		row, ok := rows[m.name]
		if !ok {
			t.Errorf("%q is not in the table", m.name)
			continue
		}
		delete(rows, m.name)
		ours, theirs := parsed(t, row[2]), parsed(t, row[3])
		if ratio := parsed(t, row[4]); row[1] != m.unit || math.Abs(ratio-ours/theirs) > 0.02*ratio+0.01 {
			t.Errorf("%s: the row is %q", m.name, row)
		}
		// Figures are rounded: at the mark, either is right.
		want, missed := strings.CutSuffix(row[5], ", missed")
		if v := m.verdict(ours, theirs); want != strings.TrimSuffix(v, ", missed") {
			t.Errorf("%s: the mark is %q, not %q", m.name, want, v)
		}
		better, worse := m.verdict(ours*0.99, theirs), m.verdict(ours*1.01, theirs)
		if a, b := strings.HasSuffix(better, "missed"), strings.HasSuffix(worse, "missed"); a == b && a != missed {
			t.Errorf("%s: the table says %q, and it is %q", m.name, row[5], better)
		}
	}
	for name := range rows {
		t.Errorf("the table has %q, which nobody measures", name)
	}
}

func parsed(t *testing.T, text string) float64 {
	t.Helper()
	v, err := strconv.ParseFloat(text, 64)
	if err != nil {
		t.Error(err)
	}
	return v
}
