package sender

import (
	"errors"
	"strings"

	"plic/internal/arc"
	"plic/internal/authres"
	"plic/internal/dmarc"
	"plic/internal/spf"
)

// The words of a record, and what is wished for.
const (
	wish    = "wish="     // what the policy asks for, if it is followed
	excused = "vouches="  // a domain that vouches for the message; who trusts it excuses a failure
	seal    = "sealed="   // who sealed, the newest first
	sawPass = "saw-pass=" // the same, who saw that DMARC passed

	Accept = "accept"
	Junk   = "junk"
	Defer  = "defer"
	Refuse = "refuse"
)

// Record is what a decision goes by, for Replay.
func (f *Findings) Record() []string {
	v, asked := &f.DMARC, Accept
	switch {
	case errors.Is(f.Author, dmarc.ErrAuthors), f.Author != nil && f.From.Identity != spf.Helo:
		return []string{wish + Refuse}
	case v.Result == dmarc.TempError && !f.vouched():
		return []string{wish + Defer}
	case v.Result != dmarc.Fail || v.Disposition == dmarc.NoPolicy:
		return []string{wish + Accept}
	case v.Disposition == dmarc.Quarantine:
		asked = Junk
	case f.doubt:
		asked = Defer
	default:
		asked = Refuse
	}
	out := []string{wish + asked}
	for _, s := range f.senders() {
		if s.Pass {
			out = append(out, excused+s.Domain)
		}
	}
	if f.ARC.Status != arc.Pass {
		return out
	}
	for i := len(f.ARC.Sets) - 1; i >= 0; i-- {
		set, word := &f.ARC.Sets[i], seal
		if said, err := authres.Parse(set.Results); err == nil {
			for _, r := range said.Results {
				if authentic(&r, v.Author) {
					word = sawPass
				}
			}
		}
		out = append(out, word+set.Domain)
	}
	return out
}

// Action is what became of the message by its sender alone.
func (f *Findings) Action() string {
	switch {
	case f.Refuse != nil && f.Refuse.Status.Temporary():
		return Defer
	case f.Refuse != nil:
		return Refuse
	case f.Junk != "":
		return Junk
	}
	return Accept
}

// Replay is what would become of a message by its sender alone, by the policy and the
// trust of this checker, with the reason if that is not what its domain wishes.
func (c *Checker) Replay(record []string) (action, why string) {
	action = Accept
	trusted := true
	for _, text := range record {
		word, domain, _ := strings.Cut(text, "=")
		switch word += "="; {
		case word == wish:
			action = domain
		case word == excused && listed(c.o.Forwarders, domain):
			return Accept, domain + " is in senders.trusted_lists"
		case word == seal || word == sawPass:
			trusted = trusted && listed(c.o.Sealers, domain)
			if trusted && word == sawPass {
				return Accept, domain + " is in senders.trusted_sealers"
			}
		}
	}
	switch {
	case c.o.DMARC == Tell && action != Accept:
		return Accept, "senders.dmarc only tells"
	case c.o.DMARC == Soften && action == Refuse:
		return Junk, "senders.dmarc puts into Junk what is to be refused"
	case c.o.DMARC == Soften && action == Defer:
		return Accept, "senders.dmarc puts nothing off"
	}
	return action, ""
}
