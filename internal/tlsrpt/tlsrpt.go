// Package tlsrpt reads and writes what SMTP TLS reporting is made of: the TXT
// record that says where a domain wants its reports, the report, and the mail
// that carries it. It sends nothing.
//
// RFC 8460; RFC 3339 (its times), RFC 6522 (multipart/report).
package tlsrpt

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"plic/internal/mail"
)

// The kinds of policy that a report may be about, RFC 8460 section 4.4.
const (
	PolicyTLSA = "tlsa"
	PolicySTS  = "sts"
	NoPolicy   = "no-policy-found"
)

// The kinds of failure, RFC 8460 section 4.3.
const (
	NoSTARTTLS         = "starttls-not-supported"
	HostMismatch       = "certificate-host-mismatch"
	Expired            = "certificate-expired"
	NotTrusted         = "certificate-not-trusted"
	ValidationFailure  = "validation-failure"
	TLSAInvalid        = "tlsa-invalid"
	DNSSECInvalid      = "dnssec-invalid"
	DANERequired       = "dane-required"
	STSFetchError      = "sts-policy-fetch-error"
	STSPolicyInvalid   = "sts-policy-invalid"
	STSWebPKIInvalid   = "sts-webpki-invalid"
	mostURIs           = 10
	mostPolicies       = 1000
	mostFailureDetails = 1000
)

// Report is what one sender saw of one domain in one span of time.
type Report struct {
	Organization string     `json:"organization-name"`
	Range        Range      `json:"date-range"`
	Contact      string     `json:"contact-info"`
	ID           string     `json:"report-id"`
	Policies     []Findings `json:"policies"`
}

// Range is a span of time; a day in UTC as a rule.
type Range struct {
	Start time.Time `json:"start-datetime"`
	End   time.Time `json:"end-datetime"`
}

// Findings are what came of sessions under one policy.
type Findings struct {
	Policy   Policy    `json:"policy"`
	Summary  Summary   `json:"summary"`
	Failures []Failure `json:"failure-details,omitempty"`
}

// Policy is a policy of the domain as the sender applied it.
type Policy struct {
	Type   string   `json:"policy-type"`
	String []string `json:"policy-string,omitempty"`
	Domain string   `json:"policy-domain"`
	MX     texts    `json:"mx-host,omitempty"`
}

// Summary counts sessions.
type Summary struct {
	Success int64 `json:"total-successful-session-count"`
	Failure int64 `json:"total-failure-session-count"`
}

// Failure counts sessions that failed alike.
type Failure struct {
	Type        string `json:"result-type"`
	SendingIP   string `json:"sending-mta-ip,omitempty"`
	Host        string `json:"receiving-mx-hostname,omitempty"`
	Helo        string `json:"receiving-mx-helo,omitempty"`
	ReceivingIP string `json:"receiving-ip,omitempty"`
	Count       int64  `json:"failed-session-count"`
	Information string `json:"additional-information,omitempty"`
	Reason      string `json:"failure-reason-code,omitempty"`
}

// Target is where a domain wants its reports.
type Target struct {
	Mail mail.Address // set for mailto
	URL  string       // set for https
}

// String is the URI, or near enough for people.
func (t Target) String() string {
	if t.URL != "" {
		return t.URL
	}
	return "mailto:" + t.Mail.String()
}

// ErrNoRecord says that a domain asks for no reports.
var ErrNoRecord = errors.New("no TLSRPT record")

// ParseRecord gives where reports go from the texts of _smtp._tls.DOMAIN. More
// than one record is as none, RFC 8460 section 3. URIs that cannot be used are
// left out.
func ParseRecord(texts []string) ([]Target, error) {
	var fields string
	found := 0
	for _, text := range texts {
		version, rest, _ := strings.Cut(text, ";")
		if strings.TrimSpace(version) == "v=TLSRPTv1" {
			fields = rest
			found++
		}
	}
	if found != 1 {
		return nil, fmt.Errorf("%w: there are %d", ErrNoRecord, found)
	}
	var targets []Target
	for field := range strings.SplitSeq(fields, ";") {
		key, value, _ := strings.Cut(field, "=")
		if strings.TrimSpace(key) != "rua" {
			continue
		}
		for uri := range strings.SplitSeq(value, ",") {
			if t, ok := parseTarget(strings.TrimSpace(uri)); ok && len(targets) < mostURIs {
				targets = append(targets, t)
			}
		}
	}
	if len(targets) == 0 {
		return nil, fmt.Errorf("%w: it names no mailto: or https: that can be used", ErrNoRecord)
	}
	return targets, nil
}

func parseTarget(uri string) (Target, bool) {
	u, err := url.Parse(uri)
	if err != nil {
		return Target{}, false
	}
	switch strings.ToLower(u.Scheme) {
	case "mailto":
		text, err := url.PathUnescape(u.Opaque)
		if err != nil {
			return Target{}, false
		}
		a, err := mail.ParseAddress(text)
		return Target{Mail: a}, err == nil
	case "https":
		return Target{URL: u.String()}, u.Hostname() != "" && u.User == nil
	}
	return Target{}, false
}

// FileName is the name that the report's file must have, RFC 8460 section 5.1.
func (r *Report) FileName(submitter, domain string) string {
	id := strings.Map(func(c rune) rune {
		if c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c == '-' || c == '.' {
			return c
		}
		return '-'
	}, r.ID)
	return fmt.Sprintf("%s!%s!%d!%d!%s.json.gz", submitter, domain, r.Range.Start.Unix(), r.Range.End.Unix(), id)
}
