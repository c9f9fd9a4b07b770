package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"

	"plic/internal/mail"
	"plic/internal/smtp"
)

// trouble is why a host, or all of them, took nothing: what it said, or what
// we say of it.
type trouble struct {
	status mail.Status
	said   bool  // by the host
	rcpt   bool  // to RCPT
	err    error // what only we know
}

// reply makes trouble of an answer that was not the one wanted.
func refused(r smtp.Reply) *trouble { return &trouble{status: statusOf(r), said: true} }

// statusOf is the status of a reply that ends something. A missing enhanced
// code is made of the class, RFC 3463 section 2; an answer that fits no
// question is the server's protocol error.
func statusOf(r smtp.Reply) mail.Status {
	s := r.Status()
	switch s.Class() {
	case mail.Success, mail.Transient, mail.Permanent:
		if s.Enhanced == (mail.Enhanced{}) {
			s.Enhanced = mail.Enhanced{uint16(s.Class()), 0, 0}
		}
		return s
	}
	return mail.Reply(451, "4.5.0", "the host answered out of turn: "+s.String())
}

// misplaced is an answer of success to a question that it does not fit.
func misplaced(r smtp.Reply) *trouble {
	return &trouble{status: mail.Reply(451, "4.5.0", "the host answered out of turn: "+r.Status().String()), said: true}
}

// wanted gives nil if the reply has the code, else the trouble.
func wanted(r smtp.Reply, codes ...int) *trouble {
	for _, code := range codes {
		if r.Code == code {
			return nil
		}
	}
	if r.Class() == mail.Transient || r.Class() == mail.Permanent {
		return refused(r)
	}
	return misplaced(r)
}

// lost is trouble with a connection: phase is what we were doing.
func lost(ctx context.Context, phase string, err error) *trouble {
	text := "lost the connection " + phase
	enhanced := "4.4.2"
	var timeout net.Error
	switch {
	case ctx.Err() != nil && !errors.Is(ctx.Err(), context.DeadlineExceeded):
		text = "the delivery was stopped " + phase
	case errors.Is(err, smtp.ErrReply):
		text, enhanced = "the host does not speak SMTP: nonsense "+phase, "4.5.0"
	case errors.Is(err, os.ErrDeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout():
		text = "timed out " + phase
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		text = "the host closed the connection " + phase
	}
	return &trouble{status: mail.Reply(451, enhanced, text), err: fmt.Errorf("%s: %w", phase, err)}
}

// outcome is the trouble as the outcome of a recipient.
func (t *trouble) outcome(s *session) mail.Outcome {
	o := mail.Outcome{Status: t.status, Err: t.err, Fault: t.fault()}
	if o.Fault == mail.FaultGreylist {
		o.After = smtp.RetryAfter(t.status)
	}
	if s != nil {
		o.Remote, o.TLS = s.String(), s.tls
		if t.said {
			o.Host = s.host
		}
	}
	return o
}

// because adds the policy to trouble of ours with the security of a host, so
// that whoever waits for the mail sees why.
func (t *trouble) because(need Requirement) {
	if t != nil && !t.said && t.status.Enhanced[1] == 7 && need.TLS != Opportunistic && need.Why != "" {
		t.status.Text += " (" + need.Why + ")"
	}
}

// fault is what the trouble is about.
func (t *trouble) fault() mail.Fault {
	if t.status.Enhanced == (mail.Enhanced{4, 5, 0}) { // ours, whatever was said
		return mail.FaultProtocol
	}
	if t.said {
		return smtp.FaultOf(t.status, t.rcpt)
	}
	// In our own words the subject of the code is enough.
	switch e := t.status.Enhanced; {
	case e[1] == 7:
		return mail.FaultTLS
	case e[1] == 4 && e[2] == 6, e[1] == 3 && e[2] != 4:
		return mail.FaultLocal
	}
	return smtp.FaultOf(mail.Status{Code: t.status.Code, Enhanced: t.status.Enhanced}, false)
}

// closing says that the host wants the conversation to end, RFC 5321 section
// 3.8.
func closing(r smtp.Reply) bool { return r.Code == 421 }

// sameName compares names of hosts.
func sameName(a, b string) bool {
	return strings.EqualFold(strings.TrimSuffix(a, "."), strings.TrimSuffix(b, "."))
}
