// Package delivertest holds what transports are tested with: Remote, a host
// that takes mail by SMTP in memory or over sockets, as well or as badly as a
// test wants, and Conformance, which every SMTP transport must pass.
//
// It works inside a testing/synctest bubble, so that hours of a host's silence
// cost no time.
package delivertest

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
)

// Message is a message that a Remote has taken.
type Message struct {
	From string   // arguments of MAIL after "FROM:"
	To   []string // arguments of RCPT after "TO:"
	Data []byte   // as on the wire, without dot-stuffing and the lone dot
	TLS  bool
	User string // who logged in with PLAIN, "" for nobody
	Conn int    // number of the connection, from 1
}

// Remote is a host. Set its fields before it is first reached.
type Remote struct {
	Name       string // "mx.test" if empty
	Extensions []string
	TLS        *tls.Config // STARTTLS is offered, and works, with it
	Implicit   bool        // TLS comes first, as on port 465
	LMTP       bool        // RFC 2033; On sees EHLO for LHLO
	// On is asked before each step: "CONNECT", a verb, "." for the end of data,
	// "HANDSHAKE" before that of TLS. It does what it likes with the
	// conversation and says whether the step is thereby done.
	On func(c *Conn, step, args string) (done bool)

	mu       sync.Mutex
	messages []Message
	commands []string
	conns    int
	serving  sync.WaitGroup
	read     int // octets of a flood that the client took
}

// Settle waits until all conversations that Dial has begun are over. In a
// bubble of synctest, call it at the end.
func (r *Remote) Settle() { r.serving.Wait() }

// Messages are those taken so far.
func (r *Remote) Messages() []Message {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]Message(nil), r.messages...)
}

// Commands are the command lines so far, each with its connection's number:
// "1 EHLO client.test".
func (r *Remote) Commands() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string(nil), r.commands...)
}

// Connections is how often the host was reached.
func (r *Remote) Connections() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.conns
}

// Dial reaches the host in memory, whatever the address.
func (r *Remote) Dial(ctx context.Context, _, _ string) (net.Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	near, far := net.Pipe()
	r.serving.Go(func() { r.Serve(far) })
	return near, nil
}

// Serve serves one connection.
func (r *Remote) Serve(conn net.Conn) {
	defer conn.Close()
	r.mu.Lock()
	r.conns++
	c := &Conn{Conn: conn, remote: r, number: r.conns, m: Message{Conn: r.conns}}
	r.mu.Unlock()
	if r.Implicit {
		c.Handshake()
	} else {
		c.pump()
	}
	c.serve()
}

// Conn is one conversation, for Remote.On.
type Conn struct {
	net.Conn
	remote  *Remote
	number  int
	lines   chan []byte // what the client says
	m       Message
	open    bool // MAIL was accepted
	ended   bool
	answers int // that the step wants, 0 for one
}

// pump reads lines ahead of the conversation, as the buffers of a socket do:
// a client that pipelines must not wait for us. It stops after STARTTLS.
func (c *Conn) pump() {
	lines := make(chan []byte, 1<<16)
	c.lines = lines
	r := bufio.NewReader(c.Conn)
	go func() {
		defer close(lines)
		for {
			line, err := r.ReadBytes('\n')
			if err != nil {
				return
			}
			lines <- line
			if strings.EqualFold(strings.TrimSpace(string(line)), "STARTTLS") {
				return
			}
		}
	}()
}

// Reply writes lines, each with its line end added; for LMTP at the end of data
// once for each recipient.
func (c *Conn) Reply(lines ...string) {
	for range max(1, c.answers) {
		for _, line := range lines {
			if _, err := io.WriteString(c.Conn, line+"\r\n"); err != nil {
				c.End()
				return
			}
		}
	}
}

// End ends the conversation.
func (c *Conn) End() {
	c.ended = true
	c.Close()
}

// Wait says nothing until the client goes.
func (c *Conn) Wait() {
	for range c.lines {
	}
	c.End()
}

// Line reads one more line of the client; "" at the end.
func (c *Conn) Line() string {
	line, ok := <-c.lines
	if !ok {
		c.ended = true
	}
	return strings.TrimRight(string(line), "\r\n")
}

func (c *Conn) on(step, args string) bool {
	return c.remote.On != nil && c.remote.On(c, step, args)
}

func (c *Conn) name() string {
	if c.remote.Name == "" {
		return "mx.test"
	}
	return c.remote.Name
}

