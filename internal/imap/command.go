package imap

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// Limits bound a command.
type Limits struct {
	Line     int // octets of all its lines together, literals aside
	Literal  int // octets of one literal
	Literals int // how many literals
	Total    int // octets of all literals together
}

// The limits before and after login; a message to APPEND is not counted.
var (
	PreAuth       = Limits{Line: 8 << 10, Literal: 4 << 10, Literals: 8, Total: 8 << 10}
	Authenticated = Limits{Line: 64 << 10, Literal: 100 << 10, Literals: 1000, Total: 1000 << 10}
)

// MaxDrain is how much of a command that is too big is read and thrown away to
// keep in step with a client; one that sends more is not worth it.
const MaxDrain = 1 << 20

// ErrTooBig is the error of a command beyond the limits that was read to its
// end: the client may go on. ErrLost is that of one that was not: the stream is
// out of step and the connection must go.
var (
	ErrTooBig = errors.New("the command is too big")
	ErrLost   = errors.New("the command is far too big")
)

// Literal is an announced literal.
type Literal struct {
	Size    int64
	NonSync bool // "{n+}": the client does not wait, RFC 7888
	Binary  bool // "~{n}": NUL is allowed, RFC 9051 section 4.3
}

// LiteralAt reads the announcement of a literal at the end of a line, line end
// included or not.
func LiteralAt(line []byte) (Literal, bool) {
	line = bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r"))
	inner, ok := bytes.CutSuffix(line, []byte("}"))
	if !ok {
		return Literal{}, false
	}
	var l Literal
	inner, l.NonSync = bytes.CutSuffix(inner, []byte("+"))
	at := len(inner)
	for at > 0 && isDigit(inner[at-1]) {
		at--
	}
	if at == 0 || at == len(inner) || inner[at-1] != '{' {
		return Literal{}, false
	}
	size, err := strconv.ParseUint(string(inner[at:]), 10, 63)
	if err != nil {
		size = 1<<63 - 1 // as good as any number that is too large
	}
	l.Size = int64(size)
	l.Binary = at > 1 && inner[at-2] == '~'
	return l, true
}

// Source is where commands come from.
type Source interface {
	// ReadLine appends a line without its line end to dst, reading at most
	// limit octets of it; more is ErrTooBig with the line read to its end, or
	// ErrLost.
	ReadLine(dst []byte, limit int) ([]byte, error)
	io.Reader
	// Continue tells the client to send the literal that it announced.
	Continue() error
}

// Command is one command.
type Command struct {
	Tag  string // "*" when there was none that can be answered
	Name string // upper case; "UID FETCH" and the like are one name
	Args *Scanner
	// Message is the first literal of the message data of an APPEND or REPLACE,
	// which has not been asked for yet; the text of the command ends before it.
	Message *Literal
}

// ReadCommand reads a command into buf, which grows and is given back for the
// next. The error is ErrTooBig, ErrLost or the source's; with ErrTooBig the
// command has its tag.
func ReadCommand(src Source, buf []byte, l Limits, utf8 bool) (Command, []byte, error) {
	buf = buf[:0]
	literals, octets := 0, 0
	for {
		from := len(buf)
		var err error
		buf, err = src.ReadLine(buf, l.Line-(len(buf)-octets))
		if err != nil {
			return Command{Tag: tagOf(buf)}, buf, err
		}
		lit, ok := LiteralAt(buf[from:])
		if !ok {
			c := parseHead(buf, utf8)
			return c, buf, nil
		}
		if text, ok := appendText(buf, lit); ok {
			c := parseHead(text, utf8)
			c.Message = &lit
			return c, buf, nil
		}
		literals++
		if literals > l.Literals || lit.Size > int64(l.Literal) || int64(octets)+lit.Size > int64(l.Total) {
			return Command{Tag: tagOf(buf)}, buf, RefuseLiteral(src, lit, MaxDrain)
		}
		buf = append(buf, '\r', '\n')
		if !lit.NonSync {
			if err := src.Continue(); err != nil {
				return Command{}, buf, err
			}
		}
		at, n := len(buf), int(lit.Size)
		buf = append(buf, make([]byte, n)...)
		if _, err := io.ReadFull(src, buf[at:]); err != nil {
			return Command{}, buf, err
		}
		octets += n + 2
	}
}

// appendText says whether the literal that ends the text belongs to the message
// data of an APPEND or REPLACE, not to the mailbox name, and gives the text
// before it.
func appendText(text []byte, l Literal) ([]byte, bool) {
	s := NewScanner(text, true)
	s.Tag()
	s.SP()
	name := s.Word()
	if name == "UID" {
		s.SP()
		name = s.Word()
	}
	switch name {
	case "APPEND":
	case "REPLACE":
		s.SP()
		s.run(isSetChar)
	default:
		return nil, false
	}
	s.SP()
	if s.AString(); s.err != nil || s.Done() {
		return nil, false
	}
	return BeforeLiteral(text, l), true
}

// BeforeLiteral gives the text of a line without the announcement of the
// literal that ends it.
func BeforeLiteral(text []byte, l Literal) []byte {
	at := bytes.LastIndexByte(text, '{')
	if l.Binary {
		at--
	}
	return text[:at]
}

// RefuseLiteral gets rid of a literal that is not wanted, and what follows it,
// reading at most limit octets. A client that waits for a continuation has not
// sent it. The error is ErrTooBig when the stream is in step afterwards, else
// ErrLost or the source's.
func RefuseLiteral(src Source, l Literal, limit int64) error {
	for l.NonSync {
		if l.Size > limit {
			return ErrLost
		}
		limit -= l.Size
		if err := Drain(src, l.Size); err != nil {
			return err
		}
		line, err := src.ReadLine(nil, Authenticated.Line)
		if err != nil {
			return err
		}
		var more bool
		if l, more = LiteralAt(line); !more {
			break
		}
	}
	return ErrTooBig
}

// Drain reads n octets and throws them away.
func Drain(r io.Reader, n int64) error {
	got, err := io.CopyN(io.Discard, r, n)
	if err != nil {
		return fmt.Errorf("%d of %d octets of a literal: %w", got, n, err)
	}
	return nil
}

func tagOf(text []byte) string {
	s := NewScanner(text[:min(len(text), 200)], false)
	tag := s.Tag()
	if s.SP(); s.err != nil {
		return "*"
	}
	return tag
}

// parseHead reads tag and name.
func parseHead(text []byte, utf8 bool) Command {
	c := Command{Tag: tagOf(text), Args: NewScanner(text, utf8)}
	s := c.Args
	if c.Tag == "*" {
		s.Fail("a command begins with a tag, a space and a name")
		return c
	}
	s.Tag()
	s.SP()
	if c.Name = strings.ToUpper(s.run(isCommandChar)); c.Name == "" {
		s.Fail("the name of a command expected after the tag")
	}
	if c.Name == "UID" && s.Take(' ') {
		c.Name += " " + strings.ToUpper(s.must("the name of a command", s.run(isCommandChar)))
	}
	return c
}

func isCommandChar(c byte) bool { return 'a' <= lower(c) && lower(c) <= 'z' || isDigit(c) || c == '-' }
