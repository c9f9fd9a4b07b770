package score

import (
	"fmt"
	"math"
	"strings"
	"unicode/utf8"
)

// Prefix is what the names of our fields begin with. Such fields of strangers are
// taken out.
const Prefix = "X-Spam-"

// Fields are the header fields that tell a verdict; junk says that the message goes
// into Junk, for whatever reason.
func (v *Verdict) Fields(junk bool) []byte {
	var b strings.Builder
	word, required := "No", v.Limits.Junk
	if junk = junk || v.Action >= Junk; junk {
		word = "Yes"
		b.WriteString(Prefix + "Flag: YES\r\n")
	}
	fmt.Fprintf(&b, "%sScore: %.1f\r\n", Prefix, v.Score)
	if stars := int(min(v.Score, 50)); stars > 0 {
		b.WriteString(Prefix + "Level: " + strings.Repeat("*", stars) + "\r\n")
	}
	fmt.Fprintf(&b, "%sStatus: %s, score=%.1f required=%.1f\r\n\ttests=", Prefix, word, v.Score, required)
	column := 14
	for i, h := range v.Hits {
		text := fmt.Sprintf("%s=%.1f", h.Symbol, h.Score)
		if i > 0 {
			b.WriteString(",")
			if column += len(text) + 1; column > 76 {
				b.WriteString("\r\n\t")
				column = 8 + len(text)
			}
		}
		b.WriteString(text)
	}
	if len(v.Hits) == 0 {
		b.WriteString("none")
	}
	b.WriteString("\r\n")
	return []byte(b.String())
}

// Summary is for people: the score and what it leads to, then each hit with its
// reason.
func (v *Verdict) Summary() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, score %.1f of %.1f", v.Action, v.Score, v.Limits.Junk)
	if v.Reason != "" {
		b.WriteString(", " + v.Reason)
	}
	for _, h := range v.Hits {
		fmt.Fprintf(&b, "; %s %+.1f", h.Symbol, h.Score)
		if h.Detail != "" {
			b.WriteString(" (" + Clip(h.Detail, 80) + ")")
		}
	}
	for _, c := range v.Costs {
		if c.Trouble != "" {
			fmt.Fprintf(&b, "; %s says nothing: %s", c.Part, Clip(c.Trouble, 120))
		}
	}
	return b.String()
}

// Percent is how bad a score is for spamtest, RFC 5235: Junk begins at 50, and what
// is refused, or is twice as bad, is 100.
func (v *Verdict) Percent() int {
	junk := v.Limits.Junk
	if junk <= 0 {
		junk = 6
	}
	worst := v.Limits.Refuse
	if worst <= junk {
		worst = 2 * junk
	}
	if v.Score < junk {
		return int(math.Round(max(0, v.Score) / junk * 49))
	}
	return min(100, 50+int((v.Score-junk)/(worst-junk)*50))
}

// Clip shortens a text to some octets, without cutting a character.
func Clip(text string, most int) string {
	if len(text) <= most {
		return text
	}
	for most > 0 && !utf8.RuneStart(text[most]) {
		most--
	}
	return text[:most] + "…"
}

// Virus is the symbol of what a virus scanner knows.
const Virus = "VIRUS"

// Virus says whether a virus was found; asked is false if nobody has looked.
func (v *Verdict) Virus() (found, asked bool) {
	for _, h := range v.Hits {
		found = found || h.Symbol == Virus
	}
	for _, c := range v.Costs {
		asked = asked || c.Part == "clamav" && c.Trouble == ""
	}
	return found, asked || found
}
