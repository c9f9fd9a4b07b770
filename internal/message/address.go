package message

import (
	"bytes"
	"strings"
)

// maxMailboxes bounds the addresses read from one field, and maxLoose the
// commas in a display name without quotes.
const (
	maxMailboxes = 10000
	maxLoose     = 3
)

// Mailbox is an entry of an address list, as IMAP's ENVELOPE lists them (RFC
// 9051 section 7.5.2): a mailbox, or the start or end of a group.
type Mailbox struct {
	Name  string // display name without quotes; it may hold encoded words
	Route string // obsolete source route, "@a,@b"
	Local string // local part without quotes
	Host  string // domain or address literal; "" if it is missing
	Group bool   // the start of a group, Local being its name; or its end, Local being ""
}

// ParseAddressList reads an address list of RFC 5322 section 3.4 with its
// obsolete forms. What is wrong is forgiven as far as a reader would: display
// names may hold dots, commas and octets above 127 without quotes, and white
// space may stand anywhere. A comment after an address that has no name is its
// name.
func ParseAddressList(value string) []Mailbox {
	var room [4][64]byte // for what most addresses are made of
	p := addressParser{s: value, words: room[0][:0], host: room[1][:0], word: room[2][:0], domain: room[3][:0]}
	for p.entry() {
	}
	return p.list
}

// addressParser reads a list from left to right, each octet once.
type addressParser struct {
	s     string
	i     int
	list  []Mailbox
	group bool // within a group

	words   []byte // what was read of the entry: its name, or its local part
	quotes  bool   // some of it was in quotes
	host    []byte
	word    []byte // the local part of an angle address
	domain  []byte // and its domain
	comment string // the last comment of the entry
	loose   int    // entries at the end of list that are words only: perhaps parts of a name with commas
}

// entry reads up to and with the next separator; it says whether to go on.
func (p *addressParser) entry() bool {
	p.words, p.host, p.comment, p.quotes = p.words[:0], p.host[:0], "", false
	var m Mailbox
	angle, at := false, false // an angle address was read; an "@" was
	for {
		if len(p.list) >= maxMailboxes {
			return false
		}
		p.space(len(p.words) > 0 && !at)
		if p.i == len(p.s) {
			p.add(m, angle, at)
			p.endGroup()
			return false
		}
		switch c := p.s[p.i]; c {
		case ',':
			p.i++
			p.add(m, angle, at)
			return true
		case ';':
			p.i++
			p.add(m, angle, at)
			p.endGroup()
			return true
		case '<':
			p.i++
			if at { // what looked like an address is a name
				p.words = append(append(p.words, '@'), p.host...)
				p.host, at = p.host[:0], false
			}
			m.Route, m.Local, m.Host = p.angle()
			angle = true
		case ':':
			p.i++
			if p.group || angle || at {
				p.words = append(p.words, c)
				continue
			}
			p.list = append(p.list, Mailbox{Local: string(trimSpace(p.words)), Group: true})
			p.group, p.loose = true, 0
			return true
		case '@':
			p.i++
			if angle { // rubbish behind an address
				continue
			}
			if at { // "a@b@c": the last one counts
				p.words = append(append(p.words, '@'), p.host...)
				p.host = p.host[:0]
			}
			at = true
		default:
			if at {
				p.host = p.atom(p.host, true)
			} else {
				p.words = p.atom(p.words, false)
			}
		}
	}
}

// add puts the entry that was read on the list.
func (p *addressParser) add(m Mailbox, angle, at bool) {
	words := trimSpace(p.words)
	switch {
	case angle:
		m.Name = string(words)
		if p.loose > 0 && p.loose <= maxLoose && len(words) > 0 && m.Host != "" { // Doe, John <john@example.com>
			m.Name = p.takeLoose() + ", " + m.Name
		}
	case at:
		words = unspaceDots(words)
		if i := bytes.LastIndexByte(words, ' '); i > 0 && !p.quotes { // John Doe john@example.com
			m.Name, words = string(words[:i]), words[i+1:]
		}
		m.Local, m.Host = string(words), string(p.host)
	case len(words) == 0:
		return
	default: // a local part without a domain, or words
		m.Local = string(words)
		p.list = append(p.list, m)
		p.loose++
		return
	}
	if m.Name == "" {
		m.Name = p.comment
	}
	p.loose = 0
	if m != (Mailbox{}) {
		p.list = append(p.list, m)
	}
}

// takeLoose takes the words-only entries off the list, as text.
func (p *addressParser) takeLoose() string {
	first := len(p.list) - p.loose
	names := make([]string, p.loose)
	for i, m := range p.list[first:] {
		names[i] = m.Local
	}
	p.list, p.loose = p.list[:first], 0
	return strings.Join(names, ", ")
}

