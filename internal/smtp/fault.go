package smtp

import (
	"regexp"
	"strconv"
	"strings"
	"time"

	"plic/internal/mail"
)

// FaultOf says what trouble a reply of a host comes to; rcpt says that it
// answered RCPT, where a code without words is about the mailbox. Words come
// before numbers where hosts are known to use the same number for many things;
// then the enhanced code (RFC 3463, RFC 5248 and its registry), then the plain
// one (RFC 5321 section 4.2.3).
func FaultOf(s mail.Status, rcpt bool) mail.Fault {
	if s.Class() != mail.Transient && s.Class() != mail.Permanent {
		return ""
	}
	text := strings.ToLower(s.Text)
	if fault := wordsFirst(text, s.Temporary()); fault != "" {
		return fault
	}
	if fault := enhancedFault(s.Enhanced); fault != "" {
		return fault
	}
	if fault := wordsLast(text); fault != "" {
		return fault
	}
	switch s.Code {
	case 421, 450, 451:
		if s.Code == 421 {
			return mail.FaultRate
		}
		return mail.FaultOther
	case 452:
		return mail.FaultFull
	case 552:
		return mail.FaultSize
	case 500, 501, 502, 503, 504, 555:
		return mail.FaultProtocol
	case 550, 551, 553:
		if rcpt {
			return mail.FaultMailbox
		}
		return mail.FaultPolicy
	case 521, 554, 556:
		return mail.FaultPolicy
	}
	return mail.FaultOther
}

// phrases are words of well-known hosts, in lower case, for one kind of trouble.
type phrases struct {
	fault mail.Fault
	any   []string
}

// before are the words that say more than the code that comes with them.
func before() []phrases {
	return []phrases{
		{mail.FaultMailbox, []string{"recipient address rejected: access denied"}}, // with 5.4.1
		{mail.FaultReputation, []string{
			"blocklist", "block list", "blacklist", "black list", "blackhole", "denylist", "blocked using", "blocked by rbl", "dnsbl",
			"spamhaus", "spamcop", "barracudacentral", "sorbs", "uceprotect", "abusix", "reputation", "banned sending ip",
			"ip address is blocked", "ip is blocked", "client host rejected: cannot find your", "cannot find your hostname",
			"reverse dns", "reverse hostname", "ptr record", "no ptr", "rdns", "[tss", "[ts0", "(s3140)", "(s3150)", "(s775)",
		}},
		{mail.FaultRate, []string{
			"rate limit", "rate-limit", "ratelimit", "throttl", "too many connections", "too many concurrent", "too many messages",
			"too many sessions", "too many recipients", "too much mail", "too quickly", "at a rate that", "sending rate", "too fast",
			"connection limit", "exceeded the maximum number of connections", "server busy", "server is busy", "too busy", "load average", "high load",
		}},
		{mail.FaultTLS, []string{"must issue a starttls", "starttls first", "starttls is required", "tls is required", "tls required", "requires tls", "encryption required"}},
		{mail.FaultPolicy, []string{
			"dmarc", "spf ", "spf)", "spf:", "sender policy framework", "dkim", "relay access denied", "relaying denied", "relay not permitted",
			"unable to relay", "not permitted to relay", "relaying not allowed", "authentication required", "unauthenticated email",
		}},
	}
}

// greylisting are the words of those that want us to come back. Only with a
// temporary code.
func greylisting() []string {
	return []string{"greylist", "graylist", "grey-list", "gray-list", "grey list", "gray list", "greypass", "sqlgrey", "postgrey", "policyd-weight",
		"try again in", "retry in", "please try again later, first time", "temporary envelope failure", "deferred for policy reasons: new sender"}
}

