package spf

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// place is where macros stand; some letters are only for explanations, RFC 7208
// section 7.2.
type place bool

const (
	inDomain      place = false
	inExplanation place = true
)

// macro is one %{...}, RFC 7208 section 7.1.
type macro struct {
	letter     byte // in lower case
	escape     bool // it was written in upper case
	keep       int  // right-hand parts to keep; 0 for all
	reverse    bool
	delimiters string
}

// nextMacro takes what stands after a percent sign: a macro, or a literal.
func nextMacro(s string, where place) (m macro, literal string, rest string, err error) {
	if s == "" {
		return m, "", "", fmt.Errorf("%% at the end")
	}
	switch s[0] {
	case '%':
		return m, "%", s[1:], nil
	case '_':
		return m, " ", s[1:], nil
	case '-':
		return m, "%20", s[1:], nil
	case '{':
	default:
		return m, "", "", fmt.Errorf("%%%c is no macro", s[0])
	}
	body, rest, ok := strings.Cut(s[1:], "}")
	if !ok || body == "" {
		return m, "", "", fmt.Errorf("macro without its end")
	}
	m.letter, m.escape = body[0]|0x20, body[0]&0x20 == 0
	if !isAlpha(body[0]) || strings.IndexByte("slodiphvcrt", m.letter) < 0 {
		return m, "", "", fmt.Errorf("unknown macro %%{%s}", body)
	}
	if where == inDomain && strings.IndexByte("crt", m.letter) >= 0 {
		return m, "", "", fmt.Errorf("macro %%{%s} is for explanations only", body)
	}
	body = body[1:]
	digits := len(body) - len(strings.TrimLeft(body, "0123456789"))
	if digits > 0 {
		m.keep, err = strconv.Atoi(body[:digits])
		if err != nil {
			m.keep = 128 // more parts than there can be
		}
		if m.keep == 0 {
			return m, "", "", fmt.Errorf("a macro keeps at least one part")
		}
		body = body[digits:]
	}
	if body != "" && body[0]|0x20 == 'r' {
		m.reverse, body = true, body[1:]
	}
	if strings.Trim(body, ".-+,/_=") != "" {
		return m, "", "", fmt.Errorf("bad delimiters %q", body)
	}
	if m.delimiters = body; body == "" {
		m.delimiters = "."
	}
	return m, "", rest, nil
}

// checkMacros checks a macro-string.
func checkMacros(s string, where place) error {
	for {
		_, after, ok := strings.Cut(s, "%")
		if !ok {
			return nil
		}
		_, _, rest, err := nextMacro(after, where)
		if err != nil {
			return err
		}
		s = rest
	}
}

// checkDomainSpec checks a domain-spec: a macro-string that ends in a macro or
// in a top label.
func checkDomainSpec(s string) error {
	if s == "" {
		return fmt.Errorf("the domain is missing")
	}
	tail, macros := s, false
	for {
		_, after, ok := strings.Cut(tail, "%")
		if !ok {
			break
		}
		_, _, rest, err := nextMacro(after, inDomain)
		if err != nil {
			return err
		}
		tail, macros = rest, true
	}
	if macros && tail == "" {
		return nil
	}
	tail = strings.TrimSuffix(tail, ".")
	dot := strings.LastIndexByte(tail, '.')
	if dot < 0 || !isTopLabel(tail[dot+1:]) {
		return fmt.Errorf("%q does not end as a domain does", s)
	}
	return nil
}

func isTopLabel(s string) bool {
	if s == "" || s[0] == '-' || s[len(s)-1] == '-' {
		return false
	}
	numeric := true
	for i := range len(s) {
		switch c := s[i]; {
		case isAlpha(c) || c == '-':
			numeric = false
		case !isDigit(c):
			return false
		}
	}
	return !numeric
}

// expand replaces the macros of a text that was checked.
func (e *evaluation) expand(s, domain string, where place) (string, error) {
	var b strings.Builder
	for {
		before, after, ok := strings.Cut(s, "%")
		b.WriteString(before)
		if !ok {
			return b.String(), nil
		}
		m, literal, rest, err := nextMacro(after, where)
		if err != nil {
			return "", err
		}
		s = rest
		if m.letter == 0 {
			b.WriteString(literal)
			continue
		}
		b.WriteString(m.transform(e.value(m.letter, domain)))
	}
}

// target expands a domain-spec; one that is too long loses labels on its left,
// RFC 7208 section 7.3.
func (e *evaluation) target(spec, domain string) (string, error) {
	if spec == "" {
		return domain, nil
	}
	name, err := e.expand(spec, domain, inDomain)
	if err != nil {
		return "", err
	}
	name = strings.TrimSuffix(name, ".")
	for len(name) > 253 {
		_, after, ok := strings.Cut(name, ".")
		if !ok {
			break
		}
		name = after
	}
	return name, nil
}

// value is what a macro letter stands for.
func (e *evaluation) value(letter byte, domain string) string {
	switch letter {
	case 's':
		return e.local + "@" + e.origin
	case 'l':
		return e.local
	case 'o':
		return e.origin
	case 'd':
		return domain
	case 'i':
		return dotted(e.ip)
	case 'p':
		return e.named(domain)
	case 'h':
		return e.helo
	case 'v':
		if e.ip.Is4() {
			return "in-addr"
		}
		return "ip6"
	case 'c':
		return e.ip.String()
	case 'r':
		if e.c.Host != "" {
			return e.c.Host
		}
		return "unknown"
	case 't':
		return strconv.FormatInt(e.c.now().Unix(), 10)
	}
	return ""
}

// dotted is an address with a dot between its parts: nibbles for IPv6.
func dotted(ip netip.Addr) string {
	if ip.Is4() {
		return ip.String()
	}
	const hex = "0123456789ABCDEF"
	b := make([]byte, 0, 63)
	for i, c := range ip.As16() {
		if i > 0 {
			b = append(b, '.')
		}
		b = append(b, hex[c>>4], '.', hex[c&15])
	}
	return string(b)
}

// transform cuts, turns and escapes a value as the macro says.
func (m *macro) transform(s string) string {
	var parts []string
	for {
		i := strings.IndexAny(s, m.delimiters)
		if i < 0 {
			parts = append(parts, s)
			break
		}
		parts, s = append(parts, s[:i]), s[i+1:]
	}
	if m.reverse {
		slices.Reverse(parts)
	}
	if m.keep > 0 && m.keep < len(parts) {
		parts = parts[len(parts)-m.keep:]
	}
	out := strings.Join(parts, ".")
	if m.escape {
		return escape(out)
	}
	return out
}

// escape is URL escaping, RFC 7208 section 7.3: all but what RFC 3986 calls
// unreserved.
func escape(s string) string {
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		if isAlpha(c) || isDigit(c) || strings.IndexByte("-._~", c) >= 0 {
			b.WriteByte(c)
			continue
		}
		fmt.Fprintf(&b, "%%%02X", c)
	}
	return b.String()
}
