package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"plic/internal/mail"
	"plic/internal/smtp"
)

// errSpent is trouble that a new session at the same place ends.
var errSpent = errors.New("another session is needed")

// errBody is trouble with reading our own message.
var errBody = errors.New("the message cannot be read")

// send sends the message to all recipients that are pending, in as many
// transactions as the host wants. Trouble means that the session is lost; then
// some may still be pending.
func (d *delivery) send(ctx context.Context, s *session) *trouble {
	d.precheck(s)
	for again := false; ; again = true {
		to := d.pending()
		if len(to) == 0 {
			return nil
		}
		limit := d.t.o.MaxRecipients
		if n := s.ext.Limit("RCPTMAX"); n > 0 {
			limit = min(limit, n)
		}
		if again && s.spent() {
			return &trouble{status: mail.Reply(451, "4.4.2", "the host takes no more mail in this session"), err: errSpent}
		}
		t := &transaction{d: d, s: s, ctx: ctx, to: to[:min(len(to), limit)]}
		s.sent++
		if bad := t.run(); bad != nil {
			return bad
		}
	}
}

// precheck settles those whose mail the host cannot take, as far as it has
// said so at EHLO.
func (d *delivery) precheck(s *session) {
	fail := func(i int, status mail.Status) {
		d.settle(i, (&trouble{status: status, said: true}).outcome(s))
	}
	size := d.body.Size()
	for _, i := range d.pending() {
		switch limit := s.ext.Size(); {
		case limit > 0 && size > limit: // RFC 1870 section 6.1
			fail(i, mail.Reply(552, "5.3.4", fmt.Sprintf("the message has %d octets, the host takes %d", size, limit)))
		case d.needsUTF8(i) && !s.ext.Has("SMTPUTF8"): // RFC 6531 section 3.4
			fail(i, mail.Reply(553, "5.6.7", "the host does not take addresses or headers that are not ASCII"))
		case d.item.Envelope.By.Return && !s.ext.Has("DELIVERBY") && !s.lmtp(): // RFC 2852 section 4.1.4
			fail(i, mail.Reply(554, "5.4.7", "the sender wants the message back unless it is delivered in time, which the host cannot promise"))
		case d.tooSoon(s):
			fail(i, mail.Reply(554, "5.4.7", "the host cannot promise a delivery in the time that is left"))
		}
	}
}

// tooSoon says that the host takes no message that must be delivered as soon as
// this one, RFC 2852 section 4.1.
func (d *delivery) tooSoon(s *session) bool {
	by := d.item.Envelope.By
	return by.Return && s.ext.Has("DELIVERBY") && time.Until(by.At) < s.ext.DeliverBy()
}

// needsUTF8 says whether the message for a recipient needs SMTPUTF8. That it
// came with SMTPUTF8 does not mean that it does.
func (d *delivery) needsUTF8(i int) bool {
	env := &d.item.Envelope
	return d.item.To[i].Address.NeedsUTF8() || env.From.NeedsUTF8() || env.UTF8 && d.isWide()
}

// transaction is one MAIL with what belongs to it.
type transaction struct {
	d   *delivery
	s   *session
	ctx context.Context
	to  []int // recipients, by index in the item

	accepted []int
	over     []int // refused only because there were too many
}

// run sends the transaction. Trouble means that the session is lost.
func (t *transaction) run() *trouble {
	if t.s.begun { // the last one ended before its data did
		reply, bad := t.s.ask(t.ctx, t.d.t.o.Timeouts.Command, "after RSET", "RSET")
		if bad == nil {
			bad = wanted(reply, 250)
		}
		if bad != nil {
			return bad
		}
	}
	t.s.begun = true
	commands := []string{t.mailFrom()}
	for _, i := range t.to {
		commands = append(commands, t.rcptTo(i))
	}
	if t.s.ext.Has("PIPELINING") {
		return t.pipelined(append(commands, "DATA"))
	}
	return t.sequential(commands)
}

