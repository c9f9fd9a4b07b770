package message

import (
	"strconv"
	"strings"
)

// Param gives a parameter of the Content-Type in UTF-8, "" if there is none:
// see DecodeParam.
func (p *Part) Param(name string) string { return DecodeParam(p.Params, name) }

// Filename gives the file name that a part suggests in UTF-8, "" if there is
// none. It may hold anything that a file name should not.
func (p *Part) Filename() string {
	if name := DecodeParam(p.DispositionParams, "filename"); name != "" {
		return name
	}
	return DecodeParam(p.Params, "name")
}

// DecodeParam gives the value of a parameter in UTF-8. The forms of RFC 2231
// count before the plain one, which may hold encoded words against RFC 2047
// section 5, as many programs write them. Of pieces with one number the first
// counts, in whatever order they stand; a gap ends the value.
func DecodeParam(params []Param, name string) string {
	var pieces [maxParams]*Param
	var whole, plain *Param
	found := false
	for i := range params {
		suffix, ok := strings.CutPrefix(params[i].Name, name)
		switch {
		case !ok:
		case suffix == "":
			plain = firstOf(plain, &params[i])
		case suffix == "*":
			whole = firstOf(whole, &params[i])
		case suffix[0] == '*':
			n, err := strconv.Atoi(strings.TrimSuffix(suffix[1:], "*"))
			if err == nil && n >= 0 && n < maxParams {
				pieces[n] = firstOf(pieces[n], &params[i])
				found = true
			}
		}
	}
	switch {
	case found && (pieces[0] != nil || pieces[1] != nil):
		return joinPieces(pieces[:])
	case whole != nil:
		return joinPieces([]*Param{whole})
	case plain != nil:
		return DecodeHeader(plain.Value)
	}
	return ""
}

func firstOf(old, found *Param) *Param {
	if old != nil {
		return old
	}
	return found
}

// joinPieces joins the pieces of a value, RFC 2231 section 3. Those whose name
// ends in "*" are percent-encoded; the first of them may begin with a charset
// and a language (section 4).
func joinPieces(pieces []*Param) string {
	if pieces[0] == nil { // counted from one
		pieces = pieces[1:]
	}
	var raw []byte
	charset := ""
	for i, piece := range pieces {
		if piece == nil {
			break
		}
		value := piece.Value
		if !strings.HasSuffix(piece.Name, "*") {
			raw = append(raw, value...)
			continue
		}
		if i == 0 {
			if parts := strings.SplitN(value, "'", 3); len(parts) == 3 {
				charset, value = parts[0], parts[2]
			}
		}
		raw = appendPercent(raw, value)
	}
	if charset == "" {
		return DecodeHeader(string(raw))
	}
	return harmless(decodeCharset(raw, charset))
}

// appendPercent decodes "%41"; a percent sign without two digits stays.
func appendPercent(dst []byte, s string) []byte {
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) && isHex(s[i+1]) && isHex(s[i+2]) {
			dst = append(dst, unhex(s[i+1])<<4|unhex(s[i+2]))
			i += 2
			continue
		}
		dst = append(dst, s[i])
	}
	return dst
}

// ParseValue reads a field that has parameters, as Content-Type or
// Content-Disposition: what stands before them, in lower case, and them. Decode
// them with DecodeParam.
func ParseValue(value string) (typ, subtype string, params []Param) {
	lx := lexer{s: value}
	typ = strings.ToLower(lx.token())
	if lx.take('/') {
		subtype = strings.ToLower(lx.token())
	}
	params, _ = lx.params()
	return typ, subtype, params
}
