package smtp

import (
	"bytes"
	"errors"
	"io"
)

// LinePolicy says what becomes of a bare CR, a bare LF and a NUL in message
// data: RFC 5321 sections 2.3.8 and 4.1.1.4 forbid them, and the two ends'
// different ways to see them is what smuggling lives on.
type LinePolicy uint8

// The policies.
const (
	Refuse    LinePolicy = iota // the message is refused
	Normalise                   // a bare CR or LF becomes CRLF, a NUL is left out
)

// ErrLines says that message data broke the rules of line ends.
var ErrLines = errors.New("message data holds a bare CR, a bare LF or a NUL")

// LineWriter watches the line ends of the data that passes through it.
type LineWriter struct {
	w      io.Writer
	policy LinePolicy
	cr     bool // the last octet was a CR whose LF has yet to come
	err    error
}

// NewLineWriter makes a LineWriter that writes to w.
func NewLineWriter(w io.Writer, policy LinePolicy) *LineWriter {
	return &LineWriter{w: w, policy: policy}
}

var crlf = []byte("\r\n")

// Write passes p on. Under Refuse it passes nothing of a p that breaks the
// rules and returns ErrLines then and ever after. Writes may cut the data
// anywhere.
func (l *LineWriter) Write(p []byte) (int, error) {
	if l.err != nil || len(p) == 0 {
		return 0, l.err
	}
	whole := len(p)
	if l.cr && p[0] != '\n' {
		if l.fix(crlf[1:]); l.err != nil {
			return 0, l.err
		}
	}
	for start := l.cr; len(p) > 0; start = false {
		n := clean(p, start)
		if n > 0 {
			if l.policy == Refuse && n < len(p) {
				l.err = ErrLines
				return 0, l.err
			}
			if _, l.err = l.w.Write(p[:n]); l.err != nil {
				return 0, l.err
			}
			l.cr = p[n-1] == '\r'
			p = p[n:]
			continue
		}
		if p[0] == 0 {
			l.fix(nil)
		} else {
			l.fix(crlf)
		}
		if l.err != nil {
			return 0, l.err
		}
		p = p[1:]
	}
	return whole, nil
}

// fix writes what stands in for a bad octet.
func (l *LineWriter) fix(with []byte) {
	l.cr = false
	if l.policy == Refuse {
		l.err = ErrLines
		return
	}
	if len(with) > 0 {
		_, l.err = l.w.Write(with)
	}
}

// Close ends the data: a CR at its very end has no LF any more. It does not
// close the writer below.
func (l *LineWriter) Close() error {
	if l.err == nil && l.cr {
		l.fix(crlf[1:])
	}
	return l.err
}

// clean measures how much of p may pass as it is. A CR at the end may: what
// comes after it decides. start says that a LF in front ends a CRLF. It looks
// at whole lines, not at octets.
func clean(p []byte, start bool) int {
	end := len(p)
	if i := bytes.IndexByte(p, 0); i >= 0 {
		end = i
	}
	at := 0
	if start && end > 0 && p[0] == '\n' {
		at = 1
	}
	for at < end {
		lf := bytes.IndexByte(p[at:end], '\n')
		if lf < 0 {
			// Nothing but a CR at the very end may be left.
			if cr := bytes.IndexByte(p[at:end], '\r'); cr >= 0 && at+cr < len(p)-1 {
				return at + cr
			}
			return end
		}
		cr := bytes.IndexByte(p[at:at+lf], '\r')
		if cr < 0 {
			return at + lf
		}
		if cr != lf-1 {
			return at + cr
		}
		at += lf + 1
	}
	return end
}
