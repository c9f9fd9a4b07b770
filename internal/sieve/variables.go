package sieve

import (
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// set gives a variable a value, RFC 5229 section 4.
func (c *compiler) set(a *args) (node, error) {
	name, err := c.variable(a.pos[0])
	if err != nil {
		return nil, err
	}
	change, err := modifiers(a)
	if err != nil {
		return nil, err
	}
	value, err := c.text(a.pos[1])
	return do(func(m *machine) error {
		v := change(value.expand(m))
		m.assign(name, v)
		m.trace(a.Pos, "%s is now %.100q", name.name, v)
		return m.spend(a.Pos, len(v)/64)
	}), err
}

// variable reads the name of a variable to be set: a literal, perhaps in the
// namespace global.
func (c *compiler) variable(a *argument) (*piece, error) {
	name := strings.ToLower(a.strings[0])
	p := &piece{name: name, number: -1}
	if rest, ok := strings.CutPrefix(name, "global."); ok && c.caps["include"] {
		p.name, p.global = rest, true
	}
	if !isName(p.name) {
		return nil, errorAt(a.Pos, "%q is no name for a variable", name)
	}
	return p, nil
}

func (m *machine) assign(p *piece, value string) {
	if p.global {
		m.globals[p.name] = clip(value, m.limits.Variable)
		return
	}
	m.set(p.name, value)
}

// modifiers compiles the modifiers of set in their order, RFC 5229 section 4.1.
func modifiers(a *args) (func(string) string, error) {
	if err := a.only("lower", "upper"); err != nil {
		return nil, err
	}
	if err := a.only("lowerfirst", "upperfirst"); err != nil {
		return nil, err
	}
	if err := a.only("quotewildcard", "quoteregex"); err != nil {
		return nil, err
	}
	var steps []func(string) string
	for _, x := range []struct {
		tag string
		do  func(string) string
	}{
		{"lower", strings.ToLower}, {"upper", strings.ToUpper},
		{"lowerfirst", func(s string) string { return first(s, unicode.ToLower) }},
		{"upperfirst", func(s string) string { return first(s, unicode.ToUpper) }},
		{"quotewildcard", strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`).Replace},
		{"quoteregex", regexp.QuoteMeta},
		{"encodeurl", escapeURL},
		{"length", func(s string) string { return strconv.Itoa(utf8.RuneCountInString(s)) }},
	} {
		if a.has(x.tag) {
			steps = append(steps, x.do)
		}
	}
	return func(s string) string {
		for _, step := range steps {
			s = step(s)
		}
		return s
	}, nil
}

func first(s string, change func(rune) rune) string {
	r, n := utf8.DecodeRuneInString(s)
	if n == 0 {
		return s
	}
	return string(change(r)) + s[n:]
}

// escapeURL leaves only what RFC 3986 calls unreserved, RFC 5435 section 6.
func escapeURL(s string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		if c != '_' && isAlpha(c) || isDigit(c) || strings.IndexByte("-._~", c) >= 0 {
			b.WriteByte(c)
			continue
		}
		b.WriteByte('%')
		b.WriteByte(hex[c>>4])
		b.WriteByte(hex[c&15])
	}
	return b.String()
}

// fail is error, RFC 5463 section 5.
func (c *compiler) fail(a *args) (node, error) {
	text, err := c.text(a.pos[0])
	return do(func(m *machine) error { return errorAt(a.Pos, "%s", text.expand(m)) }), err
}

func (c *compiler) debugLog(a *args) (node, error) {
	text, err := c.text(a.pos[0])
	return do(func(m *machine) error {
		m.trace(a.Pos, "log: %s", text.expand(m))
		return nil
	}), err
}