func (c *Conn) serve() {
	if c.ended {
		return
	}
	if !c.on("CONNECT", "") {
		c.Reply("220 " + c.name() + " ESMTP")
	}
	for !c.ended {
		raw, ok := <-c.lines
		if !ok {
			return
		}
		line := strings.TrimSuffix(string(raw), "\r\n")
		c.remote.mu.Lock()
		c.remote.commands = append(c.remote.commands, fmt.Sprintf("%d %s", c.number, line))
		c.remote.mu.Unlock()
		verb, args, _ := strings.Cut(line, " ")
		verb = strings.ToUpper(verb)
		if c.remote.LMTP && strings.HasSuffix(verb, "HLO") {
			verb = map[string]string{"LHLO": "EHLO"}[verb] // and no other, RFC 2033 section 4.1
		}
		if !c.on(verb, args) && !c.ended {
			c.command(verb, args)
		}
		if verb == "STARTTLS" && !c.m.TLS && !c.ended {
			c.pump()
		}
	}
}

func (c *Conn) command(verb, args string) {
	switch verb {
	case "EHLO":
		lines := append([]string{c.name() + " greets you"}, c.remote.Extensions...)
		if c.remote.TLS != nil && !c.m.TLS {
			lines = append(lines, "STARTTLS")
		}
		for i, line := range lines {
			if i < len(lines)-1 {
				c.Reply("250-" + line)
			} else {
				c.Reply("250 " + line)
			}
		}
	case "HELO":
		c.Reply("250 " + c.name())
	case "STARTTLS":
		c.starttls()
	case "AUTH":
		c.auth(args)
	case "MAIL":
		if c.open {
			c.Reply("503 5.5.1 nested MAIL")
			return
		}
		c.open = true
		c.m.From = args[len("FROM:"):]
		c.m.To = nil
		c.Reply("250 2.1.0 sender ok")
	case "RCPT":
		if !c.open {
			c.Reply("503 5.5.1 MAIL first")
			return
		}
		c.m.To = append(c.m.To, args[len("TO:"):])
		c.Reply("250 2.1.5 recipient ok")
	case "DATA":
		c.data()
	case "RSET":
		c.open = false
		c.Reply("250 2.0.0 forgotten")
	case "QUIT":
		c.Reply("221 2.0.0 bye")
		c.End()
	default:
		c.Reply("500 5.5.1 what")
	}
}

func (c *Conn) starttls() {
	if c.remote.TLS == nil {
		c.Reply("502 5.5.1 no TLS here")
		return
	}
	c.Reply("220 2.0.0 go ahead")
	c.Handshake()
}

// Handshake is the server's side of TLS; the conversation begins anew after it.
func (c *Conn) Handshake() {
	if c.on("HANDSHAKE", "") || c.ended {
		return
	}
	conn := tls.Server(c.Conn, c.remote.TLS)
	if err := conn.Handshake(); err != nil {
		c.End()
		return
	}
	c.Conn = conn
	c.m.TLS = true
	c.pump()
}

func (c *Conn) data() {
	if len(c.m.To) == 0 {
		c.Reply("554 5.5.1 no valid recipients")
		return
	}
	c.Reply("354 go on")
	var data bytes.Buffer
	for {
		line, ok := <-c.lines
		if !ok {
			c.ended = true
			return
		}
		if string(line) == ".\r\n" {
			break
		}
		data.Write(bytes.TrimPrefix(line, []byte(".")))
	}
	c.m.Data = data.Bytes()
	c.open = false
	if c.remote.LMTP {
		c.answers = len(c.m.To)
		defer func() { c.answers = 0 }()
	}
	if c.on(".", "") {
		return
	}
	c.Accept("250 2.0.0 taken as " + fmt.Sprint(c.number))
}

// Accept takes the message and says so.
func (c *Conn) Accept(reply string) {
	c.remote.mu.Lock()
	c.remote.messages = append(c.remote.messages, c.m)
	c.remote.mu.Unlock()
	c.Reply(reply)
}

// To is what the transaction's RCPT commands gave.
func (c *Conn) To() []string { return c.m.To }

// Reset ends the conversation with a TCP reset, where there is TCP.
func (c *Conn) Reset() {
	conn := c.Conn
	if over, ok := conn.(*tls.Conn); ok {
		conn = over.NetConn()
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		tcp.SetLinger(0)
	}
	conn.Close()
	c.ended = true
}
