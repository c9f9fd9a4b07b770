package dmarc

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Policy is what a domain asks for, RFC 9989 section 4.7.
type Policy string

// The policies.
const (
	NoPolicy   Policy = "none"
	Quarantine Policy = "quarantine"
	Reject     Policy = "reject"
)

// less is the policy below, for those who only try.
func (p Policy) less() Policy {
	if p == Reject {
		return Quarantine
	}
	return NoPolicy
}

// Tried is what a policy of the record asks for in earnest: less, where it is only
// being tried.
func (r *Record) Tried(p Policy) Policy {
	if r.Testing || r.Percent == 0 {
		return p.less()
	}
	return p
}

// Record is a DMARC policy record.
type Record struct {
	Policy     Policy // p=
	Subdomains Policy // sp=, "" if not given
	Absent     Policy // np=, for names that do not exist; "" if not given
	StrictDKIM bool   // adkim=s
	StrictSPF  bool   // aspf=s
	PSD        byte   // 'y', 'n' or 'u'
	Testing    bool   // t=y
	Percent    int    // pct= of RFC 7489; 100 if not given
	Aggregate  []string
	Failure    []string
	Options    string // fo=
}

// isRecord says that a TXT record is one of ours: v=DMARC1 comes first.
func isRecord(txt string) bool {
	version, _, _ := strings.Cut(txt, ";")
	name, value, ok := strings.Cut(version, "=")
	return ok && strings.Trim(name, " \t") == "v" && strings.Trim(value, " \t") == "DMARC1"
}

// ParseRecord reads a record. Tags that are unknown or have a bad value count as
// not given; only one without a usable policy and without anybody to report to
// is no record, RFC 9989 section 4.7.
func ParseRecord(txt string) (Record, error) {
	r := Record{PSD: 'u', Percent: 100}
	if !isRecord(txt) {
		return r, errors.New("it does not begin with v=DMARC1")
	}
	seen := map[string]bool{}
	for spec := range strings.SplitSeq(txt, ";") {
		name, value, ok := strings.Cut(spec, "=")
		name, value = strings.ToLower(strings.Trim(name, " \t")), strings.Trim(value, " \t")
		if !ok || seen[name] {
			continue
		}
		seen[name] = true
		r.set(name, value)
	}
	if r.Policy == "" {
		if len(r.Aggregate) == 0 {
			return r, fmt.Errorf("it has no policy: p= is missing or unknown")
		}
		r.Policy = NoPolicy
	}
	return r, nil
}

func (r *Record) set(name, value string) {
	word := strings.ToLower(value)
	switch name {
	case "p":
		r.Policy = policyOf(word)
	case "sp":
		r.Subdomains = policyOf(word)
	case "np":
		r.Absent = policyOf(word)
	case "adkim":
		r.StrictDKIM = word == "s"
	case "aspf":
		r.StrictSPF = word == "s"
	case "psd":
		if word == "y" || word == "n" {
			r.PSD = word[0]
		}
	case "t":
		r.Testing = word == "y"
	case "pct":
		if n, err := strconv.Atoi(value); err == nil && n >= 0 && n <= 100 {
			r.Percent = n
		}
	case "rua":
		r.Aggregate = uris(value)
	case "ruf":
		r.Failure = uris(value)
	case "fo":
		r.Options = value
	}
}

func policyOf(word string) Policy {
	switch p := Policy(word); p {
	case NoPolicy, Quarantine, Reject:
		return p
	}
	return ""
}

// maxURIs bounds how many places a domain may have reports sent to.
const maxURIs = 10

// uris gives the mailto places of a list, without the size limits that RFC 7489
// let stand after them.
func uris(value string) []string {
	var out []string
	for uri := range strings.SplitSeq(value, ",") {
		uri = strings.Trim(uri, " \t")
		if len(uri) > len("mailto:") && strings.EqualFold(uri[:len("mailto:")], "mailto:") && len(out) < maxURIs {
			address, _, _ := strings.Cut(uri[len("mailto:"):], "!")
			out = append(out, address)
		}
	}
	return out
}
