package content

import (
	"net/netip"
	"net/url"
	"strings"

	"golang.org/x/net/idna"
	"golang.org/x/net/publicsuffix"
)

// Link is a way out of a message.
type Link struct {
	URL  string // as it stands there
	Text string // what a reader sees in its place; "" if that is the URL itself
	Host string // in lower case, as A-labels; "" if there is none
	// User says that something stands before the host that can be taken for one.
	User bool
	Addr netip.Addr // of a host that is an address, however it is written
}

// Domain is the domain that the host of a link belongs to, as one registers them.
func (l Link) Domain() string { return Registered(l.Host) }

// Registered is the domain that a name belongs to, as one registers them: one label
// below a public suffix. It is "" for none.
func Registered(name string) string {
	d, err := publicsuffix.EffectiveTLDPlusOne(strings.TrimSuffix(name, "."))
	if err != nil {
		return ""
	}
	return d
}

// Web reads an http or https URL; ok is false for anything else.
func Web(text string) (l Link, ok bool) {
	text = strings.Map(func(r rune) rune {
		if r <= ' ' || r == 0x7f {
			return -1
		}
		return r
	}, text)
	text = strings.ReplaceAll(text, `\`, "/") // as browsers read it
	lower := strings.ToLower(text[:min(len(text), 8)])
	if !strings.HasPrefix(lower, "http://") && !strings.HasPrefix(lower, "https://") || len(text) > 4096 {
		return l, false
	}
	l.URL = text
	_, rest, _ := strings.Cut(text, "//")
	rest = strings.TrimLeft(rest, "/")
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		rest = rest[:i]
	}
	if i := strings.LastIndexByte(rest, '@'); i >= 0 {
		l.User, rest = true, rest[i+1:]
	}
	host := rest
	if strings.HasPrefix(host, "[") {
		host, _, _ = strings.Cut(host[1:], "]")
	} else if i := strings.LastIndexByte(host, ':'); i >= 0 {
		host = host[:i]
	}
	if plain, err := url.PathUnescape(host); err == nil {
		host = plain
	}
	l.Host = Host(host)
	l.Addr = address(l.Host)
	return l, l.Host != ""
}

// Host is a name in lower case and A-labels, RFC 5890; "" if it is none.
func Host(name string) string {
	name = strings.TrimSuffix(strings.ToLower(strings.TrimSpace(name)), ".")
	if name == "" || len(name) > 1000 {
		return ""
	}
	if a, err := idna.Lookup.ToASCII(name); err == nil {
		name = a
	}
	if len(name) > 255 || strings.ContainsAny(name, " \t\"<>|^`{}\\") {
		return ""
	}
	return name
}

// address reads an IP address as browsers do: IPv4 also in one number, and its parts
// in octal and hexadecimal.
func address(host string) netip.Addr {
	if a, err := netip.ParseAddr(host); err == nil {
		return a
	}
	parts := strings.Split(host, ".")
	if len(parts) > 4 {
		return netip.Addr{}
	}
	var value uint64
	for i, p := range parts {
		n, ok := number(p)
		last := i == len(parts)-1
		if !ok || !last && n > 255 || last && n >= 1<<(8*(5-len(parts))) {
			return netip.Addr{}
		}
		if last {
			value = value<<(8*(5-len(parts))) | n
		} else {
			value = value<<8 | n
		}
	}
	return netip.AddrFrom4([4]byte{byte(value >> 24), byte(value >> 16), byte(value >> 8), byte(value)})
}

func number(s string) (n uint64, ok bool) {
	base := uint64(10)
	switch {
	case strings.HasPrefix(s, "0x"):
		s, base = s[2:], 16
	case len(s) > 1 && s[0] == '0':
		s, base = s[1:], 8
	}
	if s == "" || len(s) > 12 {
		return 0, false
	}
	for _, c := range []byte(s) {
		d := uint64(c - '0')
		if c >= 'a' && c <= 'f' {
			d = uint64(c-'a') + 10
		} else if c < '0' || c > '9' {
			return 0, false
		}
		if d >= base {
			return 0, false
		}
		n = n*base + d
	}
	return n, true
}

// plainLinks finds URLs in text.
func (r *reader) plainLinks(text string) {
	for rest := text; len(r.c.Links) < maxLinks; {
		i := nextURL(rest)
		if i < 0 {
			return
		}
		rest = rest[i:]
		end := strings.IndexFunc(rest, func(c rune) bool {
			return c <= ' ' || c == '<' || c == '>' || c == '"' || c == '\u00a0' || c == '\u3000'
		})
		if end < 0 {
			end = len(rest)
		}
		found := strings.TrimRight(rest[:end], ".,;:!?)]}'*_")
		rest = rest[end:]
		if strings.EqualFold(found[:min(4, len(found))], "www.") {
			found = "http://" + found
		}
		if l, ok := Web(found); ok {
			r.link(l)
		}
	}
}

// nextURL finds where a URL begins: "http://", "https://" or, at the begin of a word,
// "www.".
func nextURL(text string) int {
	for at := 0; ; {
		i := strings.IndexAny(text[at:], "hHwW")
		if i < 0 {
			return -1
		}
		at += i
		head := strings.ToLower(text[at:min(len(text), at+8)])
		switch {
		case strings.HasPrefix(head, "http://"), head == "https://":
			return at
		case strings.HasPrefix(head, "www.") && (at == 0 || strings.IndexByte(" \t\r\n(<\"'", text[at-1]) >= 0):
			return at
		}
		at++
	}
}
