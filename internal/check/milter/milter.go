// Package milter asks filters that speak Sendmail's protocol, version 6, about
// sessions, senders, recipients and messages, and gives what they want changed:
// OpenDKIM, OpenDMARC and many others are such. What each of them needs not see
// it is not sent, as they agree at the start of a connection.
//
// A filter that does not answer is out for the rest of a session: as it is set,
// mail goes on without it, or is put off.
package milter

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"time"

	"plic/internal/journal"
	"plic/internal/mail"
	"plic/internal/message"
)

// Filter is one milter and how it is reached.
type Filter struct {
	Name             string // for people
	Network, Address string // "unix" or "tcp", and where
	Connect          time.Duration
	Command          time.Duration // for an answer
	Content          time.Duration // for that to the end of a message
	Open             bool          // mail goes on when it does not answer
	Services         []string      // whose sessions it sees: "smtp", "submission", "lmtp", "local"; none is all
}

// Options are what a Client works with.
type Options struct {
	Filters []Filter // in the order in which they see mail
	Host    string   // our name
	Version string
	Now     func() time.Time
	Dial    func(ctx context.Context, network, address string) (net.Conn, error)
	Journal *journal.Journal
	Log     *slog.Logger
}

// Client keeps the sessions of milters beside those of SMTP. Its methods may be
// called at the same time; their errors are *mail.Failure.
type Client struct {
	o Options

	mu       sync.Mutex
	sessions map[mail.ID]*session
}

// New makes a Client.
func New(o Options) *Client {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Dial == nil {
		o.Dial = (&net.Dialer{}).DialContext
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	for i := range o.Filters {
		f := &o.Filters[i]
		f.Connect, f.Command, f.Content = or(f.Connect, 30*time.Second), or(f.Command, 30*time.Second), or(f.Content, 5*time.Minute)
	}
	return &Client{o: o, sessions: map[mail.ID]*session{}}
}

func or(d, otherwise time.Duration) time.Duration {
	if d == 0 {
		return otherwise
	}
	return d
}

// session is one SMTP session as the milters see it.
type session struct {
	mu    sync.Mutex // one command of a session at a time
	links []*link
}

// session finds that of a connection, or begins it.
func (c *Client) session(o *mail.Origin) *session {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.sessions[o.Conn]
	if s == nil {
		s = c.begin(o)
		if !o.Conn.IsZero() {
			c.sessions[o.Conn] = s
		}
	}
	return s
}

func (c *Client) begin(o *mail.Origin) *session {
	s := &session{}
	for i := range c.o.Filters {
		f := &c.o.Filters[i]
		if len(f.Services) == 0 || slices.Contains(f.Services, o.Service) {
			s.links = append(s.links, &link{c: c, f: f})
		}
	}
	return s
}

// Client is asked before a client is greeted.
func (c *Client) Client(ctx context.Context, o *mail.Origin) error {
	return c.each(o, func(l *link) error { return l.client(ctx, o) })
}

// Hello is asked when a client has said who it is.
func (c *Client) Hello(ctx context.Context, o *mail.Origin) error {
	return c.each(o, func(l *link) error { return l.hello(ctx, o) })
}

// Sender is asked at MAIL.
func (c *Client) Sender(ctx context.Context, env *mail.Envelope) error {
	return c.each(&env.Origin, func(l *link) error { return l.sender(ctx, env) })
}

// Recipient is asked at RCPT.
func (c *Client) Recipient(ctx context.Context, env *mail.Envelope, to mail.Recipient) error {
	return c.each(&env.Origin, func(l *link) error { return l.recipient(ctx, env, to) })
}

// Gone ends what is kept of a connection.
func (c *Client) Gone(conn mail.ID) {
	c.mu.Lock()
	s := c.sessions[conn]
	delete(c.sessions, conn)
	c.mu.Unlock()
	if s != nil {
		s.close()
	}
}

func (s *session) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.links {
		l.close()
	}
}

