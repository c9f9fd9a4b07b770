package world

import (
	"bufio"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Conn is a client's connection, for speaking SMTP, IMAP or POP3 word by word.
// Where something goes wrong that the test did not ask about, the test fails.
type Conn struct {
	net.Conn
	tb    testing.TB
	tls   *tls.Config
	r     *bufio.Reader
	tag   int
	Hello string // the last answer to EHLO
}

// Dial connects to an address, from another one if from is not "". host is the
// name that a certificate must have.
func (w *World) Dial(tb testing.TB, from, to, host string) *Conn {
	tb.Helper()
	d := net.Dialer{Timeout: Patience}
	if from != "" {
		d.LocalAddr = &net.TCPAddr{IP: net.ParseIP(from)}
	}
	nc, err := d.DialContext(tb.Context(), "tcp", to)
	fatal(tb, err)
	tb.Cleanup(func() { nc.Close() })
	return &Conn{Conn: nc, tb: tb, r: bufio.NewReader(nc), tls: w.ClientTLS(host)}
}

// Handshake puts TLS over the connection, and forgets nothing that was read
// before it: the test fails if there was more.
func (c *Conn) Handshake() {
	c.tb.Helper()
	if c.r.Buffered() > 0 {
		c.tb.Fatal("the server said more before the handshake")
	}
	over := tls.Client(c.Conn, c.tls)
	c.SetDeadline(time.Now().Add(Patience))
	fatal(c.tb, over.Handshake())
	c.Conn, c.r = over, bufio.NewReader(over)
}

// Certificate shakes hands and gives the server's certificate.
func (c *Conn) Certificate() []byte {
	c.tb.Helper()
	c.Handshake()
	return c.Conn.(*tls.Conn).ConnectionState().PeerCertificates[0].Raw
}

// Send writes octets as they are.
func (c *Conn) Send(text string) {
	c.tb.Helper()
	c.SetWriteDeadline(time.Now().Add(Patience))
	if _, err := io.WriteString(c.Conn, text); err != nil {
		c.tb.Fatalf("send %.60q: %v", text, err)
	}
}

// Line reads a line without its end; an end of the connection is a failure.
func (c *Conn) Line() string {
	c.tb.Helper()
	line, err := c.line()
	if err != nil {
		c.tb.Fatalf("read a line: %v after %q", err, line)
	}
	return line
}

func (c *Conn) line() (string, error) {
	c.SetReadDeadline(time.Now().Add(Patience))
	line, err := c.r.ReadString('\n')
	return strings.TrimSuffix(line, "\r\n"), err
}

// Rest reads until the server closes, however it does, and gives what it said.
// It fails if the server does not close.
func (c *Conn) Rest() string {
	c.tb.Helper()
	c.SetReadDeadline(time.Now().Add(Patience))
	text, err := io.ReadAll(c.r)
	if timeout, ok := err.(net.Error); ok && timeout.Timeout() {
		c.tb.Fatalf("the connection stays open after %q", text)
	}
	return string(text)
}

// Reply reads a reply of SMTP, its lines joined by "\n".
func (c *Conn) Reply() string {
	c.tb.Helper()
	var lines []string
	for {
		line := c.Line()
		lines = append(lines, line)
		if len(line) < 4 || line[3] != '-' {
			return strings.Join(lines, "\n")
		}
	}
}

// Ask sends a command and reads the reply.
func (c *Conn) Ask(format string, args ...any) string {
	c.tb.Helper()
	c.Send(fmt.Sprintf(format, args...) + "\r\n")
	return c.Reply()
}

// Must asks, and fails unless the reply begins as wanted.
func (c *Conn) Must(want, format string, args ...any) string {
	c.tb.Helper()
	reply := c.Ask(format, args...)
	if !strings.HasPrefix(reply, want) {
		c.tb.Fatalf("%q was answered %q, not %s", fmt.Sprintf(format, args...), reply, want)
	}
	return reply
}

// Want reads a reply and fails unless it begins as wanted.
func (c *Conn) Want(want string) string {
	c.tb.Helper()
	reply := c.Reply()
	if !strings.HasPrefix(reply, want) {
		c.tb.Fatalf("the server says %q, not %s", reply, want)
	}
	return reply
}

// Greet reads the greeting and says EHLO.
func (c *Conn) Greet() *Conn {
	c.tb.Helper()
	c.Want("220 ")
	c.Hello = c.Must("250", "EHLO client.test")
	return c
}

// StartTLS secures an SMTP session and says EHLO again.
func (c *Conn) StartTLS() *Conn {
	c.tb.Helper()
	c.Must("220 ", "STARTTLS")
	c.Handshake()
	c.Hello = c.Must("250", "EHLO client.test")
	return c
}

// Plain is the initial response of AUTH PLAIN.
func Plain(user, password string) string {
	return base64.StdEncoding.EncodeToString([]byte("\x00" + user + "\x00" + password))
}

// Letter is a message with its envelope.
type Letter struct {
	From       string // "" is the null sender
	FromParams string // such as "SMTPUTF8 RET=HDRS"
	To         []string
	ToParams   string // of each recipient
	Text       string // all of the message, lines ending in CRLF
}

// Envelope sends MAIL and RCPT, all of which must be accepted.
func (c *Conn) Envelope(l Letter) {
	c.tb.Helper()
	c.Must("250 ", "%s", strings.TrimSpace("MAIL FROM:<"+l.From+"> "+l.FromParams))
	for _, to := range l.To {
		c.Must("250 ", "%s", strings.TrimSpace("RCPT TO:<"+to+"> "+l.ToParams))
	}
}

// Post sends a letter by DATA and gives the reply to its end.
func (c *Conn) Post(l Letter) string {
	c.tb.Helper()
	c.Envelope(l)
	c.Must("354", "DATA")
	text := strings.ReplaceAll("\r\n"+l.Text, "\r\n.", "\r\n..")[2:]
	if !strings.HasSuffix(text, "\r\n") {
		text += "\r\n"
	}
	c.Send(text + ".\r\n")
	return c.Reply()
}

// Deliver posts a letter that must be accepted, and gives the message's id.
func (c *Conn) Deliver(l Letter) string {
	c.tb.Helper()
	reply := c.Post(l)
	if !strings.HasPrefix(reply, "250 ") {
		c.tb.Fatalf("the message was answered %q", reply)
	}
	_, id, _ := strings.Cut(reply, "accepted as ")
	return id
}

// IMAP sends a command with a tag of its own and gives all the lines of the
// answer, literals in their places; the last is the tagged one, without the
// tag.
func (c *Conn) IMAP(format string, args ...any) []string {
	c.tb.Helper()
	c.tag++
	tag := "t" + strconv.Itoa(c.tag) + " "
	c.Send(tag + fmt.Sprintf(format, args...) + "\r\n")
	var lines []string
	for {
		line := c.logical()
		if rest, ok := strings.CutPrefix(line, tag); ok {
			return append(lines, rest)
		}
		lines = append(lines, line)
	}
}

// logical reads a line of IMAP with the literals in it.
func (c *Conn) logical() string {
	c.tb.Helper()
	text := ""
	for {
		line := c.Line()
		text += line
		open := strings.LastIndexByte(line, '{')
		if open < 0 || !strings.HasSuffix(line, "}") {
			return text
		}
		n, err := strconv.Atoi(strings.TrimSuffix(line[open+1:], "}"))
		if err != nil {
			return text
		}
		literal := make([]byte, n)
		if _, err := io.ReadFull(c.r, literal); err != nil {
			c.tb.Fatalf("read a literal: %v", err)
		}
		text += "\r\n" + string(literal)
	}
}

// IMAPOK is IMAP for a command that must succeed.
func (c *Conn) IMAPOK(format string, args ...any) []string {
	c.tb.Helper()
	lines := c.IMAP(format, args...)
	if !strings.HasPrefix(lines[len(lines)-1], "OK") {
		c.tb.Fatalf("%s was answered %q", fmt.Sprintf(format, args...), lines[len(lines)-1])
	}
	return lines
}

// Messages are the whole messages of an IMAP mailbox, in order.
func (c *Conn) Messages(mailbox string) []string {
	c.tb.Helper()
	empty := true
	for _, line := range c.IMAPOK("EXAMINE %s", mailbox) {
		if strings.HasSuffix(line, " EXISTS") && line != "* 0 EXISTS" {
			empty = false
		}
	}
	if empty {
		return nil
	}
	var texts []string
	for _, line := range c.IMAPOK("FETCH 1:* BODY.PEEK[]") {
		_, literal, ok := strings.Cut(line, "}\r\n")
		if !ok || !strings.Contains(line, "BODY[]") {
			continue
		}
		texts = append(texts, strings.TrimSuffix(literal, ")"))
	}
	return texts
}
