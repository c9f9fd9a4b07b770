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
	"time"

	"plic/internal/pool"
)

// remote is a table of another program, which is asked over a socket.
type remote struct {
	lines *pool.Pool[*pool.Line]
	ask   func(w io.Writer, r *bufio.Reader, key string) (value string, found bool, err error)
}

// The patience with other programs, and what is kept of them.
const (
	remoteTimeout = 10 * time.Second
	remoteIdle    = 8
	maxReply      = 100_000
	maxRemoteKey  = 4096
)

func newRemote(network, address string) *remote {
	return &remote{lines: pool.New(pool.Options[*pool.Line]{
		Dial: func(ctx context.Context) (*pool.Line, error) { return pool.Dial(ctx, network, address, 4096) },
		Lost: func(err error) bool { return !errors.As(err, new(answer)) },
		Fit:  (*pool.Line).Quiet,
		Keep: remoteIdle,
	})}
}

// Lookup finds a key, in lower case as everywhere.
func (t *remote) Lookup(ctx context.Context, key string) (value string, found bool, err error) {
	if key == "" || len(key) > maxRemoteKey {
		return "", false, nil
	}
	ctx, cancel := context.WithTimeout(ctx, remoteTimeout)
	defer cancel()
	err = t.lines.Do(ctx, func(l *pool.Line) error {
		return l.Within(ctx, func() (err error) {
			value, found, err = t.ask(l, l.R, fold(key))
			return err
		})
	})
	return value, found && err == nil, err
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
	network, address := "unix", rest[:i]
	if kind == "inet" {
		network = "tcp"
		if _, _, err := net.SplitHostPort(address); err != nil {
			return nil, err
		}
	}
	t := newRemote(network, address)
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
	t := newRemote("tcp", argument)
	t.ask = askTCP
	return t, nil
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
