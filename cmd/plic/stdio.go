package main

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"

	"plic/internal/config"
	"plic/internal/mail"
	"plic/internal/maildrop"
	"plic/internal/smtpd"
)

// speakSMTP is sendmail -bs: a session of SMTP over standard input and output,
// whose mail is handed in as a letter.
func (a *app) speakSMTP(ctx context.Context, c *config.Config) error {
	s := smtpd.New(smtpd.Options{
		Host: c.Hostname.String(), Intake: letters{a.sender(c)}, Now: a.now, AllowEarly: true,
		Normalise: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
		Limits: smtpd.Limits{Message: c.SMTP.MessageSize, Header: int(c.SMTP.HeaderSize), HeaderLines: c.SMTP.HeaderLines,
			Hops: c.SMTP.Hops, Recipients: c.SMTP.Recipients},
	})
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	return s.Serve(ctx, &oneConn{conn: &stdio{in: bufio.NewReader(a.in), Writer: a.out, ended: stop}, done: ctx.Done()}, smtpd.MX)
}

// letters is an Intake that makes a letter of each message. Whoever may start a
// program may send anywhere.
type letters struct{ hand maildrop.Sender }

// Sender takes any.
func (letters) Sender(context.Context, *mail.Envelope) error { return nil }

// Recipient takes any.
func (letters) Recipient(context.Context, *mail.Envelope, mail.Recipient) error { return nil }

// Begin starts a letter.
func (l letters) Begin(context.Context, *mail.Envelope) (smtpd.Draft, error) {
	return &letter{hand: l.hand}, nil
}

// letter is a message in memory; smtpd bounds it.
type letter struct {
	hand maildrop.Sender
	text bytes.Buffer
}

// Write takes a piece of the message.
func (l *letter) Write(p []byte) (int, error) { return l.text.Write(p) }

// Size is how much there is.
func (l *letter) Size() int64 { return int64(l.text.Len()) }

// Body gives what there is.
func (l *letter) Body() mail.Body { return inMemory{bytes.NewReader(l.text.Bytes())} }

// Abort forgets it.
func (l *letter) Abort() {}

// Commit hands the letter in.
func (l *letter) Commit(ctx context.Context, env *mail.Envelope, trace []byte) ([]mail.Outcome, error) {
	err := l.hand.Send(ctx, &maildrop.Letter{
		Token: env.ID, From: env.From, To: env.To, Kind: env.Kind, UTF8: env.UTF8, Ret: env.Ret, EnvelopeID: env.EnvelopeID,
	}, append(trace, l.text.Bytes()...))
	if err != nil {
		return nil, err
	}
	outcomes := make([]mail.Outcome, len(env.To))
	for i := range outcomes {
		outcomes[i].Status = mail.Reply(250, "2.1.5", "accepted")
	}
	return outcomes, nil
}

type inMemory struct{ *bytes.Reader }

// Close has nothing to do.
func (inMemory) Close() error { return nil }

// oneConn is a listener with one connection.
type oneConn struct {
	conn net.Conn
	once sync.Once
	done <-chan struct{}
}

// Accept gives the connection, then waits.
func (l *oneConn) Accept() (net.Conn, error) {
	var conn net.Conn
	l.once.Do(func() { conn = l.conn })
	if conn != nil {
		return conn, nil
	}
	<-l.done
	return nil, net.ErrClosed
}

// Close has nothing to do.
func (*oneConn) Close() error { return nil }

// Addr is nowhere.
func (*oneConn) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }

// stdio is standard input and output as a connection from this host.
type stdio struct {
	in *bufio.Reader
	io.Writer
	ended func()
}

// Read gives one line: a script that has written all its commands at once is no
// early talker.
func (s *stdio) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if _, err := s.in.Peek(1); err != nil {
		return 0, err
	}
	ready, err := s.in.Peek(min(s.in.Buffered(), len(p)))
	if i := bytes.IndexByte(ready, '\n'); i >= 0 {
		ready = ready[:i+1]
	}
	n := copy(p, ready)
	s.in.Discard(n)
	return n, err
}

// Close ends the session.
func (s *stdio) Close() error {
	s.ended()
	return nil
}

// LocalAddr is this host's.
func (*stdio) LocalAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 25} }

// RemoteAddr is this host's.
func (*stdio) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }

// SetDeadline does nothing: who starts a program ends it.
func (*stdio) SetDeadline(time.Time) error { return nil }

// SetReadDeadline does nothing.
func (*stdio) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline does nothing.
func (*stdio) SetWriteDeadline(time.Time) error { return nil }
