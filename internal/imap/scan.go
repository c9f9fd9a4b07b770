package imap

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// MaxDepth bounds how deep lists and search keys may nest.
const MaxDepth = 100

// Scanner takes a command apart. Its text is the command as it came, literals
// in their place: "{3}" CRLF and three octets. The first error sticks: all that
// is asked for afterwards is empty, so that callers look at Err once at the end.
type Scanner struct {
	text   []byte
	pos    int
	depth  int
	err    error
	utf8   bool
	octets bool // quoted strings may hold any
}

// NewScanner reads text. With utf8, which a client has after enabling IMAP4rev2
// or UTF8=ACCEPT,
// names of mailboxes are in UTF-8.
func NewScanner(text []byte, utf8 bool) *Scanner { return &Scanner{text: text, utf8: utf8} }

// Err is the first error.
func (s *Scanner) Err() error { return s.err }

// Fail sets the error unless there is one.
func (s *Scanner) Fail(format string, args ...any) {
	if s.err == nil {
		s.err = fmt.Errorf(format, args...)
	}
}

// Done says that nothing is left to read, or nothing that can be read.
func (s *Scanner) Done() bool { return s.err != nil || s.pos >= len(s.text) }

// End fails if anything is left, and gives the error.
func (s *Scanner) End() error {
	if s.err == nil && s.pos < len(s.text) {
		s.Fail("too much in the command after %s", s.before())
	}
	return s.err
}

// before names the place of an error to a person.
func (s *Scanner) before() string {
	from := max(0, s.pos-20)
	return strconv.QuoteToASCII(string(s.text[from:s.pos]))
}

// Peek is the next octet, 0 at the end.
func (s *Scanner) Peek() byte {
	if s.Done() {
		return 0
	}
	return s.text[s.pos]
}

// Take reads an octet if it is the next.
func (s *Scanner) Take(c byte) bool {
	if s.Done() || s.text[s.pos] != c {
		return false
	}
	s.pos++
	return true
}

// Need reads an octet that must be the next.
func (s *Scanner) Need(c byte) {
	if !s.Take(c) {
		s.Fail("%q expected after %s", c, s.before())
	}
}

// SP reads a space.
func (s *Scanner) SP() {
	if !s.Take(' ') {
		s.Fail("a space expected after %s", s.before())
	}
}

// run reads octets while they are of a kind.
func (s *Scanner) run(kind func(byte) bool) string {
	if s.err != nil {
		return ""
	}
	from := s.pos
	for s.pos < len(s.text) && kind(s.text[s.pos]) {
		s.pos++
	}
	return string(s.text[from:s.pos])
}

func (s *Scanner) must(what, got string) string {
	if got == "" {
		s.Fail("%s expected after %s", what, s.before())
	}
	return got
}

// isAtomChar: ATOM-CHAR of RFC 9051 section 9, without "]".
func isAtomChar(c byte) bool {
	return c > ' ' && c < 0x7f && strings.IndexByte(`(){%*"\]`, c) < 0
}

func isAStringChar(c byte) bool { return isAtomChar(c) || c == ']' }
func isListChar(c byte) bool    { return isAStringChar(c) || c == '%' || c == '*' }
func isTagChar(c byte) bool     { return isAStringChar(c) && c != '+' }
func isSetChar(c byte) bool {
	return '0' <= c && c <= '9' || c == ':' || c == ',' || c == '*' || c == '$'
}
func isWordChar(c byte) bool {
	return 'a' <= lower(c) && lower(c) <= 'z' || isDigit(c) || c == '.' || c == '-'
}
func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// Tag reads a tag.
func (s *Scanner) Tag() string { return s.must("a tag", s.run(isTagChar)) }

// Atom reads an atom.
func (s *Scanner) Atom() string { return s.must("an atom", s.run(isAtomChar)) }

// Word reads an atom and gives it in upper case.
func (s *Scanner) Word() string { return strings.ToUpper(s.must("a word", s.run(isAtomChar))) }

