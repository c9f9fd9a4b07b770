package sieve

import (
	"io"
	"strings"

	"plic/internal/message"
)

// maxText bounds how much of a text a test looks at.
const maxText = 1 << 20

// body is the test of that name, RFC 5173.
func (c *compiler) body(a *args) (test, error) {
	match, err := c.matching(a, a.pos[0])
	if err != nil {
		return nil, err
	}
	if err := a.only("raw", "content", "text"); err != nil {
		return nil, err
	}
	types, err := c.texts(a.tags["content"])
	return &lookup{match: match, values: func(m *machine) ([]string, error) {
		switch {
		case a.has("raw"):
			root := m.in.Message.Root
			return m.bodyOnce("raw", func() ([]string, error) {
				s, err := m.read(m.section(root.Body, root.End))
				return []string{s}, err
			})
		case a.has("content"):
			want := expandAll(m, types)
			return m.bodyOnce("content "+strings.Join(want, " "), func() ([]string, error) { return m.contents(want) })
		}
		return m.bodyOnce("text", func() ([]string, error) { return m.contents([]string{"text"}) })
	}}, err
}

// bodyOnce keeps what one test found for the next.
func (m *machine) bodyOnce(key string, find func() ([]string, error)) ([]string, error) {
	if have, ok := m.bodies[key]; ok {
		return have, nil
	}
	found, err := find()
	if err == nil {
		m.bodies[key] = found
	}
	return found, err
}

// section reads octets of the message. They are counted also where nothing comes
// of them: base64 may be garbage, and a charset all shifts.
func (m *machine) section(from, to int64) io.Reader {
	return &metered{m, io.NewSectionReader(m.in.Body, from, to-from)}
}

type metered struct {
	m *machine
	r io.Reader
}

func (r *metered) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	if e := r.m.spend(Pos{}, n/256); e != nil {
		return n, e
	}
	return n, err
}

func (m *machine) read(r io.Reader) (string, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxText))
	if err != nil {
		return "", err
	}
	return string(text), m.spend(Pos{}, len(text)/64)
}

// contents are the decoded texts of the parts of some types, RFC 5173 section
// 5.2: "" is every type, "text" all of text, "text/html" just that.
func (m *machine) contents(types []string) (out []string, err error) {
	for _, p := range below(m.in.Message.Root) {
		if !isOneOf(p, types) {
			continue
		}
		var text string
		switch {
		case p.IsMultipart(): // what stands before and after its parts
			text, err = m.read(m.section(p.Body, p.Body+preamble(p)))
		case p.Embedded != nil: // its header
			e := p.Embedded
			text, err = m.read(m.section(e.Offset, e.Body))
		default:
			text, err = m.decoded(p)
		}
		if err != nil {
			return nil, err
		}
		out = append(out, text)
	}
	return out, nil
}

func preamble(p *message.Part) int64 {
	if len(p.Children) > 0 {
		return max(p.Children[0].Offset-p.Body, 0)
	}
	return p.End - p.Body
}

// decoded is the text of a part in UTF-8.
func (m *machine) decoded(p *message.Part) (string, error) {
	r := message.DecodeBody(m.section(p.Body, p.End), p.Encoding)
	if p.Type == "text" {
		r = message.DecodeText(r, p.Param("charset"))
	}
	return m.read(r)
}

func isOneOf(p *message.Part, types []string) bool {
	for _, t := range types {
		typ, subtype, both := strings.Cut(strings.ToLower(t), "/")
		switch {
		case t == "":
			return true
		case strings.Count(t, "/") > 1 || both && (typ == "" || subtype == ""):
			// no type: it matches nothing
		case typ == p.Type && (!both || subtype == p.Subtype):
			return true
		}
	}
	return false
}
