package mbox

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"hash"
	"io"
	"strconv"
	"strings"
	"time"
)

const (
	maxLine   = 64 << 10 // a longer line is looked at in pieces
	maxHeader = 4 << 20  // what follows belongs to the body
	readBytes = 256 << 10
)

// ErrNoMbox says that a file does not begin with a From_ line.
var ErrNoMbox = errors.New("not an mbox: it does not begin with a From line")

// Options say how files are read.
type Options struct {
	// Quoting is how From_ lines in messages are quoted; RD reads what O has
	// written too, but for lines that had been quoted by hand.
	Quoting Quoting
	Zone    *time.Location // of dates without one; default UTC
}

// Quoting is a dialect.
type Quoting int

// The dialects. Content-Length is heeded in all, where it leads to the next
// From_ line or the end.
const (
	RD   Quoting = iota // ">From ", ">>From "…: one ">" goes
	O                   // ">From ": one ">" goes
	None                // nothing was quoted, as in mboxcl2
)

// Scanner goes through the messages of a file.
type Scanner struct {
	r    io.ReaderAt
	o    Options
	size int64
	at   int64 // of the next From_ line
	in   lines
	sum  hash.Hash
	text tally
}

// NewScanner scans a file up to a size, from the From_ line at an offset on.
func NewScanner(r io.ReaderAt, from, size int64, o Options) *Scanner {
	if o.Zone == nil {
		o.Zone = time.UTC
	}
	return &Scanner{r: r, o: o, size: size, at: from, sum: sha256.New()}
}

// lines reads lines from an offset on, in pieces if they are long.
type lines struct {
	r     io.ReaderAt
	limit int // of buf, if it is a small one
	buf   []byte
	rest  []byte // of buf, from offset at on
	at    int64
	size  int64
	err   error
}

func (l *lines) start(r io.ReaderAt, at, size int64) {
	if want := min(readBytes, max(size-at, 512)); l.limit == 0 && int64(len(l.buf)) < want {
		l.rest = nil
		l.at, l.size = 0, 0
		l.buf = make([]byte, want)
	}
	if skip := at - l.at; l.r == r && l.size == size && skip >= 0 && skip <= int64(len(l.rest)) && l.err == nil {
		l.rest, l.at = l.rest[skip:], at
		return
	}
	l.r, l.rest, l.at, l.size, l.err = r, nil, at, size, nil
}

// fill reads until there is a line, or as much as there can be.
func (l *lines) fill() {
	have := copy(l.buf, l.rest)
	want := min(int64(len(l.buf)-have), l.size-l.at-int64(have))
	if want > 0 {
		n, err := l.r.ReadAt(l.buf[have:have+int(want)], l.at+int64(have))
		if have += n; err != nil && (!errors.Is(err, io.EOF) || int64(n) < want) {
			l.err = err
		}
	}
	l.rest = l.buf[:have]
}

// peek gives what comes, at least a line of up to maxLine octets unless the file
// ends, or the buffer is a small one.
func (l *lines) peek() []byte {
	if len(l.rest) < maxLine && l.at+int64(len(l.rest)) < l.size && l.err == nil && (l.limit == 0 || bytes.IndexByte(l.rest, '\n') < 0) {
		l.fill()
	}
	return l.rest
}

// next gives the next line with its end, or a piece of a long one; nil at the
// end of the file. It holds until the next call.
func (l *lines) next() []byte {
	rest := l.peek()
	if len(rest) == 0 {
		return nil
	}
	n := bytes.IndexByte(rest[:min(len(rest), maxLine)], '\n') + 1
	if n == 0 {
		n = min(len(rest), maxLine)
	}
	l.rest, l.at = rest[n:], l.at+int64(n)
	return rest[:n:n]
}

// lineOf is the first line of what comes, without its end.
func lineOf(text []byte) []byte {
	line, _, _ := bytes.Cut(text, []byte{'\n'})
	return bytes.TrimSuffix(line, []byte{'\r'})
}

func blank(line []byte) bool {
	return len(line) == 1 && line[0] == '\n' || len(line) == 2 && line[0] == '\r' && line[1] == '\n'
}

// starts says that a message starts with what comes.
func (s *Scanner) starts(text []byte) bool {
	_, _, ok := parseFrom(lineOf(text), s.o.Zone)
	return ok
}