// after are words that count when the code says nothing.
func after() []phrases {
	return []phrases{
		{mail.FaultFull, []string{"mailbox full", "mailbox is full", "over quota", "overquota", "quota exceed", "exceeded quota", "exceeded storage", "exceeds quota", "out of storage", "insufficient storage", "insufficient system storage", "no space left"}},
		{mail.FaultSize, []string{"too large", "too big", "size limit", "exceeds size", "exceeds maximum", "exceeds fixed maximum", "message size"}},
		{mail.FaultMailbox, []string{
			"user unknown", "unknown user", "no such user", "no such recipient", "no such mailbox", "no such address", "no such person", "no mailbox",
			"does not exist", "doesn't exist", "not exist", "user not found", "mailbox not found", "recipient not found", "address not found",
			"unknown recipient", "recipient unknown", "invalid recipient", "invalid mailbox", "invalid address", "unknown address", "unknown local part",
			"unrouteable address", "mailbox unavailable", "mailbox disabled", "account disabled", "account is disabled", "account inactive",
			"account has been", "account that you tried to reach", "not our customer", "no longer active", "no longer in use",
		}},
		{mail.FaultContent, []string{"spam", "virus", "malware", "phish", "junk mail", "unsolicited", "attachment", "content rejected", "message content", "bad header"}},
		{mail.FaultPolicy, []string{"access denied", "not allowed", "not authorized", "not authorised", "unauthorized", "prohibited", "policy", "rejected by", "administrative"}},
	}
}

func wordsFirst(text string, temporary bool) mail.Fault {
	if temporary && holdsAny(text, greylisting()) {
		return mail.FaultGreylist
	}
	return among(text, before())
}

func wordsLast(text string) mail.Fault { return among(text, after()) }

func among(text string, table []phrases) mail.Fault {
	for _, p := range table {
		if holdsAny(text, p.any) {
			return p.fault
		}
	}
	return ""
}

func holdsAny(text string, words []string) bool {
	for _, word := range words {
		if strings.Contains(text, word) {
			return true
		}
	}
	return false
}

// enhancedFault reads the subject and the detail of an enhanced code; "" for
// those that say nothing.
func enhancedFault(e mail.Enhanced) mail.Fault {
	switch subject, detail := e[1], e[2]; subject {
	case 1: // addresses
		switch detail {
		case 0, 1, 3, 4, 5, 6:
			return mail.FaultMailbox
		case 2, 10:
			return mail.FaultDNS
		case 7, 8:
			return mail.FaultPolicy // about our sender
		}
	case 2: // the mailbox
		switch detail {
		case 1:
			return mail.FaultMailbox
		case 2:
			return mail.FaultFull
		case 3:
			return mail.FaultSize
		}
	case 3: // the mail system
		switch detail {
		case 1:
			return mail.FaultFull
		case 2:
			return mail.FaultRate
		case 4:
			return mail.FaultSize
		}
	case 4: // the way there
		switch detail {
		case 1, 2, 7:
			return mail.FaultNetwork
		case 3, 4:
			return mail.FaultDNS
		case 5:
			return mail.FaultRate
		}
	case 5:
		if detail == 3 { // too many recipients
			return mail.FaultRate
		}
		if detail != 0 {
			return mail.FaultProtocol
		}
	case 6:
		return mail.FaultContent
	case 7:
		return securityFault(detail)
	}
	return ""
}

// securityFault reads the details of X.7, which the registry of RFC 5248 and
// some large hosts have made many of.
func securityFault(detail uint16) mail.Fault {
	switch {
	case detail == 0:
		return "" // everything and nothing
	case detail == 4, detail == 5, detail == 10, detail == 30:
		return mail.FaultTLS
	case detail == 25, detail >= 606 && detail <= 649, detail == 511:
		return mail.FaultReputation
	case detail == 28, detail >= 500 && detail < 510, detail >= 650 && detail < 700:
		return mail.FaultRate
	}
	return mail.FaultPolicy
}

// waits finds "in 300 seconds", "for 5 minutes", "in 00:04:52" and the like.
var waits = regexp.MustCompile(`(?i)(?:\b(\d{1,2}):(\d{2}):(\d{2})\b|\b(\d{1,5})\s*(s|secs?|seconds?|m|mins?|minutes?)\b)`)

// RetryAfter is when a host that put us off says to come back; 0 if it does
// not say, or nothing that can be meant.
func RetryAfter(s mail.Status) time.Duration {
	if !s.Temporary() {
		return 0
	}
	m := waits.FindStringSubmatch(s.Text)
	if m == nil {
		return 0
	}
	number := func(text string) time.Duration {
		n, _ := strconv.Atoi(text) // digits only, and few
		return time.Duration(n)
	}
	wait := number(m[1])*time.Hour + number(m[2])*time.Minute + number(m[3])*time.Second
	if m[4] != "" {
		unit := time.Second
		if m[5][0] == 'm' || m[5][0] == 'M' {
			unit = time.Minute
		}
		wait = number(m[4]) * unit
	}
	if wait > 4*time.Hour {
		return 0
	}
	return wait
}
