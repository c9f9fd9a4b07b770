package remote

import (
	"context"
	"errors"
	"io"
	"time"

	"plic/internal/journal"
	"plic/internal/mail"
)

// delivery is one try for one item.
type delivery struct {
	t        *Transport
	item     *mail.Item
	body     mail.Body
	outcomes []mail.Outcome
	done     []bool // the outcome is final
	left     int    // outcomes to come
	wide     *bool  // the header is not ASCII; nil until somebody asks

	shares  []share // by hop: one, unless items of a message go in company
	found   []place // where they go; nil if nobody has looked
	boarded bool    // at the place at hand a session came to where mail can be sent
}

func newDelivery(t *Transport, item *mail.Item, body mail.Body) *delivery {
	n := len(item.To)
	return &delivery{
		t: t, item: item, body: body, outcomes: make([]mail.Outcome, n), done: make([]bool, n), left: n,
		shares: []share{{hop: item.Hop, end: n, aboard: true, called: true}},
	}
}

// settle gives a recipient its outcome; the first one counts.
func (d *delivery) settle(i int, o mail.Outcome) {
	if !d.done[i] {
		d.done[i] = true
		d.outcomes[i] = o
		d.left--
	}
}

// rest gives all recipients without an outcome the same one.
func (d *delivery) rest(bad *trouble) {
	for i := range d.done {
		d.settle(i, bad.outcome(nil))
	}
}

func (d *delivery) apart() bool { return apart(&d.item.Envelope) }

// pending are the recipients without an outcome that the session at hand is for.
func (d *delivery) pending() []int {
	var list []int
	for _, sh := range d.shares {
		for i := sh.first; sh.aboard && i < sh.end; i++ {
			if !d.done[i] {
				list = append(list, i)
			}
		}
	}
	return list
}

// run goes to one place after the other until all recipients have outcomes.
func (d *delivery) run(ctx context.Context) {
	if d.left == 0 {
		return
	}
	if d.item.Envelope.Kind == mail.BodyBinary {
		// RFC 3030 section 3: binary data may not go where it may be changed.
		d.rest(&trouble{status: mail.Reply(554, "5.6.3", "binary messages cannot be sent on")})
		return
	}
	if !d.apart() && len(d.shares) == 1 {
		if s := d.t.idle.take(d.item.Hop); s != nil {
			d.reuse(ctx, s)
		}
		if d.left == 0 {
			return
		}
	}
	places := d.found
	if places == nil {
		var bad *trouble
		if places, bad = d.t.places(ctx, d.item.Hop); bad != nil {
			d.rest(bad)
			return
		}
	}
	for i, p := range places {
		if i >= d.t.o.MaxAddresses || d.left == 0 || ctx.Err() != nil {
			break
		}
		d.call(ctx, p)
	}
	for _, sh := range d.shares {
		worst := sh.worst
		if worst == nil {
			worst = &verdict{bad: &trouble{status: mail.Reply(451, "4.4.2", "the delivery took too long"), err: ctx.Err()}}
		}
		for i := sh.first; i < sh.end; i++ {
			d.settle(i, worst.bad.outcome(worst.s))
		}
	}
}

// verdict is what the hosts come to when none took the mail.
type verdict struct {
	bad *trouble
	s   *session
}

// yields says whether the trouble at the next host is to be reported rather
// than what was there before: as long as one host may take the mail later,
// nobody has refused it for good; among equals the last one speaks.
func (v *verdict) yields(to *trouble) bool {
	return v == nil || to.status.Temporary() || !v.bad.status.Temporary()
}

// reuse sends over a session that was kept. If it does not last, that is no
// trouble: it may have been closed long ago.
func (d *delivery) reuse(ctx context.Context, s *session) {
	began := time.Now()
	if bad := d.converse(ctx, s, Requirement{}, false); bad == nil {
		d.note(s, s.place, nil, began)
	}
}

