package mbox

import (
	"bytes"
	"strings"
)

// all says that there are all fields of the mailbox that Write writes with Padded.
func (h *header) all() bool {
	for _, name := range []string{fieldStatus, fieldXStatus, fieldKeywords, fieldUID, fieldLength} {
		if !h.seen[name] {
			return false
		}
	}
	return true
}

// glued finds a From_ line within a line: of a message that another program wrote
// where the end of one of ours is missing. 0 if there is none.
func (s *Scanner) glued(m *Message) int64 {
	if !m.short || s.in.err != nil {
		return 0
	}
	var in lines
	in.start(s.r, m.lead, s.size)
	for in.at < m.Next {
		text := in.peek()
		at := in.at
		line := in.next()
		if line == nil {
			break
		}
		i := bytes.LastIndex(lineOf(line), []byte("From "))
		if _, ok := quoted(line); !ok && i > 0 && s.starts(text[i:]) && s.headed(text[i:]) {
			return at + int64(i)
		}
	}
	s.in.err = in.err
	return 0
}

// Fragment says that octets are the beginning of a From_ line, and no more.
func Fragment(text []byte) bool {
	const begin = "From "
	if len(text) == 0 || len(text) > maxFrom || bytes.IndexByte(text, '\n') >= 0 {
		return false
	}
	return bytes.HasPrefix(text, []byte(begin)) || strings.HasPrefix(begin, string(text))
}
