// Package lookalike tells names that a reader takes for others: letters of several
// scripts in one word, letters that look like others, and names that are one slip
// away from a known one. What looks alike goes by the method of Unicode's UTS 39,
// with those of its pairs that are letters of domain names.
//
// RFC 5890 (A-labels and U-labels).
package lookalike

import (
	"strings"
	"unicode"

	"golang.org/x/net/idna"
	"golang.org/x/text/unicode/norm"
)

// twins are letters of other scripts, and of the edges of Latin, by the Latin letters
// that they look like.
var twins = map[string]string{
	"a": "аαɑᴀӑ", "b": "ƅᏏ", "c": "сϲᴄ", "d": "ԁđð", "e": "еєҽᴇεё", "f": "ғƒ", "g": "ɡԍɢց", "h": "һհħнʜ", "i": "іιıɩɪїӏ", "j": "јϳ",
	"k": "кκᴋқ", "l": "łʟӀ", "m": "мᴍ", "n": "ոռɴ", "o": "оοσօøᴏ", "p": "рρᴘ", "q": "ԛզ", "r": "ᴦʀ", "s": "ѕꜱ", "t": "тτŧᴛ",
	"u": "υսᴜ", "v": "νѵᴠ", "w": "ԝωᴡ", "x": "хχ", "y": "уγүʏყ", "z": "ᴢ",
}

// twin gives the Latin letter that another looks like, or the letter itself.
func twin(r rune) rune {
	for latin, all := range twins {
		if strings.ContainsRune(all, r) {
			return rune(latin[0])
		}
	}
	return r
}

// Skeleton is what a name looks like: two names with one skeleton are taken for each
// other. It may be in A-labels or U-labels.
func Skeleton(name string) string {
	name = Unicode(name)
	var b strings.Builder
	for _, r := range norm.NFKD.String(strings.ToLower(name)) {
		switch {
		case unicode.Is(unicode.Mn, r) || unicode.Is(unicode.Cf, r):
			continue
		case r == '0':
			r = 'o'
		case r == '1' || r == '|' || r == '!':
			r = 'l'
		case r == '5':
			r = 's'
		case r == '3':
			r = 'e'
		case r > unicode.MaxASCII:
			r = twin(r)
		}
		b.WriteRune(r)
	}
	s := strings.NewReplacer("rn", "m", "vv", "w", "cl", "d", "i", "l").Replace(b.String())
	return s
}

// Unicode is a name with its A-labels as U-labels.
func Unicode(name string) string {
	if !strings.Contains(name, "xn--") {
		return name
	}
	if u, err := idna.Punycode.ToUnicode(name); err == nil {
		return u
	}
	return name
}

// Mixed says that a label of a name has letters of scripts that nobody writes
// together: UTS 39 section 5.1. Japanese and Korean are written in several.
func Mixed(name string) bool {
	for label := range strings.SplitSeq(Unicode(name), ".") {
		if MixedWord(label) {
			return true
		}
	}
	return false
}

// MixedWord is Mixed for one word.
func MixedWord(word string) bool {
	found := scripts(0)
	for _, r := range word {
		if r > unicode.MaxASCII || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' {
			found |= scriptOf(r)
		}
	}
	alphabets := found & (latin | cyrillic | greek | armenian)
	return alphabets&(alphabets-1) != 0 || alphabets&^latin != 0 && found&east != 0
}

// Whole says that a word is of one other script and looks like a Latin one all the
// same.
func Whole(word string) bool {
	letters := 0
	for _, r := range Unicode(word) {
		if !unicode.IsLetter(r) {
			continue
		}
		if t := twin(unicode.ToLower(r)); r <= unicode.MaxASCII || t == unicode.ToLower(r) || t > unicode.MaxASCII {
			return false
		}
		letters++
	}
	return letters > 2
}

type scripts uint8

const (
	latin scripts = 1 << iota
	cyrillic
	greek
	armenian
	east
)

func scriptOf(r rune) scripts {
	switch {
	case unicode.Is(unicode.Latin, r):
		return latin
	case unicode.Is(unicode.Cyrillic, r):
		return cyrillic
	case unicode.Is(unicode.Greek, r):
		return greek
	case unicode.Is(unicode.Armenian, r):
		return armenian
	case unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Hangul, unicode.Bopomofo):
		return east
	}
	return 0
}

// Near says that a name is taken for a known one: it is another, and looks the same,
// or is one letter away, one more, one less, one other or two that changed places.
// Names of less than seven letters have too many neighbours for that.
func Near(name, known string) bool {
	if name == known || name == "" || known == "" {
		return false
	}
	a, b := Skeleton(name), Skeleton(known)
	if a == b {
		return true
	}
	return slippery(known) && oneSlip(a, b)
}

// slippery says that a name is long enough to be mistyped for no other.
func slippery(name string) bool {
	label, _, _ := strings.Cut(name, ".")
	return len(label) >= 7
}

func oneSlip(a, b string) bool {
	for len(a) > 0 && len(b) > 0 && a[0] == b[0] {
		a, b = a[1:], b[1:]
	}
	for len(a) > 0 && len(b) > 0 && a[len(a)-1] == b[len(b)-1] {
		a, b = a[:len(a)-1], b[:len(b)-1]
	}
	switch {
	case len(a)+len(b) == 1, len(a) == 1 && len(b) == 1:
		return true
	}
	return len(a) == 2 && len(b) == 2 && a[0] == b[1] && a[1] == b[0]
}

// Set finds the known name that another is taken for, whatever their number.
type Set struct {
	known map[string]bool
	looks map[string]string   // skeletons
	slips map[string][]string // skeletons with a letter less
}

// NewSet makes a Set.
func NewSet(known []string) *Set {
	s := &Set{known: map[string]bool{}, looks: map[string]string{}, slips: map[string][]string{}}
	for _, name := range known {
		if name == "" || s.known[name] {
			continue
		}
		look := Skeleton(name)
		s.known[name], s.looks[look] = true, name
		if slippery(name) {
			for i := range len(look) {
				short := look[:i] + look[i+1:]
				s.slips[short] = append(s.slips[short], name)
			}
		}
	}
	return s
}

// Near gives the known name that a name is taken for; "" for none, and for the known
// ones themselves.
func (s *Set) Near(name string) string {
	if s.known[name] || name == "" {
		return ""
	}
	look := Skeleton(name)
	if known, ok := s.looks[look]; ok {
		return known
	}
	for _, known := range s.slips[look] { // a letter less
		return known
	}
	for i := range len(look) {
		short := look[:i] + look[i+1:]
		if known, ok := s.looks[short]; ok && slippery(known) { // a letter more
			return known
		}
		for _, known := range s.slips[short] { // another letter, or two in other places
			if Near(name, known) {
				return known
			}
		}
	}
	return ""
}
