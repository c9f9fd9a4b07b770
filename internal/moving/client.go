package moving

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"

	"plic/internal/imap"
)

// client speaks IMAP to a server, one command at a time.
type client struct {
	conn    net.Conn
	r       *bufio.Reader
	timeout time.Duration
	tags    int
	can     map[string]bool
}

// reply is an untagged response: "* 3 FETCH (…)" or "* OK [UIDNEXT 7] text".
type reply struct {
	number     uint32
	word       string
	rest       []byte // what follows the word, literals as they came
	code       string
	codeNumber uint32
}

// noError is NO or BAD.
type noError struct{ command, text string }

func (e *noError) Error() string { return fmt.Sprintf("the server says to %s: %s", e.command, e.text) }

const (
	maxReply = maxLetter + 1<<20
	maxText  = 1 << 20 // of a reply without its literals
)

func dialIMAP(ctx context.Context, o *IMAPOptions) (*client, error) {
	conn, err := o.Dial(ctx, "tcp", o.Address)
	if err != nil {
		return nil, err
	}
	c := &client{timeout: o.Timeout}
	secure := func() error {
		config := o.Config.Clone()
		if config == nil {
			config = &tls.Config{}
		}
		if config.ServerName == "" {
			host, _, err := net.SplitHostPort(o.Address)
			if err != nil {
				return err
			}
			config.ServerName = host
		}
		t := tls.Client(conn, config)
		if err := t.HandshakeContext(ctx); err != nil {
			return err
		}
		conn = t
		return nil
	}
	if o.TLS == "tls" {
		if err := secure(); err != nil {
			conn.Close()
			return nil, err
		}
	}
	c.use(conn)
	if err := c.greeting(); err != nil {
		conn.Close()
		return nil, err
	}
	if o.TLS == "starttls" {
		err := c.command("STARTTLS", nil)
		if err == nil && c.r.Buffered() > 0 {
			err = errors.New("the server has said something before TLS began")
		}
		if err == nil {
			err = secure()
		}
		if err != nil {
			conn.Close()
			return nil, err
		}
		c.use(conn)
	}
	return c, nil
}

func (c *client) use(conn net.Conn) {
	c.conn, c.r, c.can = conn, bufio.NewReaderSize(conn, 64<<10), nil
}

func (c *client) greeting() error {
	text, err := c.read()
	if err != nil {
		return err
	}
	if !bytes.HasPrefix(text, []byte("* OK")) && !bytes.HasPrefix(text, []byte("* PREAUTH")) {
		return fmt.Errorf("the server greets with %.200q", text)
	}
	return nil
}

// close says goodbye and does not wait long for the answer.
func (c *client) close() error {
	c.timeout = time.Second
	_ = c.command("LOGOUT", nil) // the connection ends in any case
	return c.conn.Close()
}

// has says whether the server has a capability.
func (c *client) has(name string) bool {
	if c.can == nil {
		c.can = map[string]bool{}
		_ = c.command("CAPABILITY", func(l *reply) error {
			if l.word == "CAPABILITY" {
				for w := range strings.FieldsSeq(strings.ToUpper(string(l.rest))) {
					c.can[w] = true
				}
			}
			return nil
		}) // a server that has none cannot say so either
	}
	return c.can[name]
}

// login proves who we are.
func (c *client) login(o *IMAPOptions) error {
	defer func() { c.can = nil }()
	if o.As == "" && !c.has("LOGINDISABLED") && !c.has("AUTH=PLAIN") {
		return c.command("LOGIN "+string(imap.AppendAString(nil, o.User))+" "+string(imap.AppendAString(nil, o.Password)), nil)
	}
	proof := base64.StdEncoding.EncodeToString([]byte(o.As + "\x00" + o.User + "\x00" + o.Password))
	return c.exchange("AUTHENTICATE PLAIN", func() error { return c.send(proof) }, nil)
}

func (c *client) send(text string) error {
	c.conn.SetDeadline(time.Now().Add(c.timeout))
	_, err := io.WriteString(c.conn, text+"\r\n")
	return err
}

// command sends a command and hands on what comes before its end. An error of
// take is given back once all is read.
func (c *client) command(text string, take func(*reply) error) error {
	return c.exchange(text, nil, take)
}

func (c *client) exchange(text string, more func() error, take func(*reply) error) error {
	c.tags++
	tag := "p" + strconv.Itoa(c.tags)
	name, _, _ := strings.Cut(text, " ")
	// Literals of ours are sent at once where the server asks for them.
	parts := strings.SplitAfter(text, "}\r\n")
	if err := c.send(strings.TrimSuffix(tag+" "+parts[0], "\r\n")); err != nil {
		return err
	}
	parts = parts[1:]
	var failed error
	for {
		line, err := c.read()
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		switch {
		case line[0] == '+' && len(parts) > 0:
			if err := c.send(strings.TrimSuffix(parts[0], "\r\n")); err != nil {
				return err
			}
			parts = parts[1:]
		case line[0] == '+' && more != nil:
			if err := more(); err != nil {
				return err
			}
			more = nil
		case bytes.HasPrefix(line, []byte("* ")):
			if l := parseReply(line[2:]); take != nil && failed == nil {
				failed = take(l)
			}
		case bytes.HasPrefix(line, []byte(tag+" ")):
			rest := string(line[len(tag)+1:])
			if status, said, _ := strings.Cut(rest, " "); !strings.EqualFold(status, "OK") {
				return &noError{name, strings.ToUpper(status) + " " + strings.TrimSpace(said)}
			}
			return failed
		default:
			return fmt.Errorf("%s: the server says %.200q", name, line)
		}
	}
}

