package message

import (
	"bytes"
	"iter"
	"strings"
)

// Limits bound the analysis of one message. Beyond a limit the analysis goes
// no deeper; offsets stay right.
type Limits struct {
	Header      int // octets of one header, 1 MiB by default; of all headers, 8 times that
	HeaderLines int // lines of one header, 5000 by default; of all headers, 16 times that
	Depth       int // nesting of multiparts and messages, 100 by default
	Parts       int // parts altogether, 10000 by default
	Boundary    int // octets of a boundary, 2048 by default
}

// maxParams bounds the parameters of one field.
const maxParams = 128

func (l Limits) withDefaults() Limits {
	set := func(n *int, value int) {
		if *n <= 0 {
			*n = value
		}
	}
	set(&l.Header, 1<<20)
	set(&l.HeaderLines, 5000)
	set(&l.Depth, 100)
	set(&l.Parts, 10000)
	set(&l.Boundary, 2048)
	return l
}

// Message is the structure of a message.
type Message struct {
	Root      *Part
	Parts     int    // how many there are in the tree, Root among them
	Truncated bool   // a limit cut the analysis
	Size      int64  // octets of the whole message
	Text      string // start of its text in UTF-8 with spaces folded, for previews; at most 200 characters
}

// Part is a message, or a body part of one. A part of type "multipart" has at
// least one child, and one of type message/rfc822 or message/global has
// Embedded; a part that was announced as such but could not be analysed stands
// as text/plain or application/octet-stream.
type Part struct {
	// Path is the part's IMAP part number. It is nil for the root; the root of
	// an embedded message has the number of the part that embeds it.
	Path []int
	// Offset is where the header starts, Body where the body starts and End
	// where it ends: the header with its blank line is [Offset, Body), the
	// body [Body, End). The line end before a boundary belongs to the boundary.
	Offset, Body, End int64
	Lines             int // line ends in the body

	Type, Subtype     string  // lower case
	Params            []Param // of Content-Type
	Encoding          string  // Content-Transfer-Encoding in lower case; "7bit" if none
	ID                string
	Description       string
	MD5               string
	Location          string
	Language          []string
	Disposition       string // lower case, "" if none
	DispositionParams []Param

	Header   []Field // of the root, and of roots of embedded messages
	Children []*Part // of multipart/*
	Embedded *Part   // of message/rfc822 and message/global: the inner message
}

// Param is a parameter as it was written, but for quoting; the name is in
// lower case. Part.Param decodes.
type Param struct{ Name, Value string }

// Field is a header field. Value is what follows the colon, with its folding
// but without the last line end.
type Field struct{ Name, Value string }

// Text is the value without folding and without space around it.
func (f Field) Text() string { return unfold(f.Value) }

// IsMultipart says that the part has Children.
func (p *Part) IsMultipart() bool { return p.Type == "multipart" }

// IsMessage says that the part has Embedded.
func (p *Part) IsMessage() bool { return p.Embedded != nil }

// Size is the number of octets of the body.
func (p *Part) Size() int64 { return p.End - p.Body }

// Get gives the first field of a name, unfolded, or "".
func (p *Part) Get(name string) string {
	for i := range p.Header {
		if strings.EqualFold(p.Header[i].Name, name) {
			return unfold(p.Header[i].Value)
		}
	}
	return ""
}

// Find gives the part with an IMAP part number, or nil: RFC 9051 section
// 6.4.5.1. An empty number is the whole message. Part 1 of a message that is no
// multipart is its body, hence its root.
func (m *Message) Find(path []int) *Part {
	p, root := m.Root, true // root: p is a message, its body not yet numbered
	for _, n := range path {
		if !root && p.Embedded != nil {
			p, root = p.Embedded, true
		}
		switch {
		case p.IsMultipart() && n >= 1 && n <= len(p.Children):
			p = p.Children[n-1]
		case !p.IsMultipart() && root && n == 1:
		default:
			return nil
		}
		root = false
	}
	return p
}

// Walk calls visit for every part of the message, outermost first, until it
// returns false.
func (m *Message) Walk(visit func(*Part) bool) {
	stack := []*Part{m.Root}
	for len(stack) > 0 {
		p := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if !visit(p) {
			return
		}
		if p.Embedded != nil {
			stack = append(stack, p.Embedded)
		}
		for i := len(p.Children) - 1; i >= 0; i-- {
			stack = append(stack, p.Children[i])
		}
	}
}

// Fields gives the fields of a header: the name as it was written, and the
// whole field as it stands with its name, folding and line end. Lines that
// belong to no field come with the name "". It ends at a blank line.
func Fields(header []byte) iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		for len(header) > 0 && blankLine(header) == 0 {
			end := fieldEnd(header)
			name, _ := cutName(header[:end])
			if !yield(string(header[:name]), header[:end]) {
				return
			}
			header = header[end:]
		}
	}
}

// blankLine gives the length of the empty line that b starts with, or 0.
func blankLine(b []byte) int {
	switch {
	case len(b) > 0 && b[0] == '\n':
		return 1
	case len(b) > 1 && b[0] == '\r' && b[1] == '\n':
		return 2
	}
	return 0
}

// fieldEnd gives the length of the line that b starts with and of the folded
// lines after it.
func fieldEnd(b []byte) int {
	end := 0
	for {
		i := bytes.IndexByte(b[end:], '\n')
		if i < 0 {
			return len(b)
		}
		end += i + 1
		if end == len(b) || (b[end] != ' ' && b[end] != '\t') {
			return end
		}
	}
}

// cutName finds the name of a field: its length, and where the value starts.
// The space that obsolete syntax allows before the colon (RFC 5322 section
// 4.5) is in neither. A line that is no field has the name length 0.
func cutName(line []byte) (name, value int) {
	for name < len(line) && line[name] > ' ' && line[name] < 0x7f && line[name] != ':' {
		name++
	}
	value = name
	for value < len(line) && (line[value] == ' ' || line[value] == '\t') {
		value++
	}
	if name == 0 || value == len(line) || line[value] != ':' {
		return 0, 0
	}
	return name, value + 1
}

// unfold takes the line ends out of a field's value, RFC 5322 section 2.2.3,
// and the space around it. A carriage return that ends no line is a space.
func unfold(value string) string {
	value = strings.Trim(value, " \t\r\n")
	if strings.IndexByte(value, '\n') < 0 && strings.IndexByte(value, '\r') < 0 {
		return value
	}
	b := make([]byte, 0, len(value))
	for i := range len(value) {
		switch c := value[i]; {
		case c == '\r' && value[i+1] != '\n': // the last octet is no line end
			b = append(b, ' ')
		case c != '\r' && c != '\n':
			b = append(b, c)
		}
	}
	return string(b)
}
