// Package proxy reads the PROXY protocol, version 1 and 2, in which a load
// balancer that we trust says for whom it opened a connection. A connection of
// anybody else is left as it is; one of a balancer without a good header is
// closed.
package proxy

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Options are what a Listener works with.
type Options struct {
	Trusted []netip.Prefix // whose connections begin with a header
	Timeout time.Duration  // for the header to come; 5 s if 0
	Log     *slog.Logger   // nil for none
}

// maxWaiting is how many connections may be at their headers at a time.
const maxWaiting = 256

// Listen gives the connections of a listener with the addresses that trusted
// balancers tell. It is closed with the listener, or when ctx ends.
func Listen(ctx context.Context, l net.Listener, o Options) net.Listener {
	if len(o.Trusted) == 0 {
		return l
	}
	if o.Timeout == 0 {
		o.Timeout = 5 * time.Second
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	ctx, cancel := context.WithCancel(ctx)
	p := &listener{Listener: l, o: o, ready: make(chan net.Conn), ended: ctx.Done(), cancel: cancel}
	go p.accept()
	return p
}

type listener struct {
	net.Listener
	o      Options
	ready  chan net.Conn
	ended  <-chan struct{}
	cancel context.CancelFunc

	mu  sync.Mutex
	err error // of Accept, when it ended
}

// accept reads headers beside each other: a balancer that is slow with one must
// not hold up the rest.
func (p *listener) accept() {
	defer p.cancel()
	waiting := make(chan struct{}, maxWaiting)
	for {
		nc, err := p.Listener.Accept()
		if err != nil {
			if t, ok := err.(interface{ Temporary() bool }); ok && t.Temporary() {
				continue
			}
			p.mu.Lock()
			p.err = err
			p.mu.Unlock()
			return
		}
		if !p.trusts(nc.RemoteAddr()) {
			p.give(nc)
			continue
		}
		waiting <- struct{}{}
		go func() {
			defer func() { <-waiting }()
			told, err := p.header(nc)
			if err != nil {
				p.o.Log.Warn("a balancer sent no good PROXY header", "remote", nc.RemoteAddr().String(), "error", err)
				nc.Close()
				return
			}
			p.give(told)
		}()
	}
}

func (p *listener) give(nc net.Conn) {
	select {
	case p.ready <- nc:
	case <-p.ended:
		nc.Close()
	}
}

// Accept gives the next connection.
func (p *listener) Accept() (net.Conn, error) {
	select {
	case nc := <-p.ready:
		return nc, nil
	case <-p.ended:
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.err != nil {
			return nil, p.err
		}
		return nil, net.ErrClosed
	}
}

// Close closes the listener below.
func (p *listener) Close() error {
	p.cancel()
	return p.Listener.Close()
}

func (p *listener) trusts(a net.Addr) bool {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return false
	}
	addr := tcp.AddrPort().Addr().Unmap().WithZone("")
	for _, t := range p.o.Trusted {
		if t.Contains(addr) {
			return true
		}
	}
	return false
}

// header reads the header of a connection.
func (p *listener) header(nc net.Conn) (net.Conn, error) {
	nc.SetReadDeadline(time.Now().Add(p.o.Timeout))
	defer nc.SetReadDeadline(time.Time{})
	r := bufio.NewReaderSize(nc, 512)
	h, err := Read(r)
	if err != nil {
		return nil, err
	}
	rest, err := r.Peek(r.Buffered())
	if err != nil {
		return nil, err
	}
	c := &conn{Conn: nc, rest: bytes.Clone(rest), remote: nc.RemoteAddr(), local: nc.LocalAddr()}
	if h.Remote.IsValid() {
		c.remote, c.local = net.TCPAddrFromAddrPort(h.Remote), net.TCPAddrFromAddrPort(h.Local)
	}
	return c, nil
}

// conn is a connection with the addresses that it is for.
type conn struct {
	net.Conn
	rest          []byte // read with the header
	remote, local net.Addr
}

