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
