package sieve

import (
	"io"
	"slices"
	"strings"

	"plic/internal/message"
)

// header is the header of the message as the script has changed it.
type header struct {
	fields []field
	size   int64 // octets of the header without its blank line
}

// field is a header field; raw is nil for one that the script has added.
type field struct {
	message.Field
	at, end int64 // where it stands; at < 0 if it was added
}

// newHeader finds the fields with their places. The places are only needed for
// changes, so that an unreadable header does no harm.
func newHeader(in *Input) *header {
	h := &header{}
	root := in.Message.Root
	raw := make([]byte, root.Body-root.Offset)
	n, _ := io.ReadFull(io.NewSectionReader(in.Body, root.Offset, int64(len(raw))), raw)
	at := root.Offset
	i := 0
	for name, text := range message.Fields(raw[:n]) {
		end := at + int64(len(text))
		if name != "" {
			f := field{at: at, end: end}
			if i < len(root.Header) && root.Header[i].Name == name {
				f.Field = root.Header[i]
				i++
				h.fields = append(h.fields, f)
			}
		}
		at = end
	}
	h.size = at
	if i < len(root.Header) { // they could not be told apart: no places
		h.fields = h.fields[:0]
		for _, f := range root.Header {
			h.fields = append(h.fields, field{Field: f, at: root.Offset, end: root.Offset})
		}
	}
	return h
}

// list gives the fields.
func (h *header) list() []message.Field {
	out := make([]message.Field, len(h.fields))
	for i := range h.fields {
		out[i] = h.fields[i].Field
	}
	return out
}

// add adds a field before or after all others, RFC 5293 section 4.
func (h *header) add(name, value string, last bool) {
	f := field{Field: message.Field{Name: name, Value: " " + value}, at: -1}
	if last {
		h.fields = append(h.fields, f)
		return
	}
	h.fields = slices.Insert(h.fields, 0, f)
}

// edits are the changes against the message as it came.
func (h *header) edits() []Edit {
	var out []Edit
	at := int64(0)
	var added []byte
	flush := func(to int64) {
		if to > at || len(added) > 0 {
			out = append(out, Edit{From: at, To: to, Text: added})
			added = nil
		}
		at = to
	}
	for i := range h.fields {
		f := &h.fields[i]
		if f.at < 0 {
			added = message.AppendField(added, f.Name, strings.TrimSpace(f.Value), true)
			continue
		}
		flush(f.at)
		at = f.end
	}
	flush(h.size)
	return out
}

// indexed applies :index and :last, RFC 5260 section 6: of the values the one
// with a number, from 1.
func indexed(values []string, index int, last bool) []string {
	if index == 0 {
		return values
	}
	if index > len(values) {
		return nil
	}
	if last {
		return values[len(values)-index : len(values)-index+1]
	}
	return values[index-1 : index]
}

// index compiles :index and :last.
func index(a *args) (n int, last bool, err error) {
	last = a.has("last")
	if !a.has("index") {
		if last {
			return 0, false, errorAt(a.Pos, ":last needs :index")
		}
		return 0, false, nil
	}
	if n = int(min(a.tags["index"].n, 1<<30)); n == 0 {
		return 0, false, errorAt(a.tags["index"].Pos, ":index counts from 1")
	}
	return n, last, nil
}

// validFieldName says that a text is the name of a header field, RFC 5322
// section 2.2.
func validFieldName(name string) bool {
	for i := range len(name) {
		if c := name[i]; c <= ' ' || c >= 0x7f || c == ':' {
			return false
		}
	}
	return name != "" && len(name) <= 200
}

// parts are the parts that a test looks at: without :mime the message, with it
// the part of the loop, with :anychild all below it too, RFC 5703 section 4.
func (m *machine) parts(mime, anychild bool) []*message.Part {
	at := m.part
	if at == nil {
		at = m.in.Message.Root
	}
	if !mime || !anychild {
		return []*message.Part{at}
	}
	all := below(at)
	m.charge(len(all) / 16)
	return all
}

// below are a part and all within it, outermost first.
func below(p *message.Part) []*message.Part {
	var out []*message.Part
	stack := []*message.Part{p}
	for len(stack) > 0 {
		p := stack[len(stack)-1]
		stack = append(stack[:len(stack)-1], reversed(p.Children)...)
		if p.Embedded != nil {
			stack = append(stack, p.Embedded)
		}
		out = append(out, p)
	}
	return out
}

func reversed(parts []*message.Part) []*message.Part {
	out := slices.Clone(parts)
	slices.Reverse(out)
	return out
}

// fields gives the header fields of a part.
func (m *machine) fields(p *message.Part) []message.Field {
	if p == m.in.Message.Root {
		return m.header.list()
	}
	if p.Header != nil {
		return p.Header
	}
	raw := make([]byte, min(p.Body-p.Offset, 1<<20))
	n, _ := io.ReadFull(io.NewSectionReader(m.in.Body, p.Offset, int64(len(raw))), raw)
	m.charge(n / 64)
	var out []message.Field
	for name, text := range message.Fields(raw[:n]) {
		if _, value, ok := strings.Cut(string(text), ":"); ok && name != "" {
			out = append(out, message.Field{Name: name, Value: strings.TrimRight(value, "\r\n")})
		}
	}
	return out
}

// named gives the unfolded values of the fields with a name.
func (m *machine) named(p *message.Part, name string) (out []string) {
	fields := m.fields(p)
	m.charge(len(fields) / 16)
	for _, f := range fields {
		if strings.EqualFold(f.Name, name) {
			out = append(out, f.Text())
			m.charge(len(f.Value) / 64)
		}
	}
	return out
}
