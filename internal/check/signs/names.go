package signs

import (
	"fmt"
	"strings"

	"plic/internal/check/sender"
	"plic/internal/content"
	"plic/internal/dkim"
	"plic/internal/dmarc"
	"plic/internal/lookalike"
	"plic/internal/mail"
	"plic/internal/message"
	"plic/internal/spf"
)

// client looks at who brings the message.
func (l *look) client() {
	o := l.m.Envelope.Origin
	switch {
	case o.Name == "":
		l.hit("NO_RDNS", o.Remote.Addr().String())
	case generic(o.Name):
		l.hit("RDNS_GENERIC", o.Name)
	}
	helo := strings.TrimSuffix(strings.ToLower(o.Helo), ".")
	d, err := mail.ParseDomain(helo)
	switch {
	case strings.HasPrefix(helo, "["):
		l.hit("HELO_ADDRESS", o.Helo)
	case !strings.Contains(helo, ".") || helo == "localhost.localdomain":
		l.hit("HELO_BARE", o.Helo)
	case helo == strings.ToLower(l.o.Host) || err == nil && l.o.Ours(l.ctx, d):
		l.hit("HELO_OURS", o.Helo)
	}
}

// generic says that a name is of a line, and not of a host: it has numbers as
// addresses have them, and a word for lines.
func generic(name string) bool {
	name = strings.ToLower(name)
	groups, digits := 0, 0
	for i := 0; i <= len(name); i++ {
		if i < len(name) && name[i] >= '0' && name[i] <= '9' {
			digits++
			continue
		}
		if digits > 0 {
			groups++
		}
		digits = 0
	}
	if groups >= 4 {
		return true
	}
	if groups < 2 {
		return false
	}
	for _, word := range []string{"dyn", "dsl", "pool", "dhcp", "ppp", "dial", "cable", "cust", "client", "broadband", "fiber", "ftth", "mobile", "host-", "ip-", "static-"} {
		if strings.Contains(name, word) {
			return true
		}
	}
	return false
}

// manyNetworks is from how many networks a message that was signed once may come.
const manyNetworks = 10

// proofs looks at what was found of the sender.
func (l *look) proofs() {
	f := l.found
	if f == nil {
		return
	}
	switch f.From.Result {
	case spf.Fail:
		l.hit("SPF_FAIL", f.From.Reason)
	case spf.SoftFail:
		l.hit("SPF_SOFTFAIL", f.From.Reason)
	case spf.PermError:
		l.hit("SPF_BROKEN", f.From.Reason)
	}
	signed, broken := false, 0
	for _, r := range f.DKIM {
		signed = signed || r.Status == dkim.Pass
		if r.Status != dkim.Pass && r.Status != dkim.TempError {
			broken++
		}
	}
	l.when(!signed && broken > 0, "DKIM_BROKEN", "")
	l.when(!signed && f.From.Result != spf.Pass, "NO_PROOF", "")
	l.when(f.Networks > manyNetworks, "DKIM_REPLAYED", fmt.Sprintf("%d networks", f.Networks))
	switch f.DMARC.Result {
	case dmarc.Pass:
		l.hit("DMARC_PASS", f.DMARC.Author)
	case dmarc.Fail:
		l.when(f.Pardon == "", "DMARC_FAIL", f.DMARC.Author)
	}
}

// proven says that the author's own domain has sent the message.
func proven(f *sender.Findings, domain string) bool {
	if f == nil {
		return false
	}
	if f.DMARC.Result == dmarc.Pass || f.Pardon != "" {
		return true
	}
	if f.From.Result == spf.Pass && registered(f.From.Domain) == domain {
		return true
	}
	for _, r := range f.DKIM {
		if r.Status == dkim.Pass && registered(r.Domain) == domain {
			return true
		}
	}
	return false
}

// names looks at whom the author's name and domain make a reader think of.
func (l *look) names() {
	for _, box := range l.authors[:min(len(l.authors), 10)] {
		host := content.Host(box.Host)
		d, err := mail.ParseDomain(host)
		ours := err == nil && l.o.Ours(l.ctx, d)
		if ours {
			l.when(l.found != nil && !proven(l.found, l.author), "FROM_OURS", box.Local+"@"+host)
		} else {
			our := l.o.Domains().Near(registered(host))
			l.when(our != "", "FROM_LIKE_OURS", host+" is not "+our)
		}
		l.when(lookalike.Mixed(host), "FROM_MIXED", lookalike.Unicode(host))
		l.shown(message.DecodeHeader(box.Name), box.Local+"@"+host, ours)
	}
}

// shown looks at the name that is shown in place of an address.
func (l *look) shown(name, address string, ours bool) {
	for word := range strings.FieldsSeq(name) {
		l.when(lookalike.MixedWord(word), "FROM_MIXED", name)
		word = strings.Trim(word, `"'<>()[],;:`)
		local, host, ok := strings.Cut(word, "@")
		if !ok || local == "" || content.Registered(content.Host(host)) == "" || strings.EqualFold(word, address) {
			continue
		}
		d, err := mail.ParseDomain(content.Host(host))
		switch {
		case err == nil && !ours && l.o.Ours(l.ctx, d):
			l.hit("NAME_OUR_ADDRESS", word+" is "+address)
		case registered(host) != l.author:
			l.hit("NAME_OTHER_ADDRESS", word+" is "+address)
		}
	}
}
