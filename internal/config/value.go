package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"plic/internal/mail"
)

// value is a field of a Config behind its setting: it reads what TOML gave,
// checking it, and writes itself as TOML.
type value interface {
	read(v any) error
	text() string
	kind() string // for the reference: what may be written
}

// typeName is what a TOML value is, in the words of an error.
func typeName(v any) string {
	switch v := v.(type) {
	case string:
		return "the text " + strconv.Quote(v)
	case int64:
		return fmt.Sprintf("the number %d", v)
	case float64:
		return fmt.Sprintf("the number %g", v)
	case bool:
		return fmt.Sprintf("the switch %v", v)
	case []any:
		return "a list"
	case map[string]any:
		return "a section"
	}
	return "a date"
}

func wrongType(want string, v any) error {
	return fmt.Errorf("want %s, not %s", want, typeName(v))
}

// switchValue is true or false.
type switchValue struct{ p *bool }

func (s switchValue) kind() string { return "true or false" }
func (s switchValue) text() string { return strconv.FormatBool(*s.p) }
func (s switchValue) read(v any) error {
	b, ok := v.(bool)
	if !ok {
		return wrongType("true or false", v)
	}
	*s.p = b
	return nil
}

// number is a whole number within bounds.
type number struct {
	p        *int
	min, max int
}

func (n number) kind() string { return fmt.Sprintf("number, %d to %d", n.min, n.max) }
func (n number) text() string { return strconv.Itoa(*n.p) }
func (n number) read(v any) error {
	i, ok := v.(int64)
	if !ok {
		return wrongType(fmt.Sprintf("a number such as %d", *n.p), v)
	}
	if i < int64(n.min) || i > int64(n.max) {
		return fmt.Errorf("%d is out of bounds: it may be %d to %d", i, n.min, n.max)
	}
	*n.p = int(i)
	return nil
}

// duration is a time span within bounds.
type duration struct {
	p        *time.Duration
	min, max time.Duration
}

func (d duration) kind() string {
	return fmt.Sprintf("duration, %s to %s", FormatDuration(d.min), FormatDuration(d.max))
}
func (d duration) text() string { return strconv.Quote(FormatDuration(*d.p)) }
func (d duration) read(v any) error {
	s, ok := v.(string)
	if !ok {
		return wrongType(`a duration in quotes, such as "`+FormatDuration(*d.p)+`"`, v)
	}
	got, err := ParseDuration(s)
	if err != nil {
		return err
	}
	if got < d.min || got > d.max {
		return fmt.Errorf("%s is out of bounds: it may be %s to %s", s, FormatDuration(d.min), FormatDuration(d.max))
	}
	*d.p = got
	return nil
}

// size is a number of octets within bounds.
type size struct {
	p        *int64
	min, max int64
}

func (s size) kind() string {
	return fmt.Sprintf("size, %s to %s", FormatSize(s.min), FormatSize(s.max))
}
func (s size) text() string { return strconv.Quote(FormatSize(*s.p)) }
func (s size) read(v any) error {
	text, ok := v.(string)
	if !ok {
		return wrongType(`a size in quotes, such as "`+FormatSize(*s.p)+`"`, v)
	}
	got, err := ParseSize(text)
	if err != nil {
		return err
	}
	if got < s.min || got > s.max {
		return fmt.Errorf("%s is out of bounds: it may be %s to %s", text, FormatSize(s.min), FormatSize(s.max))
	}
	*s.p = got
	return nil
}

// choice is one of a few words.
type choice[T ~string] struct {
	p  *T
	of []T
}

func (c choice[T]) words() []string {
	words := make([]string, len(c.of))
	for i, w := range c.of {
		words[i] = strconv.Quote(string(w))
	}
	return words
}
func (c choice[T]) kind() string { return strings.Join(c.words(), ", ") }
func (c choice[T]) text() string { return strconv.Quote(string(*c.p)) }
func (c choice[T]) read(v any) error {
	s, ok := v.(string)
	if !ok {
		return wrongType("one of "+c.kind(), v)
	}
	plain := make([]string, len(c.of))
	for i, w := range c.of {
		if plain[i] = string(w); plain[i] == s {
			*c.p = w
			return nil
		}
	}
	if near := nearest(strings.ToLower(s), plain); near != "" {
		return fmt.Errorf("%q is not a choice; did you mean %q?", s, near)
	}
	return fmt.Errorf("%q is not a choice: it may be %s", s, c.kind())
}

