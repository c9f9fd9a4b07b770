// Package mbox reads and writes mbox files, RFC 4155, in all the dialects there
// are: mboxrd and mboxo, where lines that begin with "From " are quoted by ">",
// mboxcl and mboxcl2, where Content-Length says how long a body is, and mixtures
// of them, with From_ lines of every known shape. It knows the fields in which
// other programs keep what belongs to a mailbox and not to the message: Status,
// X-Status, X-Keywords, X-UID, X-IMAPbase and X-IMAP.
//
// It writes mboxrd. What is written is read back octet by octet: Content-Length
// stands where a message does not end in a line end, and the fields of the
// mailbox come first, all of them, where the message has some of the same name.
package mbox

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Message is where a message is in a file, and what its mailbox knows of it.
type Message struct {
	Offset int64 // of its From_ line
	Head   int64 // of its first field
	Body   int64 // behind the empty line after the fields
	End    int64 // behind its last octet
	Next   int64 // of the next From_ line, or the file's end
	Size   int64 // as Text gives it; -1 if only that tells
	Sum    Sum   // what it is, whatever its mailbox knows of it
	Fields Sum   // likewise, of From_ line and fields alone

	Sender string // of the From_ line
	Date   time.Time
	Status

	Torn  bool  // it was written by Write with Padded, and its end is missing at the file's end
	lead  int64 // behind the fields of the mailbox, if others are the message's own
	plain bool  // its lines are not quoted
	short bool  // it was written by Write, and is not as long as it says
}

// Sum tells messages apart.
type Sum [16]byte

// Status is what a mailbox knows of a message.
type Status struct {
	UID      uint32 // 0 for none
	Seen     bool
	Old      bool // it has been shown as \Recent
	Answered bool
	Flagged  bool
	Deleted  bool
	Draft    bool
	Keywords []string
	Base     *Base // of the mailbox, in its first message
	Pseudo   bool  // the message is none: it only holds Base
}

// Base is what the first message says of the whole mailbox.
type Base struct {
	UIDValidity uint32
	LastUID     uint32
	Keywords    []string // all that may occur
}

// The fields of the mailbox.
const (
	fieldBase     = "x-imapbase"
	fieldPseudo   = "x-imap"
	fieldUID      = "x-uid"
	fieldStatus   = "status"
	fieldXStatus  = "x-status"
	fieldKeywords = "x-keywords"
	fieldLength   = "content-length"
	fieldLines    = "lines" // mutt counts them when it writes a message anew
)

// fieldName gives the name of a line's field, in small letters.
func fieldName(line []byte) string {
	i := bytes.IndexByte(line, ':')
	if i <= 0 || i > len("content-length") {
		return ""
	}
	return strings.ToLower(string(bytes.TrimRight(line[:i], " \t")))
}

func ofMailbox(name string) bool {
	switch name {
	case fieldBase, fieldPseudo, fieldUID, fieldStatus, fieldXStatus, fieldKeywords, fieldLength, fieldLines:
		return true
	}
	return false
}

func uint32Of(text string) uint32 {
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		return 0
	}
	return uint32(n)
}

// take reads a field.
func (s *Status) take(name, value string) {
	switch name {
	case fieldUID:
		s.UID = uint32Of(strings.TrimSpace(value))
	case fieldStatus:
		s.Seen = strings.Contains(value, "R")
		s.Old = strings.Contains(value, "O")
	case fieldXStatus:
		s.Answered = strings.Contains(value, "A")
		s.Flagged = strings.Contains(value, "F")
		s.Deleted = strings.Contains(value, "D")
		s.Draft = strings.Contains(value, "T")
	case fieldKeywords:
		for _, k := range strings.Fields(value) {
			if !slices.Contains(s.Keywords, k) && len(s.Keywords) < maxKeywords {
				s.Keywords = append(s.Keywords, k)
			}
		}
	case fieldBase, fieldPseudo:
		words := strings.Fields(value)
		if len(words) < 2 || uint32Of(words[0]) == 0 {
			return
		}
		s.Base = &Base{UIDValidity: uint32Of(words[0]), LastUID: uint32Of(words[1]), Keywords: slices.Clone(words[2:min(len(words), 2+maxKeywords)])}
		s.Pseudo = name == fieldPseudo
	}
}