// read gives a response with its literals, without the last line end.
func (c *client) read() ([]byte, error) {
	var text []byte
	literals := 0
	for {
		c.conn.SetDeadline(time.Now().Add(c.timeout))
		from := len(text)
		for {
			piece, err := c.r.ReadSlice('\n')
			text = append(text, piece...)
			if len(text)-literals > maxText {
				return nil, errors.New("a response beyond all bounds")
			}
			if err == nil {
				break
			}
			if !errors.Is(err, bufio.ErrBufferFull) {
				if errors.Is(err, io.EOF) {
					err = io.ErrUnexpectedEOF
				}
				return nil, err
			}
		}
		n, ok := literalAt(text[from:])
		if !ok {
			text = bytes.TrimRight(text, "\r\n")
			if len(text) == 0 {
				return nil, errors.New("an empty line")
			}
			return text, nil
		}
		if n > maxReply-int64(len(text)) {
			return nil, fmt.Errorf("a literal of %d octets", n)
		}
		at := len(text)
		text = append(text, make([]byte, n)...)
		for done := int64(0); done < n; {
			c.conn.SetDeadline(time.Now().Add(c.timeout))
			got, err := c.r.Read(text[int64(at)+done:])
			if err != nil {
				return nil, err
			}
			done += int64(got)
		}
		literals += int(n)
	}
}

// literalAt says that a line ends in a literal.
func literalAt(line []byte) (int64, bool) {
	line = bytes.TrimRight(line, "\r\n")
	i := bytes.LastIndexByte(line, '{')
	if i < 0 || line[len(line)-1] != '}' {
		return 0, false
	}
	n, err := strconv.ParseInt(string(line[i+1:len(line)-1]), 10, 64)
	return n, err == nil && n >= 0
}

func parseReply(text []byte) *reply {
	l := &reply{}
	word, rest, _ := bytes.Cut(text, []byte{' '})
	if n, err := strconv.ParseUint(string(word), 10, 32); err == nil {
		l.number = uint32(n)
		word, rest, _ = bytes.Cut(rest, []byte{' '})
	}
	l.word, l.rest = strings.ToUpper(string(word)), rest
	if len(rest) > 0 && rest[0] == '[' {
		code, _, _ := strings.Cut(string(rest[1:]), "]")
		name, value, _ := strings.Cut(code, " ")
		l.code, l.codeNumber = strings.ToUpper(name), number(value)
	}
	return l
}

// parseFetch reads the items that we ask for, and goes over others.
func parseFetch(l *reply) (Letter, error) {
	var m Letter
	p := &items{text: l.rest}
	p.take('(')
	for p.err == nil && !p.take(')') {
		name := strings.ToUpper(p.until(" ("))
		p.take(' ')
		switch value := p.value(); name {
		case "UID":
			m.UID = number(string(value))
		case "FLAGS":
			for f := range strings.FieldsSeq(strings.Trim(string(value), "()")) {
				if !strings.EqualFold(f, `\Recent`) {
					m.Flags = append(m.Flags, f)
				}
			}
		case "INTERNALDATE":
			at, err := time.Parse("_2-Jan-2006 15:04:05 -0700", string(value))
			if err == nil {
				m.Internal = at
			}
		case "BODY[]":
			m.Text = crlf(value)
			m.Size = int64(len(m.Text))
		}
		p.take(' ')
	}
	return m, p.err
}

// items takes a FETCH response apart.
type items struct {
	text []byte
	err  error
}

func (p *items) take(c byte) bool {
	if len(p.text) == 0 || p.text[0] != c {
		if len(p.text) == 0 && c == ')' {
			p.err = errors.New("FETCH: it ends early")
		}
		return false
	}
	p.text = p.text[1:]
	return true
}

func (p *items) until(stop string) string {
	i := bytes.IndexAny(p.text, stop)
	if i <= 0 {
		p.err = errors.New("FETCH: a name is missing")
		return ""
	}
	word := p.text[:i]
	p.text = p.text[i:]
	return string(word)
}

// value gives a string without its quotes, or a list or atom as it is.
func (p *items) value() []byte {
	if p.err != nil || len(p.text) == 0 {
		p.err = errors.New("FETCH: a value is missing")
		return nil
	}
	switch p.text[0] {
	case '"':
		return p.quoted()
	case '{':
		end := bytes.IndexByte(p.text, '\n')
		n, ok := literalAt(p.text[:end+1])
		if end < 0 || !ok || int64(len(p.text)-end-1) < n {
			p.err = errors.New("FETCH: a literal is cut")
			return nil
		}
		value := p.text[end+1 : end+1+int(n)]
		p.text = p.text[end+1+int(n):]
		return value
	case '(':
		return p.list()
	}
	i := bytes.IndexAny(p.text, " )")
	if i < 0 {
		p.err = errors.New("FETCH: it ends early")
		return nil
	}
	value := p.text[:i]
	p.text = p.text[i:]
	return value
}

func (p *items) quoted() []byte {
	var value []byte
	for i := 1; i < len(p.text); i++ {
		switch c := p.text[i]; c {
		case '"':
			p.text = p.text[i+1:]
			return append([]byte{}, value...)
		case '\\':
			i++
			if i < len(p.text) {
				value = append(value, p.text[i])
			}
		default:
			value = append(value, c)
		}
	}
	p.err = errors.New("FETCH: a string is cut")
	return nil
}

func (p *items) list() []byte {
	start := p.text
	p.take('(')
	for p.err == nil && !p.take(')') {
		if p.take(' ') {
			continue
		}
		p.value()
	}
	return start[:len(start)-len(p.text)]
}
