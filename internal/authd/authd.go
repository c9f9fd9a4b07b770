// Package authd lets other mail servers of the site decide on logins by us, as
// they do by Dovecot: Postfix with smtpd_sasl_type = dovecot, Exim with its
// dovecot authenticator. Guesses count together with those at our own services,
// by the address that the server tells, which is believed: the socket is for
// servers of the site alone.
package authd

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"time"

	"plic/internal/auth"
	"plic/internal/directory"
	"plic/internal/dovecot"
	"plic/internal/mail"
	"plic/internal/sasl"
	"plic/internal/serve"
)

// Options is what a Server needs and may be told; zero values are good
// defaults.
type Options struct {
	Auth *auth.Auth
	Log  *slog.Logger
	Now  func() time.Time

	MaxConnections int           // 1000
	MaxRequests    int           // of one connection, at a time: 500
	Patience       time.Duration // until the next response of an exchange: 2 min
	WriteTimeout   time.Duration // 30 s
}

// Server answers by Dovecot's authentication protocol.
type Server struct {
	o Options

	mu          sync.Mutex
	connections int
	last        uint64 // of the numbers that connections have
}

// New makes a Server.
func New(o Options) *Server {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	for _, x := range []struct {
		at    *int
		value int
	}{{&o.MaxConnections, 1000}, {&o.MaxRequests, 500}} {
		if *x.at <= 0 {
			*x.at = x.value
		}
	}
	if o.Patience <= 0 {
		o.Patience = 2 * time.Minute
	}
	if o.WriteTimeout <= 0 {
		o.WriteTimeout = 30 * time.Second
	}
	return &Server{o: o}
}

// Serve answers on a listener until ctx ends.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	return serve.Run(ctx, l, serve.Options{Name: "auth", Log: s.o.Log}, s.admit)
}

func (s *Server) admit(nc net.Conn) serve.Session {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.connections >= s.o.MaxConnections {
		s.o.Log.Error("auth: too many connections of servers", "most", s.o.MaxConnections)
		nc.Close()
		return nil
	}
	s.connections++
	s.last++
	c := &conn{s: s, nc: nc, number: s.last, requests: map[string]*request{}}
	return func(ctx, work context.Context) {
		defer func() {
			s.mu.Lock()
			s.connections--
			s.mu.Unlock()
		}()
		defer nc.Close()
		ctx, end := context.WithCancel(ctx)
		defer end()
		defer context.AfterFunc(ctx, func() { nc.Close() })()
		if err := c.run(ctx); err != nil && ctx.Err() == nil && !errors.Is(err, net.ErrClosed) {
			s.o.Log.Warn("auth: a server was cut off", "error", err)
		}
		end()
		c.working.Wait()
	}
}

// conn is the connection of one server.
type conn struct {
	s       *Server
	nc      net.Conn
	number  uint64
	working sync.WaitGroup

	mu       sync.Mutex
	requests map[string]*request
}

// request is an exchange that is under way.
type request struct {
	exchange *auth.Exchange
	busy     bool        // we are at work; else the client is to answer
	timer    *time.Timer // of the client's answer
}

// errClient is a client that does not keep to the protocol.
var errClient = errors.New("it does not keep to the protocol")

func (c *conn) run(ctx context.Context) error {
	if err := c.greet(); err != nil {
		return err
	}
	r := bufio.NewReaderSize(c.nc, dovecot.MaxLine)
	for first := true; ; first = false {
		line, err := r.ReadSlice('\n')
		if err != nil {
			if len(line) == 0 && !errors.Is(err, bufio.ErrBufferFull) {
				return nil // it has gone
			}
			return err
		}
		fields := dovecot.Split(string(line[:len(line)-1]))
		if first {
			if err := dovecot.CheckVersion(fields); err != nil {
				return err
			}
			continue
		}
		if err := c.command(ctx, fields); err != nil {
			return err
		}
	}
}

// greet says what there is. It does not wait for the client, as some wait for us.
func (c *conn) greet() error {
	text := dovecot.Version()
	for _, m := range c.s.o.Auth.Mechanisms(auth.Peer{Service: "smtp", Loopback: true}) {
		text += dovecot.Join(append([]string{"MECH", m}, traits(m)...)...)
	}
	cookie := make([]byte, 16)
	rand.Read(cookie)
	text += dovecot.Join("SPID", strconv.FormatUint(c.number, 10)) + dovecot.Join("CUID", strconv.FormatUint(c.number, 10)) +
		dovecot.Join("COOKIE", hex.EncodeToString(cookie)) + dovecot.Join("DONE")
	return c.write(text)
}

// traits are what a server chooses mechanisms by.
func traits(mechanism string) []string {
	switch mechanism {
	case sasl.Plain, sasl.Login:
		return []string{"plaintext"}
	case sasl.CRAM:
		return []string{"dictionary", "active"}
	case sasl.SCRAM, sasl.SCRAM1:
		return []string{"mutual-auth"}
	case sasl.Anonymous:
		return []string{"anonymous"}
	}
	return nil
}

func (c *conn) write(text string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.nc.SetWriteDeadline(time.Now().Add(c.s.o.WriteTimeout))
	_, err := c.nc.Write([]byte(text))
	return err
}

