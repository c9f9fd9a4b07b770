package imapd

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"plic/internal/imap"
	"plic/internal/pace"
)

// What is read at once: while a command comes in, and while messages do.
const (
	inputSize = 4 << 10
	wideSize  = 32 << 10
)

// input reads a connection through a buffer that it holds only while there is
// something in it; what a client sends first after a pause goes to small.
type input struct {
	server *Server
	conn   net.Conn
	quick  *pace.Quick // that waits while the client is slow to say something
	big    *[]byte     // from a pool, nil at rest
	buf    []byte      // *big or small
	r, w   int
	small  [64]byte

	mu          sync.Mutex
	atRest      bool // a read waits for a command to begin
	interrupted bool // none waits any more
}

// errInterrupted is the error of waiting after interrupt.
var errInterrupted = errors.New("the server is stopping")

// interrupt ends the wait for a command, now and from here on. What a client is
// in the midst of sending is still read.
func (in *input) interrupt() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.interrupted = true
	if in.atRest {
		in.conn.SetReadDeadline(time.Unix(1, 0))
	}
}

// swap reads another connection from here on.
func (in *input) swap(nc net.Conn) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.conn = nc
}

// deadline sets the time by which reads must have got something.
func (in *input) deadline(t time.Time) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.conn.SetReadDeadline(t)
}

// await waits, without a buffer, until something comes; until then it can be
// interrupted. The deadline stays for the reads after it.
func (in *input) await(until time.Time) error {
	in.mu.Lock()
	in.conn.SetReadDeadline(until)
	in.atRest = true
	stopped := in.interrupted
	in.mu.Unlock()
	var err error
	if in.r == in.w && !stopped {
		in.rest()
		err = in.fill()
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	in.atRest = false
	if in.interrupted && (stopped || errors.Is(err, os.ErrDeadlineExceeded)) {
		return errInterrupted
	}
	if in.interrupted {
		in.conn.SetReadDeadline(until)
	}
	return err
}

// buffered is how much was read and not used yet.
func (in *input) buffered() int { return in.w - in.r }

// rest gives the buffer back if it is empty.
func (in *input) rest() {
	if in.r < in.w {
		return
	}
	in.r, in.w = 0, 0
	in.release()
	in.buf = in.small[:]
}

func (in *input) release() {
	switch {
	case in.big == nil:
	case len(*in.big) == wideSize:
		in.server.wides.Put(in.big)
	default:
		in.server.lines.Put(in.big)
	}
	in.big = nil
}

// fill reads more, at least one octet.
func (in *input) fill() error {
	if in.r == in.w {
		in.r, in.w = 0, 0
	}
	if in.w == len(in.buf) {
		if in.big == nil {
			in.big = in.server.lines.Get().(*[]byte)
			in.w = copy(*in.big, in.buf[in.r:in.w])
			in.buf = *in.big
		} else {
			in.w = copy(in.buf, in.buf[in.r:in.w])
		}
		in.r = 0
	}
	n, err := in.read(in.buf[in.w:])
	in.w += n
	if n > 0 {
		return nil
	}
	if err == nil {
		return io.ErrNoProgress
	}
	return err
}

func (in *input) read(p []byte) (int, error) {
	was := in.quick.Leave()
	defer in.quick.Resume(was)
	return in.conn.Read(p)
}

// full says that there is no room for fill.
func (in *input) full() bool { return in.big != nil && in.r == 0 && in.w == len(in.buf) }

// Read takes what is buffered, else reads past the buffer.
func (in *input) Read(p []byte) (int, error) {
	if in.r < in.w {
		n := copy(p, in.buf[in.r:in.w])
		in.r += n
		return n, nil
	}
	if len(p) >= len(in.buf) {
		return in.read(p)
	}
	if err := in.fill(); err != nil {
		return 0, err
	}
	return in.Read(p)
}

// take gives at most n octets, which hold until the next are read; what follows
// them is read with them.
func (in *input) take(n int64) ([]byte, error) {
	if in.r == in.w {
		if in.big == nil || len(*in.big) != wideSize {
			in.release()
			in.big = in.server.wides.Get().(*[]byte)
			in.buf = *in.big
		}
		if err := in.fill(); err != nil {
			return nil, err
		}
	}
	part := in.buf[in.r:in.w]
	part = part[:min(int64(len(part)), n)]
	in.r += len(part)
	return part, nil
}

// readLine appends a line without its end to dst; a bare LF ends one too.
func (in *input) readLine(dst []byte, limit int) ([]byte, error) {
	from, dropped := len(dst), 0
	var last byte
	for {
		if in.r == in.w {
			if err := in.fill(); err != nil {
				return dst, err
			}
		}
		piece := in.buf[in.r:in.w]
		end := bytes.IndexByte(piece, '\n')
		if end >= 0 {
			piece = piece[:end]
		}
		in.r += len(piece)
		if room := max(0, limit+1-(len(dst)-from)); dropped > 0 || len(piece) > room {
			dropped += len(piece)
			if dropped > imap.MaxDrain {
				return dst, imap.ErrLost
			}
		} else {
			dst = append(dst, piece...)
		}
		if n := len(piece); n > 0 && piece[n-1] != '\r' {
			last = piece[n-1]
		}
		if end < 0 {
			continue
		}
		in.r++
		if n := len(dst); n > from && dst[n-1] == '\r' && dropped == 0 {
			dst = dst[:n-1]
		}
		switch {
		case dropped == 0 && len(dst)-from <= limit:
			return dst, nil
		case last == '}': // a literal may follow that must not become commands
			return dst, imap.ErrLost
		}
		return dst, imap.ErrTooBig
	}
}

// ahead runs f, which may read, beside what the session does, until f returns
// or stop is called. The session must not read until stop has returned.
func (in *input) ahead(f func()) (done <-chan struct{}, stop func()) {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		f()
	}()
	return ended, func() {
		in.deadline(time.Unix(1, 0))
		<-ended
	}
}
