package score

import (
	"fmt"
	"strconv"
	"strings"
)

// least is what Record puts before what a part wanted to become of the message at
// least.
const least = "least="

// Record is what a verdict goes by, for Replay: the symbols, each with its score and
// its factor, and what a part wanted whatever the score.
func (v *Verdict) Record() []string {
	var out []string
	number := func(n float64) string { return strconv.FormatFloat(n, 'g', 5, 64) }
	for _, h := range v.Hits {
		text := h.Symbol + " " + number(h.Score)
		if h.Factor != 0 && h.Factor != 1 {
			text += " " + number(h.Factor)
		}
		out = append(out, text)
	}
	switch {
	case v.failure != nil && v.failure.Status.Temporary():
		out = append(out, least+Defer.String())
	case v.failure != nil:
		out = append(out, least+Refuse.String())
	case v.least.Action > Accept:
		out = append(out, least+v.least.Action.String())
	}
	return out
}

// Replay holds what was recorded of a message against the weights and limits of this
// engine, for the site. Nobody is asked anew; symbols that the engine does not know
// count for nothing. Before it is the score as it was.
func (e *Engine) Replay(record []string, limits Limits) (v *Verdict, before float64, changes []string) {
	v = &Verdict{Limits: limits}
	was := map[string]float64{}
	for _, text := range record {
		if name, ok := strings.CutPrefix(text, least); ok {
			v.least.Action, _ = ParseAction(name)
			v.least.Reason = "as a part wanted, whatever the score"
			continue
		}
		words := strings.Fields(text)
		if len(words) < 2 {
			continue
		}
		h := Hit{Symbol: words[0]}
		score, err := strconv.ParseFloat(words[1], 64)
		if err != nil {
			continue
		}
		if len(words) > 2 {
			h.Factor, _ = strconv.ParseFloat(words[2], 64)
		}
		was[h.Symbol] += score
		before += score
		if _, known := e.symbols[h.Symbol]; known {
			v.Hits = append(v.Hits, h)
		}
	}
	e.conclude(v)
	now := map[string]float64{}
	for _, h := range v.Hits {
		now[h.Symbol] += h.Score
	}
	told := map[string]bool{}
	for _, text := range record {
		symbol, _, _ := strings.Cut(text, " ")
		if d := now[symbol] - was[symbol]; (d > 0.005 || d < -0.005) && !told[symbol] {
			told[symbol] = true
			changes = append(changes, fmt.Sprintf("%s %+.1f → %+.1f", symbol, was[symbol], now[symbol]))
		}
	}
	return v, before, changes
}
