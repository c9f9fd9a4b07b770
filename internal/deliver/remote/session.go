package remote

import (
	"bufio"
	"context"
	"net"
	"net/netip"
	"strings"
	"time"

	"plic/internal/mail"
	"plic/internal/smtp"
)

// session is a conversation with one host.
type session struct {
	t   *Transport
	hop mail.Hop
	place
	conn net.Conn // with TLS once it is there
	wire *timed   // below it
	r    *bufio.Reader
	w    *bufio.Writer
	ext  smtp.Extensions
	tls  string // version and cipher, "" without
	mark error  // why TLS was not had, if it was tried

	offered bool // the host offered TLS

	sent  int    // transactions so far
	begun bool   // the last of them may still be open at the host
	hello string // what we were greeted with
}

// timed is a connection whose every write has a time of its own to end. Its
// other deadlines are the session's.
type timed struct {
	net.Conn
	ctx   context.Context // of the delivery that has the session now
	block time.Duration
}

func (c *timed) Write(p []byte) (int, error) {
	c.limit(c.Conn.SetWriteDeadline, c.block)
	return c.Conn.Write(p)
}

// limit sets a deadline, which is never after that of the context.
func (c *timed) limit(set func(time.Time) error, d time.Duration) {
	at := time.Now().Add(d)
	if end, ok := c.ctx.Deadline(); ok && end.Before(at) {
		at = end
	}
	set(at)
	if c.ctx.Err() != nil { // the cancellation may have come before set
		set(time.Unix(1, 0))
	}
}

// dial connects to a place.
func (t *Transport) dial(ctx context.Context, hop mail.Hop, p place) (*session, *trouble) {
	dialing, cancel := context.WithTimeout(ctx, t.o.Timeouts.Connect)
	defer cancel()
	conn, err := t.connect(dialing, hop, p)
	if err != nil {
		return nil, &trouble{status: mail.Reply(451, "4.4.1", "cannot connect to "+p.host+" at "+p.String()), err: err}
	}
	s := &session{t: t, hop: hop, place: p}
	s.wire = &timed{Conn: conn, ctx: ctx, block: t.o.Timeouts.DataBlock}
	s.over(s.wire)
	return s, nil
}

// connect opens a connection to a place, from the address that the hop wants.
func (t *Transport) connect(ctx context.Context, hop mail.Hop, p place) (net.Conn, error) {
	if p.path != "" {
		return t.o.Dial(ctx, "unix", p.path)
	}
	for source := range strings.FieldsSeq(hop.Source) {
		if from, err := netip.ParseAddr(source); err == nil && from.Is4() == p.addr.Addr().Is4() {
			return t.o.DialFrom(ctx, from, "tcp", p.addr.String())
		}
	}
	return t.o.Dial(ctx, "tcp", p.addr.String())
}

// over lets the session speak through conn. What was buffered is forgotten.
func (s *session) over(conn net.Conn) {
	s.conn = conn
	s.r, s.w = bufio.NewReader(conn), bufio.NewWriterSize(conn, 16<<10)
}

// use binds the session to the context of a delivery until release is called.
func (s *session) use(ctx context.Context) (release func()) {
	s.wire.ctx = ctx
	stop := context.AfterFunc(ctx, func() { s.wire.Conn.SetDeadline(time.Unix(1, 0)) })
	return func() { stop() }
}

// open brings a new session to where mail can be sent.
func (s *session) open(ctx context.Context, need Requirement) *trouble {
	if need.TLS != Cleartext && s.addr.Port() == 465 { // RFC 8314 section 3
		if bad := s.handshake(ctx, need); bad != nil {
			s.tell(need, bad)
			return bad
		}
	}
	reply, bad := s.read(ctx, s.t.o.Timeouts.Greeting, "waiting for the greeting")
	if bad == nil {
		bad = wanted(reply, 220)
	}
	if bad != nil {
		return bad
	}
	if s.hello = reply.Status().Text; !s.hop.Exact && s.t.greetsAsUs(s.hello) {
		return &trouble{status: mail.Reply(554, "5.4.6", "mail for "+s.hop.Host+" loops back to this host")}
	}
	if bad := s.greet(ctx); bad != nil {
		return bad
	}
	bad = s.secure(ctx, need)
	s.tell(need, bad)
	if bad != nil {
		return bad
	}
	if need.Offer != "" && !s.ext.Has(need.Offer) { // RFC 8689 section 4.2.1
		return &trouble{status: mail.Reply(550, "5.7.30", "the message needs "+need.Offer+", which "+s.host+" does not offer")}
	}
	if s.hop.Login != "" {
		return s.login(ctx)
	}
	return nil
}

// greet says EHLO, and HELO to a host that does not know it, RFC 5321 section
// 3.2.
func (s *session) greet(ctx context.Context) *trouble {
	verb := "EHLO"
	if s.lmtp() {
		verb = "LHLO"
	}
	reply, bad := s.ask(ctx, s.t.o.Timeouts.Command, "after "+verb, verb+" "+s.t.o.Hostname)
	if bad != nil {
		return bad
	}
	s.ext = smtp.Extensions{}
	if reply.Code == 250 {
		s.ext = smtp.ParseExtensions(reply)
		return nil
	}
	if reply.Class() != mail.Permanent || s.lmtp() {
		return wanted(reply, 250)
	}
	if reply, bad = s.ask(ctx, s.t.o.Timeouts.Command, "after HELO", "HELO "+s.t.o.Hostname); bad != nil {
		return bad
	}
	return wanted(reply, 250)
}

// ask sends one command and reads its reply.
func (s *session) ask(ctx context.Context, d time.Duration, phase, line string) (smtp.Reply, *trouble) {
	if bad := s.write(ctx, phase, line); bad != nil {
		return smtp.Reply{}, bad
	}
	return s.read(ctx, d, phase)
}

// write sends lines at once.
func (s *session) write(ctx context.Context, phase string, lines ...string) *trouble {
	for _, line := range lines {
		s.w.WriteString(line)
		s.w.WriteString("\r\n")
	}
	if err := s.w.Flush(); err != nil {
		return lost(ctx, phase, err)
	}
	return nil
}

// read reads one whole reply within d.
func (s *session) read(ctx context.Context, d time.Duration, phase string) (smtp.Reply, *trouble) {
	s.wire.limit(s.wire.SetReadDeadline, d)
	reply, err := smtp.ReadReply(s.r)
	if err != nil {
		return reply, lost(ctx, phase, err)
	}
	return reply, nil
}

// quit ends the session as politely as it costs no time: nobody waits for the
// answer.
func (s *session) quit() {
	s.wire.ctx = context.Background()
	s.wire.block = time.Second
	s.w.WriteString("QUIT\r\n")
	s.w.Flush()
	s.conn.Close()
}

// drop ends the session without a word.
func (s *session) drop() { s.wire.Conn.Close() }
