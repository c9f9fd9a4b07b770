package search

import (
	"io"

	"plic/internal/casemap"
	"plic/internal/message"
)

// AddressText is an address as people write it, which is what FROM, TO, CC and
// BCC look into.
func AddressText(a message.Mailbox) string {
	text := a.Local
	if a.Host != "" {
		text += "@" + a.Host
	}
	if a.Name != "" {
		text = message.DecodeHeader(a.Name) + " <" + text + ">"
	}
	return text
}

// FieldText is a header field as TEXT looks into it.
func FieldText(f message.Field) string { return f.Name + ": " + message.DecodeHeader(f.Text()) }

// Fields visits what TEXT looks into of a header: each field, and the name of a file,
// which its field may hold in pieces and percent-encoded. It ends when visit gives
// false.
func Fields(p *message.Part, visit func(text string) bool) {
	for _, f := range p.Header {
		if !visit(FieldText(f)) {
			return
		}
	}
	if name := p.Filename(); name != "" {
		visit(name)
	}
}

// WalkFields visits the header of the message and those of all its parts: TEXT looks
// into "MIME header fields" too (RFC 9051 section 6.4.4), BODY does not. src is the
// message. It ends when visit gives false.
func WalkFields(src io.ReaderAt, m *message.Message, visit func(text string) bool) (err error) {
	m.Walk(func(p *message.Part) (more bool) {
		if p.Header == nil && p.Body > p.Offset { // a part's own
			if p, err = ownHeader(src, p); err != nil {
				return false
			}
		}
		more = true
		Fields(p, func(text string) bool {
			more = visit(text)
			return more
		})
		return more
	})
	return err
}

// ownHeader reads the header of a part, which Parse keeps of messages only.
func ownHeader(src io.ReaderAt, p *message.Part) (*message.Part, error) {
	head := make([]byte, p.Body-p.Offset)
	if n, err := src.ReadAt(head, p.Offset); n < len(head) {
		return nil, err
	}
	return message.ParseBytes(head, message.Limits{}).Root, nil
}

// Walk visits what BODY looks into: every part with text, and the root of every
// message inside, whose header fields count. It ends when visit gives false.
func Walk(m *message.Message, text, header func(*message.Part) bool) {
	m.Walk(func(p *message.Part) bool {
		switch {
		case p.Embedded != nil:
			return header(p.Embedded)
		case p.Type == "text":
			return text(p)
		}
		return true
	})
}

// Text reads a part with text as it is searched: decoded, without the tags of
// HTML, folded. src is the message.
func Text(src io.ReaderAt, p *message.Part) io.Reader {
	var r io.Reader = io.NewSectionReader(src, p.Body, p.End-p.Body)
	r = message.DecodeBody(r, p.Encoding)
	r = message.DecodeText(r, p.Param("charset"))
	if p.Subtype == "html" {
		r = &htmlText{r: r}
	}
	return casemap.NewReader(r)
}