func (p *addressParser) endGroup() {
	if p.group {
		p.list = append(p.list, Mailbox{Group: true})
		p.group = false
	}
	p.loose = 0
}

// angle reads an angle address behind its "<", to its ">" or the end.
func (p *addressParser) angle() (route, local, host string) {
	word, domain := p.word[:0], p.domain[:0]
	defer func() { p.word, p.domain = word, domain }()
	at := false
	for {
		p.space(false)
		if p.i == len(p.s) {
			break
		}
		c := p.s[p.i]
		switch {
		case c == '>':
			p.i++
			return route, string(word), string(domain)
		case c == '@':
			p.i++
			if at && len(word) > 0 {
				word = append(append(word, '@'), domain...)
				domain = domain[:0]
			}
			at = true
		case c == ':' && len(word) == 0 && at: // @a,@b:local@host
			p.i++
			route, domain, at = "@"+string(domain), domain[:0], false
		case c == ',' && len(word) == 0 && at:
			p.i++
			p.space(false)
			domain = append(domain, ',')
			if p.i < len(p.s) && p.s[p.i] == '@' {
				p.i++
				domain = append(domain, '@')
			}
		case c == '<' || c == ',' || c == ';' || c == ':':
			p.i++
		case at:
			domain = p.atom(domain, true)
		default:
			word = p.atom(word, false)
		}
	}
	return route, string(word), string(domain)
}

// atom appends the quoted string, domain literal or run of ordinary octets
// that is next; there is at least one octet.
func (p *addressParser) atom(dst []byte, domain bool) []byte {
	switch c := p.s[p.i]; {
	case c == '"':
		p.quotes = true
		return p.quoted(dst)
	case c == '[' && domain:
		for p.i < len(p.s) {
			c := p.s[p.i]
			p.i++
			if c > ' ' && c != 0x7f {
				dst = append(dst, c)
			}
			if c == ']' {
				break
			}
		}
		return dst
	}
	start := p.i
	for p.i++; p.i < len(p.s) && strings.IndexByte(" \t\r\n()<>,;:@\"", p.s[p.i]) < 0; p.i++ {
	}
	return append(dst, p.s[start:p.i]...)
}

// quoted appends what is in a quoted string; one that does not end goes to the
// end of the field.
func (p *addressParser) quoted(dst []byte) []byte {
	for p.i++; p.i < len(p.s); p.i++ {
		switch c := p.s[p.i]; c {
		case '"':
			p.i++
			return dst
		case '\\':
			if p.i+1 < len(p.s) {
				p.i++
				dst = append(dst, p.s[p.i])
			}
		case '\r', '\n':
		default:
			dst = append(dst, c)
		}
	}
	return dst
}

// space skips white space and comments, and appends one space to the words in
// its place if keep is set.
func (p *addressParser) space(keep bool) {
	start := p.i
	for p.i < len(p.s) {
		switch p.s[p.i] {
		case ' ', '\t', '\r', '\n':
			p.i++
			continue
		case '(':
			p.readComment()
			continue
		}
		break
	}
	if keep && p.i > start {
		p.words = append(p.words, ' ')
	}
}

// readComment reads a comment, which may hold comments: RFC 5322 section
// 3.2.2.
func (p *addressParser) readComment() {
	start, depth := p.i+1, 0
	plain := true
	for ; p.i < len(p.s); p.i++ {
		switch p.s[p.i] {
		case '(':
			depth++
		case ')':
			depth--
		case '\\':
			p.i++
			plain = false
		case '\r', '\n':
			plain = false
		}
		if depth == 0 {
			break
		}
	}
	p.i = min(p.i, len(p.s))
	text := p.s[start:p.i]
	p.i = min(p.i+1, len(p.s))
	if !plain {
		text = unescape(text)
	}
	p.comment = strings.TrimSpace(text)
}

// unescape takes line ends and the backslashes of quoted pairs out.
func unescape(s string) string {
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\r' || c == '\n':
		case c == '\\' && i+1 < len(s):
			i++
			b = append(b, s[i])
		default:
			b = append(b, c)
		}
	}
	return string(b)
}

// trimSpace takes the space that stands for white space and comments off the
// end.
func trimSpace(b []byte) []byte {
	for len(b) > 0 && b[len(b)-1] == ' ' {
		b = b[:len(b)-1]
	}
	return b
}

// unspaceDots takes the white space out that obsolete syntax allows around the
// dots of a local part, RFC 5322 section 4.4.
func unspaceDots(b []byte) []byte {
	out := b[:0]
	for i, c := range b {
		if c == ' ' && (i > 0 && b[i-1] == '.' || i+1 < len(b) && b[i+1] == '.') {
			continue
		}
		out = append(out, c)
	}
	return out
}
