package mbox

import (
	"errors"
	"io"
	"sort"
	"sync"
)

// stepBytes is how far apart the places are from where a text can be read.
const stepBytes = 64 << 10

// Text is a message as it was before it came into the file: without the fields
// of the mailbox, nothing quoted, its lines ended by CRLF. Many may read it at
// the same time.
type Text struct {
	r     io.ReaderAt
	m     *Message
	o     Options
	size  int64
	steps []step

	mu    sync.Mutex
	block []byte // the text from step number on, until the next
	which int
}

// step is a place at the beginning of a line.
type step struct {
	text int64 // offset in the text
	state
}

// state is where the reading of a message is.
type state struct {
	at     int64 // offset in the file
	inBody bool
	skip   bool // the field is the mailbox's
	folds  bool // and may go on in the next line
	whole  bool // the last line was, and not a piece of one
}

// Open reads a message once, to know its size. A small one is kept from then on.
func Open(r io.ReaderAt, m *Message, o Options) (*Text, error) {
	t := &Text{r: r, m: m, o: o, which: -1}
	s := state{at: m.Head, whole: true}
	var in lines
	in.start(r, s.at, m.End)
	small := m.End-m.Head <= stepBytes
	for {
		if s.whole && (len(t.steps) == 0 || t.size-t.steps[len(t.steps)-1].text >= stepBytes) {
			t.steps = append(t.steps, step{t.size, s})
		}
		a, b, err := t.line(&in, &s)
		if errors.Is(err, io.EOF) {
			if small && len(t.steps) == 1 {
				t.which = 0
			}
			return t, nil
		}
		if err != nil {
			return nil, err
		}
		t.size += int64(len(a) + len(b))
		if small {
			t.block = append(append(t.block, a...), b...)
		}
	}
}

// line gives the next line, or piece of one, in two parts.
func (t *Text) line(in *lines, s *state) (text, end []byte, err error) {
	line := in.next()
	if line == nil {
		if in.err != nil {
			return nil, nil, in.err
		}
		return nil, nil, io.EOF
	}
	text, end, _ = s.take(line, t.m, t.o.Quoting)
	return text, end, nil
}

// take gives what a line, or a piece of one, is in the message; cut says that a
// ">" was taken from it.
func (s *state) take(line []byte, m *Message, q Quoting) (text, end []byte, cut bool) {
	at := s.at
	s.at += int64(len(line))
	first := s.whole
	s.whole = line[len(line)-1] == '\n'
	if first {
		switch {
		case s.inBody:
		case blank(line):
			s.inBody, s.skip = true, false
		case line[0] == ' ' || line[0] == '\t':
			s.skip = s.skip && s.folds
		default:
			name := fieldName(line)
			s.skip = ofMailbox(name) && (m.lead == 0 || at < m.lead)
			s.folds = (&header{name: name}).folds()
		}
		if n, ok := quoted(line); ok && n > 0 && !m.plain && (q == RD || q == O && n == 1) {
			line, cut = line[1:], !s.skip
		}
	}
	if s.skip {
		return nil, nil, false
	}
	if n := len(line); s.whole && (n < 2 || line[n-2] != '\r') {
		return line[:n-1], crlf, cut
	}
	return line, nil, cut
}

// crlf is never written to.
var crlf = []byte("\r\n")

// Size is how long the text is.
func (t *Text) Size() int64 { return t.size }

// Close has nothing to do.
func (t *Text) Close() error { return nil }

// ReadAt reads from anywhere.
func (t *Text) ReadAt(p []byte, off int64) (n int, err error) {
	if off < 0 {
		return 0, errors.New("read before the beginning of a message")
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for n < len(p) && off < t.size {
		which := sort.Search(len(t.steps), func(i int) bool { return t.steps[i].text > off }) - 1
		if err := t.load(which); err != nil {
			return n, err
		}
		skip := off - t.steps[which].text
		if skip >= int64(len(t.block)) {
			return n, io.ErrUnexpectedEOF // the file was changed
		}
		c := copy(p[n:], t.block[skip:])
		n += c
		off += int64(c)
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// load reads the text between two steps.
func (t *Text) load(which int) error {
	if t.which == which {
		return nil
	}
	t.which = -1
	until := t.size
	if which+1 < len(t.steps) {
		until = t.steps[which+1].text
	}
	s := t.steps[which].state
	var in lines
	in.start(t.r, s.at, t.m.End)
	t.block = t.block[:0]
	for int64(len(t.block)) < until-t.steps[which].text {
		a, b, err := t.line(&in, &s)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		t.block = append(append(t.block, a...), b...)
	}
	t.which = which
	return nil
}
