package search

import (
	"bytes"
	"html"
	"io"

	"plic/internal/casemap"
)

// htmlText reads what a person would see of HTML, roughly: without tags,
// comments, scripts and styles, with its character references resolved. It
// keeps no more than a tag's name, so that no HTML is too odd or too long.
type htmlText struct {
	r     io.Reader
	in    [1 << 10]byte
	buf   []byte
	out   []byte // what of buf was not given yet
	err   error
	state htmlState
	name  []byte // of the tag at hand, its beginning
	skip  []byte // the element whose text is not seen, nil for none
	ref   []byte // a character reference at hand
	dash  int    // "-" at the end of what was read of a comment
}

type htmlState uint8

const (
	inText htmlState = iota
	inRef
	inTagName
	inTag
	inSingle // in an attribute in single quotes
	inDouble
	inComment
)

// Read gives visible text.
func (h *htmlText) Read(p []byte) (int, error) {
	for len(h.out) == 0 {
		if h.err != nil {
			return 0, h.err
		}
		var n int
		n, h.err = h.r.Read(h.in[:])
		h.out = h.buf[:0]
		for _, c := range h.in[:n] {
			h.step(c)
		}
		if h.err != nil && h.state == inRef {
			h.endRef()
		}
		h.buf = h.out
	}
	n := copy(p, h.out)
	h.out = h.out[n:]
	return n, nil
}

func (h *htmlText) step(c byte) {
	switch h.state {
	case inText:
		h.text(c)
	case inRef:
		if c == ';' || c == '#' || c >= '0' && c <= '9' || casemap.Upper(c) >= 'A' && casemap.Upper(c) <= 'Z' {
			if h.ref = append(h.ref, c); c != ';' && len(h.ref) < 40 {
				return
			}
			h.endRef()
			return
		}
		h.endRef()
		h.text(c)
	case inTagName:
		h.tagName(c)
	case inTag:
		switch c {
		case '>':
			h.endTag()
		case '\'':
			h.state = inSingle
		case '"':
			h.state = inDouble
		}
	case inSingle:
		if c == '\'' {
			h.state = inTag
		}
	case inDouble:
		if c == '"' {
			h.state = inTag
		}
	case inComment:
		switch {
		case c == '-':
			h.dash++
		case c == '>' && h.dash >= 2:
			h.state = inText
		default:
			h.dash = 0
		}
	}
}

func (h *htmlText) text(c byte) {
	switch {
	case c == '<':
		h.state, h.name = inTagName, h.name[:0]
	case h.skip != nil:
	case c == '&':
		h.state, h.ref = inRef, append(h.ref[:0], c)
	default:
		h.out = append(h.out, c)
	}
}

func (h *htmlText) endRef() {
	h.state = inText
	if h.skip == nil {
		h.out = append(h.out, html.UnescapeString(string(h.ref))...)
	}
}

// tagName reads the name; "<" before anything else is text.
func (h *htmlText) tagName(c byte) {
	if h.skip != nil && !h.endsSkip(c) {
		h.state = inText
		h.text(c)
		return
	}
	switch {
	case c == '>':
		h.endTag()
	case casemap.Upper(c) >= 'A' && casemap.Upper(c) <= 'Z', len(h.name) == 0 && (c == '/' || c == '!' || c == '?'),
		len(h.name) > 0 && (c == '-' || c >= '0' && c <= '9'):
		if len(h.name) < 20 {
			h.name = append(h.name, casemap.Upper(c))
		}
		if string(h.name) == "!--" {
			h.state, h.dash = inComment, 0
		}
	case len(h.name) == 0:
		h.state = inText
		if h.skip == nil {
			h.out = append(h.out, '<')
		}
		h.text(c)
	default:
		h.state = inTag
		h.step(c)
	}
}

// endsSkip says that a tag in a script or style may yet be the one that ends it.
func (h *htmlText) endsSkip(c byte) bool {
	if n := len(h.name) - 1; n >= 0 && n == len(h.skip) {
		return c == '>' || c == '/' || c <= ' '
	} else if n >= 0 {
		return casemap.Upper(c) == h.skip[n]
	}
	return c == '/'
}

// endTag: what is between tags that break lines must not run together.
func (h *htmlText) endTag() {
	h.state = inText
	switch name := string(h.name); {
	case h.skip != nil:
		h.skip = nil // see endsSkip
	case name == "SCRIPT" || name == "STYLE":
		h.skip = bytes.Clone(h.name)
	default:
		switch name {
		case "BR", "P", "/P", "DIV", "/DIV", "TD", "/TD", "TH", "/TH", "TR", "/TR", "LI", "/LI", "HR",
			"H1", "/H1", "H2", "/H2", "H3", "/H3", "H4", "/H4", "TABLE", "/TABLE", "UL", "/UL", "OL", "/OL":
			h.out = append(h.out, ' ')
		}
	}
}
