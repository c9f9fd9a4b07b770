package score

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// The words of a record.
const (
	least   = "least=" // what a part wanted to become of the message at least
	forWhom = "for="   // what follows differs for this account; "" is the site, for other hosts
	without = "-"      // a symbol of the site that the account does not give
)

// maxRecorded bounds of how many recipients a record tells.
const maxRecorded = 100

// Record is what a verdict goes by, for Replay: the symbols, each with its score and
// its factor, and what a part wanted whatever the score.
func (v *Verdict) Record() []string {
	var out []string
	for _, h := range v.Hits {
		out = append(out, h.record())
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

func (h Hit) record() string {
	number := func(n float64) string { return strconv.FormatFloat(n, 'g', 5, 64) }
	text := h.Symbol + " " + number(h.Score)
	if h.Factor != 0 && h.Factor != 1 {
		text += " " + number(h.Factor)
	}
	return text
}

// For is the verdict for one end of a message: an account, or "" for other hosts.
type For struct {
	Account string
	Verdict *Verdict
}

// RecordFor is the record of a message with that of each of its ends: in what the
// verdict for it differs from that of the site.
func (v *Verdict) RecordFor(ends []For) []string {
	out := v.Record()
	same := func(a Hit) func(Hit) bool {
		return func(b Hit) bool { return a.Symbol == b.Symbol && a.Score == b.Score }
	}
	for _, end := range ends[:min(len(ends), maxRecorded)] {
		out = append(out, forWhom+end.Account)
		for _, h := range v.Hits {
			if !slices.ContainsFunc(end.Verdict.Hits, same(h)) {
				out = append(out, without+h.Symbol)
			}
		}
		for _, h := range end.Verdict.Hits {
			if !slices.ContainsFunc(v.Hits, same(h)) {
				out = append(out, h.record())
			}
		}
	}
	return out
}

// Fate says in a word what becomes of a message with these verdicts of its ends; in
// several where they differ, the mildest first.
func Fate(all []*Verdict) string {
	refused, putOff := Together(all)
	switch {
	case refused != nil && refused.Status.Temporary():
		return Defer.String()
	case refused != nil:
		return Refuse.String()
	case putOff:
		return Greylist.String()
	}
	var actions []Action
	for _, v := range all {
		actions = append(actions, v.Taken().Action)
	}
	slices.Sort(actions)
	var words []string
	for _, a := range slices.Compact(actions) {
		words = append(words, a.String())
	}
	return strings.Join(words, ", ")
}

// Replayed is what a replay says of one end of a message.
type Replayed struct {
	For
	Before  float64  // its score as it was
	Changes []string // of symbols, in words
}

// Replay holds what was recorded of a message against the weights of this engine, and
// the limits of each of its ends; for the site alone if the record tells of none.
// Nobody is asked anew; symbols that the engine does not know count for nothing.
func (e *Engine) Replay(record []string, limits func(account string) Limits) []Replayed {
	var common, own []string
	var out []Replayed
	account, site := "", true
	end := func() { out = append(out, e.again(account, common, own, limits(account))) }
	for _, text := range record {
		whom, ok := strings.CutPrefix(text, forWhom)
		switch {
		case ok && !site:
			end()
			fallthrough
		case ok:
			account, site, own = whom, false, nil
		case site:
			common = append(common, text)
		default:
			own = append(own, text)
		}
	}
	end()
	return out
}

// again is the verdict for one end.
func (e *Engine) again(account string, common, own []string, limits Limits) Replayed {
	gone := map[string]bool{}
	var record []string
	for _, text := range own {
		if symbol, ok := strings.CutPrefix(text, without); ok {
			gone[symbol] = true
			continue
		}
		record = append(record, text)
	}
	for _, text := range common {
		if symbol, _, _ := strings.Cut(text, " "); !gone[symbol] {
			record = append(record, text)
		}
	}
	v := &Verdict{Limits: limits}
	r := Replayed{For: For{account, v}}
	was := map[string]float64{}
	for _, text := range record {
		if name, ok := strings.CutPrefix(text, least); ok {
			v.least.Action, _ = ParseAction(name)
			v.least.Reason = "as a part wanted, whatever the score"
			continue
		}
		h, score, ok := readHit(text)
		if !ok {
			continue
		}
		was[h.Symbol] += score
		r.Before += score
		if _, known := e.symbols[h.Symbol]; known {
			v.Hits = append(v.Hits, h)
		}
	}
	e.conclude(v)
	r.Changes = changes(record, was, v.Hits)
	return r
}

// readHit reads a symbol of a record, with the score that it had.
func readHit(text string) (h Hit, score float64, ok bool) {
	words := strings.Fields(text)
	if len(words) < 2 {
		return h, 0, false
	}
	h.Symbol = words[0]
	score, err := strconv.ParseFloat(words[1], 64)
	if len(words) > 2 {
		h.Factor, _ = strconv.ParseFloat(words[2], 64)
	}
	return h, score, err == nil
}

// changes tells of the symbols whose score is another.
func changes(record []string, was map[string]float64, hits []Hit) (out []string) {
	now := map[string]float64{}
	for _, h := range hits {
		now[h.Symbol] += h.Score
	}
	told := map[string]bool{}
	for _, text := range record {
		symbol, _, _ := strings.Cut(text, " ")
		if d := now[symbol] - was[symbol]; (d > 0.005 || d < -0.005) && !told[symbol] {
			told[symbol] = true
			out = append(out, fmt.Sprintf("%s %+.1f → %+.1f", symbol, was[symbol], now[symbol]))
		}
	}
	return out
}
