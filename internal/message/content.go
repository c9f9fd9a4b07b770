package message

import (
	"bytes"
	"strings"
)

// readHeader takes what a header says of its part, and the fields themselves
// if it is a message's. The first field of a name counts. It says whether
// there was a Content-Type, and whether a limit cut a field.
func readHeader(part *Part, head []byte, message bool) (typed, cut bool) {
	part.Encoding = "7bit"
	text := ""
	if message {
		text = string(head)
		part.Header = make([]Field, 0, min(countFields(head), 1<<16))
	}
	var seen contentSeen
	for start := 0; start < len(head); {
		end := start + fieldEnd(head[start:])
		line := bytes.TrimRight(head[start:end], "\r\n")
		name, value := cutName(line)
		if name > 0 && message {
			part.Header = append(part.Header, Field{
				Name:  text[start : start+name],
				Value: text[start+value : start+len(line)],
			})
		}
		if name > len("content-") && line[7] == '-' && strings.EqualFold(string(line[:8]), "content-") {
			if readContent(part, string(line[8:name]), string(line[value:]), &seen) {
				cut = true
			}
		}
		start = end
	}
	if !seen.typ && part.Type == "text" {
		part.Params = usASCII()
	}
	return seen.typ, cut
}

// countFields counts the lines that begin a field, or a little more.
func countFields(head []byte) int {
	return bytes.Count(head, []byte{'\n'}) - bytes.Count(head, []byte("\n ")) - bytes.Count(head, []byte("\n\t")) + 1
}

// usASCII are the parameters of a part that does not say what it is, RFC 2045
// section 5.2.
func usASCII() []Param { return []Param{{"charset", "us-ascii"}} }

// contentSeen remembers which Content fields a part had.
type contentSeen struct{ typ, encoding, id, description, md5, location, language, disposition bool }

// first says that a field was not seen, and that it is now.
func first(seen *bool) bool {
	was := *seen
	*seen = true
	return !was
}

// readContent reads the field "Content-" name.
func readContent(part *Part, name, value string, seen *contentSeen) (cut bool) {
	switch strings.ToLower(name) {
	case "type":
		if first(&seen.typ) {
			return readType(part, value)
		}
	case "transfer-encoding":
		if first(&seen.encoding) {
			lx := lexer{s: value}
			if token := lx.token(); token != "" {
				part.Encoding = strings.ToLower(token)
			}
		}
	case "id":
		if first(&seen.id) {
			part.ID = unfold(value)
		}
	case "description":
		if first(&seen.description) {
			part.Description = unfold(value)
		}
	case "md5":
		if first(&seen.md5) {
			part.MD5 = unfold(value)
		}
	case "location":
		if first(&seen.location) {
			part.Location = unfold(value)
		}
	case "language":
		if first(&seen.language) {
			part.Language = readLanguage(value)
		}
	case "disposition":
		if first(&seen.disposition) {
			return readDisposition(part, value)
		}
	}
	return false
}

// readType reads a Content-Type, RFC 2045 section 5.1. One that is broken is
// as none (section 5.2), but for its parameters: they may still name a charset.
func readType(part *Part, value string) (cut bool) {
	lx := lexer{s: value}
	typ := lx.token()
	subtype := ""
	if lx.take('/') {
		subtype = lx.token()
	}
	part.Params, cut = lx.params()
	if typ == "" || subtype == "" {
		part.Type, part.Subtype = "text", "plain"
		if param(part.Params, "charset") == "" {
			part.Params = append(part.Params, usASCII()...)
		}
		return cut
	}
	part.Type, part.Subtype = strings.ToLower(typ), strings.ToLower(subtype)
	return cut
}

// readDisposition reads a Content-Disposition, RFC 2183. One that begins with
// its parameters is an attachment.
func readDisposition(part *Part, value string) (cut bool) {
	lx := lexer{s: value}
	token := lx.token()
	if lx.space(); lx.i < len(lx.s) && lx.s[lx.i] == '=' {
		lx.i, token = 0, "attachment"
	}
	part.Disposition = strings.ToLower(token)
	part.DispositionParams, cut = lx.params()
	if part.Disposition == "" && len(part.DispositionParams) > 0 {
		part.Disposition = "attachment"
	}
	return cut
}

// readLanguage reads a Content-Language, RFC 3282.
func readLanguage(value string) (tags []string) {
	lx := lexer{s: value}
	for len(tags) < maxParams {
		tag := lx.token()
		if tag == "" {
			break
		}
		tags = append(tags, tag)
		if !lx.take(',') {
			break
		}
	}
	return tags
}

