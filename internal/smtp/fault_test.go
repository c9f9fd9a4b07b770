package smtp

import (
	"strings"
	"testing"
	"time"

	"plic/internal/mail"
)

// Each line is a reply in the words of a host that is in use, and what it is
// about.
func TestFaultOf(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		reply string
		want  mail.Fault
	}{
		{"550 5.1.1 <x@d>: Recipient address rejected: User unknown in local recipient table", mail.FaultMailbox},
		{"550-5.1.1 The email account that you tried to reach does not exist.", mail.FaultMailbox},
		{"550 5.4.1 Recipient address rejected: Access denied.", mail.FaultMailbox},
		{"550 No such person at this address", mail.FaultMailbox},
		{"550 Unrouteable address", mail.FaultMailbox},
		{"550 Requested action not taken: mailbox unavailable", mail.FaultMailbox},
		{"550", mail.FaultMailbox},
		{"554 delivery error: dd This user doesn't have an account", mail.FaultPolicy},
		{"552 5.2.2 The email account that you tried to reach is over quota", mail.FaultFull},
		{"452 4.2.2 The recipient's inbox is out of storage space", mail.FaultFull},
		{"452 4.3.1 Insufficient system storage", mail.FaultFull},
		{"452", mail.FaultFull},
		{"552 5.3.4 Message size exceeds fixed limit", mail.FaultSize},
		{"552 message too big", mail.FaultSize},
		{"450 4.2.0 <x@d>: Recipient address rejected: Greylisted, see http://postgrey.schweikert.ch/", mail.FaultGreylist},
		{"451 4.7.1 Greylisting in action, please come back later", mail.FaultGreylist},
		{"451 Please try again in 300 seconds", mail.FaultGreylist},
		{"550 Greylisting is not what this is", mail.FaultMailbox},
		{"554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using zen.spamhaus.org", mail.FaultReputation},
		{"550 5.7.1 Unfortunately, messages from [192.0.2.1] weren't sent. part of their network is on our block list (S3140).", mail.FaultReputation},
		{"421 4.7.0 [TSS04] Messages from 192.0.2.1 temporarily deferred due to unexpected volume or user complaints", mail.FaultReputation},
		{"550 5.7.606 Access denied, banned sending IP [192.0.2.1]", mail.FaultReputation},
		{"450 4.7.25 Client host rejected: cannot find your hostname, [192.0.2.1]", mail.FaultReputation},
		{"421 4.7.28 Our system has detected an unusual rate of unsolicited mail", mail.FaultRate},
		{"450 4.2.1 The user you are trying to contact is receiving mail too quickly", mail.FaultRate},
		{"421 Too many concurrent SMTP connections", mail.FaultRate},
		{"451 4.7.500 Server busy. Please try again later", mail.FaultRate},
		{"452 4.5.3 Too many recipients", mail.FaultRate},
		{"421 mx.test closing", mail.FaultRate},
		{"550 5.7.26 Unauthenticated email from d.test is not accepted due to domain's DMARC policy", mail.FaultPolicy},
		{"554 5.7.1 <x@d>: Relay access denied", mail.FaultPolicy},
		{"550 5.7.1 SPF fail", mail.FaultPolicy},
		{"550 5.7.0 Message content rejected", mail.FaultContent},
		{"554 5.6.0 bad header", mail.FaultContent},
		{"530 5.7.0 Must issue a STARTTLS command first", mail.FaultTLS},
		{"550 5.7.10 Encryption needed", mail.FaultTLS},
		{"550 5.1.2 no such domain", mail.FaultDNS},
		{"556 5.1.10 null MX", mail.FaultDNS},
		{"451 4.4.3 lookup failed", mail.FaultDNS},
		{"451 4.4.2 timed out", mail.FaultNetwork},
		{"451 4.3.2 shutting down", mail.FaultRate},
		{"501 5.5.4 bad parameter", mail.FaultProtocol},
		{"451 local error", mail.FaultOther},
		{"250 2.0.0 ok", ""},
	} {
		if got := FaultOf(statusOf(t, c.reply), true); got != c.want {
			t.Errorf("%s: %q, want %q", c.reply, got, c.want)
		}
	}
	if got := FaultOf(mail.Reply(550, "", "no"), false); got != mail.FaultPolicy {
		t.Errorf("a refusal of the message is about %q", got)
	}
}

func statusOf(t *testing.T, text string) mail.Status {
	t.Helper()
	code, rest := text[:3], strings.TrimLeft(text[3:], " -")
	reply := Reply{Lines: []string{rest}}
	for _, c := range code {
		reply.Code = 10*reply.Code + int(c-'0')
	}
	return reply.Status()
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]time.Duration{
		"451 4.7.1 Greylisted for 300 seconds":        5 * time.Minute,
		"450 try again in 5 minutes":                  5 * time.Minute,
		"451 please retry in 00:04:52":                4*time.Minute + 52*time.Second,
		"451 come back in 60s":                        time.Minute,
		"451 come back in 99999 minutes":              0,
		"451 come back":                               0,
		"550 5.1.1 wait 5 minutes":                    0,
		"451 error 5 at line 300 of policy 192.0.2.1": 0,
	} {
		if got := RetryAfter(statusOf(t, text)); got != want {
			t.Errorf("%s: %v, want %v", text, got, want)
		}
	}
}

func FuzzFaultOf(f *testing.F) {
	f.Add(451, "try again in 5 minutes")
	f.Add(550, "5.7.606 banned")
	f.Fuzz(func(t *testing.T, code int, text string) {
		s := Reply{Code: code, Lines: []string{text}}.Status()
		fault := FaultOf(s, true)
		if failed := s.Class() == mail.Transient || s.Class() == mail.Permanent; failed != (fault != "") {
			t.Errorf("%v is about %q", s, fault)
		}
		if d := RetryAfter(s); d < 0 || d > 4*time.Hour {
			t.Errorf("%v: %v", s, d)
		}
	})
}
