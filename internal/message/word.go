package message

import (
	"strings"
	"unicode/utf8"
)

// DecodeHeader gives the text of an unstructured field, a display name or a
// parameter in UTF-8: encoded words (RFC 2047) are decoded, octets above 127
// are UTF-8 (RFC 6532) or else windows-1252. Folding is taken out. Control
// characters that come out of encoded words are replaced, so that they cannot
// forge lines.
func DecodeHeader(value string) string { return decodeHeader(unfold(value), "") }

// DecodeHeaderAs is DecodeHeader for old messages that write octets above 127
// in the charset of their body.
func DecodeHeaderAs(value, charset string) string { return decodeHeader(unfold(value), charset) }

func decodeHeader(s, charset string) string {
	if !strings.Contains(s, "=?") {
		return decodeRaw(s, charset)
	}
	var out strings.Builder
	var run wordRun
	plain := 0 // start of the text that is not yet written
	for i := 0; ; {
		next := strings.Index(s[i:], "=?")
		if next < 0 {
			break
		}
		next += i
		w, end := cutWord(s, next)
		if end < 0 {
			break // no "?=" from here on
		}
		if end == 0 {
			i = next + 2
			continue
		}
		between := s[plain:next]
		// White space between two encoded words is none, RFC 2047 section 6.2.
		if !run.open || strings.Trim(between, " \t") != "" {
			run.flush(&out)
			out.WriteString(decodeRaw(between, charset))
		}
		run.add(&out, w)
		i, plain = end, end
	}
	run.flush(&out)
	out.WriteString(decodeRaw(s[plain:], charset))
	return out.String()
}

// word is an encoded word.
type word struct {
	charset  string
	encoding byte
	text     string
}

// cutWord reads the encoded word at s[start:], and says where it ends: 0 means
// that there is none, -1 that there is none here or later.
func cutWord(s string, start int) (w word, end int) {
	i := start + 2
	q := strings.IndexByte(s[i:min(i+80, len(s))], '?')
	if q <= 0 || strings.ContainsAny(s[i:i+q], " \t=") {
		return w, 0
	}
	w.charset = s[i : i+q]
	i += q + 1
	if i+1 >= len(s) || s[i+1] != '?' || strings.IndexByte("BbQq", s[i]) < 0 {
		return w, 0
	}
	w.encoding = s[i] | 0x20
	i += 2
	n := strings.Index(s[i:], "?=")
	if n < 0 {
		return w, -1
	}
	w.text = s[i : i+n]
	return w, i + n + 2
}

// wordRun joins the octets of encoded words that follow each other in one
// charset: many programs split characters between words.
type wordRun struct {
	open    bool
	charset string
	raw     []byte
}

func (r *wordRun) add(out *strings.Builder, w word) {
	if r.open && !strings.EqualFold(r.charset, w.charset) {
		r.flush(out)
	}
	r.open, r.charset = true, w.charset
	if w.encoding == 'b' {
		r.raw = new(base64Decoder).step(r.raw, []byte(w.text), true)
		return
	}
	r.raw = appendQ(r.raw, w.text)
}

func (r *wordRun) flush(out *strings.Builder) {
	if r.open {
		out.WriteString(harmless(decodeCharset(r.raw, r.charset)))
	}
	r.open, r.raw = false, r.raw[:0]
}

// appendQ decodes the Q encoding, RFC 2047 section 4.2.
func appendQ(dst []byte, text string) []byte {
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '_':
			dst = append(dst, ' ')
		case c == '=' && i+2 < len(text) && isHex(text[i+1]) && isHex(text[i+2]):
			dst = append(dst, unhex(text[i+1])<<4|unhex(text[i+2]))
			i += 2
		default:
			dst = append(dst, c)
		}
	}
	return dst
}

// decodeRaw decodes text that is not in encoded words.
func decodeRaw(s, charset string) string {
	if utf8.ValidString(s) && !strings.Contains(s, "\x1b") {
		return s
	}
	return harmless(decodeCharset([]byte(s), charset))
}

// harmless replaces control characters and line separators by spaces.
func harmless(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == '\u0085' || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, s)
}
