package mail

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
	"golang.org/x/text/unicode/norm"
)

// Limits of RFC 5321 section 4.5.3.1, in octets.
const (
	MaxLocal  = 64
	MaxDomain = 255
	MaxPath   = 254 // RFC 3696 erratum 1690
)

// Domain is a host or mail domain in A-label form, lower case, or an address
// literal in brackets. The zero value is no domain. Compare with ==.
type Domain struct{ name string }

// ParseDomain reads a domain in A-label or U-label form, or an address
// literal; a trailing dot, an empty label and an underscore are refused.
func ParseDomain(text string) (Domain, error) {
	if strings.HasPrefix(text, "[") {
		return parseLiteral(text)
	}
	if text == "" {
		return Domain{}, errors.New("empty domain")
	}
	name := text
	if !isASCII(text) {
		if !utf8.ValidString(text) {
			return Domain{}, fmt.Errorf("domain %q is not UTF-8", text)
		}
		var err error
		if name, err = idna.Lookup.ToASCII(text); err != nil {
			return Domain{}, fmt.Errorf("domain %q: %w", text, err)
		}
	}
	name = strings.ToLower(name)
	if err := checkLabels(name); err != nil {
		return Domain{}, fmt.Errorf("domain %q: %w", text, err)
	}
	return Domain{name}, nil
}

// MustDomain is ParseDomain for literals of ours; it panics on bad ones.
func MustDomain(text string) Domain {
	d, err := ParseDomain(text)
	if err != nil {
		panic(err)
	}
	return d
}

func checkLabels(name string) error {
	if len(name) > MaxDomain {
		return fmt.Errorf("longer than %d octets", MaxDomain)
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" {
			return errors.New("empty label")
		}
		if len(label) > 63 {
			return errors.New("label longer than 63 octets")
		}
		if label[0] == '-' || label[len(label)-1] == '-' {
			return errors.New("label begins or ends with a hyphen")
		}
		for i := range len(label) {
			c := label[i]
			if c != '-' && (c < '0' || c > '9') && (c < 'a' || c > 'z') {
				return fmt.Errorf("the character %q may not be in it", c)
			}
		}
	}
	return nil
}

func parseLiteral(text string) (Domain, error) {
	inner, ok := strings.CutSuffix(text[1:], "]")
	if !ok {
		return Domain{}, fmt.Errorf("address literal %q has no closing bracket", text)
	}
	v6 := len(inner) > 5 && strings.EqualFold(inner[:5], "IPv6:")
	if v6 {
		inner = inner[5:]
	}
	addr, err := netip.ParseAddr(inner)
	if err != nil || addr.Zone() != "" || v6 != addr.Is6() {
		return Domain{}, fmt.Errorf("bad address literal %q: write [192.0.2.1] or [IPv6:2001:db8::1]", text)
	}
	if v6 {
		return Domain{"[IPv6:" + addr.String() + "]"}, nil
	}
	return Domain{"[" + addr.String() + "]"}, nil
}

// IsZero says that there is no domain.
func (d Domain) IsZero() bool { return d.name == "" }

// Literal is the address of an address literal.
func (d Domain) Literal() (netip.Addr, bool) {
	if !strings.HasPrefix(d.name, "[") {
		return netip.Addr{}, false
	}
	inner := strings.TrimPrefix(strings.Trim(d.name, "[]"), "IPv6:")
	addr, err := netip.ParseAddr(inner)
	return addr, err == nil
}

// String is the A-label form.
func (d Domain) String() string { return d.name }

// Unicode is the U-label form, for people.
func (d Domain) Unicode() string {
	if !strings.Contains(d.name, "xn--") {
		return d.name
	}
	if u, err := idna.Display.ToUnicode(d.name); err == nil {
		return u
	}
	return d.name
}

// MarshalText writes the A-label form.
func (d Domain) MarshalText() ([]byte, error) { return []byte(d.name), nil }

// UnmarshalText reads a domain.
func (d *Domain) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*d = Domain{}
		return nil
	}
	got, err := ParseDomain(string(text))
	if err == nil {
		*d = got
	}
	return err
}

// Address is a mailbox name: a local part without its quotes, in NFC, and a
// domain. The zero value is the null reverse-path. "Postmaster" alone has no
// domain. Compare with ==; local parts differ by case, see Key.
type Address struct {
	Local  string
	Domain Domain
}

