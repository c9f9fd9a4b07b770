package message

import (
	"encoding/base64"
	"strings"
	"unicode/utf8"
)

// maxWord is the longest encoded word that we write. RFC 2047 section 2 allows
// 75, but also asks for lines of at most 76, and the field's name comes before.
const maxWord = 56

// EncodeHeader writes text for an unstructured field: words that need it become
// encoded words (RFC 2047), or stay UTF-8 if that is allowed (RFC 6532).
// Whatever could end the line is gone; white space is single spaces, where the
// text may be folded.
func EncodeHeader(text string, utf8Allowed bool) string {
	words := strings.Fields(clean(text))
	first, last := -1, -1
	for i, w := range words {
		if needsEncoding(w, utf8Allowed) {
			if first < 0 {
				first = i
			}
			last = i
		}
	}
	if first < 0 {
		return strings.Join(words, " ")
	}
	out := append([]string{}, words[:first]...)
	out = append(out, encodeWords(strings.Join(words[first:last+1], " "))...)
	out = append(out, words[last+1:]...)
	return strings.Join(out, " ")
}

// FormatAddress writes a display name with an address, which is taken as it
// is but for what could end the line.
func FormatAddress(name, address string, utf8Allowed bool) string {
	name = strings.Join(strings.Fields(clean(name)), " ")
	address = "<" + strings.Join(strings.Fields(clean(address)), "") + ">"
	if name == "" {
		return address
	}
	plain := true
	for i := range len(name) {
		c := name[i]
		if c >= utf8.RuneSelf {
			if !utf8Allowed {
				return strings.Join(encodeWords(name), " ") + " " + address
			}
		} else if c != ' ' && !isAtext(c) {
			plain = false
		}
	}
	if strings.Contains(name, "=?") || len(name) > maxAtom {
		return strings.Join(encodeWords(name), " ") + " " + address
	}
	if plain {
		return name + " " + address
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(name) + `" ` + address
}

// FormatParam writes "; name=value" for a structured field, in quotes if it
// needs them, percent-encoded (RFC 2231) if it is not ASCII.
func FormatParam(name, value string) string {
	value = clean(value)
	token := value != ""
	for i := range len(value) {
		c := value[i]
		if c >= utf8.RuneSelf {
			return "; " + name + "*=utf-8''" + percent(value)
		}
		token = token && isTokenByte(c)
	}
	if token {
		return "; " + name + "=" + value
	}
	return "; " + name + `="` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(value) + `"`
}

func percent(s string) string {
	const hex = "0123456789ABCDEF"
	b := make([]byte, 0, 3*len(s))
	for i := range len(s) {
		c := s[i]
		if c < utf8.RuneSelf && isTokenByte(c) && c != '*' && c != '\'' && c != '%' {
			b = append(b, c)
		} else {
			b = append(b, '%', hex[c>>4], hex[c&15])
		}
	}
	return string(b)
}

// clean gives text without controls and line separators, in UTF-8.
func clean(s string) string { return harmless(strings.ToValidUTF8(s, "\uFFFD")) }

// isAtext knows the characters of an atom, RFC 5322 section 3.2.3.
func isAtext(c byte) bool {
	return c|0x20 >= 'a' && c|0x20 <= 'z' || c >= '0' && c <= '9' || strings.IndexByte("!#$%&'*+-/=?^_`{|}~", c) >= 0
}

func needsEncoding(w string, utf8Allowed bool) bool {
	if strings.Contains(w, "=?") || len(w) > maxAtom { // RFC 5322 section 2.1.1: a line is at most 998
		return true
	}
	return !utf8Allowed && !isASCII(w)
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// encodeWords writes text as encoded words in UTF-8, in Q or B, whichever is
// shorter. No character is split, RFC 2047 section 5.
func encodeWords(text string) (words []string) {
	q := 0
	for i := range len(text) {
		if !isQ(text[i]) {
			q += 2
		}
	}
	letter, room := byte('Q'), maxWord-len("=?utf-8?Q??=")
	if q > len(text)/3 {
		letter, room = 'B', room/4*3
	}
	for text != "" {
		n, cost := 0, 0
		for n < len(text) {
			_, size := utf8.DecodeRuneInString(text[n:])
			add := size
			if letter == 'Q' && !isQ(text[n]) {
				add = 3 * size
			}
			if cost+add > room {
				break
			}
			n, cost = n+size, cost+add
		}
		words = append(words, "=?utf-8?"+string(letter)+"?"+encodeWord(text[:n], letter)+"?=")
		text = text[n:]
	}
	return words
}

func encodeWord(text string, letter byte) string {
	if letter == 'B' {
		return base64.StdEncoding.EncodeToString([]byte(text))
	}
	const hex = "0123456789ABCDEF"
	b := make([]byte, 0, 3*len(text))
	for i := range len(text) {
		switch c := text[i]; {
		case c == ' ':
			b = append(b, '_')
		case isQ(c):
			b = append(b, c)
		default:
			b = append(b, '=', hex[c>>4], hex[c&15])
		}
	}
	return string(b)
}

// isQ knows what needs no more than one octet in Q, and may stand in a phrase:
// RFC 2047 section 5 (3).
func isQ(c byte) bool {
	return c|0x20 >= 'a' && c|0x20 <= 'z' || c >= '0' && c <= '9' || strings.IndexByte("!*+-/ ", c) >= 0
}
