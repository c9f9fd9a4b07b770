package mbox

import (
	"io"
	"strconv"
)

// tally counts how long a message is as Text gives it, while it is scanned.
type tally struct {
	state
	m      *Message
	q      Quoting
	octets int64
	last   int64 // of the last line
	cut    int64 // ">" that were taken away
}

func (t *tally) start(m *Message, q Quoting) {
	*t = tally{state: state{at: m.Head, whole: true}, m: m, q: q}
}

func (t *tally) add(line []byte) {
	text, end, cut := t.take(line, t.m, t.q)
	t.last = int64(len(text) + len(end))
	t.octets += t.last
	if cut {
		t.cut++
	}
}

// drop leaves the last line out.
func (t *tally) drop() { t.octets -= t.last }

func (t *tally) size() int64 {
	if t.m.plain {
		return t.octets + t.cut
	}
	return t.octets
}

// Extent is what there is to know of a message behind its fields.
type Extent struct {
	Length int64 // of the body in the file
	Gap    int64 // between it and the next From_ line
	Size   int64 // as Text gives it
	Plain  bool  // its lines are not quoted
}

// Padded says that Write has written the message with room for another Status, or
// it is as if.
func (m *Message) Padded() bool { return m.lead > 0 }

// Extent gives it for Heads.At: false if the message must be scanned again.
func (m *Message) Extent() (x Extent, ok bool) {
	return Extent{m.End - m.Body, m.Next - m.End, m.Size, m.plain}, m.Size >= 0 && !m.Torn && !m.short
}

// Extend makes a message whole of which only the fields were read.
func (h *Heads) Extend(m *Message, x Extent) {
	m.End = m.Body + x.Length
	m.Next = m.End + x.Gap
	m.Size, m.plain = x.Size, x.Plain
	h.s.sum.Write(strconv.AppendInt(nil, x.Length, 10))
	copy(m.Sum[:], h.s.sum.Sum(nil))
}

// Heads reads fields of messages whose bodies are known.
type Heads struct{ s *Scanner }

// headBytes is how much is read of a message to see its fields.
const headBytes = 4 << 10

// NewHeads reads from a file of a size.
func NewHeads(r io.ReaderAt, size int64, o Options) *Heads {
	s := NewScanner(r, 0, size, o)
	s.in.limit = headBytes
	s.in.buf = make([]byte, headBytes)
	return &Heads{s}
}

// At reads From_ line and fields of the message at an offset: all but where it
// ends, and its Sum. ErrNoMbox if there is none.
func (h *Heads) At(at int64) (*Message, error) {
	s := h.s
	s.in.start(s.r, at, s.size)
	m := &Message{Offset: at}
	line := s.in.next()
	if line == nil {
		if s.in.err != nil {
			return nil, s.in.err
		}
		return nil, ErrNoMbox
	}
	var ok bool
	if m.Sender, m.Date, ok = parseFrom(lineOf(line), s.o.Zone); !ok {
		return nil, ErrNoMbox
	}
	s.sum.Reset()
	s.sum.Write(lineOf(line))
	m.Head = s.in.at
	s.text.start(m, s.o.Quoting)
	s.header(m)
	copy(m.Fields[:], s.sum.Sum(nil))
	return m, s.in.err
}

// Begins says that a message begins at an offset, or that the file ends there.
func (h *Heads) Begins(at int64) (bool, error) {
	if at == h.s.size {
		return true, nil
	}
	h.s.in.start(h.s.r, at, h.s.size)
	ok := h.s.starts(h.s.in.peek())
	return ok, h.s.in.err
}
