package message

import (
	"slices"
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

// JoinParams joins values that stand in pieces, as IMAP servers should (RFC 2231
// section 6). What is percent-encoded stays so: if one piece is, the others become
// it too, and the name ends in "*". A gap ends a value; what stands behind it, or
// twice, is left as it is.
func JoinParams(params []Param) []Param {
	if !slices.ContainsFunc(params, func(p Param) bool { _, n := piece(p); return n == 0 }) {
		return params
	}
	out := slices.Clone(params)
	used := make([]bool, len(params))
	for i := range params {
		if base, n := piece(params[i]); n == 0 && i == pieceAt(params, base, 0) {
			out[i] = joinWhole(params, base, used)
			used[i] = false
		}
	}
	n := 0
	for i, p := range out {
		if !used[i] {
			out[n] = p
			n++
		}
	}
	return out[:n]
}

// piece tells what a parameter is a piece of, and the how many-th, or -1.
func piece(p Param) (base string, n int) {
	base, number, _ := strings.Cut(p.Name, "*")
	n, err := strconv.Atoi(strings.TrimSuffix(number, "*"))
	if err != nil || base == "" || n < 0 {
		return "", -1
	}
	return base, n
}

// pieceAt finds a piece, or gives -1.
func pieceAt(params []Param, base string, n int) int {
	return slices.IndexFunc(params, func(p Param) bool { b, at := piece(p); return b == base && at == n })
}

// joinWhole joins the pieces of a value and marks them as used.
func joinWhole(params []Param, base string, used []bool) Param {
	var pieces []Param
	encoded := false
	for n := 0; ; n++ {
		i := pieceAt(params, base, n)
		if i < 0 {
			break
		}
		used[i] = true
		pieces = append(pieces, params[i])
		encoded = encoded || strings.HasSuffix(params[i].Name, "*")
	}
	whole := Param{Name: base}
	if encoded {
		whole.Name += "*"
		if !strings.HasSuffix(pieces[0].Name, "*") {
			whole.Value = "''" // neither a charset nor a language
		}
	}
	for _, p := range pieces {
		if encoded && !strings.HasSuffix(p.Name, "*") {
			p.Value = percent(p.Value)
		}
		whole.Value += p.Value
	}
	return whole
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