// free is free text with a check of its own.
type free struct {
	p     *string
	what  string
	check func(string) error
}

func (t free) kind() string { return t.what }
func (t free) text() string { return quote(*t.p) }
func (t free) read(v any) error {
	s, ok := v.(string)
	if !ok {
		return wrongType(t.what+" in quotes", v)
	}
	if s != "" && t.check != nil {
		if err := t.check(s); err != nil {
			return err
		}
	}
	*t.p = s
	return nil
}

// localPart checks the part of an address before its @.
func localPart(s string) error {
	if a, err := mail.ParseAddress(s + "@example.org"); err != nil || a.Local != s {
		return errors.New("not the part of an address before its @")
	}
	return nil
}

// accountName checks the name of an account.
func accountName(s string) (string, error) {
	a, err := mail.ParseAddress(s)
	if err != nil || a.Domain.IsZero() {
		return "", fmt.Errorf("%q is not an account: write user@domain", s)
	}
	return a.String(), nil
}

// domain is a host name.
type domain struct{ p *mail.Domain }

func (d domain) kind() string { return "host name" }
func (d domain) text() string { return quote(d.p.String()) }
func (d domain) read(v any) error {
	s, ok := v.(string)
	if !ok {
		return wrongType(`a host name in quotes, such as "mail.example.org"`, v)
	}
	got, err := mail.ParseDomain(s)
	if err != nil {
		return err
	}
	if _, literal := got.Literal(); literal {
		return fmt.Errorf("%s is an address: write the name of the host, such as %q", s, "mail.example.org")
	}
	if _, err := netip.ParseAddr(s); err == nil {
		return fmt.Errorf("%s is an address: write the name of the host, such as %q", s, "mail.example.org")
	}
	*d.p = got
	return nil
}

// mailbox is a mail address, or none.
type mailbox struct{ p *mail.Address }

func (m mailbox) kind() string { return "mail address" }
func (m mailbox) text() string { return quote(m.p.String()) }
func (m mailbox) read(v any) error {
	s, ok := v.(string)
	if !ok {
		return wrongType(`a mail address in quotes, such as "root@example.org"`, v)
	}
	if s == "" {
		*m.p = mail.Address{}
		return nil
	}
	got, err := mail.ParseAddress(s)
	if err == nil {
		*m.p = got
	}
	return err
}

// list is several texts, each read by item.
type list[T any] struct {
	p     *[]T
	what  string
	one   string // an example of an item
	item  func(string) (T, error)
	print func(T) string
}

func (l list[T]) kind() string { return "list of " + l.what }
func (l list[T]) text() string {
	parts := make([]string, len(*l.p))
	for i, t := range *l.p {
		parts[i] = quote(l.print(t))
	}
	return "[" + strings.Join(parts, ", ") + "]"
}
func (l list[T]) read(v any) error {
	want := fmt.Sprintf("a list of %s, such as [%q]", l.what, l.one)
	items, ok := v.([]any)
	if !ok {
		return wrongType(want, v)
	}
	got := make([]T, 0, len(items))
	var errs []error
	for _, item := range items {
		s, ok := item.(string)
		if !ok {
			errs = append(errs, wrongType(want, item))
			continue
		}
		t, err := l.item(s)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		got = append(got, t)
	}
	if len(errs) == 0 {
		*l.p = got
	}
	return errors.Join(errs...)
}

func plain(s string) string { return s }

func one(s string) (string, error) { return s, nil }

// noDomain is a domain that may be none.
type noDomain struct{ domain }

func (d noDomain) read(v any) error {
	if v == "" {
		*d.p = mail.Domain{}
		return nil
	}
	return d.domain.read(v)
}

// mechanisms are the SASL mechanisms that package sasl knows.
func mechanisms() []string {
	return []string{
		"SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-1", "PLAIN", "LOGIN", "OAUTHBEARER", "XOAUTH2", "EXTERNAL",
		"CRAM-MD5", "ANONYMOUS",
	}
}

// signatures are those of JSON Web Tokens that can be checked with public keys.
func signatures() []string {
	return []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}
}

func signature(s string) (string, error) {
	if !slices.Contains(signatures(), s) {
		return "", fmt.Errorf("%q is no signature with a public key: it may be one of %s", s, strings.Join(signatures(), ", "))
	}
	return s, nil
}

func mechanism(s string) (string, error) {
	name := strings.ToUpper(s)
	if !slices.Contains(mechanisms(), name) {
		return "", fmt.Errorf("%q is not a mechanism: it may be one of %s", s, strings.Join(mechanisms(), ", "))
	}
	return name, nil
}

