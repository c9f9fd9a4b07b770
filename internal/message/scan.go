package message

import (
	"bytes"
	"io"
)

// scanner is a window that moves over a reader, and counts.
type scanner struct {
	src  io.Reader
	err  error
	eof  bool
	buf  []byte
	r, w int   // buf[r:w] is read but not consumed
	pos  int64 // offset of buf[r]

	lines   int  // line ends consumed
	last    byte // the octet consumed last
	newline int  // length of the line end consumed last, 0 within a line

	keep int    // octets that the next consume shall keep
	kept []byte // what it kept; valid until the next call
}

// window is all that is read and not consumed.
func (s *scanner) window() []byte { return s.buf[s.r:s.w] }

// atLineStart says that a line begins here.
func (s *scanner) atLineStart() bool { return s.newline > 0 || s.pos == 0 }

// fill reads more; it says whether there was more and room for it.
func (s *scanner) fill() bool {
	if s.eof {
		return false
	}
	if s.r > 0 {
		copy(s.buf, s.buf[s.r:s.w])
		s.r, s.w = 0, s.w-s.r
	}
	if s.w == len(s.buf) || s.pos >= int64(len(s.buf)) && len(s.buf) < maxWindow {
		if len(s.buf) >= maxWindow {
			return false
		}
		grown := make([]byte, min(4*len(s.buf), maxWindow))
		copy(grown, s.buf)
		s.buf = grown
	}
	for range 100 {
		n, err := s.src.Read(s.buf[s.w:])
		s.w += n
		if err != nil {
			s.eof = true
			if err != io.EOF {
				s.err = err
			}
		}
		if n > 0 || s.eof {
			return n > 0
		}
	}
	s.eof, s.err = true, io.ErrNoProgress
	return false
}

// line gives the rest of the line with its line end, or as much of it as fits
// the window; nothing at the end.
func (s *scanner) line() []byte {
	seen := 0
	for {
		if i := bytes.IndexByte(s.buf[s.r+seen:s.w], '\n'); i >= 0 {
			return s.buf[s.r : s.r+seen+i+1]
		}
		seen = s.w - s.r
		if !s.fill() {
			return s.buf[s.r:s.w]
		}
	}
}

// peek gives up to n octets from skip octets on; fewer only at the end, or
// where the window is too small.
func (s *scanner) peek(skip, n int) []byte {
	for s.w-s.r < skip+n && s.fill() {
	}
	w := s.window()
	return w[min(skip, len(w)):min(skip+n, len(w))]
}

// consume goes on by n octets.
func (s *scanner) consume(n int) {
	if n == 0 {
		return
	}
	chunk := s.buf[s.r : s.r+n]
	if s.keep > 0 {
		s.kept = chunk[:min(n, s.keep)]
	}
	before := s.last
	if n > 1 {
		before = chunk[n-2]
	}
	s.last = chunk[n-1]
	switch {
	case s.last != '\n':
		s.newline = 0
	case before == '\r':
		s.newline = 2
	default:
		s.newline = 1
	}
	s.lines += bytes.Count(chunk, []byte{'\n'})
	s.r += n
	s.pos += int64(n)
}
