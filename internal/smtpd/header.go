package smtpd

import (
	"bytes"
	"strings"
)

// maxField is how much of a header line is looked at.
const maxField = 1000

// header notes, while the content passes, the little that we must know of a
// message's header: RFC 5322 in as far as trace and submission need it.
type header struct {
	done      bool
	size      int
	lines     int
	hops      int    // Received fields
	date      bool   // there is a Date
	hasID     bool   // there is a Message-ID
	messageID string // the first, as it stands
	bare      bool   // the message begins without any header

	part []byte // of a line that is not whole
	inID bool   // the field before was Message-ID, without its value as yet
}

// scan takes the next piece of content.
func (h *header) scan(p []byte) {
	for len(p) > 0 && !h.done {
		i := bytes.IndexByte(p, '\n')
		piece := p[:i+1]
		if i < 0 {
			piece = p
		}
		h.size += len(piece)
		p = p[len(piece):]
		if i >= 0 && len(h.part) == 0 {
			h.line(piece)
			continue
		}
		h.part = append(h.part, piece[:min(len(piece), max(0, maxField-len(h.part)))]...)
		if i >= 0 {
			h.line(h.part)
			h.part = h.part[:0]
		}
	}
}

// finish ends the content.
func (h *header) finish() {
	if len(h.part) > 0 && !h.done {
		h.line(h.part)
	}
	h.done = true
}

// line takes one line, perhaps cut.
func (h *header) line(line []byte) {
	line = bytes.TrimRight(line[:min(len(line), maxField)], "\r\n")
	h.lines++
	if len(line) == 0 {
		h.done = true
		return
	}
	if line[0] == ' ' || line[0] == '\t' {
		if h.inID && h.messageID == "" {
			h.messageID = string(bytes.TrimSpace(line))
		}
		h.bare = h.bare || h.lines == 1
		h.done = h.bare
		return
	}
	name, value, ok := bytes.Cut(line, []byte{':'})
	name = bytes.TrimRight(name, " \t")
	if !ok || len(name) == 0 || bytes.ContainsAny(name, " \t") {
		// Not a field: the header has ended without its empty line, but for
		// the first line that a mailbox file has.
		if h.lines > 1 || !bytes.HasPrefix(bytes.TrimPrefix(line, []byte{'>'}), []byte("From ")) {
			h.bare, h.done = h.lines == 1, true
		}
		return
	}
	h.inID = false
	switch len(name) {
	case len("Date"):
		h.date = h.date || is(name, "date")
	case len("Received"):
		if is(name, "received") {
			h.hops++
		}
	case len("Message-ID"):
		if is(name, "message-id") && !h.hasID {
			h.hasID, h.inID = true, true
			h.messageID = string(bytes.TrimSpace(value))
		}
	}
}

func is(name []byte, want string) bool { return strings.EqualFold(string(name), want) }