// Next gives the next message, io.EOF at the end, or ErrNoMbox.
func (s *Scanner) Next() (*Message, error) {
	s.in.start(s.r, s.at, s.size)
	// Empty lines may come before a message, and what belongs to none behind one
	// whose length was told wrongly.
	for begin := s.at == 0; ; {
		text := s.in.peek()
		empty := len(text) > 0 && blank(text[:bytes.IndexByte(text, '\n')+1])
		if len(text) == 0 || !empty && (begin || s.starts(text)) {
			break
		}
		s.in.next()
	}
	s.at = s.in.at
	m := &Message{Offset: s.at}
	line := s.in.next()
	if line == nil {
		if s.in.err != nil {
			return nil, s.in.err
		}
		return nil, io.EOF
	}
	if err := s.message(m, line); err != nil {
		return nil, err
	}
	if at := s.glued(m); at > 0 {
		whole := s.size
		s.size = at
		s.in.start(s.r, s.at, s.size)
		m = &Message{Offset: s.at}
		err := s.message(m, s.in.next())
		s.size, m.Torn, m.Size = whole, false, -1
		if err != nil {
			return nil, err
		}
	}
	s.at = m.Next
	return m, s.in.err
}

// message reads the message that begins with a line.
func (s *Scanner) message(m *Message, line []byte) error {
	var ok bool
	if m.Sender, m.Date, ok = parseFrom(lineOf(line), s.o.Zone); !ok {
		return ErrNoMbox
	}
	s.sum.Reset()
	s.sum.Write(lineOf(line))
	m.Head = s.in.at
	s.text.start(m, s.o.Quoting)
	length, bare := s.header(m)
	if s.in.err == nil {
		s.body(m, length, bare)
	}
	if m.Size = s.text.size(); bare {
		m.Size = -1
	}
	m.Torn = m.Next == s.size && (m.Torn || m.lead > 0 && length > s.size-m.Body)
	copy(m.Fields[:], s.sum.Sum(nil))
	s.sum.Write(strconv.AppendInt(nil, m.End-m.Body, 10))
	copy(m.Sum[:], s.sum.Sum(nil))
	return s.in.err
}

// header reads the fields. length is that of the body as they say, -1 for none;
// bare says that there is no empty line of the message's own behind them.
func (s *Scanner) header(m *Message) (length int64, bare bool) {
	h := header{m: m, length: -1, leading: true}
	last := m.Head
	for {
		text := s.in.peek()
		if len(text) == 0 || s.in.at-m.Head > maxHeader {
			break
		}
		if s.starts(text) { // a message without any body
			h.end(s.in.at)
			m.Body = s.in.at
			return h.length, true
		}
		at := s.in.at
		line := s.in.next()
		if blank(line) && !h.partial {
			h.end(at)
			s.text.add(line)
			m.Body = s.in.at
			rest := s.in.peek()
			bare = len(rest) == 0 || s.starts(rest) || m.lead > 0 && h.length == 0 && Fragment(rest)
			return h.length, bare
		}
		if !h.line(line, at) {
			s.sum.Write(line)
		}
		s.text.add(line)
		last = at
	}
	m.Torn = m.lead == 0 && (h.leading || h.partial && last == h.led)
	h.end(s.in.at)
	m.Body = s.in.at
	return h.length, true
}

// header is fields being read.
type header struct {
	m       *Message
	length  int64
	leading bool
	seen    map[string]bool
	name    string // of the field of the mailbox that goes on
	value   []byte
	locked  bool  // the fields of the mailbox came first
	partial bool  // the next line is a piece of this one
	led     int64 // where the fields of the mailbox that came first end
}

// line takes a line and says that it is of the mailbox.
func (h *header) line(line []byte, at int64) bool {
	piece := h.partial
	h.partial = line[len(line)-1] != '\n'
	if piece || line[0] == ' ' || line[0] == '\t' {
		if h.folds() {
			h.value = append(h.value, line[:min(len(line), maxLine-min(len(h.value), maxLine))]...)
			return true
		}
		h.lead(at)
		return false
	}
	h.flush()
	name := fieldName(line)
	if !ofMailbox(name) {
		h.lead(at)
		return false
	}
	if h.seen == nil {
		h.seen = map[string]bool{}
	}
	first := name == fieldBase || name == fieldPseudo
	if h.leading && (h.seen[name] || first && len(h.seen) > 0) {
		h.lead(at)
	}
	if h.locked {
		return false
	}
	h.seen[name] = true
	h.name = name
	h.value = append([]byte(nil), line[bytes.IndexByte(line, ':')+1:]...)
	return true
}

// folds says that a line that begins with a space goes on with a field of the
// mailbox; those of one word never do.
func (h *header) folds() bool {
	return h.name == fieldBase || h.name == fieldPseudo || h.name == fieldKeywords
}

// lead ends the fields that come first. If there are all that we know, what
// follows of the same names is the message's own.
func (h *header) lead(at int64) {
	if !h.leading {
		return
	}
	h.leading, h.led = false, at
	if h.all() {
		h.m.lead, h.locked = at, true
	}
}