const maxKeywords = 200

// fields are those of the mailbox, in the order in which they are written; all
// of them if whole.
func (s *Status) fields(b []byte, length int64, whole, padded bool) []byte {
	if s.Base != nil {
		name := "X-IMAPbase"
		if s.Pseudo {
			name = "X-IMAP"
		}
		b = append(b, name+": "+strconv.FormatUint(uint64(s.Base.UIDValidity), 10)+" "...)
		uid := strconv.FormatUint(uint64(s.Base.LastUID), 10)
		b = append(b, strings.Repeat("0", 10-len(uid))+uid...) // room to count on in place
		for _, k := range s.Base.Keywords {
			b = append(b, " "+k...)
		}
		b = append(b, '\n')
	}
	if padded {
		return s.padded(b, length)
	}
	letters := func(name string, set ...any) {
		text := ""
		for i := 0; i < len(set); i += 2 {
			if set[i].(bool) {
				text += set[i+1].(string)
			}
		}
		if text != "" || whole {
			b = append(b, name+": "+text+"\n"...)
		}
	}
	letters("Status", s.Seen, "R", s.Old, "O")
	letters("X-Status", s.Answered, "A", s.Flagged, "F", s.Deleted, "D", s.Draft, "T")
	if len(s.Keywords) > 0 || whole {
		b = append(b, "X-Keywords: "+strings.Join(s.Keywords, " ")+"\n"...)
	}
	if s.UID != 0 || whole {
		b = append(b, "X-UID: "+strconv.FormatUint(uint64(s.UID), 10)+"\n"...)
	}
	if length >= 0 {
		b = append(b, "Content-Length: "+strconv.FormatInt(length, 10)+"\n"...)
	} else if whole {
		b = append(b, "Content-Length: \n"...)
	}
	return b
}

// quoted says that a line is a From_ line behind some ">", how many.
func quoted(line []byte) (n int, ok bool) {
	for n < len(line) && line[n] == '>' {
		n++
	}
	return n, bytes.HasPrefix(line[n:], []byte("From "))
}

// keywordRoom is how much room there is for keywords beside those that are set.
const keywordRoom = 60

// padded are all fields with room for changes; see Status.Patch.
func (s *Status) padded(b []byte, length int64) []byte {
	b = append(b, s.flagLines(max(keywordRoom, len(strings.Join(s.Keywords, " "))+keywordRoom/2))...)
	b = fmt.Appendf(b, "X-UID: %-10d\n", s.UID)
	return fmt.Appendf(b, "Content-Length: %d\n", length)
}

// flagLines are the fields that change, with so much room for keywords.
func (s *Status) flagLines(room int) string {
	letters := func(set ...any) (text string) {
		for i := 0; i < len(set); i += 2 {
			if set[i].(bool) {
				text += set[i+1].(string)
			}
		}
		return text
	}
	return fmt.Sprintf("Status: %-2s\nX-Status: %-4s\nX-Keywords: %-*s\n", letters(s.Seen, "R", s.Old, "O"),
		letters(s.Answered, "A", s.Flagged, "F", s.Deleted, "D", s.Draft, "T"), room, strings.Join(s.Keywords, " "))
}

// Patch gives the octets that put another status in the place of the one that a
// message has, and where they go: false if there is no room for it.
func (m *Message) Patch(r io.ReaderAt, next Status) (at int64, octets []byte, ok bool) {
	if m.lead == 0 {
		return 0, nil, false
	}
	have := make([]byte, m.lead-m.Head)
	if _, err := r.ReadAt(have, m.Head); err != nil {
		return 0, nil, false
	}
	start := bytes.Index(have, []byte("Status: "))
	if start > 0 {
		start = bytes.Index(have, []byte("\nStatus: ")) + 1
	}
	end := bytes.Index(have, []byte("\nX-UID: ")) + 1
	words := bytes.Index(have, []byte("\nX-Keywords: ")) + 1
	if start < 0 || end <= start || words <= start || words >= end {
		return 0, nil, false
	}
	room := end - words - len("X-Keywords: \n")
	lines := next.flagLines(room)
	if len(lines) != end-start {
		return 0, nil, false
	}
	return m.Head + int64(start), []byte(lines), true
}