func (t *transaction) mailFrom() string {
	env, ext := &t.d.item.Envelope, t.s.ext
	m := smtp.MailFrom{From: env.From}
	if ext.Has("SIZE") {
		m.Size = t.d.body.Size()
	}
	if ext.Has("8BITMIME") && env.Kind == mail.Body8Bit {
		m.Body = mail.Body8Bit
	}
	if ext.Has("SMTPUTF8") {
		for _, i := range t.to {
			m.UTF8 = m.UTF8 || t.d.needsUTF8(i)
		}
	}
	// A host that does not offer it was refused, but for a report, RFC 8689 section 5.
	m.RequireTLS = env.RequireTLS && (!env.From.IsNull() || t.s.tls != "" && ext.Has("REQUIRETLS"))
	if ext.Has("DSN") {
		m.Ret, m.EnvelopeID = env.Ret, env.EnvelopeID
	}
	if ext.Has("MT-PRIORITY") { // RFC 6710 section 4.3
		m.Priority = env.Priority
	}
	if ext.Has("DELIVERBY") && !env.By.At.IsZero() { // RFC 2852 section 4
		m.By = smtp.ByAt(env.By, time.Now())
	}
	return string(m.Append(nil))
}

func (t *transaction) rcptTo(i int) string {
	to := t.d.item.To[i].Recipient
	by := &t.d.item.Envelope.By
	switch {
	case !t.s.ext.Has("DSN"):
		to.Notify, to.Original = 0, ""
	case by.At.IsZero() || by.Return || t.s.timed() || to.Notify == mail.NotifyNever:
	case to.Notify == 0: // a host that keeps to no time is to tell of delays, RFC 2852 section 4.1.4.2
		to.Notify = mail.NotifyFailure | mail.NotifyDelay
	default:
		to.Notify |= mail.NotifyDelay
	}
	return string(smtp.AppendRcpt(nil, to))
}

// pipelined sends the commands in one go, RFC 2920 section 3.1.
func (t *transaction) pipelined(commands []string) *trouble {
	limits := &t.d.t.o.Timeouts
	if bad := t.s.write(t.ctx, "sending the envelope", commands...); bad != nil {
		return bad
	}
	from, bad := t.s.read(t.ctx, limits.Mail, "after MAIL")
	if bad != nil {
		return bad
	}
	if closing(from) {
		return refused(from)
	}
	for _, i := range t.to {
		reply, bad := t.s.read(t.ctx, limits.Rcpt, "after RCPT")
		if bad != nil {
			return bad
		}
		if closing(reply) {
			return refused(reply)
		}
		if from.Code == 250 {
			t.recipient(i, reply)
		}
	}
	data, bad := t.s.read(t.ctx, limits.DataStart, "after DATA")
	if bad != nil {
		return bad
	}
	if from.Code != 250 {
		bad = wanted(from, 250)
		t.all(t.to, bad)
		if data.Code == 354 {
			// A host that goes on without a sender must not get even a dot.
			return &trouble{status: bad.status}
		}
	}
	if len(t.accepted) > 0 {
		return t.data(data)
	}
	if data.Code == 354 { // RFC 2920 section 3.1: the way out is an empty message
		if t.s.lmtp() { // which nobody would answer
			return &trouble{status: mail.Reply(451, "4.5.0", "the host wants a message for nobody")}
		}
		if _, bad := t.s.ask(t.ctx, limits.DataEnd, "after an empty message", "."); bad != nil {
			return bad
		}
	}
	if closing(data) {
		return refused(data)
	}
	return nil
}

// sequential sends one command after the other.
func (t *transaction) sequential(commands []string) *trouble {
	limits := &t.d.t.o.Timeouts
	reply, bad := t.s.ask(t.ctx, limits.Mail, "after MAIL", commands[0])
	if bad != nil {
		return bad
	}
	if closing(reply) {
		return refused(reply)
	}
	if reply.Code != 250 {
		t.all(t.to, wanted(reply, 250))
		return nil
	}
	for n, i := range t.to {
		reply, bad := t.s.ask(t.ctx, limits.Rcpt, "after RCPT", commands[1+n])
		if bad != nil {
			return bad
		}
		if closing(reply) {
			return refused(reply)
		}
		t.recipient(i, reply)
	}
	if len(t.accepted) == 0 {
		return nil
	}
	if reply, bad = t.s.ask(t.ctx, limits.DataStart, "after DATA", "DATA"); bad != nil {
		return bad
	}
	return t.data(reply)
}