func (h *header) flush() {
	if h.name == "" {
		return
	}
	value := strings.TrimSpace(string(h.value))
	if h.name == fieldLength {
		if n, err := strconv.ParseInt(value, 10, 64); err == nil && n >= 0 {
			h.length = n
		}
	} else {
		h.m.take(h.name, value)
	}
	h.name, h.value = "", nil
}

func (h *header) end(at int64) {
	h.flush()
	h.lead(at)
}

// body finds the end of a message.
func (s *Scanner) body(m *Message, length int64, bare bool) {
	if length >= 0 && !(bare && length == 0) && s.fits(m, length) {
		return
	}
	m.short = m.lead > 0 && length > 0
	if bare {
		m.End, m.Next = m.Body, m.Body
		if m.Body > m.Head && len(s.in.peek()) == 0 {
			m.Next = s.size
		}
		m.End = s.headerEnd(m)
		return
	}
	s.in.start(s.r, m.Body, s.size)
	before := m.Body // of the empty line before, if it was one
	empty, whole := false, true
	for {
		text := s.in.peek()
		at := s.in.at
		if len(text) == 0 {
			m.End, m.Next = at, at
			if empty {
				m.End = before
				s.text.drop()
			}
			return
		}
		if whole && text[0] == 'F' && s.starts(text) && (empty || s.headed(text)) {
			m.End, m.Next = at, at
			if empty {
				m.End = before
				s.text.drop()
			}
			return
		}
		line := s.in.next()
		s.text.add(line)
		empty = whole && blank(line)
		whole = line[len(line)-1] == '\n'
		before = at
	}
}

// headerEnd is where a message ends that has no empty line of its own: the one
// behind its fields, if there is one, parts it from the next.
func (s *Scanner) headerEnd(m *Message) int64 {
	tail := make([]byte, min(2, m.Body-m.Head))
	if _, err := s.r.ReadAt(tail, m.Body-int64(len(tail))); err != nil && !errors.Is(err, io.EOF) {
		s.in.err = err
		return m.Body
	}
	if len(tail) == 2 && tail[0] == '\r' && tail[1] == '\n' {
		var more [1]byte
		if m.Body-3 < m.Head {
			return m.Head
		}
		if _, err := s.r.ReadAt(more[:], m.Body-3); err == nil && more[0] == '\n' {
			return m.Body - 2
		}
		return m.Body
	}
	if len(tail) == 2 && tail[0] == '\n' && tail[1] == '\n' || len(tail) == 1 && tail[0] == '\n' {
		return m.Body - 1
	}
	return m.Body
}

// headed says that a From_ line that follows on no empty line is one all the
// same, since a field comes after it.
func (s *Scanner) headed(text []byte) bool {
	_, rest, ok := bytes.Cut(text, []byte{'\n'})
	if !ok {
		return false
	}
	name, _, ok := bytes.Cut(lineOf(rest), []byte{':'})
	if !ok || len(name) == 0 || len(name) > 76 {
		return false
	}
	for _, c := range name {
		if c <= ' ' || c >= 0x7f {
			return false
		}
	}
	return true
}

// fits takes the length that the fields give if a message, or the end, follows.
func (s *Scanner) fits(m *Message, length int64) bool {
	end := m.Body + length
	if end < m.Body || end > s.size {
		return false
	}
	var after [maxFrom + 4]byte
	n, err := s.r.ReadAt(after[:min(int64(len(after)), s.size-end)], end)
	if err != nil && !errors.Is(err, io.EOF) {
		s.in.err = err
		return false
	}
	text := after[:n]
	skipped := 0
	for skipped < 2 && len(text) > 0 { // the last line's end, and the empty line
		line := text[:min(len(text), bytes.IndexByte(text, '\n')+1)]
		if !blank(line) {
			break
		}
		text = text[len(line):]
		skipped++
	}
	if len(text) > 0 && !s.starts(text) && !(m.lead > 0 && Fragment(text)) {
		return false
	}
	m.End, m.Next = end, s.size
	if len(text) > 0 {
		m.Next = end + int64(n) - int64(len(text))
	}
	m.plain = s.unquoted(m)
	return s.in.err == nil
}

// unquoted says that a body has a From_ line as it is: then nothing was quoted
// in it.
func (s *Scanner) unquoted(m *Message) (plain bool) {
	s.in.start(s.r, m.Body, s.size)
	whole := true
	for s.in.at < m.End {
		line := s.in.next()
		if line == nil {
			return false
		}
		if more := s.in.at - m.End; more > 0 {
			line = line[:int64(len(line))-more]
		}
		plain = plain || whole && bytes.HasPrefix(line, []byte("From "))
		whole = line[len(line)-1] == '\n'
		s.text.add(line)
	}
	return plain
}