// command does one line of the client.
func (c *conn) command(ctx context.Context, fields []string) error {
	switch fields[0] {
	case "CPID":
		return nil
	case "AUTH":
		if len(fields) < 3 {
			return errClient
		}
		return c.begin(ctx, fields[1], fields[2], dovecot.Parameters(fields[3:]))
	case "CONT":
		if len(fields) != 3 {
			return errClient
		}
		return c.carryOn(ctx, fields[1], fields[2])
	case "CANCEL":
		if len(fields) != 2 {
			return errClient
		}
		c.forget(fields[1])
		return nil
	}
	return errClient
}

// begin starts an exchange.
func (c *conn) begin(ctx context.Context, id, mechanism string, p map[string]string) error {
	if _, err := strconv.ParseUint(id, 10, 32); err != nil {
		return errClient
	}
	var response []byte // nil: no initial one
	if text, ok := p["resp"]; ok {
		raw, err := base64.StdEncoding.AppendDecode([]byte{}, []byte(text))
		if err != nil {
			return c.fail(id, auth.ErrMalformed)
		}
		response = raw
	}
	x, err := c.s.o.Auth.Begin(ctx, c.peer(p), mechanism)
	if err != nil {
		return c.fail(id, err)
	}
	c.mu.Lock()
	_, taken := c.requests[id]
	full := len(c.requests) >= c.s.o.MaxRequests
	r := &request{exchange: x, busy: true}
	if !taken && !full {
		c.requests[id] = r
		r.timer = time.AfterFunc(c.s.o.Patience, func() { c.expire(id, r) })
	}
	c.mu.Unlock()
	switch {
	case taken:
		return errClient
	case full:
		return c.fail(id, auth.ErrTemporary)
	}
	c.working.Go(func() { c.step(ctx, id, r, response) })
	return nil
}

// peer is the client of the server, as the server tells it.
func (c *conn) peer(p map[string]string) auth.Peer {
	remote, _ := netip.ParseAddr(p["rip"])
	local, err := netip.ParseAddr(p["lip"])
	_, secured := p["secured"]
	service := p["service"]
	if !slices.Contains(directory.MailProtocols(), directory.Protocol(service)) {
		service = "smtp"
	}
	return auth.Peer{
		Service: service, Remote: remote, Conn: mail.NewID(c.s.o.Now()),
		Loopback: secured || remote.IsLoopback() || err == nil && local == remote,
	}
}

// carryOn takes the next response of an exchange.
func (c *conn) carryOn(ctx context.Context, id, text string) error {
	response, err := base64.StdEncoding.AppendDecode([]byte{}, []byte(text))
	c.mu.Lock()
	r := c.requests[id]
	idle := r != nil && !r.busy
	if idle {
		r.busy = true
	}
	c.mu.Unlock()
	switch {
	case r == nil:
		return c.fail(id, auth.ErrMalformed) // it may have expired just now
	case !idle:
		return errClient
	case err != nil:
		c.forget(id)
		return c.fail(id, auth.ErrMalformed)
	}
	c.working.Go(func() { c.step(ctx, id, r, response) })
	return nil
}

// step takes one response and answers. A panic ends this exchange alone.
func (c *conn) step(ctx context.Context, id string, r *request, response []byte) {
	defer func() {
		if p := recover(); p != nil {
			c.s.o.Log.Error("auth: panic", "panic", p)
			c.end(id, r)
			c.fail(id, auth.ErrTemporary)
		}
	}()
	challenge, done, err := r.exchange.Next(ctx, response)
	switch {
	case err != nil:
		c.end(id, r)
		c.fail(id, err)
	case done:
		c.end(id, r)
		c.write(dovecot.Join("OK", id, "user="+r.exchange.Account()))
	default:
		c.mu.Lock()
		r.busy = false
		r.timer.Reset(c.s.o.Patience)
		c.mu.Unlock()
		c.write(dovecot.Join("CONT", id, base64.StdEncoding.EncodeToString(challenge)))
	}
}

// end takes an exchange off the books.
func (c *conn) end(id string, r *request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r.timer.Stop()
	if c.requests[id] == r {
		delete(c.requests, id)
	}
}

func (c *conn) forget(id string) {
	c.mu.Lock()
	r := c.requests[id]
	c.mu.Unlock()
	if r != nil {
		c.end(id, r)
	}
}

// expire ends an exchange whose client does not answer.
func (c *conn) expire(id string, r *request) {
	c.mu.Lock()
	waiting := c.requests[id] == r && !r.busy
	if waiting {
		delete(c.requests, id)
	}
	c.mu.Unlock()
	if waiting {
		c.fail(id, auth.ErrTemporary)
	}
}

// fail tells that a login has failed, and whether to ask for another password.
func (c *conn) fail(id string, err error) error {
	switch {
	case errors.Is(err, auth.ErrBad):
		return c.write(dovecot.Join("FAIL", id))
	case errors.Is(err, auth.ErrNoMechanism), errors.Is(err, auth.ErrNeedTLS), errors.Is(err, auth.ErrMalformed):
		return c.write(dovecot.Join("FAIL", id, "reason="+err.Error()))
	}
	return c.write(dovecot.Join("FAIL", id, "temp", "code=temp_fail"))
}