// word reads letters, digits, "." and "-": the name of an item that may be
// followed by "[" or "<".
func (s *Scanner) word() string { return strings.ToUpper(s.must("a word", s.run(isWordChar))) }

// takeWord reads a word if it is the next.
func (s *Scanner) takeWord(word string) bool {
	at := s.pos
	if equalFold(s.run(isWordChar), word) {
		return true
	}
	s.pos = at
	return false
}

// AString reads an atom or a string.
func (s *Scanner) AString() string {
	if c := s.Peek(); c == '"' || c == '{' {
		return s.Text()
	}
	return s.must("a string", s.run(isAStringChar))
}

// searchText reads an astring to look for, which is in the charset of the search,
// also where it stands in quotes.
func (s *Scanner) searchText() string {
	s.octets = true
	defer func() { s.octets = false }()
	return s.AString()
}

// NString reads a string or NIL.
func (s *Scanner) NString() (text string, ok bool) {
	if c := s.Peek(); c == '"' || c == '{' {
		return s.Text(), true
	}
	if word := s.Atom(); !equalFold(word, "NIL") {
		s.Fail("a string or NIL expected after %s", s.before())
	}
	return "", false
}

// Text reads a quoted string or a literal.
func (s *Scanner) Text() string {
	switch s.Peek() {
	case '"':
		return s.quoted()
	case '{':
		return s.literal()
	}
	s.Fail("a string expected after %s", s.before())
	return ""
}

func (s *Scanner) quoted() string {
	s.pos++
	from := s.pos
	var b []byte
	for s.pos < len(s.text) {
		c := s.text[s.pos]
		s.pos++
		switch {
		case c == '"':
			return s.checkText(b, from)
		case c == '\\':
			if c = s.Peek(); c != '"' && c != '\\' {
				s.Fail("only a quote or a backslash may follow a backslash")
				return ""
			}
			s.pos++
		case c == '\r' || c == '\n' || c == 0:
			s.Fail("a quoted string ends with its line")
			return ""
		}
		b = append(b, c)
	}
	s.Fail("a quoted string does not end")
	return ""
}

// checkText: quoted strings may hold UTF-8, RFC 9051 section 4.3. Clients of
// IMAP4rev2 send it before they enable that, too, as they log in before.
func (s *Scanner) checkText(b []byte, from int) string {
	if !s.octets && !utf8.Valid(b) {
		s.pos = from
		s.Fail("a quoted string holds 8-bit octets that are not UTF-8; send a literal")
		return ""
	}
	return string(b)
}

func (s *Scanner) literal() string {
	end := bytes.IndexByte(s.text[s.pos:], '\n')
	if end < 0 {
		s.Fail("a literal is missing")
		return ""
	}
	l, ok := LiteralAt(s.text[s.pos : s.pos+end+1])
	s.pos += end + 1
	if !ok || l.Size > int64(len(s.text)-s.pos) {
		s.Fail("a literal is cut short")
		return ""
	}
	text := s.text[s.pos : s.pos+int(l.Size)]
	s.pos += int(l.Size)
	if bytes.IndexByte(text, 0) >= 0 {
		s.Fail("a literal holds NUL")
		return ""
	}
	return string(text)
}

// Number reads a number of 32 bits.
func (s *Scanner) Number() uint32 { return uint32(s.number(32)) }

// Number64 reads a number64: 63 bits.
func (s *Scanner) Number64() int64 { return int64(s.number(63)) }

func (s *Scanner) number(bits int) uint64 {
	text := s.must("a number", s.run(isDigit))
	if s.err != nil {
		return 0
	}
	n, err := strconv.ParseUint(text, 10, bits)
	if err != nil {
		s.Fail("the number %.30s is too large", text)
	}
	return n
}

// ModSeq reads a mod-sequence-valzer of RFC 7162.
func (s *Scanner) ModSeq() uint64 { return s.number(63) }

