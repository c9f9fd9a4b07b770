package remote

import "plic/internal/mail"

// lmtpPort is where hosts take LMTP if nothing else is said.
const lmtpPort = 24

// lmtp says that the host takes mail by LMTP, RFC 2033: it is greeted with LHLO
// and answers the message once for each recipient. All else is as in SMTP.
func (s *session) lmtp() bool { return s.hop.Kind == mail.HopLMTP }

// each reads the answers to the message, one for each recipient that was
// accepted, in their order: RFC 2033 section 4.2.
func (t *transaction) each() *trouble {
	for n, i := range t.accepted {
		reply, bad := t.s.read(t.ctx, t.d.t.o.Timeouts.DataEnd, afterData)
		if bad != nil {
			t.all(t.accepted[n:], bad)
			return bad
		}
		if reply.Code == 250 {
			t.d.settle(i, t.taken(reply))
			continue
		}
		bad = wanted(reply, 250)
		t.d.settle(i, bad.outcome(t.s))
		if closing(reply) {
			t.all(t.accepted[n+1:], bad)
			return bad
		}
	}
	t.s.begun = false
	return nil
}
