package sender

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"plic/internal/arc"
	"plic/internal/authres"
	"plic/internal/dkim"
	"plic/internal/dmarc"
	"plic/internal/mail"
	"plic/internal/spf"
)

// decide draws the conclusions, RFC 9989 section 7.4.
func (c *Checker) decide(f *Findings) {
	v := &f.DMARC
	switch {
	case errors.Is(f.Author, dmarc.ErrAuthors):
		c.refuse(f, mail.Reply(550, "5.7.1", "the message has several authors, so none of them can be checked"))
	case f.Author != nil && f.From.Identity != spf.Helo: // some reports are written so
		c.refuse(f, mail.Reply(550, "5.7.1", "the message has no author with an address in From"))
	case v.Result == dmarc.TempError && !f.vouched():
		c.later(f, "the policy of "+v.Author+" cannot be asked for now, try again later")
	case v.Result != dmarc.Fail || v.Disposition == dmarc.NoPolicy:
	default:
		f.doubt = c.unsure(f)
		if f.Pardon = c.pardon(f); f.Pardon != "" {
			return
		}
		if v.Disposition == dmarc.Quarantine {
			c.junk(f, "DMARC: "+v.PolicyDomain+" wants it in quarantine")
			return
		}
		if f.doubt {
			c.later(f, "whether "+v.Author+" has sent this cannot be asked for now, try again later")
			return
		}
		c.refuse(f, mail.Reply(550, "5.7.1", fmt.Sprintf("this is not from %s, by the DMARC policy of %s", v.Author, v.PolicyDomain)))
	}
}

func (c *Checker) refuse(f *Findings, status mail.Status) {
	switch c.o.DMARC {
	case Enforce:
		f.Refuse = &mail.Failure{Op: "check the sender", Status: status, Err: errors.New(f.DMARC.Reason)}
	case Soften:
		c.junk(f, "DMARC: it would be refused: "+f.DMARC.Reason)
	}
}

func (c *Checker) junk(f *Findings, why string) {
	if c.o.DMARC != Tell {
		f.Junk = why
	}
}

// later refuses for a while what another answer might refuse for good.
func (c *Checker) later(f *Findings, text string) {
	if c.o.DMARC == Enforce {
		f.Refuse = &mail.Failure{Op: "check the sender", Status: mail.Reply(451, "4.7.1", text), Err: errors.New(f.DMARC.Reason)}
	}
}

// vouched says that the author's own domain vouches for the message, whatever
// its policy is.
func (f *Findings) vouched() bool {
	return slices.ContainsFunc(f.senders(), func(s dmarc.Sender) bool {
		return s.Pass && strings.EqualFold(strings.TrimSuffix(s.Domain, "."), f.DMARC.Author)
	})
}

// unsure says that somebody might vouch for the author, or be believed in spite
// of that, who could not be asked.
func (c *Checker) unsure(f *Findings) bool {
	if f.From.Result == spf.TempError && f.near(f.From.Domain) {
		return true
	}
	if n := len(f.ARC.Sets); f.ARC.Temporary && n > 0 && listed(c.o.Sealers, f.ARC.Sets[n-1].Domain) {
		return true
	}
	return slices.ContainsFunc(f.DKIM, func(r dkim.Result) bool { return r.Status == dkim.TempError && f.near(r.Domain) })
}

// near says that a domain may be aligned with the author's.
func (f *Findings) near(domain string) bool {
	org := f.DMARC.Organization
	return domain == f.DMARC.Author || domain == org || strings.HasSuffix(domain, "."+org)
}

// pardon says why a failure is none to us: somebody whom we trust has changed
// the message or sent it on.
func (c *Checker) pardon(f *Findings) string {
	for _, s := range f.senders() {
		if s.Pass && listed(c.o.Forwarders, s.Domain) {
			return fmt.Sprintf("DMARC is not followed: %s, whom we trust to forward, vouches for the message", s.Domain)
		}
	}
	if f.ARC.Status != arc.Pass {
		return ""
	}
	// From the newest on, whoever sealed must be trusted, or what it says of those
	// before it is worth nothing.
	for i := len(f.ARC.Sets) - 1; i >= 0; i-- {
		set := &f.ARC.Sets[i]
		if !listed(c.o.Sealers, set.Domain) {
			return ""
		}
		said, err := authres.Parse(set.Results)
		if err == nil && slices.ContainsFunc(said.Results, func(r authres.Result) bool { return authentic(&r, f.DMARC.Author) }) {
			return fmt.Sprintf("DMARC is not followed: %s, whose seals we trust, saw that it was from %s", set.Domain, f.DMARC.Author)
		}
	}
	return ""
}

// authentic says that a sealer had found the author to be the sender.
func authentic(r *authres.Result, author string) bool {
	return r.Method == "dmarc" && r.Result == string(dmarc.Pass) && strings.EqualFold(r.Get("header", "from"), author)
}

// listed finds a domain, or one above it behind a dot.
func listed(list []string, domain string) bool {
	return slices.ContainsFunc(list, func(l string) bool {
		return strings.EqualFold(l, domain) || strings.HasPrefix(l, ".") && strings.HasSuffix(strings.ToLower(domain), strings.ToLower(l))
	})
}
