package ldap

import (
	"fmt"
	"slices"
	"strings"

	"github.com/go-ldap/ldap/v3"

	"plic/internal/mail"
)

// Parameters are the names that a filter may have in braces; dn is the name of
// an entry that was found before.
func Parameters() []string {
	return []string{"account", "address", "dn", "domain", "key", "local", "login"}
}

// values are what the parameters of a question stand for.
type values struct{ whole, local, domain, dn string }

// whole are the values of a login.
func whole(login string) values {
	v := values{whole: login, local: login}
	if a, err := mail.ParseAddress(login); err == nil {
		v.local, v.domain = a.Local, a.Domain.String()
	}
	return v
}

func (v values) get(name string) string {
	switch name {
	case "local":
		return v.local
	case "domain":
		return v.domain
	case "dn":
		return v.dn
	}
	return v.whole
}

// pattern is a filter or a name with parameters: text, then a parameter's name,
// and so on.
type pattern []string

// parse reads a pattern.
func parse(text string) (pattern, error) {
	var p pattern
	for {
		before, rest, open := strings.Cut(text, "{")
		p = append(p, before)
		if !open {
			return p, nil
		}
		name, after, ok := strings.Cut(rest, "}")
		if !ok || !slices.Contains(Parameters(), name) {
			return nil, fmt.Errorf("there is no parameter {%.20s; there are {%s}", name, strings.Join(Parameters(), "}, {"))
		}
		p, text = append(p, name), after
	}
}

// parseFilter reads a filter; an empty one is nil.
func parseFilter(text string) (pattern, error) {
	if text == "" {
		return nil, nil
	}
	p, err := parse(text)
	if err == nil {
		_, err = ldap.CompileFilter(p.filter(values{"x", "x", "x", "x"}))
	}
	if err != nil {
		return nil, fmt.Errorf("the filter %q: %w", text, err)
	}
	return p, nil
}

// parseName reads a distinguished name; an empty one is nil.
func parseName(text string) (pattern, error) {
	if text == "" {
		return nil, nil
	}
	p, err := parse(text)
	if err == nil {
		_, err = ldap.ParseDN(p.name(values{"x", "x", "x", "x"}))
	}
	if err != nil {
		return nil, fmt.Errorf("the name %q: %w", text, err)
	}
	return p, nil
}

// fill puts values, escaped, in their places.
func (p pattern) fill(v values, escape func(string) string) string {
	var b strings.Builder
	for i, text := range p {
		if i%2 == 1 {
			text = escape(v.get(text))
		}
		b.WriteString(text)
	}
	return b.String()
}

// filter is the filter with values escaped by RFC 4515 section 3.
func (p pattern) filter(v values) string { return p.fill(v, ldap.EscapeFilter) }

// name is the distinguished name with values escaped by RFC 4514 section 2.4.
func (p pattern) name(v values) string { return p.fill(v, ldap.EscapeDN) }
