package dovecot

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"plic/internal/dovecot"
)

// pool is the connections to one socket. Each is asked one question at a time.
type pool struct {
	address string
	ready   string // the line that ends the handshake
	places  chan struct{}

	mu     sync.Mutex
	idle   []*link
	closed bool
}

// link is a connection.
type link struct {
	nc   net.Conn
	r    *bufio.Reader
	last uint32 // id of a question
}

func newPool(address, ready string, connections int) *pool {
	return &pool{address: address, ready: ready, places: make(chan struct{}, connections)}
}

// ask puts a question: its word, then behind its number the rest. The answer is
// the one that bears this number. A connection that was idle may have ended
// meanwhile, as after a restart: then it is asked once more by a new one.
func (p *pool) ask(ctx context.Context, timeout time.Duration, word string, rest ...string) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	select {
	case p.places <- struct{}{}:
	case <-ctx.Done():
		return nil, fmt.Errorf("Dovecot: all connections are busy: %w", ctx.Err())
	}
	defer func() { <-p.places }()
	for {
		l, used, err := p.take(ctx)
		if err != nil {
			return nil, fmt.Errorf("Dovecot at %s: %w", p.address, err)
		}
		answer, err := l.ask(ctx, word, rest)
		if err == nil {
			p.give(l)
			return answer, nil
		}
		l.nc.Close()
		if !used || ctx.Err() != nil {
			return nil, fmt.Errorf("Dovecot at %s: %w", p.address, err)
		}
	}
}

// take gives an idle connection, or a new one.
func (p *pool) take(ctx context.Context) (l *link, used bool, err error) {
	p.mu.Lock()
	if n := len(p.idle); n > 0 {
		l, p.idle = p.idle[n-1], p.idle[:n-1]
	}
	p.mu.Unlock()
	if l != nil {
		return l, true, nil
	}
	network := "tcp"
	if strings.HasPrefix(p.address, "/") {
		network = "unix"
	}
	nc, err := new(net.Dialer).DialContext(ctx, network, p.address)
	if err != nil {
		return nil, false, err
	}
	l = &link{nc: nc, r: bufio.NewReaderSize(nc, dovecot.MaxLine)}
	if err := l.handshake(ctx, p.ready); err != nil {
		nc.Close()
		return nil, false, err
	}
	return l, false, nil
}

func (p *pool) give(l *link) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		l.nc.Close()
		return
	}
	p.idle = append(p.idle, l)
}

func (p *pool) close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	var errs []error
	for _, l := range p.idle {
		errs = append(errs, l.nc.Close())
	}
	p.idle = nil
	return errors.Join(errs...)
}

// maxHandshake bounds the lines that a server may greet with.
const maxHandshake = 100

// handshake tells who we are and reads until the server is ready.
func (l *link) handshake(ctx context.Context, ready string) error {
	deadline, _ := ctx.Deadline()
	l.nc.SetDeadline(deadline)
	hello := dovecot.Version()
	if ready == "DONE" {
		hello += dovecot.Join("CPID", strconv.Itoa(os.Getpid()))
	}
	if _, err := l.nc.Write([]byte(hello)); err != nil {
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
	line, err := l.r.ReadSlice('\n')
	if err != nil {
		return nil, err
	}
	return dovecot.Split(string(line[:len(line)-1])), nil
}

func (l *link) ask(ctx context.Context, word string, rest []string) ([]string, error) {
	deadline, _ := ctx.Deadline()
	l.nc.SetDeadline(deadline)
	defer context.AfterFunc(ctx, func() { l.nc.SetDeadline(time.Unix(1, 0)) })()
	l.last++
	id := strconv.FormatUint(uint64(l.last), 10)
	if _, err := l.nc.Write([]byte(dovecot.Join(append([]string{word, id}, rest...)...))); err != nil {
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
