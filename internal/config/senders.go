package config

import (
	"net/netip"
	"time"

	"plic/internal/mail"
)

// Senders is what becomes of mail of strangers by what is found of who sent it.
type Senders struct {
	Check            bool
	DMARC            DMARCPolicy
	Timeout          time.Duration
	ExceptedNetworks []netip.Prefix
	TrustedSealers   []string
	TrustedLists     []string
	Report           bool
	ReportFrom       mail.Address
	ReceiveReports   mail.Address
	FailureReports   bool
	FailureRedact    bool
	FailureDaily     int
}

// DMARCPolicy is how far the wishes of authors' domains are followed.
type DMARCPolicy string

// The policies.
const (
	EnforceDMARC DMARCPolicy = "enforce"
	SoftenDMARC  DMARCPolicy = "junk"
	TellDMARC    DMARCPolicy = "tell"
)

// OnwardDMARC is what is done with mail that is sent on and would fail DMARC.
type OnwardDMARC string

// What may be done.
const (
	ReplaceAuthor OnwardDMARC = "replace"
	KeepAuthor    OnwardDMARC = "keep"
	RefuseOnward  OnwardDMARC = "refuse"
)

func (c *Config) senders() []Setting {
	s := &c.Senders
	return []Setting{
		{"check", "Look at all.", restart, switchValue{&s.Check}},
		{"dmarc", "What follows when nobody vouches for the author of a message: what the author's domain asks for (550 5.7.1 for `reject`, the Junk mailbox for `quarantine`), Junk for both, or nothing but the telling.", restart, choice[DMARCPolicy]{&s.DMARC, []DMARCPolicy{EnforceDMARC, SoftenDMARC, TellDMARC}}},
		{"timeout", "How long all questions about a message may take together. What was not answered by then is `temperror`, and mail gets 451 if another answer could have it refused.", restart, duration{&s.Timeout, time.Second, 5 * time.Minute}},
		{"excepted_networks", "Networks whose mail is not looked at: a backup MX or a filter in front of us that has done so already, and programs of this host.", restart, networks(&s.ExceptedNetworks)},
		{"trusted_sealers", "Domains whose ARC seals are believed: where such a forwarder saw that DMARC passed, a failure here has no consequence. `.example.org` is any domain below.", restart, list[string]{&s.TrustedSealers, "domains", "example.org", trustedDomain, plain}},
		{"trusted_lists", "Domains that may change what others have signed, as mailing lists do: if SPF or DKIM shows that one of them has sent a message, a failure of DMARC has no consequence.", restart, list[string]{&s.TrustedLists, "domains", "lists.example.org", trustedDomain, plain}},
		{"report", "Count what DMARC says of mail in the name of each domain, and send the domain a report of each day, if its record asks for one (RFC 9990). A place elsewhere gets it only if it has agreed.", restart, switchValue{&s.Report}},
		{"report_from", "The sender of these reports, whom to ask about them. Empty: postmaster at `hostname`.", restart, mailbox{&s.ReportFrom}},
		{"receive_reports", "An account or alias of ours, named by `rua=mailto:` in the DMARC records of our domains: reports in mail to it are read as it comes in, for `plic dmarc list` and `plic dmarc summary`. Empty: none are.", restart, mailbox{&s.ReceiveReports}},
		{"failure_reports", "Report single messages that fail, to domains whose record asks for that (`ruf=`, `fo=`; RFC 9991). A report has the header of the message, never its body, and goes only to places that have agreed.", restart, switchValue{&s.FailureReports}},
		{"failure_redact", "Make addresses in such reports unknowable, but for those of the domain itself, and leave out names of recipients and fields that say nothing of the way of the message (RFC 6590).", restart, switchValue{&s.FailureRedact}},
		{"failure_daily", "Such reports of one day about one domain; a place that takes them for many gets twenty times as many. How many messages were left out is told in the next one.", restart, number{&s.FailureDaily, 1, 10000}},
	}
}