// Read gives what came with the header first.
func (c *conn) Read(p []byte) (int, error) {
	if len(c.rest) > 0 {
		n := copy(p, c.rest)
		c.rest = c.rest[n:]
		return n, nil
	}
	return c.Conn.Read(p)
}

// RemoteAddr is the client's.
func (c *conn) RemoteAddr() net.Addr { return c.remote }

// LocalAddr is the one that the client reached.
func (c *conn) LocalAddr() net.Addr { return c.local }

// CloseWrite ends our side, where the connection below can.
func (c *conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

// SyscallConn is that of the connection below.
func (c *conn) SyscallConn() (syscall.RawConn, error) {
	if sc, ok := c.Conn.(syscall.Conn); ok {
		return sc.SyscallConn()
	}
	return nil, errors.ErrUnsupported
}

// Header is what a balancer tells. Without addresses the connection is its own,
// as when it looks whether we are well.
type Header struct{ Remote, Local netip.AddrPort }

// signature is how version 2 begins.
const signature = "\r\n\r\n\x00\r\nQUIT\n"

// Read reads a header of either version.
func Read(r *bufio.Reader) (Header, error) {
	start, err := r.Peek(len(signature))
	if err != nil {
		return Header{}, fmt.Errorf("read the header: %w", err)
	}
	if string(start) == signature {
		return readBinary(r)
	}
	return readText(r)
}

// maxText is the longest header of version 1.
const maxText = 107

func readText(r *bufio.Reader) (Header, error) {
	var line []byte
	for len(line) < maxText {
		b, err := r.ReadByte()
		if err != nil {
			return Header{}, fmt.Errorf("read the header: %w", err)
		}
		if line = append(line, b); b == '\n' {
			break
		}
	}
	text, ok := strings.CutSuffix(string(line), "\r\n")
	words := strings.Split(text, " ")
	switch {
	case !ok || words[0] != "PROXY" || len(words) < 2:
		return Header{}, errors.New("it does not begin with PROXY")
	case words[1] == "UNKNOWN":
		return Header{}, nil
	case len(words) != 6 || words[1] != "TCP4" && words[1] != "TCP6":
		return Header{}, errors.New("it is malformed")
	}
	remote, err1 := endpoint(words[2], words[4], words[1] == "TCP6")
	local, err2 := endpoint(words[3], words[5], words[1] == "TCP6")
	return Header{remote, local}, errors.Join(err1, err2)
}

func endpoint(address, port string, six bool) (netip.AddrPort, error) {
	a, err := netip.ParseAddr(address)
	if err != nil || a.Zone() != "" || a.Is6() != six {
		return netip.AddrPort{}, fmt.Errorf("bad address %.50q", address)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("bad port %.10q", port)
	}
	return netip.AddrPortFrom(a.Unmap(), uint16(n)), nil
}

func readBinary(r *bufio.Reader) (Header, error) {
	var head [16]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return Header{}, fmt.Errorf("read the header: %w", err)
	}
	size := int(binary.BigEndian.Uint16(head[14:]))
	if head[12]>>4 != 2 || head[12]&15 > 1 || size > 2048 {
		return Header{}, errors.New("its version or length is unknown")
	}
	body := make([]byte, size)
	if _, err := io.ReadFull(r, body); err != nil {
		return Header{}, fmt.Errorf("read the header: %w", err)
	}
	if head[12]&15 == 0 { // LOCAL: the balancer itself
		return Header{}, nil
	}
	n := 0
	switch head[13] {
	case 0x11: // TCP over IPv4
		n = 4
	case 0x21: // TCP over IPv6
		n = 16
	default:
		return Header{}, nil
	}
	if size < 2*n+4 {
		return Header{}, errors.New("it is cut")
	}
	remote, _ := netip.AddrFromSlice(body[:n])
	local, _ := netip.AddrFromSlice(body[n : 2*n])
	return Header{
		netip.AddrPortFrom(remote.Unmap(), binary.BigEndian.Uint16(body[2*n:])),
		netip.AddrPortFrom(local.Unmap(), binary.BigEndian.Uint16(body[2*n+2:])),
	}, nil
}
