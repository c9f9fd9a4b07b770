package spf

import (
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
)

// record is a domain's record, checked from end to end: an error in a term that
// is never reached makes it unusable all the same, RFC 7208 section 4.6.
type record struct {
	directives []directive
	redirect   string // domain-spec; "" for none
	exp        string // domain-spec; "" for none
}

// directive is a mechanism with the result of its match.
type directive struct {
	result     Result
	mechanism  string       // in lower case
	domain     string       // domain-spec; "" for the domain itself
	four, six  int          // prefix lengths of a and mx
	network    netip.Prefix // of ip4 and ip6
	text       string       // as it is written
	asksForDNS bool
}

const version = "v=spf1"

// isRecord says that a TXT record is one of ours, RFC 7208 section 4.5.
func isRecord(txt string) bool {
	return len(txt) >= len(version) && strings.EqualFold(txt[:len(version)], version) &&
		(len(txt) == len(version) || txt[len(version)] == ' ')
}

// parse reads a record, RFC 7208 section 12.
func parse(txt string) (*record, error) {
	rec := &record{}
	for term := range strings.SplitSeq(txt[len(version):], " ") {
		if term == "" {
			continue
		}
		for i := range len(term) {
			if term[i] <= ' ' || term[i] >= 0x7f {
				return nil, fmt.Errorf("%q has a character that may not be in a record", term)
			}
		}
		var err error
		if name, value, ok := modifier(term); ok {
			err = rec.modify(name, value)
		} else {
			var d directive
			if d, err = parseDirective(term); err == nil {
				rec.directives = append(rec.directives, d)
			}
		}
		if err != nil {
			return nil, fmt.Errorf("%q: %w", term, err)
		}
	}
	return rec, nil
}

// modifier splits name=value, if the term is a modifier.
func modifier(term string) (name, value string, ok bool) {
	name, value, ok = strings.Cut(term, "=")
	if !ok || name == "" || !isAlpha(name[0]) {
		return "", "", false
	}
	for i := range len(name) {
		if c := name[i]; !isAlpha(c) && !isDigit(c) && c != '-' && c != '_' && c != '.' {
			return "", "", false
		}
	}
	return name, value, true
}

func (rec *record) modify(name, value string) error {
	var at *string
	switch strings.ToLower(name) {
	case "redirect":
		at = &rec.redirect
	case "exp":
		at = &rec.exp
	default: // unknown ones are passed over, if their grammar is right
		return checkMacros(value, inExplanation)
	}
	if *at != "" {
		return fmt.Errorf("%s is given twice", name)
	}
	*at = value
	return checkDomainSpec(value)
}

func parseDirective(term string) (directive, error) {
	d := directive{result: Pass, four: 32, six: 128, text: term}
	switch term[0] {
	case '+':
		term = term[1:]
	case '-':
		d.result, term = Fail, term[1:]
	case '~':
		d.result, term = SoftFail, term[1:]
	case '?':
		d.result, term = Neutral, term[1:]
	}
	end := strings.IndexAny(term, ":/")
	if end < 0 {
		end = len(term)
	}
	d.mechanism = strings.ToLower(term[:end])
	rest := term[end:]
	var err error
	switch d.mechanism {
	case "all":
		if rest != "" {
			err = fmt.Errorf("all takes no argument")
		}
	case "include", "exists":
		d.asksForDNS = true
		if !strings.HasPrefix(rest, ":") {
			return d, fmt.Errorf("%s needs a domain", d.mechanism)
		}
		d.domain, err = rest[1:], checkDomainSpec(rest[1:])
	case "a", "mx":
		d.asksForDNS = true
		err = d.hosts(rest)
	case "ptr":
		d.asksForDNS = true
		if rest != "" {
			if rest[0] != ':' {
				return d, fmt.Errorf("ptr takes no prefix length")
			}
			d.domain, err = rest[1:], checkDomainSpec(rest[1:])
		}
	case "ip4", "ip6":
		if !strings.HasPrefix(rest, ":") {
			return d, fmt.Errorf("%s needs a network", d.mechanism)
		}
		d.network, err = parseNetwork(rest[1:], d.mechanism == "ip6")
	default:
		err = fmt.Errorf("there is no such mechanism")
	}
	return d, err
}

// dualCIDR is the end of a and mx, RFC 7208 section 5.6.
var dualCIDR = regexp.MustCompile(`^(.*?)(?:/([0-9]+))?(?://([0-9]+))?$`)

// hosts reads the arguments of a and mx.
func (d *directive) hosts(rest string) error {
	m := dualCIDR.FindStringSubmatch(rest)
	var err error
	if m[2] != "" {
		if d.four, err = prefixLength(m[2], 32); err != nil {
			return err
		}
	}
	if m[3] != "" {
		if d.six, err = prefixLength(m[3], 128); err != nil {
			return err
		}
	}
	switch {
	case m[1] == "":
		return nil
	case m[1][0] != ':':
		return fmt.Errorf("bad prefix length")
	}
	d.domain = m[1][1:]
	return checkDomainSpec(d.domain)
}

func prefixLength(text string, most int) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil || n > most || len(text) > 1 && text[0] == '0' {
		return 0, fmt.Errorf("bad prefix length %q", text)
	}
	return n, nil
}

func parseNetwork(text string, six bool) (netip.Prefix, error) {
	address, length, sliced := strings.Cut(text, "/")
	addr, err := netip.ParseAddr(address)
	if err != nil || addr.Zone() != "" || addr.Is6() != six {
		return netip.Prefix{}, fmt.Errorf("bad address %q", address)
	}
	bits := addr.BitLen()
	if sliced {
		if bits, err = prefixLength(length, bits); err != nil {
			return netip.Prefix{}, err
		}
	}
	return netip.PrefixFrom(addr, bits), nil
}

func isAlpha(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }
func isDigit(c byte) bool { return '0' <= c && c <= '9' }