// each asks all milters of a session, until one refuses.
func (c *Client) each(o *mail.Origin, ask func(*link) error) error {
	if len(c.o.Filters) == 0 {
		return nil
	}
	s := c.session(o)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.links {
		if err := l.result(ask(l)); err != nil {
			return err
		}
	}
	return nil
}

// Change is what milters want of a message.
type Change struct {
	Text     []byte // the message as they have changed it; nil if they have not
	From     *mail.Address
	Add, Del []mail.Address // recipients
	Discard  bool
	Hold     string // why it is to be held; "" for not
}

// Any says that something is to be changed.
func (x *Change) Any() bool {
	return x.Text != nil || x.From != nil || len(x.Add)+len(x.Del) > 0 || x.Discard || x.Hold != ""
}

// Message asks about a whole message. Milters that have not seen its session, as
// there was none, are told of one.
func (c *Client) Message(ctx context.Context, env *mail.Envelope, body mail.Body) (*Change, error) {
	x := &Change{}
	if len(c.o.Filters) == 0 {
		return x, nil
	}
	s := c.session(&env.Origin)
	s.mu.Lock()
	defer s.mu.Unlock()
	if env.Origin.Conn.IsZero() {
		defer func() {
			for _, l := range s.links {
				l.close()
			}
		}()
	}
	var m *letter
	for _, l := range s.links {
		if err := l.result(l.catchUp(ctx, env)); err != nil {
			return nil, err
		}
		if l.idle() {
			continue
		}
		if m == nil {
			var err error
			if m, err = read(body); err != nil {
				return nil, err
			}
		}
		if err := l.result(l.message(ctx, env, m, x)); err != nil {
			return nil, err
		}
		if x.Discard {
			return x, nil
		}
	}
	if m != nil && m.changed {
		x.Text = m.bytes()
	}
	return x, nil
}

// trouble is what keeps a milter from answering.
type trouble struct{ err error }

func (t *trouble) Error() string { return t.err.Error() }

// result is what a client is told: a milter in trouble is out.
func (l *link) result(err error) error {
	var t *trouble
	switch {
	case err == nil:
		return nil
	case !errors.As(err, &t):
		return err
	}
	l.down = true
	l.close()
	l.c.o.Log.Warn("milter: it does not answer", "milter", l.f.Name, "err", err)
	if l.c.o.Journal != nil {
		l.c.o.Journal.Record(journal.Event{Time: l.c.o.Now(), Kind: journal.Error, Service: "milter", Host: l.f.Name, Reason: err.Error()})
	}
	return l.outage()
}

// outage is what follows from a milter that is not there.
func (l *link) outage() error {
	if l.f.Open {
		return nil
	}
	return &mail.Failure{Op: "ask the milter " + l.f.Name, Status: mail.Reply(451, "4.7.1", "the service is not available now, try again later")}
}

// letter is a message as milters see and change it.
type letter struct {
	fields  []field
	body    []byte
	changed bool
}

type field struct {
	name, value string // value as it stands behind the colon, with its folding
	raw         []byte // the field as it came; nil if it is new
}

// read takes a message apart.
func read(body mail.Body) (*letter, error) {
	text := make([]byte, body.Size())
	if n, err := body.ReadAt(text, 0); n < len(text) {
		return nil, fmt.Errorf("read the message: %w", err)
	}
	m := &letter{}
	end := 0
	for name, raw := range message.Fields(text) {
		m.fields = append(m.fields, field{name: name, value: valueOf(name, raw), raw: raw})
		end += len(raw)
	}
	rest := text[end:]
	if len(rest) >= 2 && rest[0] == '\r' && rest[1] == '\n' {
		rest = rest[2:]
	}
	m.body = rest
	return m, nil
}

// bytes writes the message.
func (m *letter) bytes() []byte {
	out := make([]byte, 0, len(m.body)+4096)
	for _, f := range m.fields {
		if f.raw != nil {
			out = append(out, f.raw...)
			continue
		}
		out = append(append(append(out, f.name...), ':'), f.value...)
		out = append(out, '\r', '\n')
	}
	out = append(out, '\r', '\n')
	return append(out, m.body...)
}
