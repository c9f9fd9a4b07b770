package table

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"
)

// remote is a table of another program, which is asked over a socket. One
// connection serves a question after the other; those that are idle are kept.
type remote struct {
	network, address string
	ask              func(w io.Writer, r *bufio.Reader, key string) (value string, found bool, err error)

	mu   sync.Mutex
	idle []line
}

// line is a connection to the other program.
type line struct {
	net.Conn
	r   *bufio.Reader
	old bool // used before
}

// The patience with other programs, and what is kept of them.
const (
	remoteTimeout = 10 * time.Second
	remoteIdle    = 8
	maxReply      = 100_000
	maxRemoteKey  = 4096
)

// Lookup finds a key, in lower case as everywhere.
func (t *remote) Lookup(ctx context.Context, key string) (string, bool, error) {
	if key == "" || len(key) > maxRemoteKey {
		return "", false, nil
	}
	ctx, cancel := context.WithTimeout(ctx, remoteTimeout)
	defer cancel()
	for {
		l, err := t.get(ctx)
		if err != nil {
			return "", false, err
		}
		deadline, _ := ctx.Deadline()
		l.SetDeadline(deadline)
		unblock := context.AfterFunc(ctx, func() { l.SetDeadline(time.Unix(1, 0)) })
		value, found, err := t.ask(l, l.r, fold(key))
		var said answer
		if broken := err != nil && !errors.As(err, &said); !unblock() || broken {
			l.Close()
			if broken && l.old && ctx.Err() == nil {
				continue // it was closed while it was idle
			}
		} else {
			t.put(l)
		}
		return value, found, err
	}
}

func (t *remote) get(ctx context.Context) (line, error) {
	t.mu.Lock()
	if n := len(t.idle); n > 0 {
		l := t.idle[n-1]
		t.idle = t.idle[:n-1]
		t.mu.Unlock()
		return l, nil
	}
	t.mu.Unlock()
	conn, err := new(net.Dialer).DialContext(ctx, t.network, t.address)
	if err != nil {
		return line{}, err
	}
	return line{Conn: conn, r: bufio.NewReader(conn)}, nil
}

func (t *remote) put(l line) {
	l.old = true
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.idle) == remoteIdle || l.r.Buffered() > 0 { // it has said more than it was asked
		l.Close()
		return
	}
	t.idle = append(t.idle, l)
}

// answer is an error that the other program has told.
type answer string

// Error gives its words.
func (a answer) Error() string { return string(a) }

// openSocketmap opens "inet:host:port:name" or "unix:path:name": the protocol of
// sendmail's socket maps, with netstrings.
func openSocketmap(argument string) (Table, error) {
	kind, rest, _ := strings.Cut(argument, ":")
	i := strings.LastIndexByte(rest, ':')
	if i <= 0 || i == len(rest)-1 || kind != "inet" && kind != "unix" {
		return nil, errors.New(`write "socketmap:inet:host:port:name" or "socketmap:unix:/path:name"`)
	}
	t := &remote{network: "unix", address: rest[:i]}
	if kind == "inet" {
		t.network = "tcp"
		if _, _, err := net.SplitHostPort(t.address); err != nil {
			return nil, err
		}
	}
	name := rest[i+1:]
	t.ask = func(w io.Writer, r *bufio.Reader, key string) (string, bool, error) {
		if _, err := fmt.Fprintf(w, "%d:%s %s,", len(name)+1+len(key), name, key); err != nil {
			return "", false, err
		}
		text, err := readNetstring(r)
		if err != nil {
			return "", false, err
		}
		status, value, _ := strings.Cut(text, " ")
		switch status {
		case "OK":
			return value, true, nil
		case "NOTFOUND":
			return "", false, nil
		}
		return "", false, answer(fmt.Sprintf("the socket map says %.200q", text))
	}
	return t, nil
}

// readNetstring reads "length:text,".
func readNetstring(r *bufio.Reader) (string, error) {
	n, digits := 0, 0
	for {
		c, err := r.ReadByte()
		if err != nil {
			return "", err
		}
		if c == ':' && digits > 0 {
			break
		}
		if c < '0' || c > '9' || digits == 6 {
			return "", fmt.Errorf("what it says is no netstring")
		}
		n, digits = 10*n+int(c-'0'), digits+1
	}
	if n > maxReply {
		return "", fmt.Errorf("it says %d octets, and %d are the most", n, maxReply)
	}
	text := make([]byte, n+1)
	if _, err := io.ReadFull(r, text); err != nil {
		return "", err
	}
	if text[n] != ',' {
		return "", errors.New("what it says is no netstring")
	}
	return string(text[:n]), nil
}

// openTCP opens "host:port": the protocol of Postfix's tcp_table, a line for a
// question and a line for the answer.
func openTCP(argument string) (Table, error) {
	if _, _, err := net.SplitHostPort(argument); err != nil {
		return nil, err
	}
	return &remote{network: "tcp", address: argument, ask: askTCP}, nil
}

func askTCP(w io.Writer, r *bufio.Reader, key string) (string, bool, error) {
	if _, err := fmt.Fprintf(w, "get %s\n", encode(key)); err != nil {
		return "", false, err
	}
	var reply bytes.Buffer
	for {
		part, err := r.ReadSlice('\n')
		reply.Write(part)
		if err == nil {
			break
		}
		if !errors.Is(err, bufio.ErrBufferFull) || reply.Len() > maxReply {
			return "", false, err
		}
	}
	code, text, _ := strings.Cut(strings.TrimRight(reply.String(), "\r\n"), " ")
	value, err := decode(text)
	switch {
	case code == "200" && err == nil:
		return value, true, nil
	case code == "500":
		return "", false, nil
	case code == "400":
		return "", false, answer("the server says: " + text)
	}
	return "", false, fmt.Errorf("%.40q is no answer", reply.String())
}

// encode writes what could be taken for something else as %XX.
func encode(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c == '%' || c >= 0x7f {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

func decode(s string) (string, error) {
	var b strings.Builder
	for {
		before, rest, more := strings.Cut(s, "%")
		b.WriteString(before)
		if !more {
			return b.String(), nil
		}
		if len(rest) < 2 {
			return "", errors.New("a % without two digits")
		}
		c, err := strconv.ParseUint(rest[:2], 16, 8)
		if err != nil {
			return "", err
		}
		b.WriteByte(byte(c))
		s = rest[2:]
	}
}