// addresses are where to listen.
func addresses(p *[]string) value {
	return list[string]{p, "addresses host:port", "127.0.0.1:25", listenAddress, plain}
}

// socketAddress is where to listen, or the path of a socket.
func socketAddress(s string) (string, error) {
	if path, ok := strings.CutPrefix(s, "unix:"); ok {
		if !strings.HasPrefix(path, "/") || strings.HasSuffix(path, "/") {
			return "", fmt.Errorf("%q: the path of a socket begins with a slash", s)
		}
		return s, nil
	}
	return listenAddress(s)
}

// servers are addresses of name servers, port 53 if none is named.
func servers(p *[]string) value {
	return list[string]{p, "addresses host:port", "127.0.0.1:53", serverAddress, plain}
}

func networks(p *[]netip.Prefix) value {
	return list[netip.Prefix]{p, "networks", "192.0.2.0/24", parseNetwork, netip.Prefix.String}
}

func listenAddress(s string) (string, error) {
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return "", fmt.Errorf(`%q is not an address to listen at: write "host:port", ":port" for every host, or "[::1]:port"`, s)
	}
	if err := checkPort(port); err != nil {
		return "", fmt.Errorf("%q: %w", s, err)
	}
	return s, checkHost(host)
}

func serverAddress(s string) (string, error) {
	if a, err := netip.ParseAddr(s); err == nil {
		return netip.AddrPortFrom(a, 53).String(), nil
	}
	if a, err := netip.ParseAddrPort(s); err == nil {
		return a.String(), nil
	}
	return "", fmt.Errorf(`%q is not the address of a name server: write "127.0.0.1:53"`, s)
}

func parseNetwork(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil {
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf(`%q is not a network: write "192.0.2.0/24" or "2001:db8::/32"`, s)
	}
	if p != p.Masked() {
		return netip.Prefix{}, fmt.Errorf("%q has bits behind its prefix: write %q", s, p.Masked())
	}
	return p, nil
}

func checkPort(port string) error {
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || strconv.FormatUint(n, 10) != port {
		return fmt.Errorf("%q is not a port: it may be 0 to 65535", port)
	}
	return nil
}

func checkHost(host string) error {
	if host == "" {
		return nil
	}
	bare, _, _ := strings.Cut(host, "%") // fe80::1%eth0
	if _, err := netip.ParseAddr(bare); err == nil {
		return nil
	}
	_, err := mail.ParseDomain(host)
	return err
}

// smartHost is "host" or "host:port".
func smartHost(s string) error {
	host := s
	if h, port, err := net.SplitHostPort(s); err == nil {
		if err := checkPort(port); err != nil {
			return fmt.Errorf("%q: %w", s, err)
		}
		host = h
	}
	if err := checkHost(strings.Trim(host, "[]")); err != nil || host == "" {
		return fmt.Errorf(`%q is not a smart host: write "relay.example.org" or "relay.example.org:587"`, s)
	}
	return nil
}

// separator is what stands between a user and a detail.
func separator(s string) error {
	for _, c := range s {
		if c <= ' ' || c == 0x7f || strings.ContainsRune(`()<>[]:;@\,".`, c) {
			return fmt.Errorf("%q cannot stand in an address without quotes: write \"+\" or \"-\"", s)
		}
	}
	return nil
}

// hostName is the name of a host, as an A-label.
func hostName(s string) (string, error) {
	d, err := mail.ParseDomain(s)
	if err != nil {
		return "", err
	}
	if _, literal := d.Literal(); literal {
		return "", fmt.Errorf("%s is an address: write the name of the host, such as %q", s, "mail.example.org")
	}
	return d.String(), nil
}

// mxPattern is a host name, perhaps with "*." before it.
func mxPattern(s string) (string, error) {
	rest, wild := strings.CutPrefix(s, "*.")
	name, err := hostName(rest)
	if wild {
		name = "*." + name
	}
	return name, err
}

// secureURL is one of HTTPS.
func secureURL(s string) error {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "https" || u.Host == "" {
		return fmt.Errorf(`%q is no URL to trust: write "https://…"`, s)
	}
	return nil
}

// trustedDomain is a domain, or all below one behind a dot.
func trustedDomain(s string) (string, error) {
	rest, below := strings.CutPrefix(s, ".")
	name, err := hostName(rest)
	if err == nil && below {
		name = "." + name
	}
	return name, err
}
