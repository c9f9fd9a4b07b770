package smtpd

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"runtime/debug"
	"sync"
	"time"

	"plic/internal/journal"
	"plic/internal/mail"
	"plic/internal/sasl"
	"plic/internal/serve"
	"plic/internal/smtp"
)

const (
	readSize  = 8 << 10
	maxOut    = 4 << 10  // replies that may wait to be written together
	maxResync = 64 << 10 // of a line that is too long, before we give up on it
	maxLinger = 1 << 20  // read after the last reply, so that it is not lost
)

// conn is one connection: its octets, its time-outs, its end. It outlives the
// session in it, which STARTTLS begins anew.
type conn struct {
	s       *Server
	kind    Kind
	ctx     context.Context
	id      mail.ID
	socket  netip.AddrPort // who is connected; invalid for a socket of this host
	remote  netip.AddrPort // who is served, mostly the peer
	ours    netip.AddrPort
	started time.Time
	known   journal.Event // what every record of this connection says
	raw     net.Conn      // as it was accepted; stop and kill use it from outside
	nc      net.Conn      // raw, or TLS over it

	r      *bufio.Reader // over Read
	out    []byte        // replies not yet written
	broken error         // writing failed
	due    time.Time     // when the command line that is coming must be whole
	body   *pace         // a message is coming

	tls *tls.ConnectionState

	end    bool      // nothing more is read
	linger bool      // the peer may still be writing
	errors int       // since the last message
	junk   int       // since the last message
	last   time.Time // when the last message was taken

	mu       sync.Mutex // guards what stop looks at, and the read deadline
	stopping bool
	busy     bool      // in a transaction
	armed    time.Time // the read deadline
}

func newConn(s *Server, kind Kind, nc net.Conn) *conn {
	now := s.o.Now()
	c := &conn{
		s: s, kind: kind, raw: nc, nc: nc, id: mail.NewID(now), started: now, last: now,
		socket: serve.Remote(nc), ours: serve.Local(nc),
	}
	c.remote = c.socket
	c.known = journal.Event{Service: kind.String(), Conn: c.id}
	if c.remote.IsValid() {
		c.known.Remote = c.remote.String()
	}
	return c
}

// local says that the peer is on this host.
func (c *conn) local() bool { return !c.socket.IsValid() || c.socket.Addr().IsLoopback() }

// network is what connections are counted by.
func (c *conn) network() netip.Prefix {
	addr, bits := c.socket.Addr(), 32
	if addr.Is6() {
		bits = 64
	}
	prefix, _ := addr.WithZone("").Prefix(bits) // the bits suit the address
	return prefix
}

// run serves the connection to its end. A panic ends this one only.
func (c *conn) run(ctx context.Context) {
	c.ctx = ctx
	defer c.close()
	defer func() {
		if v := recover(); v != nil {
			c.s.panics.Add(1)
			c.s.o.Log.Error("panic in a session", "service", c.kind.String(), "conn", c.id.String(),
				"panic", fmt.Sprint(v), "stack", string(debug.Stack()))
			c.record(journal.Event{Kind: journal.Panic, Reason: fmt.Sprint(v)})
		}
	}()
	if c.kind == MX && c.s.o.Reverse != nil && c.remote.IsValid() {
		c.known.Name = c.s.o.Reverse(ctx, c.remote.Addr())
	}
	c.record(journal.Event{Kind: journal.Connect})
	if c.kind == Submissions {
		if err := c.handshake(); err != nil {
			return
		}
	}
	c.r = bufio.NewReaderSize(c, readSize)
	s := &session{conn: c}
	defer func() { s.reset() }() // s is another one after STARTTLS
	s.greet()
	for !c.end {
		if s.expired() {
			break
		}
		line, err := c.readLine(smtp.MaxCommand)
		if err != nil {
			s.lineError(line, err)
			continue
		}
		s = s.command(line)
	}
}

// close writes what is left and ends the connection.
func (c *conn) close() {
	c.flush()
	if c.linger && c.broken == nil {
		c.drain()
	}
	c.nc.Close() // there is nobody to tell
	c.s.o.Guard.Gone(c.id)
	c.record(journal.Event{Kind: journal.Disconnect, Took: c.s.o.Now().Sub(c.started)})
}

// drain reads on for a little while: a socket closed with unread octets takes
// back what we wrote.
func (c *conn) drain() {
	half, ok := c.nc.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		return
	}
	c.nc.SetReadDeadline(time.Now().Add(time.Second))
	io.CopyN(io.Discard, c.nc, maxLinger) // best effort
}

// Read fills the buffer; so it runs only when nothing is left to work on, and
// that is when replies must go out, RFC 2920 section 3.2.
func (c *conn) Read(p []byte) (int, error) {
	if err := c.flush(); err != nil {
		return 0, err
	}
	c.arm()
	n, err := c.nc.Read(p)
	if c.body != nil {
		c.body.octets += int64(n)
	}
	return n, err
}

