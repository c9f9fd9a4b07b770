package imapd

import (
	"bytes"
	"io"
	"net"
	"time"

	"plic/internal/pace"
)

// pageSize is how much output is gathered before it is written; largePage, of a
// command that has written so much already.
const (
	pageSize  = 16 << 10
	largePage = 64 << 10
)

// output gathers responses. An error sticks: what is written after it is lost,
// and the session ends when it looks.
type output struct {
	server *Server
	conn   net.Conn
	quick  *pace.Quick // that waits while the client is slow to take something
	turn   *turn       // of the command at work, likewise; nil if it has none
	page   *[]byte     // from a pool, nil at rest
	large  bool        // from that of large ones
	buf    []byte
	ended  int // responses, or parts of them, so far
	err    error
}

// line gives the buffer to append a response to, for end.
func (o *output) line() []byte {
	if o.page == nil {
		o.page = o.server.pages.Get().(*[]byte)
		o.buf = (*o.page)[:0]
	}
	return o.buf
}

// end takes the buffer with what was appended, and writes it out if it is full.
func (o *output) end(b []byte) {
	o.ended++
	if o.buf = b; len(b) >= cap(*o.page)*3/4 {
		o.flush()
		o.enlarge()
	}
}

// enlarge takes a large page, once a page was full.
func (o *output) enlarge() {
	if !o.large {
		o.server.pages.Put(o.page)
		o.page, o.large = o.server.large.Get().(*[]byte), true
		o.buf = (*o.page)[:0]
	}
}

// text writes a response.
func (o *output) text(parts ...string) {
	b := o.line()
	for _, p := range parts {
		b = append(b, p...)
	}
	o.end(append(b, '\r', '\n'))
}

// flush writes what was gathered. A client that does not take it within the
// time is gone.
func (o *output) flush() error {
	if len(o.buf) > 0 && o.err == nil {
		o.conn.SetWriteDeadline(time.Now().Add(o.server.o.WriteTimeout))
		was, seated := o.quick.Leave(), o.turn.leave()
		_, o.err = o.conn.Write(o.buf)
		if o.quick.Resume(was); seated && o.err == nil {
			o.err = o.turn.sit()
		}
	}
	if o.page != nil && cap(o.buf) > cap(*o.page) {
		o.buf = (*o.page)[:0] // one long response must not keep its memory
	}
	o.buf = o.buf[:0]
	return o.err
}

// rest writes what was gathered and gives the buffer back.
func (o *output) rest() error {
	err := o.flush()
	switch {
	case o.page == nil:
	case o.large:
		o.server.large.Put(o.page)
	default:
		o.server.pages.Put(o.page)
	}
	o.page, o.large, o.buf = nil, false, nil
	return err
}

// copy writes n octets of r from off on: the content of a literal, or with NUL of
// a literal8. The error is the reader's; then too few octets were written and
// the session must end.
func (o *output) copy(r io.ReaderAt, off, n int64, nul bool) error {
	for n > 0 && o.err == nil {
		b := o.line()
		if cap(b)-len(b) < 1<<10 {
			o.flush()
			o.enlarge()
			b = o.line()
		}
		room := b[len(b):cap(b)]
		if int64(len(room)) > n {
			room = room[:n]
		}
		got, err := r.ReadAt(room, off)
		if !nul {
			mask(room[:got])
		}
		o.buf = b[:len(b)+got]
		off, n = off+int64(got), n-int64(got)
		if n > 0 && err != nil {
			return err
		}
	}
	return nil
}

// mask puts 0x80 in the place of NUL, which a literal cannot hold, RFC 9051
// section 4.3. Sizes stay, and who wants the message as it is has BINARY.
func mask(b []byte) {
	for {
		i := bytes.IndexByte(b, 0)
		if i < 0 {
			return
		}
		b[i], b = 0x80, b[i+1:]
	}
}

// copyFrom writes the next n octets of r, as copy does.
func (o *output) copyFrom(r io.Reader, n int64) error {
	for n > 0 && o.err == nil {
		b := o.line()
		if cap(b)-len(b) < 1<<10 {
			o.flush()
			o.enlarge()
			b = o.line()
		}
		room := b[len(b):cap(b)]
		got, err := r.Read(room[:min(int64(len(room)), n)])
		o.buf = b[:len(b)+got]
		if n -= int64(got); n > 0 && err != nil {
			return err
		}
	}
	return nil
}
