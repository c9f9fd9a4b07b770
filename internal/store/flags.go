package store

import (
	"fmt"
	"math/bits"
	"slices"
	"strings"

	"plic/internal/store/engine"
)

// flagsOf gives flags by name.
func flagsOf(f engine.Flags, keywords []string) Flags {
	out := Flags{System: f & SystemFlags}
	for k := f >> keywordShift; k != 0; k &= k - 1 {
		if n := bits.TrailingZeros64(uint64(k)); n < len(keywords) && keywords[n] != "" {
			out.Keywords = append(out.Keywords, keywords[n])
		}
	}
	return out
}

// FlagsOf reads flags by name. What can be none is left out, and a keyword that
// stands twice counts once.
func FlagsOf(names []string) (f Flags) {
	for _, n := range names {
		switch strings.ToLower(n) {
		case `\seen`:
			f.System |= Seen
		case `\answered`:
			f.System |= Answered
		case `\flagged`:
			f.System |= Flagged
		case `\deleted`:
			f.System |= Deleted
		case `\draft`:
			f.System |= DraftFlag
		default:
			if ValidKeyword(n) && findKeyword(f.Keywords, n) < 0 {
				f.Keywords = append(f.Keywords, n)
			}
		}
	}
	return f
}

// maxKeyword is how long a keyword may be, in octets.
const maxKeyword = 200

// ValidKeyword says that a keyword is an atom, RFC 9051 section 9, and not too long.
func ValidKeyword(k string) bool {
	if k == "" || len(k) > maxKeyword {
		return false
	}
	for i := range len(k) {
		if c := k[i]; c <= ' ' || c >= 0x7f || strings.IndexByte(`(){%*"\]`, c) >= 0 {
			return false
		}
	}
	return true
}

func findKeyword(keywords []string, k string) int {
	return slices.IndexFunc(keywords, func(have string) bool { return strings.EqualFold(have, k) })
}

// known gives the bits of the flags that the mailbox knows.
func (e *edit) known(f Flags) engine.Flags {
	out := f.System & SystemFlags
	for _, k := range f.Keywords {
		if n := findKeyword(e.next.rec.Keywords, k); n >= 0 && k != "" {
			out |= KeywordBit(n)
		}
	}
	return out
}

// bits gives the bits of the flags, numbering keywords that are new. When all
// numbers are given, those that no message has are given again: used tells
// which flags are in use.
func (e *edit) bits(f Flags, used func() (engine.Flags, error)) (engine.Flags, error) {
	out := f.System & SystemFlags
	for _, k := range f.Keywords {
		n, err := e.number(k, out, used)
		if err != nil {
			return 0, err
		}
		out |= KeywordBit(n)
	}
	return out, nil
}

func (e *edit) number(k string, taken engine.Flags, used func() (engine.Flags, error)) (int, error) {
	rec := &e.next.rec
	if !ValidKeyword(k) {
		return 0, fmt.Errorf("keyword %.100q: %w", k, ErrBadKeyword)
	}
	if n := findKeyword(rec.Keywords, k); n >= 0 {
		return n, nil
	}
	if n := len(rec.Keywords); n < MaxKeywords {
		rec.Keywords = append(slices.Clip(rec.Keywords), k) // snapshots share the old ones
		return n, nil
	}
	inUse, err := used()
	if err != nil {
		return 0, err
	}
	for i := range e.change.Add {
		inUse |= e.change.Add[i].Flags
	}
	for i := range e.change.Update {
		inUse |= e.change.Update[i].Flags
	}
	for n := range rec.Keywords {
		if (inUse|taken)&KeywordBit(n) == 0 {
			rec.Keywords = slices.Clone(rec.Keywords)
			rec.Keywords[n] = k
			return n, nil
		}
	}
	return 0, fmt.Errorf("mailbox %s, keyword %q: %w", rec.Name, k, ErrTooManyKeywords)
}
