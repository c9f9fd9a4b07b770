package sieve

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Pos is a place in a script, from 1.
type Pos struct{ Line, Column int }

// Error is a fault of a script, or one met while it ran.
type Error struct {
	Pos
	Text string
}

// Error says where and what.
func (e *Error) Error() string {
	if e.Line == 0 {
		return e.Text
	}
	return fmt.Sprintf("line %d, column %d: %s", e.Line, e.Column, e.Text)
}

func errorAt(p Pos, format string, args ...any) error {
	return &Error{p, fmt.Sprintf(format, args...)}
}

// kind is what a token is, RFC 5228 section 8.1.
type kind byte

const (
	end        kind = iota
	identifier      // text in lower case
	tag             // likewise, without its colon
	number
	quoted
	multiline
	special // one of ( ) { } [ ] , ;
)

type token struct {
	Pos
	kind kind
	text string
	n    uint64
}

// is says that a token is a special character.
func (t *token) is(c byte) bool { return t.kind == special && t.text[0] == c }

func (t *token) String() string {
	switch t.kind {
	case end:
		return "the end of the script"
	case quoted, multiline:
		return "a string"
	case tag:
		return ":" + t.text
	case number:
		return strconv.FormatUint(t.n, 10)
	}
	return strconv.Quote(t.text)
}

// lexer cuts a script into tokens.
type lexer struct {
	src  string
	at   int
	line int
	bol  int // where the line begins
}

func (l *lexer) pos() Pos { return Pos{l.line, l.at - l.bol + 1} }

func (l *lexer) newline() {
	l.line++
	l.bol = l.at
}

// space skips white space and comments.
func (l *lexer) space() error {
	for l.at < len(l.src) {
		switch c := l.src[l.at]; {
		case c == '\n':
			l.at++
			l.newline()
		case c == ' ' || c == '\t' || c == '\r':
			l.at++
		case c == '#':
			i := strings.IndexByte(l.src[l.at:], '\n')
			if i < 0 {
				i = len(l.src) - l.at
			}
			l.at += i
		case c == '/' && strings.HasPrefix(l.src[l.at:], "/*"):
			from := l.pos()
			i := strings.Index(l.src[l.at+2:], "*/")
			if i < 0 {
				return errorAt(from, "the comment has no end")
			}
			l.skip(i + 4)
		default:
			return nil
		}
	}
	return nil
}

// skip goes on by n octets, counting lines.
func (l *lexer) skip(n int) {
	for ; n > 0; n-- {
		l.at++
		if l.src[l.at-1] == '\n' {
			l.newline()
		}
	}
}

// next gives the next token.
func (l *lexer) next() (token, error) {
	if err := l.space(); err != nil {
		return token{}, err
	}
	t := token{Pos: l.pos()}
	if l.at == len(l.src) {
		return t, nil
	}
	switch c := l.src[l.at]; {
	case strings.IndexByte("(){}[],;", c) >= 0:
		t.kind, t.text = special, l.src[l.at:l.at+1]
		l.at++
	case c == '"':
		return l.quoted(t)
	case isDigit(c):
		return l.number(t)
	case c == ':':
		l.at++
		t.kind, t.text = tag, l.word()
		if t.text == "" {
			return t, errorAt(t.Pos, "a colon without a name")
		}
	case isAlpha(c):
		t.kind, t.text = identifier, l.word()
		if t.text == "text" && l.at < len(l.src) && l.src[l.at] == ':' {
			l.at++
			return l.multiline(t)
		}
	default:
		r, _ := utf8.DecodeRuneInString(l.src[l.at:])
		return t, errorAt(t.Pos, "the character %q has no meaning here", r)
	}
	return t, nil
}

func (l *lexer) word() string {
	from := l.at
	for l.at < len(l.src) && (isAlpha(l.src[l.at]) || l.at > from && isDigit(l.src[l.at])) {
		l.at++
	}
	return strings.ToLower(l.src[from:l.at])
}

// number reads digits and perhaps K, M or G, RFC 5228 section 2.4.1.
func (l *lexer) number(t token) (token, error) {
	from := l.at
	for l.at < len(l.src) && isDigit(l.src[l.at]) {
		l.at++
	}
	n, err := strconv.ParseUint(l.src[from:l.at], 10, 64)
	shift := 0
	if l.at < len(l.src) {
		shift = strings.IndexByte("KMG", l.src[l.at]&^0x20) + 1
	}
	if shift > 0 {
		l.at++
	}
	if err != nil || n > 1<<63>>(10*shift) || l.at < len(l.src) && (isAlpha(l.src[l.at]) || isDigit(l.src[l.at])) {
		return t, errorAt(t.Pos, "%.30q is no number", l.src[from:l.at])
	}
	t.kind, t.n = number, n<<(10*shift)
	return t, nil
}

func (l *lexer) quoted(t token) (token, error) {
	l.at++
	var b strings.Builder
	for l.at < len(l.src) {
		c := l.src[l.at]
		switch {
		case c == '"':
			l.at++
			t.kind, t.text = quoted, b.String()
			return t, checkText(t)
		case c == '\\' && l.at+1 < len(l.src):
			l.at++
			c = l.src[l.at]
			fallthrough
		default:
			if c == '\n' && !strings.HasSuffix(b.String(), "\r") {
				b.WriteByte('\r')
			}
			b.WriteByte(c)
			l.skip(1)
		}
	}
	return t, errorAt(t.Pos, "the string has no end")
}

// multiline reads the lines after "text:" up to one with only a dot, RFC 5228
// section 2.4.2.1; dots at the beginning of lines are unstuffed.
func (l *lexer) multiline(t token) (token, error) {
	for l.at < len(l.src) && (l.src[l.at] == ' ' || l.src[l.at] == '\t') {
		l.at++
	}
	rest := l.src[l.at:]
	if i := strings.IndexByte(rest, '\n'); i < 0 || strings.TrimRight(rest[:i], "\r") != "" && rest[0] != '#' {
		return t, errorAt(t.Pos, "after text: the line must end")
	}
	l.skip(strings.IndexByte(rest, '\n') + 1)
	var b strings.Builder
	for l.at < len(l.src) {
		line := l.src[l.at:]
		if i := strings.IndexByte(line, '\n'); i >= 0 {
			line = line[:i+1]
		}
		l.skip(len(line))
		text := strings.TrimRight(line, "\r\n")
		if text == "." {
			t.kind, t.text = multiline, b.String()
			return t, checkText(t)
		}
		b.WriteString(strings.TrimPrefix(text, ".") + "\r\n")
	}
	return t, errorAt(t.Pos, "the text has no line with only a dot at its end")
}

func checkText(t token) error {
	switch {
	case strings.IndexByte(t.text, 0) >= 0:
		return errorAt(t.Pos, "a string may not hold NUL")
	case !utf8.ValidString(t.text):
		return errorAt(t.Pos, "a string is not UTF-8")
	}
	return nil
}

func isAlpha(c byte) bool { return c == '_' || 'a' <= c|0x20 && c|0x20 <= 'z' }
func isDigit(c byte) bool { return '0' <= c && c <= '9' }
