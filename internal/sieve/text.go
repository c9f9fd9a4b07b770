package sieve

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// text is a string of a script, with its references to variables, RFC 5229
// section 3.
type text struct {
	Pos
	plain string // if there are no parts
	parts []piece
}

// piece is some text, or a reference.
type piece struct {
	text   string
	name   string // of a variable, in lower case
	global bool   // of the namespace global, RFC 6609 section 3.4.3
	number int    // of a match variable; -1 if it is none
}

// textOf compiles a string: encoded characters first, then references.
func (c *compiler) textOf(p Pos, s string) (*text, error) {
	if c.caps["encoded-character"] {
		var err error
		if s, err = decodeCharacters(p, s); err != nil {
			return nil, err
		}
	}
	if !c.caps["variables"] || !strings.Contains(s, "${") {
		return &text{Pos: p, plain: s}, nil
	}
	t := &text{Pos: p}
	for rest := s; rest != ""; {
		i := strings.Index(rest, "${")
		if i < 0 {
			t.parts = append(t.parts, piece{text: rest, number: -1})
			break
		}
		ref, length, err := c.reference(p, rest[i:])
		if err != nil {
			return nil, err
		}
		if length == 0 { // no reference: it stays as it is
			i, length = i+2, 0
			t.parts = append(t.parts, piece{text: rest[:i], number: -1})
			rest = rest[i:]
			continue
		}
		if i > 0 {
			t.parts = append(t.parts, piece{text: rest[:i], number: -1})
		}
		t.parts = append(t.parts, ref)
		rest = rest[i+length:]
	}
	return t, nil
}

// reference reads ${name}, ${number} or ${global.name}; length 0 if it is none.
func (c *compiler) reference(p Pos, s string) (piece, int, error) {
	end, ok := closing(s)
	if !ok {
		return piece{}, 0, nil
	}
	name := strings.ToLower(s[2:end])
	if name != "" && strings.Trim(name, "0123456789") == "" {
		n, err := strconv.Atoi(name)
		if err != nil || n > maxMatch {
			return piece{}, 0, errorAt(p, "there are no match variables above %d", maxMatch)
		}
		return piece{number: n}, end + 1, nil
	}
	space, rest, spaced := strings.Cut(name, ".")
	if !spaced {
		if !isName(name) {
			return piece{}, 0, nil
		}
		return piece{name: name, number: -1}, end + 1, nil
	}
	if !isName(space) || !isName(strings.ReplaceAll(rest, ".", "_")) {
		return piece{}, 0, nil
	}
	if space != "global" || !c.caps["include"] || !isName(rest) {
		return piece{}, 0, errorAt(p, "there is no namespace %q", space)
	}
	return piece{name: rest, global: true, number: -1}, end + 1, nil
}

// closing finds the end of what begins with "${", if nothing else begins before.
func closing(s string) (int, bool) {
	end := 2 + strings.IndexAny(s[2:], "${}")
	return end, end >= 2 && s[end] == '}'
}

// maxMatch is the highest match variable.
const maxMatch = 9

// isName says that a text is an identifier, RFC 5228 section 2.1.
func isName(s string) bool {
	for i := range len(s) {
		if !isAlpha(s[i]) && (i == 0 || !isDigit(s[i])) {
			return false
		}
	}
	return s != ""
}

// expand gives the text with the values of the variables.
func (t *text) expand(m *machine) string {
	if t == nil {
		return ""
	}
	s := t.value(m)
	m.charge(len(s) / 64)
	return s
}

func (t *text) value(m *machine) string {
	if t.parts == nil {
		return t.plain
	}
	var b strings.Builder
	for i := range t.parts {
		if p := &t.parts[i]; p.name == "" && p.number < 0 {
			b.WriteString(p.text)
		} else {
			b.WriteString(m.value(p))
		}
		if b.Len() > m.limits.Variable {
			break
		}
	}
	return clip(b.String(), m.limits.Variable)
}

// clip cuts a text to a number of octets, between characters.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

func expandAll(m *machine, texts []*text) []string {
	out := make([]string, 0, len(texts))
	for _, t := range texts {
		if m.spent() {
			break
		}
		out = append(out, t.expand(m))
	}
	return out
}

// decodeCharacters replaces ${hex: 40} and ${unicode: 40}, RFC 5228 section
// 2.4.2.4. What is not well formed stays; a character that cannot be is an
// error.
func decodeCharacters(p Pos, s string) (string, error) {
	var b strings.Builder
	for {
		i := strings.Index(s, "${")
		if i < 0 {
			b.WriteString(s)
			return b.String(), nil
		}
		b.WriteString(s[:i])
		s = s[i:]
		end, ok := closing(s)
		if !ok {
			b.WriteString("${")
			s = s[2:]
			continue
		}
		kind, codes, ok := strings.Cut(strings.ToLower(s[2:end]), ":")
		text, good := "", false
		switch {
		case ok && kind == "hex":
			text, good = decodeHex(codes)
		case ok && kind == "unicode":
			var err error
			if text, good, err = decodeUnicode(p, codes); err != nil {
				return "", err
			}
		}
		if !good {
			b.WriteString("${")
			s = s[2:]
			continue
		}
		b.WriteString(text)
		s = s[end+1:]
	}
}

func decodeHex(codes string) (string, bool) {
	var b []byte
	for f := range strings.FieldsSeq(codes) {
		n, err := strconv.ParseUint(f, 16, 8)
		if err != nil || len(f) > 2 {
			return "", false
		}
		b = append(b, byte(n))
	}
	return string(b), len(b) > 0
}

func decodeUnicode(p Pos, codes string) (string, bool, error) {
	var b []byte
	for f := range strings.FieldsSeq(codes) {
		n, err := strconv.ParseUint(f, 16, 32)
		if err != nil {
			return "", false, nil
		}
		if n > utf8.MaxRune || n >= 0xd800 && n <= 0xdfff {
			return "", false, errorAt(p, "U+%X is no character", n)
		}
		b = utf8.AppendRune(b, rune(n))
	}
	return string(b), len(b) > 0, nil
}