// Set reads a sequence-set.
func (s *Scanner) Set() Set {
	text := s.must("a sequence set", s.run(isSetChar))
	if s.err != nil {
		return Set{}
	}
	set, err := ParseSet(text)
	if err != nil {
		s.Fail("%w", err)
	}
	return set
}

// List reads "(" items ")" separated by spaces; item reads one. The list may be
// empty, and hold a space at its ends, as that of ID from aioimaplib does.
func (s *Scanner) List(item func()) {
	s.Need('(')
	if s.depth++; s.depth > MaxDepth {
		s.Fail("lists nest deeper than %d", MaxDepth)
	}
	for first := true; s.err == nil && !s.Take(')'); first = false {
		if !first {
			s.SP()
		} else {
			s.Take(' ')
		}
		if s.Peek() != ')' {
			item()
		}
	}
	s.depth--
}

// errName is the error of a name that no mailbox can have.
var errName = errors.New("bad mailbox name")

// IsNameError says that an error is about a mailbox name that was read well but
// that no mailbox can have: a NO, not a BAD.
func IsNameError(err error) bool { return errors.Is(err, errName) }

// Mailbox reads a mailbox name and gives it in UTF-8, in the spelling it has
// here: see CanonicalName.
func (s *Scanner) Mailbox() string {
	name, _ := s.MailboxAs()
	return name
}

// MailboxAs is Mailbox, and gives the name as the client spelled it too.
func (s *Scanner) MailboxAs() (name, supplied string) {
	supplied = s.decodeName(s.AString())
	return CanonicalName(supplied), supplied
}

// Pattern reads a LIST pattern or reference.
func (s *Scanner) Pattern() string {
	if c := s.Peek(); c == '"' || c == '{' {
		return s.decodeName(s.Text())
	}
	return s.decodeName(s.must("a mailbox pattern", s.run(isListChar)))
}

// decodeName reads modified UTF-7, or UTF-8 after IMAP4rev2 was enabled. Some
// clients send UTF-8 where IMAP4rev2 is on offer only, and it can be nothing else.
func (s *Scanner) decodeName(text string) string {
	if s.err != nil {
		return ""
	}
	if s.utf8 {
		if !utf8.ValidString(text) || strings.IndexByte(text, 0) >= 0 {
			s.Fail("%w: not UTF-8", errName)
		}
		return text
	}
	name, err := decodeMixed(text)
	if err != nil {
		s.Fail("%w: %w", errName, err)
	}
	return name
}

// Date reads a date of SEARCH, quoted or not: 1-Feb-1994.
func (s *Scanner) Date() time.Time {
	quoted := s.Take('"')
	text := s.must("a date", s.run(func(c byte) bool {
		return isDigit(c) || c == '-' || 'a' <= lower(c) && lower(c) <= 'z'
	}))
	if quoted {
		s.Need('"')
	}
	t, err := time.Parse("2-Jan-2006", text)
	if err != nil || strings.HasPrefix(text, "-") {
		s.Fail("bad date %.20q; write 1-Feb-1994", text)
	}
	return t
}

// DateTime reads a date-time: " 1-Feb-1994 21:52:25 -0800" in quotes. Horde leaves out
// the space.
func (s *Scanner) DateTime() time.Time {
	text := s.Text()
	if s.err != nil {
		return time.Time{}
	}
	t, err := time.Parse("_2-Jan-2006 15:04:05 -0700", text)
	year := t.UTC().Year() // has four digits, too
	if err != nil || len(text) != 26 && (len(text) != 25 || text[1] != '-') || year < 0 || year > 9999 {
		s.Fail("bad date-time %.40q; write \"17-Jul-1996 02:44:25 -0700\"", text)
	}
	return t
}

// Flag reads a flag or keyword as it is written.
func (s *Scanner) Flag() string {
	if s.Take('\\') {
		return `\` + s.Atom()
	}
	return s.Atom()
}

// Flags reads flags in parentheses.
func (s *Scanner) Flags() []string {
	var flags []string
	s.List(func() { flags = append(flags, s.Flag()) })
	return flags
}