// visit tries one place, without TLS if it cannot be had and need not. A
// session is given only to tell where the trouble was.
func (d *delivery) visit(ctx context.Context, p place, lead *share) (*trouble, *session) {
	need := Requirement{TLS: Cleartext} // on a socket of this host
	if p.path == "" {
		need = d.need(ctx, lead, p)
	}
	p.why = need.Why
	began := time.Now()
	if need.Refuse != nil {
		bad := &trouble{status: mail.StatusOf(need.Refuse), err: need.Refuse}
		d.note(nil, p, bad, began)
		return bad, nil
	}
	if !d.apart() {
		if s := d.t.idle.share(p.spot(d.item.Hop), need); s != nil {
			s.hop, s.place = d.item.Hop, p
			d.reuse(ctx, s)
		}
		if len(d.pending()) == 0 {
			return nil, nil
		}
		began = time.Now()
	}
	bad, s := d.enter(ctx, p, need)
	for bad != nil && errors.Is(bad.err, errSpent) {
		d.note(s, p, nil, began)
		began = time.Now()
		bad, s = d.enter(ctx, p, need)
	}
	if bad != nil && errors.Is(bad.err, errNoTLS) && need.TLS == Opportunistic && !d.t.o.NoClearRetry && p.addr.Port() != 465 && ctx.Err() == nil {
		d.note(s, p, bad, began)
		began = time.Now()
		bad, s = d.enter(ctx, p, Requirement{TLS: Cleartext})
	}
	bad.because(need)
	d.note(s, p, bad, began)
	return bad, s
}

// enter opens a session at a place and sends what is pending.
func (d *delivery) enter(ctx context.Context, p place, need Requirement) (*trouble, *session) {
	s, bad := d.t.dial(ctx, d.item.Hop, p)
	if bad != nil {
		return bad, nil
	}
	return d.converse(ctx, s, need, true), s
}

// converse sends what is pending over a session, which is kept for others
// afterwards, or ended, whatever happens.
func (d *delivery) converse(ctx context.Context, s *session, need Requirement, fresh bool) (bad *trouble) {
	keep := false
	release := s.use(ctx)
	defer func() {
		release()
		switch {
		case keep:
			d.t.idle.put(s)
		case bad != nil && (bad.said || errors.Is(bad.err, errSpent)):
			s.quit()
		default:
			s.drop()
		}
	}()
	if fresh {
		if bad = s.open(ctx, need); bad != nil {
			return bad
		}
	}
	d.board(ctx, s)
	bad = d.send(ctx, s)
	keep = bad == nil && !d.apart()
	return bad
}

// note writes a try of a place into the journal.
func (d *delivery) note(s *session, p place, bad *trouble, began time.Time) {
	e := journal.Event{
		Kind: journal.Attempt, Service: "smtp-out", Message: d.item.Envelope.ID, Host: p.host, Remote: p.String(),
		From: d.item.Envelope.From.String(), Policy: p.why, Size: d.item.Size, Attempt: d.item.Attempts + 1, Took: time.Since(began),
	}
	if s != nil {
		e.TLS = s.tls
		if s.mark != nil {
			e.Reason = "without TLS: " + s.mark.Error()
		}
	}
	if bad != nil {
		e.Status, e.Fault = bad.status.String(), bad.fault()
		if bad.err != nil {
			e.Reason = bad.err.Error()
		}
	}
	d.t.o.Journal.Record(e)
}

// isWide says whether the message's header has octets above 127, so that it
// needs SMTPUTF8, RFC 6532.
func (d *delivery) isWide() bool {
	if d.wide == nil {
		wide := scanHeader(io.NewSectionReader(d.body, 0, d.body.Size()))
		d.wide = &wide
	}
	return *d.wide
}

// scanHeader looks for an octet above 127 before the first empty line.
func scanHeader(r io.Reader) bool {
	buf := make([]byte, 4096)
	line := 0 // octets in this line but for CR
	for {
		n, err := r.Read(buf)
		for _, c := range buf[:n] {
			switch {
			case c >= 0x80:
				return true
			case c == '\n' && line == 0:
				return false
			case c == '\n':
				line = 0
			case c != '\r':
				line++
			}
		}
		if err != nil {
			return false
		}
	}
}
