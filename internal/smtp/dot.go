package smtp

import (
	"bufio"
	"bytes"
	"io"
)

// Where the octets read or written so far leave us.
type tail uint8

const (
	inLine  tail = iota
	afterCR      // a CR whose LF may come
	atStart      // after CRLF, or before the first octet
)

func tailOf(run []byte, before tail) tail {
	n := len(run)
	switch {
	case n == 0:
		return before
	case run[n-1] == '\r':
		return afterCR
	case run[n-1] == '\n' && (n > 1 && run[n-2] == '\r' || n == 1 && before == afterCR):
		return atStart
	}
	return inLine
}

var crlfDot = []byte("\r\n.")

// DotReader reads what follows DATA up to the lone dot, RFC 5321 sections
// 4.1.1.4 and 4.5.2. A line starts after CRLF only, and only CRLF.CRLF ends the
// data: bare CRs and LFs are content like any other, for a LineWriter to judge.
type DotReader struct {
	r    *bufio.Reader
	at   tail
	done bool
	rest []byte // of a run that Read has begun
}

// NewDotReader makes a DotReader; it takes nothing from r beyond the dot's
// line.
func NewDotReader(r *bufio.Reader) *DotReader { return &DotReader{r: r, at: atStart} }

// Next gives the next run of content, which stays valid until the next call;
// io.EOF comes after the lone dot, io.ErrUnexpectedEOF when the stream ends
// before it. It waits for no more than one octet of new data where it can.
func (d *DotReader) Next() ([]byte, error) {
	if d.done {
		return nil, io.EOF
	}
	buf, err := d.r.Peek(1)
	if err != nil {
		return nil, unexpected(err)
	}
	if d.at == atStart && buf[0] == '.' {
		if buf, err = d.r.Peek(3); err != nil {
			return nil, unexpected(err)
		}
		if buf[1] == '\r' && buf[2] == '\n' {
			d.done = true
			d.r.Discard(3) // they are there
			return nil, io.EOF
		}
		d.r.Discard(1)
		d.at = inLine
	}
	buf, _ = d.r.Peek(d.r.Buffered())
	run := buf
	if d.at == afterCR && buf[0] == '\n' {
		run = buf[:1]
	} else if i := bytes.Index(buf, crlfDot); i >= 0 {
		run = buf[:i+2]
	}
	d.at = tailOf(run, d.at)
	d.r.Discard(len(run))
	return run, nil
}

// Read reads content.
func (d *DotReader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if len(d.rest) == 0 {
		var err error
		if d.rest, err = d.Next(); err != nil {
			return 0, err
		}
	}
	n := copy(p, d.rest)
	d.rest = d.rest[n:]
	return n, nil
}

func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// DotWriter writes message data after DATA: line ends made CRLF and nothing
// else, dots stuffed, the lone dot at Close.
type DotWriter struct {
	lines *LineWriter
	stuff stuffer
}

// NewDotWriter makes a DotWriter over w, which it flushes at Close.
func NewDotWriter(w *bufio.Writer) *DotWriter {
	d := &DotWriter{stuff: stuffer{w: w, at: atStart}}
	d.lines = NewLineWriter(&d.stuff, Normalise)
	return d
}

// Write writes content; it may be cut anywhere.
func (d *DotWriter) Write(p []byte) (int, error) { return d.lines.Write(p) }

// Close ends the last line if it has no end, writes the lone dot and flushes.
func (d *DotWriter) Close() error {
	if err := d.lines.Close(); err != nil {
		return err
	}
	end := "\r\n.\r\n"
	if d.stuff.at == atStart {
		end = end[2:]
	}
	if _, err := d.stuff.w.WriteString(end); err != nil {
		return err
	}
	return d.stuff.w.Flush()
}

// stuffer doubles the dot in front of a line.
type stuffer struct {
	w  *bufio.Writer
	at tail
}

func (s *stuffer) Write(p []byte) (int, error) {
	whole := len(p)
	for len(p) > 0 {
		if s.at == atStart && p[0] == '.' {
			if err := s.w.WriteByte('.'); err != nil {
				return 0, err
			}
			s.at = inLine
		}
		run := p
		if s.at == afterCR && p[0] == '\n' {
			run = p[:1]
		} else if i := bytes.Index(p, crlfDot); i >= 0 {
			run = p[:i+2]
		}
		s.at = tailOf(run, s.at)
		if _, err := s.w.Write(run); err != nil {
			return 0, err
		}
		p = p[len(run):]
	}
	return whole, nil
}
