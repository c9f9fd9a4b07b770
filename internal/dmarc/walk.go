package dmarc

import (
	"context"
	"fmt"
	"strings"

	"plic/internal/dns"
)

// found is a record with the domain that has it.
type found struct {
	domain string
	record Record
	err    error // of a text that calls itself a record
}

// lookup asks for the record of one domain: nil if there is none that counts.
func (c *Checker) lookup(ctx context.Context, domain string) (*found, error) {
	txts, _, err := c.Resolver.TXT(ctx, "_dmarc."+domain)
	if err != nil && dns.IsTemporary(err) {
		return nil, fmt.Errorf("the policy of %s could not be asked for: %w", domain, err)
	}
	var one *found
	for _, txt := range txts {
		if !isRecord(txt) {
			continue
		}
		if one != nil {
			return nil, nil // more than one is none, RFC 9989 section 4.10
		}
		one = &found{domain: domain}
		one.record, one.err = ParseRecord(txt)
	}
	if one != nil && one.err != nil {
		return nil, nil
	}
	return one, nil
}

// maxSteps is how many names one walk may ask for, RFC 9989 section 4.10.
const maxSteps = 8

// walk asks for the records of a domain and of those above it, RFC 9989 section
// 4.10, and gives those that it finds, the longest name first.
func (c *Checker) walk(ctx context.Context, domain string) ([]*found, error) {
	var out []*found
	for range maxSteps {
		f, err := c.lookup(ctx, domain)
		if err != nil {
			return nil, err
		}
		if f != nil {
			out = append(out, f)
			if f.record.PSD != 'u' {
				return out, nil
			}
		}
		if domain = above(domain); domain == "" {
			break
		}
	}
	return out, nil
}

// above is the next domain of a walk: one label less, and not more than seven.
func above(domain string) string {
	_, rest, ok := strings.Cut(domain, ".")
	if !ok {
		return ""
	}
	for strings.Count(rest, ".") > 6 {
		_, rest, _ = strings.Cut(rest, ".")
	}
	return rest
}

// organization is the Organizational Domain by the records of a walk from a
// domain, RFC 9989 section 4.10.2.
func organization(domain string, walk []*found) string {
	best := domain
	for _, f := range walk {
		switch {
		case f.record.PSD == 'n':
			return f.domain
		case f.record.PSD == 'y' && f.domain != domain:
			// One label more than the public suffix.
			labels := strings.Count(f.domain, ".") + 1
			at := domain
			for strings.Count(at, ".") > labels {
				_, at, _ = strings.Cut(at, ".")
			}
			return at
		}
		best = f.domain
	}
	return best
}