// ParseAddress reads a Mailbox of RFC 5321 section 4.1.2 and RFC 6531: local
// part quoted or not, "@", domain or literal; no brackets, no source route.
func ParseAddress(text string) (Address, error) {
	local, rest, err := cutLocal(text)
	if err != nil {
		return Address{}, fmt.Errorf("address %q: %w", text, err)
	}
	name, ok := strings.CutPrefix(rest, "@")
	if !ok {
		return Address{}, fmt.Errorf("address %q: no @domain", text)
	}
	domain, err := ParseDomain(name)
	if err != nil {
		return Address{}, fmt.Errorf("address %q: %w", text, err)
	}
	a := Address{norm.NFC.String(local), domain}
	if len(a.quoted())+1+len(domain.name) > MaxPath {
		return Address{}, fmt.Errorf("address longer than %d octets", MaxPath)
	}
	return a, nil
}

// MustAddress is ParseAddress for literals of ours; it panics on bad ones.
func MustAddress(text string) Address {
	a, err := ParseAddress(text)
	if err != nil {
		panic(err)
	}
	return a
}

// cutLocal reads the local part and gives it without quoting.
func cutLocal(text string) (local, rest string, err error) {
	if strings.HasPrefix(text, `"`) {
		return cutQuoted(text)
	}
	at := strings.IndexByte(text, '@')
	if at < 0 {
		return "", "", errors.New("no @domain")
	}
	local, rest = text[:at], text[at:]
	if len(local) > MaxLocal {
		return "", "", fmt.Errorf("local part longer than %d octets", MaxLocal)
	}
	if !isDotString(local) {
		return "", "", errors.New("bad local part")
	}
	return local, rest, nil
}

func cutQuoted(text string) (local, rest string, err error) {
	var b strings.Builder
	for i := 1; i < len(text); i++ {
		switch c := text[i]; {
		case c == '"':
			if i+1 > MaxLocal {
				return "", "", fmt.Errorf("local part longer than %d octets", MaxLocal)
			}
			if !utf8.ValidString(b.String()) {
				return "", "", errors.New("local part is not UTF-8")
			}
			return b.String(), text[i+1:], nil
		case c == '\\' && i+1 < len(text) && text[i+1] >= ' ' && text[i+1] < 0x7f:
			i++
			b.WriteByte(text[i])
		case c < ' ' || c == 0x7f || c == '\\':
			return "", "", fmt.Errorf("character %q in the quoted local part", c)
		default:
			b.WriteByte(c)
		}
	}
	return "", "", errors.New("quoted local part does not end")
}

func isDotString(s string) bool {
	if !utf8.ValidString(s) {
		return false
	}
	for atom := range strings.SplitSeq(s, ".") {
		if atom == "" {
			return false
		}
		for i := range len(atom) {
			c := atom[i]
			if c <= ' ' || c == 0x7f || strings.IndexByte(`()<>[]:;@\,"`, c) >= 0 {
				return false
			}
		}
	}
	return true
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// IsNull says that this is the null reverse-path.
func (a Address) IsNull() bool { return a == Address{} }

// NeedsUTF8 says that the address goes only where SMTPUTF8 is spoken.
func (a Address) NeedsUTF8() bool { return !isASCII(a.Local) }

// quoted is the local part as it stands on the wire.
func (a Address) quoted() string {
	if isDotString(a.Local) {
		return a.Local
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(a.Local) + `"`
}

// String is the wire form without angle brackets; "" for the null address.
func (a Address) String() string {
	if a.IsNull() {
		return ""
	}
	if a.Domain.IsZero() {
		return a.quoted()
	}
	return a.quoted() + "@" + a.Domain.name
}

// Path is the address in angle brackets.
func (a Address) Path() string { return "<" + a.String() + ">" }

// Key is the form that look-ups compare: local part folded to lower case.
func (a Address) Key() string {
	a.Local = strings.ToLower(a.Local)
	return a.String()
}

// Detail splits "user+detail" at the first separator, RFC 5233; without one,
// or with nothing before it, base is the address itself.
func (a Address) Detail(separator string) (base Address, detail string) {
	if i := strings.Index(a.Local, separator); separator != "" && i > 0 {
		return Address{a.Local[:i], a.Domain}, a.Local[i+len(separator):]
	}
	return a, ""
}

// MarshalText writes the wire form.
func (a Address) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (a *Address) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*a = Address{}
		return nil
	}
	if got, err := ParseAddress(string(text)); err == nil {
		*a = got
		return nil
	}
	local, rest, err := cutLocal(string(text) + "@")
	if err != nil || rest != "@" {
		return fmt.Errorf("bad address %q", text)
	}
	*a = Address{Local: local}
	return nil
}
