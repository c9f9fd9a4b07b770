package dovecot

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"plic/internal/dovecot"
	"plic/internal/pool"
)

// socket is one of Dovecot's, of which each connection is asked one question at a
// time.
type socket struct {
	address string
	ready   string // the line that ends the handshake
	timeout time.Duration
	links   *pool.Pool[*link]
}

// link is a connection.
type link struct {
	*pool.Line
	last uint32 // id of a question
}

func newSocket(address, ready string, o *Options) *socket {
	s := &socket{address: address, ready: ready, timeout: o.Timeout}
	s.links = pool.New(pool.Options[*link]{Dial: s.dial, Most: o.Connections})
	return s
}

// ask puts a question: its word, then behind its number the rest. The answer is
// the one that bears this number.
func (s *socket) ask(ctx context.Context, word string, rest ...string) (answer []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	err = s.links.Do(ctx, func(l *link) error {
		return l.Within(ctx, func() (err error) {
			answer, err = l.ask(word, rest)
			return err
		})
	})
	if err != nil {
		return nil, fmt.Errorf("Dovecot at %s: %w", s.address, err)
	}
	return answer, nil
}

func (s *socket) dial(ctx context.Context) (*link, error) {
	network := "tcp"
	if strings.HasPrefix(s.address, "/") {
		network = "unix"
	}
	line, err := pool.Dial(ctx, network, s.address, dovecot.MaxLine)
	if err != nil {
		return nil, err
	}
	l := &link{Line: line}
	if err := l.Within(ctx, func() error { return l.handshake(s.ready) }); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

// maxHandshake bounds the lines that a server may greet with.
const maxHandshake = 100

// handshake tells who we are and reads until the server is ready.
func (l *link) handshake(ready string) error {
	hello := dovecot.Version()
	if ready == "DONE" {
		hello += dovecot.Join("CPID", strconv.Itoa(os.Getpid()))
	}
	if _, err := l.Write([]byte(hello)); err != nil {
		return err
	}
	for i := range maxHandshake {
		fields, err := l.line()
		if err != nil {
			return err
		}
		if i == 0 {
			if err := dovecot.CheckVersion(fields); err != nil {
				return err
			}
		}
		if fields[0] == ready {
			return nil
		}
	}
	return errors.New("its greeting does not end")
}

func (l *link) line() ([]string, error) {
	line, err := l.R.ReadSlice('\n')
	if err != nil {
		return nil, err
	}
	return dovecot.Split(string(line[:len(line)-1])), nil
}

func (l *link) ask(word string, rest []string) ([]string, error) {
	l.last++
	id := strconv.FormatUint(uint64(l.last), 10)
	if _, err := l.Write([]byte(dovecot.Join(append([]string{word, id}, rest...)...))); err != nil {
		return nil, err
	}
	for range maxHandshake { // further mechanisms, and answers to what we gave up
		fields, err := l.line()
		if err != nil {
			return nil, err
		}
		if len(fields) > 1 && fields[1] == id && fields[0] != "MECH" {
			return fields, nil
		}
	}
	return nil, errors.New("it does not answer the question")
}
