// Package authres writes and reads the Authentication-Results field, by which
// those who check a message tell those behind them what they found.
//
// RFC 8601 (Authentication-Results).
package authres

import (
	"errors"
	"fmt"
	"strings"
)

// Name is the name of the field.
const Name = "Authentication-Results"

// Property is one thing that a method looked at: "smtp", "mailfrom" and what
// stood there.
type Property struct{ Type, Name, Value string }

// Result is what one method found.
type Result struct {
	Method     string // "spf"
	Result     string // "pass"
	Reason     string // a sentence for people
	Properties []Property
}

// Get gives a property, or "".
func (r *Result) Get(typ, name string) string {
	for _, p := range r.Properties {
		if strings.EqualFold(p.Type, typ) && strings.EqualFold(p.Name, name) {
			return p.Value
		}
	}
	return ""
}

// Field is the content of a field.
type Field struct {
	Server  string // the authserv-id: who checked
	Results []Result
}

// String is the field's value, folded, each result on a line of its own.
func (f Field) String() string {
	b := appendWord(nil, f.Server, "")
	if len(f.Results) == 0 {
		return string(b) + "; none"
	}
	for _, r := range f.Results {
		b = append(b, ";\r\n\t"...)
		b = append(append(append(b, r.Method...), '='), r.Result...)
		if r.Reason != "" {
			b = appendQuoted(append(b, " reason="...), clip(r.Reason))
		}
		for _, p := range r.Properties {
			b = append(append(b, "\r\n\t "...), p.Type...)
			b = append(append(append(b, '.'), p.Name...), '=')
			b = appendWord(b, p.Value, "@/")
		}
	}
	return string(b)
}

// clip bounds a reason, since a line must not be too long.
func clip(text string) string {
	const most = 300
	if len(text) > most {
		return strings.ToValidUTF8(text[:most], "")
	}
	return text
}

// appendWord writes a word as it is if it is of tokens and what else may stand
// so, RFC 8601 section 2.2.
func appendWord(b []byte, text, also string) []byte {
	for i := range len(text) {
		if !isToken(text[i]) && strings.IndexByte(also, text[i]) < 0 {
			return appendQuoted(b, text)
		}
	}
	if text == "" {
		return appendQuoted(b, text)
	}
	return append(b, text...)
}

// appendQuoted writes a quoted string. What could end the line becomes "?".
func appendQuoted(b []byte, text string) []byte {
	b = append(b, '"')
	for _, c := range []byte(text) {
		switch {
		case c < ' ' || c > '~':
			c = '?'
		case c == '"' || c == '\\':
			b = append(b, '\\')
		}
		b = append(b, c)
	}
	return append(b, '"')
}

// isToken is the token of RFC 2045 section 5.1.
func isToken(c byte) bool {
	return c > ' ' && c <= '~' && strings.IndexByte(`()<>@,;:\"/[]?=`, c) < 0
}

// ErrSyntax says that a field cannot be read.
var ErrSyntax = errors.New("not the syntax of " + Name)

// Server is who a field claims to come from, in lower case; "" if it cannot be
// read even so far.
func Server(value string) string {
	s := scanner{rest: value}
	return strings.ToLower(s.word())
}

// Parse reads the value of a field, RFC 8601 section 2.2. Versions of methods
// are passed over.
func Parse(value string) (Field, error) {
	s := scanner{rest: value}
	f := Field{Server: s.word()}
	if f.Server == "" {
		return f, fmt.Errorf("%w: it does not say who checked", ErrSyntax)
	}
	if s.space(); s.rest != "" && s.rest[0] != ';' {
		s.word() // the version of the field
	}
	for s.take(';') {
		if s.space(); s.rest == "" {
			break // a semicolon too many is common
		}
		r, none, err := s.result()
		if err != nil {
			return f, err
		}
		if !none {
			f.Results = append(f.Results, r)
		}
		if len(f.Results) > maxResults {
			return f, fmt.Errorf("%w: more than %d results", ErrSyntax, maxResults)
		}
	}
	if s.space(); s.rest != "" {
		return f, fmt.Errorf("%w at %.20q", ErrSyntax, s.rest)
	}
	return f, nil
}

// maxResults bounds a field.
const maxResults = 100

// scanner goes through a value.
type scanner struct{ rest string }

func (s *scanner) result() (r Result, none bool, err error) {
	r.Method = strings.ToLower(s.word())
	if s.take('/') {
		s.word()
	}
	if !s.take('=') {
		if r.Method == "none" {
			return r, true, nil
		}
		return r, false, fmt.Errorf("%w: %.20q has no result", ErrSyntax, r.Method)
	}
	r.Result = strings.ToLower(s.word())
	if r.Method == "" || r.Result == "" {
		return r, false, fmt.Errorf("%w: a result without words", ErrSyntax)
	}
	for s.space(); s.rest != "" && s.rest[0] != ';'; s.space() {
		name := s.word()
		if name == "" || !s.take('=') {
			return r, false, fmt.Errorf("%w: %.20q has no value", ErrSyntax, name)
		}
		value := s.value()
		typ, name, ok := strings.Cut(strings.ToLower(name), ".")
		switch {
		case ok:
			r.Properties = append(r.Properties, Property{typ, name, value})
		case typ == "reason":
			r.Reason = value
		}
	}
	return r, false, nil
}

// space skips white space and comments, which may hold others.
func (s *scanner) space() {
	depth := 0
	for i := 0; i < len(s.rest); i++ {
		switch c := s.rest[i]; {
		case c == '(':
			depth++
		case c == ')' && depth > 0:
			depth--
		case c == '\\' && depth > 0:
			i++
		case depth == 0 && strings.IndexByte(" \t\r\n", c) < 0:
			s.rest = s.rest[i:]
			return
		}
	}
	s.rest = ""
}

func (s *scanner) take(c byte) bool {
	s.space()
	if s.rest == "" || s.rest[0] != c {
		return false
	}
	s.rest = s.rest[1:]
	return true
}

// word is a token or a quoted string. A slash parts a method from its version.
func (s *scanner) word() string {
	s.space()
	if strings.HasPrefix(s.rest, `"`) {
		return s.quoted()
	}
	return s.run(func(c byte) bool { return isToken(c) || c >= 0x80 })
}

// value is a word that may be an address or hold base64.
func (s *scanner) value() string {
	s.space()
	text := ""
	if strings.HasPrefix(s.rest, `"`) {
		if text = s.quoted(); !strings.HasPrefix(s.rest, "@") {
			return text
		}
	}
	return text + s.run(func(c byte) bool { return c > ' ' && c != 0x7f && strings.IndexByte("();\"", c) < 0 })
}

func (s *scanner) run(in func(byte) bool) string {
	i := 0
	for i < len(s.rest) && in(s.rest[i]) {
		i++
	}
	text := s.rest[:i]
	s.rest = s.rest[i:]
	return text
}

func (s *scanner) quoted() string {
	var b strings.Builder
	for i := 1; i < len(s.rest); i++ {
		switch c := s.rest[i]; {
		case c == '"':
			s.rest = s.rest[i+1:]
			return b.String()
		case c == '\\' && i+1 < len(s.rest):
			i++
			b.WriteByte(s.rest[i])
		case c != '\r' && c != '\n':
			b.WriteByte(c)
		}
	}
	s.rest = ""
	return b.String()
}
