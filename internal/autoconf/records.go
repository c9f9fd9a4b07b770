package autoconf

import (
	"fmt"

	"plic/internal/mail"
)

// Record is a record for the DNS, by which programs find us without asking.
type Record struct {
	Name, Type, Value, Why string
}

// Records are those of a domain: SRV of RFC 6186 and 8314, and the names that
// Thunderbird and Outlook try. A service that is not offered is said not to be.
func (o *Options) Records(domain mail.Domain) []Record {
	name, host := domain.String(), o.Host+"."
	var all []Record
	for i, s := range []struct {
		label string
		Service
		what string
	}{
		{"_submissions", Service{Protocol: Submission, TLS: true}, "sending, with TLS from the first byte"},
		{"_submission", Service{Protocol: Submission}, "sending, with STARTTLS"},
		{"_imaps", Service{Protocol: IMAP, TLS: true}, "IMAP, with TLS from the first byte"},
		{"_imap", Service{Protocol: IMAP}, "IMAP, with STARTTLS"},
		{"_pop3s", Service{Protocol: POP3, TLS: true}, "POP3, with TLS from the first byte"},
		{"_pop3", Service{Protocol: POP3}, "POP3, with STARTTLS"},
	} {
		r := Record{s.label + "._tcp." + name, "SRV", "0 0 0 .", s.what + ": not offered"}
		for _, ours := range o.Services {
			if ours.Protocol == s.Protocol && ours.TLS == s.TLS {
				r.Value, r.Why = fmt.Sprintf("%d 1 %d %s", priority(i, s.TLS), ours.Port, host), s.what
				break
			}
		}
		all = append(all, r)
	}
	condition := ", if the certificate is for this name"
	if o.PlainWeb {
		condition = ""
	}
	if o.Web {
		all = append(all,
			Record{"_autodiscover._tcp." + name, "SRV", "0 1 443 " + host, "Outlook"},
			Record{"autodiscover." + name, "CNAME", host, "Outlook" + condition})
	}
	if o.Web || o.PlainWeb {
		all = append(all, Record{"autoconfig." + name, "CNAME", host, "Thunderbird" + condition})
	}
	return all
}

// priority prefers IMAP to POP3 and TLS from the first byte to STARTTLS, RFC
// 8314 section 5.1.
func priority(i int, tls bool) int {
	n := 0
	if i >= 4 {
		n = 20
	}
	if !tls {
		n += 10
	}
	return n
}
