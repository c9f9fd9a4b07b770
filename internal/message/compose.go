package message

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"strings"
	"unicode/utf8"
)

// Line lengths of RFC 5322 section 2.1.1.
const (
	foldAt  = 78
	maxLine = 998
	maxAtom = 900 // what is folded although it has no space
)

// Allow says what a composed message may hold.
type Allow struct {
	UTF8     bool // UTF-8 in header fields, RFC 6532
	EightBit bool // octets above 127 in text
}

// Entity is a message, or a part of one, to be composed. It has one of Text,
// Data, Raw and Parts.
type Entity struct {
	// Header holds the fields in their order. Values are text in UTF-8. A
	// Content-Type may be left out for Text and Data; that of Parts needs no boundary.
	// MIME-Version and Content-Transfer-Encoding are added.
	Header []Field
	Text   string   // lines of text, ending in LF or CRLF
	Data   []byte   // any octets: base64
	Raw    []byte   // lines as they are: a message, or fields of a report
	Parts  []Entity // of a multipart
}

// Compose writes a message with CRLF line ends. No value can add a field or a
// line, and no part can end its multipart.
func Compose(e *Entity, a Allow) []byte {
	header := e.Header
	if lookup(header, "MIME-Version") == "" {
		header = append(header[:len(header):len(header)], Field{"MIME-Version", "1.0"})
	}
	return compose(&Entity{header, e.Text, e.Data, e.Raw, e.Parts}, a)
}

func lookup(header []Field, name string) string {
	for _, f := range header {
		if strings.EqualFold(f.Name, name) {
			return f.Value
		}
	}
	return ""
}

// compose writes an entity; Parts nest as deep as its maker nested them.
func compose(e *Entity, a Allow) []byte {
	var body []byte
	typ, encoding := lookup(e.Header, "Content-Type"), ""
	switch {
	case e.Parts != nil:
		var boundary string
		body, boundary, encoding = composeParts(e.Parts, a)
		typ += FormatParam("boundary", boundary)
	case e.Data != nil:
		encoding = "base64"
		body = appendBase64(nil, e.Data)
		if typ == "" {
			typ = "application/octet-stream"
		}
	case e.Raw != nil:
		body, encoding = e.Raw, encodingOf(e.Raw)
	default:
		if typ == "" {
			typ = "text/plain; charset=utf-8"
		}
		body = crlf(e.Text)
		encoding = encodingOf(body)
		if longLine(body) || encoding == "8bit" && !a.EightBit {
			body, encoding = appendQP(nil, body), "quoted-printable"
		}
	}
	var out []byte
	for _, f := range e.Header {
		if !strings.EqualFold(f.Name, "Content-Type") && !strings.EqualFold(f.Name, "Content-Transfer-Encoding") {
			out = AppendField(out, f.Name, f.Value, a.UTF8)
		}
	}
	if typ != "" {
		out = AppendField(out, "Content-Type", typ, a.UTF8)
	}
	out = AppendField(out, "Content-Transfer-Encoding", encoding, false)
	out = append(out, "\r\n"...)
	return append(out, body...)
}

// composeParts writes the body of a multipart. The boundary is a hash of all
// that it bounds, so nothing in there can know it.
func composeParts(parts []Entity, a Allow) (body []byte, boundary, encoding string) {
	texts := make([][]byte, len(parts))
	hash := sha256.New()
	encoding = "7bit"
	for i := range parts {
		texts[i] = compose(&parts[i], a)
		hash.Write(texts[i])
		if encodingOf(texts[i]) == "8bit" {
			encoding = "8bit"
		}
	}
	boundary = "=_" + hex.EncodeToString(hash.Sum(nil)[:16])
	for _, text := range texts {
		body = append(body, "--"+boundary+"\r\n"...)
		body = append(body, text...)
		body = append(body, "\r\n"...)
	}
	return append(body, "--"+boundary+"--\r\n"...), boundary, encoding
}

// AppendField writes a header field, encoded where its value needs it and
// folded at spaces. A name that is none gives nothing.
func AppendField(dst []byte, name, value string, utf8Allowed bool) []byte {
	return appendFolded(dst, name, fieldText(name, value, utf8Allowed))
}

// AppendStructured writes a field that encoded words have no place in; what is
// not allowed in it becomes "?".
func AppendStructured(dst []byte, name, value string, utf8Allowed bool) []byte {
	value = strings.Join(strings.Fields(clean(value)), " ")
	if !utf8Allowed {
		value = strings.Map(func(r rune) rune {
			if r >= utf8.RuneSelf {
				return '?'
			}
			return r
		}, value)
	}
	return appendFolded(dst, name, value)
}

