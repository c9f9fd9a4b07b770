package pop3d

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"runtime/debug"
	"sync"
	"time"

	"plic/internal/journal"
	"plic/internal/lang"
	"plic/internal/mail"
)

// Sizes in octets. A line is bounded by what SASL needs, RFC 5034 section 4.
const (
	readSize  = 4 << 10
	writeSize = 32 << 10
	chunkSize = 64 << 10
	maxLine   = 17 << 10
)

func newWriters() sync.Pool {
	return sync.Pool{New: func() any { return bufio.NewWriterSize(nil, writeSize) }}
}

func newChunks() sync.Pool {
	return sync.Pool{New: func() any { b := make([]byte, chunkSize); return &b }}
}

// conn is a connection: lines in, lines out, TLS.
type conn struct {
	server  *Server
	nc      net.Conn
	id      mail.ID
	remote  netip.AddrPort
	tls     *tls.ConnectionState // nil without
	stop    context.Context      // done when the server begins to stop
	started time.Time

	in       *bufio.Reader
	out      *bufio.Writer
	patience time.Time      // for the line being read
	armed    bool           // patience is set on the connection
	account  string         // for the journal
	speaks   *lang.Language // LANG was given
}

// errLong is a line beyond all bounds.
var errLong = errors.New("the line is too long")

// serve runs a session to its end, whatever happens in it.
func (s *Server) serve(stop, work context.Context, nc net.Conn, remote netip.AddrPort, implicitTLS bool) {
	c := &conn{server: s, nc: nc, id: mail.NewID(s.o.Now()), remote: remote, stop: stop, started: s.o.Now()}
	defer context.AfterFunc(work, func() { nc.Close() })()
	defer context.AfterFunc(stop, func() { nc.SetReadDeadline(time.Unix(1, 0)) })()
	c.in = bufio.NewReaderSize(c, readSize)
	c.out = s.writers.Get().(*bufio.Writer)
	c.out.Reset(deadlineWriter{c})
	c.record(journal.Event{Kind: journal.Connect})
	defer c.end()
	if implicitTLS && c.handshake(work) != nil {
		return
	}
	newSession(c).run(work)
}

// end leaves nothing behind; a panic of the session ends here too.
func (c *conn) end() {
	if p := recover(); p != nil {
		c.server.o.Log.Error("pop3: panic", "conn", c.id, "panic", p, "stack", string(debug.Stack()))
		c.record(journal.Event{Kind: journal.Panic, Reason: fmt.Sprint(p)})
	} else {
		c.out.Flush()
	}
	c.nc.Close()
	c.out.Reset(nil)
	c.server.writers.Put(c.out)
	c.record(journal.Event{Kind: journal.Disconnect, Took: c.server.o.Now().Sub(c.started)})
}

func (c *conn) record(e journal.Event) {
	if c.server.o.Journal == nil {
		return
	}
	e.Service, e.Conn, e.Account = "pop3", c.id, c.account
	if c.remote.IsValid() {
		e.Remote = c.remote.String()
	}
	if c.tls != nil {
		e.TLS = tls.VersionName(c.tls.Version) + " " + tls.CipherSuiteName(c.tls.CipherSuite)
	}
	c.server.o.Journal.Record(e)
}

// handshake starts TLS. What was read before is not known any more.
func (c *conn) handshake(ctx context.Context) error {
	t := tls.Server(c.nc, c.server.o.TLS)
	t.SetDeadline(time.Now().Add(c.server.o.LoginTimeout))
	if err := t.HandshakeContext(ctx); err != nil {
		c.record(journal.Event{Kind: journal.TLS, Reason: err.Error()})
		return fmt.Errorf("TLS handshake: %w", err)
	}
	t.SetDeadline(time.Time{})
	state := t.ConnectionState()
	c.nc, c.tls, c.armed = t, &state, false
	c.in.Reset(c)
	c.record(journal.Event{Kind: journal.TLS})
	return nil
}

// Read is called when nothing of the client is left unread, and only then are
// the replies sent: a pipelining client costs one write, RFC 2449 section 6.6.
func (c *conn) Read(p []byte) (int, error) {
	if err := c.out.Flush(); err != nil {
		return 0, err
	}
	if !c.armed {
		c.armed = true
		c.nc.SetReadDeadline(c.patience)
	}
	if c.stop.Err() != nil { // after SetReadDeadline, which may have undone that of the stop
		return 0, os.ErrDeadlineExceeded
	}
	return c.nc.Read(p)
}

// deadlineWriter gives the client its time for each piece of output.
type deadlineWriter struct{ c *conn }

// Write writes to the connection as it is now, in TLS or not.
func (w deadlineWriter) Write(p []byte) (int, error) {
	w.c.nc.SetWriteDeadline(time.Now().Add(w.c.server.o.WriteTimeout))
	return w.c.nc.Write(p)
}

// line reads a line without its end; it is good until the next one. The time
// is for all of the line, however slowly it comes.
func (c *conn) line(patience time.Time) ([]byte, error) {
	c.patience, c.armed = patience, false
	line, err := c.in.ReadSlice('\n')
	if err == bufio.ErrBufferFull {
		long := bytes.Clone(line)
		for err == bufio.ErrBufferFull && len(long) <= maxLine {
			line, err = c.in.ReadSlice('\n')
			long = append(long, line...)
		}
		if line = long; len(line) > maxLine {
			return nil, errLong
		}
	}
	if err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(line[:len(line)-1], []byte{'\r'}), nil
}

// ok and bad write replies, the text in the language of the session; write
// errors show at the next flush.
func (c *conn) ok(format string, args ...any) { c.reply("+OK ", format, args) }

func (c *conn) bad(code, format string, args ...any) {
	if code != "" {
		code = "[" + code + "] "
	}
	c.reply("-ERR "+code, format, args)
}

func (c *conn) reply(status, format string, args []any) {
	c.out.WriteString(status)
	if format = c.speaks.Text(format); len(args) == 0 {
		c.out.WriteString(format)
	} else {
		fmt.Fprintf(c.out, format, args...)
	}
	c.out.WriteString("\r\n")
}

// lost says what the client is told when its line did not come; "" is nothing.
func (c *conn) lost(err error) (code, text string) {
	switch {
	case c.stop.Err() != nil:
		return "SYS/TEMP", "the server ends the session, come back soon"
	case errors.Is(err, errLong):
		return "", "the line is too long"
	case errors.Is(err, os.ErrDeadlineExceeded):
		return "", "nothing was said for too long"
	case !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed):
		c.server.o.Log.Debug("pop3: read", "conn", c.id, "error", err)
	}
	return "", ""
}
