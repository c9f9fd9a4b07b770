package imap

import (
	"bytes"
	"strings"
)

// Metadata is what GETMETADATA asks for, RFC 5464 section 4.2.
type Metadata struct {
	Mailbox string // "" is the server
	MaxSize int64  // of a value, -1 for any
	Depth   int    // levels below the entries that are asked for too; MaxDepth for all
	Entries []string
}

// maxEntries bounds the entries of a command.
const maxEntries = 1000

// GetMetadata reads what follows the name of a GETMETADATA. The options may
// stand before the mailbox, as the grammar has it, or after it, as examples do.
func (s *Scanner) GetMetadata() Metadata {
	m := Metadata{MaxSize: -1}
	s.SP()
	if s.Peek() == '(' {
		s.metadataOptions(&m)
		s.SP()
	}
	m.Mailbox = s.Mailbox()
	s.SP()
	if s.Peek() == '(' && !s.entriesFollow() {
		s.metadataOptions(&m)
		s.SP()
	}
	if s.Peek() != '(' {
		m.Entries = []string{s.entryAbove(m.Depth)}
		return m
	}
	m.Entries = s.entries(func() string { return s.entryAbove(m.Depth) })
	return m
}

// entriesFollow says that a list begins with an entry, not an option.
func (s *Scanner) entriesFollow() bool {
	return s.pos+1 < len(s.text) && strings.IndexByte(`/"{`, s.text[s.pos+1]) >= 0
}

func (s *Scanner) metadataOptions(m *Metadata) {
	s.List(func() {
		switch word := s.Word(); word {
		case "MAXSIZE":
			s.SP()
			m.MaxSize = s.Number64()
		case "DEPTH":
			s.SP()
			switch depth := s.Word(); depth {
			case "0":
				m.Depth = 0
			case "1":
				m.Depth = 1
			case "INFINITY":
				m.Depth = MaxDepth
			default:
				s.Fail("DEPTH is 0, 1 or infinity, not %.40s", depth)
			}
		default:
			s.Fail("GETMETADATA knows no option %.40s", word)
		}
	})
}

// Entries reads names of entries in parentheses.
func (s *Scanner) Entries() []string { return s.entries(s.Entry) }

func (s *Scanner) entries(one func() string) []string {
	var entries []string
	s.List(func() {
		if entries = append(entries, one()); len(entries) > maxEntries {
			s.Fail("more than %d entries", maxEntries)
		}
	})
	if len(entries) == 0 {
		s.Fail("the name of an entry expected after %s", s.before())
	}
	return entries
}

// Entry reads the name of an entry, RFC 5464 section 3.1, and gives it in lower
// case, as case does not matter.
func (s *Scanner) Entry() string {
	name := strings.ToLower(s.AString())
	if s.err == nil && !validEntry(name) {
		s.Fail("%.60q is no name of an entry: /private/... or /shared/...", name)
	}
	return name
}

// entryAbove is Entry, and takes the top of a tree too if what is below it is asked
// for: it has no value itself.
func (s *Scanner) entryAbove(depth int) string {
	from := s.pos
	if name := strings.ToLower(s.AString()); depth > 0 && (name == "/private" || name == "/shared") {
		return name
	}
	s.pos = from
	return s.Entry()
}

func validEntry(name string) bool {
	if !strings.HasPrefix(name, "/private/") && !strings.HasPrefix(name, "/shared/") {
		return false
	}
	if len(name) > 250 || strings.Contains(name, "//") || name[len(name)-1] == '/' {
		return false
	}
	for i := range len(name) {
		if c := name[i]; c <= 0x19 || c >= 0x7f || c == '*' || c == '%' {
			return false
		}
	}
	return true
}

// Value is an entry with its value.
type Value struct {
	Entry string
	Text  string
	None  bool // NIL
}

// SetMetadata reads what follows the name of a SETMETADATA.
func (s *Scanner) SetMetadata() (mailbox string, values []Value) {
	s.SP()
	mailbox = s.Mailbox()
	s.SP()
	s.List(func() {
		v := Value{Entry: s.Entry()}
		s.SP()
		v.Text, v.None = s.value()
		if values = append(values, v); len(values) > maxEntries {
			s.Fail("more than %d entries", maxEntries)
		}
	})
	if len(values) == 0 {
		s.Fail("an entry and its value expected after %s", s.before())
	}
	return mailbox, values
}

// value reads a string, NIL or a literal8, which may hold any octets.
func (s *Scanner) value() (text string, none bool) {
	if s.Take('~') {
		return s.literal8(), false
	}
	text, ok := s.NString()
	return text, !ok
}

func (s *Scanner) literal8() string {
	end := bytes.IndexByte(s.text[s.pos:], '\n')
	if s.Peek() != '{' || end < 0 {
		s.Fail("a literal8 expected after %s", s.before())
		return ""
	}
	l, ok := LiteralAt(s.text[s.pos : s.pos+end+1])
	s.pos += end + 1
	if !ok || l.Size > int64(len(s.text)-s.pos) {
		s.Fail("a literal8 is cut short")
		return ""
	}
	text := string(s.text[s.pos : s.pos+int(l.Size)])
	s.pos += int(l.Size)
	return text
}