func appendFolded(dst []byte, name, text string) []byte {
	for i := range len(name) {
		if name[i] <= ' ' || name[i] >= 0x7f || name[i] == ':' {
			return dst
		}
	}
	if name == "" {
		return dst
	}
	dst = append(dst, name...)
	dst = append(dst, ':')
	column := len(name) + 1
	for w := range strings.SplitSeq(text, " ") {
		if column+1+len(w) > foldAt && column > len(name)+1 {
			dst = append(dst, "\r\n"...)
			column = 0
		}
		dst = append(dst, ' ')
		for len(w) > maxAtom { // no line may be longer than maxLine
			dst = append(append(dst, w[:maxAtom]...), "\r\n "...)
			w, column = w[maxAtom:], 0
		}
		dst = append(dst, w...)
		column += 1 + len(w)
	}
	return append(dst, "\r\n"...)
}

// fieldText encodes a value as its field demands. What has a structure is
// ASCII already, unless it is an address list with names to encode.
func fieldText(name, value string, utf8Allowed bool) string {
	structured := func() string {
		if !utf8Allowed && !isASCII(value) {
			return EncodeHeader(value, false)
		}
		return strings.Join(strings.Fields(clean(value)), " ")
	}
	switch name := strings.ToLower(name); name {
	case "subject", "comments", "keywords", "content-description":
	case "from", "sender", "reply-to", "to", "cc", "bcc":
		if utf8Allowed || isASCII(value) {
			return structured()
		}
		var list []string
		for _, m := range ParseAddressList(value) {
			if !m.Group {
				list = append(list, FormatAddress(m.Name, m.Address(), utf8Allowed))
			}
		}
		return strings.Join(list, ", ")
	case "date", "message-id", "in-reply-to", "references", "mime-version":
		return structured()
	default:
		if strings.HasPrefix(name, "content-") {
			return structured()
		}
	}
	return EncodeHeader(value, utf8Allowed)
}

// Address is the mailbox without its name, as it stands in a header; "" for the
// start or end of a group.
func (m Mailbox) Address() string {
	if m.Group {
		return ""
	}
	local := m.Local
	for i := range len(local) {
		if c := local[i]; c < 0x80 && c != '.' && !isAtext(c) {
			local = `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(local) + `"`
			break
		}
	}
	if m.Host == "" {
		return local
	}
	return local + "@" + m.Host
}

// encodingOf says what raw text is.
func encodingOf(text []byte) string {
	for _, c := range text {
		if c >= 0x80 {
			return "8bit"
		}
	}
	return "7bit"
}

func longLine(text []byte) bool {
	for line := range bytes.SplitSeq(text, []byte("\r\n")) {
		if len(line) > maxLine {
			return true
		}
	}
	return false
}

// crlf gives text with CRLF for each line end, and one at its end.
func crlf(text string) []byte {
	b := make([]byte, 0, len(text)+len(text)/32+2)
	for i := 0; i < len(text); i++ {
		switch c := text[i]; c {
		case '\r':
			if i+1 == len(text) || text[i+1] != '\n' {
				b = append(b, "\r\n"...)
			}
		case '\n':
			b = append(b, "\r\n"...)
		default:
			b = append(b, c)
		}
	}
	if len(b) > 0 && b[len(b)-1] != '\n' {
		b = append(b, "\r\n"...)
	}
	return b
}

// appendBase64 writes base64 in lines of 76, RFC 2045 section 6.8.
func appendBase64(dst, data []byte) []byte {
	const perLine = 57
	for len(data) > 0 {
		n := min(perLine, len(data))
		dst = base64.StdEncoding.AppendEncode(dst, data[:n])
		dst = append(dst, "\r\n"...)
		data = data[n:]
	}
	return dst
}

// appendQP writes lines of text as quoted-printable, RFC 2045 section 6.7.
func appendQP(dst, text []byte) []byte {
	const hexDigits = "0123456789ABCDEF"
	column := 0
	for i := 0; i < len(text); i++ {
		c := text[i]
		if c == '\r' && i+1 < len(text) && text[i+1] == '\n' {
			dst = append(dst, "\r\n"...)
			i++
			column = 0
			continue
		}
		plain := c >= ' ' && c < 0x7f && c != '=' || c == '\t'
		if (c == ' ' || c == '\t') && (i+1 == len(text) || text[i+1] == '\r') {
			plain = false
		}
		width := 3
		if plain {
			width = 1
		}
		if column+width > 75 {
			dst = append(dst, "=\r\n"...)
			column = 0
		}
		if plain {
			dst = append(dst, c)
		} else {
			dst = append(dst, '=', hexDigits[c>>4], hexDigits[c&15])
		}
		column += width
	}
	return dst
}
