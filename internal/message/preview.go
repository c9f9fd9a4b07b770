package message

import (
	"bytes"
	"html"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Bounds of the preview: of its text, and of the raw octets it is made from.
const (
	maxPreview = 200 // characters, RFC 8970 section 3.2
	rawFirst   = 512
	rawPlain   = 4 << 10
	rawHTML    = 32 << 10
	stripped   = 2 << 10 // octets of what is left of HTML
)

// preview keeps the start of the part that shows best what a message says:
// the first text/plain that says something, else the first HTML; the message
// itself before messages in it; never an attachment.
type preview struct {
	text string
	rank int // of text: lower is better, 0 is none

	part *Part // being kept
	next int   // its rank
	raw  []byte
	room int // raw octets still wanted
}

// begin keeps a part that starts, inside so many messages, if it may be better
// than what there is.
func (v *preview) begin(part *Part, messages int, plain bool) {
	rank, room := 2*messages, rawPlain
	if !plain {
		rank, room = rank+1, rawHTML
	}
	v.part, v.room = nil, 0
	if v.rank == 0 || rank < v.rank {
		v.part, v.next, v.room, v.raw = part, rank, room, v.raw[:0]
	}
}

// cancel forgets a part that is no text after all.
func (v *preview) cancel(part *Part) {
	if v.part == part {
		v.part, v.room = nil, 0
	}
}

// add keeps raw octets.
func (v *preview) add(raw []byte) {
	v.raw = append(v.raw, raw...)
	v.room -= len(raw)
}

// end looks at a part that ends.
func (v *preview) end(part *Part) {
	if v.part != part {
		return
	}
	if part.Type == "text" {
		if text := previewText(v.raw, part); text != "" {
			v.text, v.rank = text, v.next
		}
	}
	v.part, v.room = nil, 0
}

// previewText decodes the start of a text part, of which mostly a little is
// enough.
func previewText(raw []byte, part *Part) string {
	if part.Subtype != "html" && len(raw) > rawFirst {
		if text, more := decodePreview(raw[:rawFirst], part, true); more {
			return text
		}
	}
	text, _ := decodePreview(raw, part, len(raw) >= rawPlain)
	return text
}

// wholeRunes leaves out the beginning of a UTF-8 character, which would show as
// another charset.
func wholeRunes(b []byte) []byte {
	for i := len(b) - 1; i >= max(0, len(b)-utf8.UTFMax); i-- {
		if utf8.RuneStart(b[i]) {
			if !utf8.FullRune(b[i:]) {
				return b[:i]
			}
			break
		}
	}
	return b
}

// decodePreview gives what a preview shows, and whether there is more.
func decodePreview(raw []byte, part *Part, cut bool) (string, bool) {
	switch part.Encoding {
	case "base64":
		raw = new(base64Decoder).step(nil, raw, true)
	case "quoted-printable":
		if i := bytes.LastIndexByte(raw, '='); cut && i >= 0 && i >= len(raw)-2 {
			raw = raw[:i]
		}
		raw = new(quotedPrintable).step(nil, raw, true)
	}
	if cut {
		raw = wholeRunes(raw)
	}
	text := decodeCharset(raw, param(part.Params, "charset"))
	if part.Subtype == "html" {
		text = stripHTML(text)
	}
	return foldSpace(text, maxPreview)
}

// foldSpace gives at most n characters of a text whose spaces, line ends and
// control characters are single spaces, and whether there is more.
func foldSpace(text string, n int) (start string, more bool) {
	b := make([]byte, 0, min(len(text), 2*n))
	space := false
	for _, r := range text {
		if blank(r) {
			space = len(b) > 0
			continue
		}
		if space {
			if n < 2 {
				return string(b), true
			}
			b = append(b, ' ')
			space = false
			n--
		}
		if n == 0 {
			return string(b), true
		}
		b = utf8.AppendRune(b, r)
		n--
	}
	return string(b), false
}

// blank says whether a preview shows nothing of a character.
func blank(r rune) bool {
	if r < utf8.RuneSelf {
		return r <= ' ' || r == 0x7f
	}
	return unicode.IsSpace(r) || unicode.IsControl(r) || r == '\u200b' || r == '\ufeff' || r == '\u034f' || r == '\u00ad'
}

// stripHTML gives the text of HTML, roughly: what a reader would see first,
// without tags, comments, styles, scripts and the head.
func stripHTML(s string) string {
	b := make([]byte, 0, min(len(s), stripped))
	for len(s) > 0 && len(b) < stripped {
		i := strings.IndexByte(s, '<')
		if i < 0 {
			i = len(s)
		}
		b = append(b, s[:i]...)
		if s = s[i:]; s == "" {
			break
		}
		if rest, ok := strings.CutPrefix(s, "<!--"); ok {
			_, s, _ = strings.Cut(rest, "-->")
			continue
		}
		name := tagName(s[1:])
		if name == "" && !strings.HasPrefix(s, "</") && !strings.HasPrefix(s, "<!") && !strings.HasPrefix(s, "<?") {
			b = append(b, '<') // a sign, no tag
			s = s[1:]
			continue
		}
		_, s, _ = strings.Cut(s, ">")
		switch name {
		case "style", "script", "title", "head":
			s = afterElement(s, name)
			b = append(b, ' ')
		case "b", "i", "u", "em", "strong", "span", "a", "font", "small", "big", "sub", "sup", "code", "":
		default:
			b = append(b, ' ')
		}
	}
	return html.UnescapeString(string(b))
}

// tagName is the name that an opening tag begins with, in lower case.
func tagName(s string) string {
	i := 0
	for i < len(s) && i < 16 && (s[i]|0x20 >= 'a' && s[i]|0x20 <= 'z' || i > 0 && s[i] >= '0' && s[i] <= '9') {
		i++
	}
	return strings.ToLower(s[:i])
}

// afterElement goes behind the end tag of an element.
func afterElement(s, name string) string {
	for {
		i := strings.Index(s, "</")
		if i < 0 {
			return ""
		}
		s = s[i+2:]
		if tagName(s) == name {
			_, s, _ = strings.Cut(s, ">")
			return s
		}
	}
}