// lexer reads the structured fields of MIME from left to right.
type lexer struct {
	s string
	i int
}

// space skips white space and comments, which may nest: RFC 5322 section
// 3.2.2. A comment that does not end goes to the end of the text.
func (lx *lexer) space() {
	depth := 0
	for ; lx.i < len(lx.s); lx.i++ {
		switch c := lx.s[lx.i]; {
		case c == '(':
			depth++
		case c == ')' && depth > 0:
			depth--
		case c == '\\' && depth > 0:
			lx.i++
		case depth > 0, c == ' ', c == '\t', c == '\r', c == '\n':
		default:
			return
		}
	}
	lx.i = min(lx.i, len(lx.s))
}

// token takes a token of RFC 2045, after space; "" if there is none. Octets
// above 127 pass.
func (lx *lexer) token() string {
	lx.space()
	start := lx.i
	for lx.i < len(lx.s) && isTokenByte(lx.s[lx.i]) {
		lx.i++
	}
	return lx.s[start:lx.i]
}

func isTokenByte(c byte) bool {
	return c > ' ' && c != 0x7f && strings.IndexByte(`()<>@,;:\"/[]?=`, c) < 0
}

// take takes one octet, after space, if it is next.
func (lx *lexer) take(c byte) bool {
	lx.space()
	if lx.i < len(lx.s) && lx.s[lx.i] == c {
		lx.i++
		return true
	}
	return false
}

// params takes ";name=value" to the end. It forgives values that should be in
// quotes, missing names, and anything between a value and the next semicolon.
func (lx *lexer) params() (params []Param, cut bool) {
	for lx.i < len(lx.s) {
		name := strings.ToLower(lx.token())
		if name == "" || !lx.take('=') {
			lx.skipTo(';')
			continue
		}
		if len(params) == maxParams {
			return params, true
		}
		params = append(params, Param{name, lx.value(name)})
		lx.skipTo(';')
	}
	return params, false
}

// skipTo goes on behind the next c.
func (lx *lexer) skipTo(c byte) {
	if i := strings.IndexByte(lx.s[lx.i:], c); i >= 0 {
		lx.i += i + 1
		return
	}
	lx.i = len(lx.s)
}

// value takes a parameter's value. Without quotes it ends at a space or a
// comment, but file names go on to the semicolon: many programs forget the
// quotes.
func (lx *lexer) value(name string) string {
	for lx.i < len(lx.s) && strings.IndexByte(" \t\r\n", lx.s[lx.i]) >= 0 {
		lx.i++
	}
	if lx.i < len(lx.s) && lx.s[lx.i] == '"' {
		return lx.quoted()
	}
	start, stop := lx.i, "; \t\r\n("
	if strings.HasPrefix(name, "name") || strings.HasPrefix(name, "filename") {
		stop = ";"
	}
	if i := strings.IndexAny(lx.s[start:], stop); i >= 0 {
		lx.i += i
	} else {
		lx.i = len(lx.s)
	}
	return unfold(lx.s[start:lx.i])
}

// quoted takes a quoted string, and gives what is in it. A backslash before
// anything but a quote or a backslash stays: it belongs to a Windows path.
func (lx *lexer) quoted() string {
	lx.i++
	start := lx.i
	for lx.i < len(lx.s) { // most have nothing to take out
		c := lx.s[lx.i]
		if c == '"' {
			lx.i++
			return lx.s[start : lx.i-1]
		}
		if c == '\\' || c == '\r' || c == '\n' {
			break
		}
		lx.i++
	}
	b := append(make([]byte, 0, 2*(lx.i-start)+16), lx.s[start:lx.i]...)
	for ; lx.i < len(lx.s); lx.i++ {
		switch c := lx.s[lx.i]; c {
		case '"':
			lx.i++
			return string(b)
		case '\\':
			if lx.i+1 < len(lx.s) && (lx.s[lx.i+1] == '"' || lx.s[lx.i+1] == '\\') {
				lx.i++
			}
			b = append(b, lx.s[lx.i])
		case '\r', '\n':
		default:
			b = append(b, c)
		}
	}
	return string(b)
}

// param gives the first parameter of a name, raw.
func param(params []Param, name string) string {
	for i := range params {
		if params[i].Name == name {
			return params[i].Value
		}
	}
	return ""
}