// recipient takes the answer to one RCPT. "Too many recipients" after some is
// no refusal: the next transaction has room, RFC 5321 section 4.5.3.1.10.
func (t *transaction) recipient(i int, r smtp.Reply) {
	switch bad := wanted(r, 250, 251, 252); {
	case bad == nil:
		t.accepted = append(t.accepted, i)
	case len(t.accepted) > 0 && (r.Code == 452 || r.Code == 552):
		t.over = append(t.over, i)
	default:
		bad.rcpt = true
		t.d.settle(i, bad.outcome(t.s))
	}
}

// all settles recipients with the same trouble.
func (t *transaction) all(to []int, bad *trouble) {
	for _, i := range to {
		t.d.settle(i, bad.outcome(t.s))
	}
}

// data sends the message after the answer to DATA and settles the recipients
// that were accepted.
func (t *transaction) data(start smtp.Reply) *trouble {
	if closing(start) {
		return refused(start)
	}
	if start.Code != 354 {
		t.all(t.accepted, wanted(start, 354))
		return nil
	}
	if err := t.message(); err != nil {
		if errors.Is(err, errBody) {
			bad := &trouble{status: mail.Reply(451, "4.3.0", "the message cannot be read now"), err: err}
			t.all(t.accepted, bad)
			return bad
		}
		return t.interrupted(err)
	}
	if t.s.lmtp() {
		return t.each()
	}
	reply, bad := t.s.read(t.ctx, t.d.t.o.Timeouts.DataEnd, afterData)
	if bad != nil {
		// Nobody knows whether it was taken, RFC 5321 section 4.5.3.2.6. It
		// must not go to another host as well.
		t.all(t.accepted, bad)
		return bad
	}
	t.s.begun = false
	if reply.Code == 250 {
		for _, i := range t.accepted {
			t.d.settle(i, t.taken(reply))
		}
		return nil
	}
	bad = wanted(reply, 250)
	t.all(t.accepted, bad)
	if closing(reply) {
		return bad
	}
	return nil
}

// afterData is the phase in which nobody knows who has the message.
const afterData = "after the end of the message, which may arrive twice"

// taken is the outcome of a recipient for whom the host has taken the message.
func (t *transaction) taken(r smtp.Reply) mail.Outcome {
	return mail.Outcome{Status: statusOf(r), Host: t.s.host, Remote: t.s.String(), TLS: t.s.tls, Reports: t.s.ext.Has("DSN"), Timed: t.s.timed()}
}

// timed says that the host keeps to a time for delivery, or delivers at once.
func (s *session) timed() bool { return s.ext.Has("DELIVERBY") || s.lmtp() }

// message writes the message and its end.
func (t *transaction) message() error {
	w := smtp.NewDotWriter(t.s.w)
	size := t.d.body.Size()
	buf := make([]byte, min(size, 16<<10))
	for at := int64(0); at < size; {
		n, err := t.d.body.ReadAt(buf[:min(int64(len(buf)), size-at)], at)
		if n == 0 && err != nil {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return fmt.Errorf("%w: %w", errBody, err)
		}
		if _, err := w.Write(buf[:n]); err != nil {
			return err
		}
		at += int64(n)
	}
	return w.Close()
}

// interrupted is the end of a connection while we wrote to it. The host may
// have said why, and may even have refused the message for good.
func (t *transaction) interrupted(err error) *trouble {
	bad := lost(t.ctx, "sending the message", err)
	if t.ctx.Err() != nil {
		return bad
	}
	const moment = 5 * time.Second
	reply, none := t.s.read(t.ctx, moment, "sending the message")
	if none != nil || reply.Class() != mail.Transient && reply.Class() != mail.Permanent {
		return bad
	}
	bad = refused(reply)
	if reply.Class() == mail.Permanent {
		t.all(t.accepted, bad)
	}
	return bad
}