// arm sets the deadline for the next octets. That of a command line is set
// once, so that a drop now and then does not keep it open.
func (c *conn) arm() {
	now := time.Now()
	var due time.Time
	if c.body != nil {
		due = c.body.due(now)
	} else {
		if c.due.IsZero() {
			c.due = now.Add(c.limits().Command)
		}
		due = c.due
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopping && !c.busy {
		due = now
	}
	c.armed = due
	c.raw.SetReadDeadline(due)
}

// pace demands that a message keeps coming.
type pace struct {
	start  time.Time
	octets int64
	idle   time.Duration
	rate   int64
}

func (p *pace) due(now time.Time) time.Time {
	idle := now.Add(p.idle)
	slowest := p.start.Add(p.idle + time.Duration(p.octets/p.rate)*time.Second)
	if slowest.Before(idle) {
		return slowest
	}
	return idle
}

// receiving begins or ends the time of a message.
func (c *conn) receiving(on bool) {
	c.body = nil
	if on {
		limits := c.limits()
		c.body = &pace{start: time.Now(), idle: limits.Data, rate: limits.Rate}
	}
}

func (c *conn) flush() error {
	if len(c.out) == 0 || c.broken != nil {
		return c.broken
	}
	c.nc.SetWriteDeadline(time.Now().Add(c.s.o.Limits.Write))
	_, c.broken = c.nc.Write(c.out)
	c.out = c.out[:0]
	return c.broken
}

// say puts a reply out.
func (c *conn) say(st mail.Status) {
	c.out = smtp.AppendStatus(c.out, st)
	if len(c.out) > maxOut {
		c.flush()
	}
}

// The errors of readLine beside those of the connection.
var (
	errTooLong = errors.New("line too long")
	errLost    = errors.New("line without an end")
	errBare    = errors.New("line ends in a bare LF")
)

// readLine reads a line of at most limit octets, whose CRLF it takes off. The
// line is valid until the next read; it comes with errBare too. Longer ones are skipped, within reason.
func (c *conn) readLine(limit int) ([]byte, error) {
	c.due = time.Time{}
	line, err := c.r.ReadSlice('\n')
	if c.kind.submission() && len(line) > 5 && bytes.EqualFold(line[:5], []byte("AUTH ")) {
		limit = max(limit, sasl.MaxResponse) // with an initial response, RFC 4954 section 4
	}
	if err == bufio.ErrBufferFull {
		if limit <= len(line) {
			return nil, c.skipLine(len(line))
		}
		long := bytes.Clone(line)
		for err == bufio.ErrBufferFull && len(long) <= limit {
			line, err = c.r.ReadSlice('\n')
			long = append(long, line...)
		}
		if err == bufio.ErrBufferFull {
			return nil, c.skipLine(len(long))
		}
		line = long
	}
	if err != nil {
		return nil, err
	}
	if len(line) > limit {
		return nil, errTooLong
	}
	if len(line) < 2 || line[len(line)-2] != '\r' {
		if c.s.o.lines(c.remote.Addr()) == smtp.Refuse {
			return line[:len(line)-1], errBare
		}
		return line[:len(line)-1], nil
	}
	return line[:len(line)-2], nil
}

// skipLine passes over the rest of a line.
func (c *conn) skipLine(had int) error {
	for had <= maxResync {
		part, err := c.r.ReadSlice('\n')
		had += len(part)
		if err == nil {
			return errTooLong
		}
		if err != bufio.ErrBufferFull {
			return err
		}
	}
	return errLost
}

// setBusy says whether a stop must wait for us.
func (c *conn) setBusy(on bool) {
	c.mu.Lock()
	c.busy = on
	c.mu.Unlock()
}

// stop asks the session to end: now if it is idle, after its transaction else.
func (c *conn) stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopping = true
	if !c.busy {
		c.raw.SetReadDeadline(time.Now())
	}
}

// stopped says that the session must end at its next pause.
func (c *conn) stopped() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stopping && !c.busy
}

// kill ends the connection under the session.
func (c *conn) kill() { c.raw.Close() }

// handshake makes the connection one of TLS and forgets what was read before.
func (c *conn) handshake() error {
	config := c.s.tlsConfig(c.kind)
	if config == nil {
		err := errors.New("no TLS configuration")
		c.record(journal.Event{Kind: journal.TLS, Reason: err.Error()})
		return err
	}
	if err := c.flush(); err != nil {
		return err
	}
	over := tls.Server(c.nc, config)
	c.nc.SetDeadline(time.Now().Add(c.limits().Handshake))
	err := over.HandshakeContext(c.ctx)
	c.nc.SetDeadline(time.Time{})
	if err != nil {
		c.record(journal.Event{Kind: journal.TLS, Reason: err.Error()})
		return err
	}
	c.nc = over
	state := over.ConnectionState()
	c.tls = &state
	c.known.TLS = tls.VersionName(state.Version) + " " + tls.CipherSuiteName(state.CipherSuite)
	return nil
}

// record writes an event of this connection into the journal.
func (c *conn) record(e journal.Event) {
	if c.s.o.Journal == nil {
		return
	}
	k := &c.known
	e.Time, e.Service, e.Conn, e.Remote, e.Name = c.s.o.Now(), k.Service, k.Conn, k.Remote, k.Name
	e.Helo, e.TLS, e.Account = k.Helo, k.TLS, k.Account
	c.s.o.Journal.Record(e)
}
