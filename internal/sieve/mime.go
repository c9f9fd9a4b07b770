package sieve

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"plic/internal/message"
)

// foreverypart runs a block for each part of the message, RFC 5703 section 3.
func (c *compiler) foreverypart(a *args) (node, error) {
	name := ""
	if a.has("name") {
		name = a.tags["name"].strings[0]
	}
	if len(c.loops) >= maxLoops {
		return nil, errorAt(a.Pos, "more than %d loops within each other", maxLoops)
	}
	c.loops = append(c.loops, name)
	block, err := c.block(a.call.block)
	c.loops = c.loops[:len(c.loops)-1]
	return &loop{a.Pos, name, block}, err
}

const maxLoops = 4

type loop struct {
	Pos
	name  string
	block []node
}

func (l *loop) run(m *machine) error {
	outer := m.part
	defer func() { m.part = outer }()
	at := outer
	if at == nil {
		at = m.in.Message.Root
	}
	parts := below(at)
	m.charge(len(parts) / 16)
	if outer != nil {
		parts = parts[1:] // the parts within the one that is looked at
	}
	for _, p := range parts {
		if err := m.spend(l.Pos, 1); err != nil {
			return err
		}
		m.part = p
		err := m.block(l.block)
		if b, ok := errors.AsType[*breaking](err); ok && (b.name == "" || b.name == l.name) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (c *compiler) breakLoop(a *args) (node, error) {
	name := ""
	if a.has("name") {
		name = a.tags["name"].strings[0]
	}
	if len(c.loops) == 0 || name != "" && !slices.Contains(c.loops, name) {
		return nil, errorAt(a.Pos, "break is not in such a loop")
	}
	return signal{&breaking{name}}, nil
}

// extracttext puts the text of a part into a variable, RFC 5703 section 7.
func (c *compiler) extracttext(a *args) (node, error) {
	if len(c.loops) == 0 {
		return nil, errorAt(a.Pos, "extracttext is only for foreverypart")
	}
	if err := c.need(a.Pos, "variables", "extracttext"); err != nil {
		return nil, err
	}
	name, err := c.variable(a.pos[0])
	if err != nil {
		return nil, err
	}
	change, err := modifiers(a)
	return do(func(m *machine) error {
		text := ""
		if m.part.Type == "text" {
			var err error
			if text, err = m.decoded(m.part); err != nil {
				return err
			}
		}
		if a.has("first") {
			n := int(min(a.tags["first"].n, maxText))
			for i := range text {
				if n == 0 {
					text = text[:i]
					break
				}
				n--
			}
		}
		m.assign(name, change(text))
		return nil
	}), err
}

// replace puts a text in the place of the message, or of the part that is
// looked at, RFC 5703 section 5.
func (c *compiler) replace(a *args) (node, error) {
	body, err := c.text(a.pos[0])
	if err != nil {
		return nil, err
	}
	subject, err := c.tagText(a, "subject")
	if err != nil {
		return nil, err
	}
	from, err := c.tagText(a, "from")
	return do(func(m *machine) error {
		p := m.part
		if p == nil {
			p = m.in.Message.Root
		}
		entity := textEntity(body.expand(m), a.has("mime"))
		m.trace(a.Pos, "replace %s", partName(p))
		if p != m.in.Message.Root {
			m.out.Edits = append(m.out.Edits, Edit{From: p.Offset, To: p.End, Text: entity})
			return m.spend(a.Pos, 16+len(entity)/64)
		}
		if subject != nil {
			m.header.replace("Subject", subject.expand(m))
		}
		if from != nil {
			m.header.replace("From", from.expand(m))
		}
		head, rest := splitEntity(entity)
		m.header.replaceContent(head)
		m.out.Edits = append(m.out.Edits, Edit{From: p.Body, To: p.End, Text: rest})
		return m.spend(a.Pos, 16)
	}), err
}

func partName(p *message.Part) string {
	if p.Path == nil {
		return "the message"
	}
	return strings.Trim(strings.ReplaceAll(fmt.Sprint(p.Path), " ", "."), "[]")
}

// textEntity is a MIME entity with its header: the text as plain text, or one
// that the script has written.
func textEntity(text string, mime bool) []byte {
	if mime {
		return []byte(text)
	}
	return message.Compose(&message.Entity{Text: text}, message.Allow{UTF8: true, EightBit: true})
}

func splitEntity(entity []byte) (head []message.Field, body []byte) {
	n := 0
	for name, raw := range message.Fields(entity) {
		n += len(raw)
		if _, value, ok := strings.Cut(string(raw), ":"); ok && name != "" {
			head = append(head, message.Field{Name: name, Value: strings.TrimRight(value, "\r\n")})
		}
	}
	body = entity[n:]
	if rest, ok := strings.CutPrefix(string(body), "\r\n"); ok {
		return head, []byte(rest)
	}
	return head, body
}

// replace gives a field a new value; the old one stays as Original-.
func (h *header) replace(name, value string) {
	for i := range h.fields {
		if f := &h.fields[i]; strings.EqualFold(f.Name, name) {
			old := f.Text()
			h.fields = slices.Delete(h.fields, i, i+1)
			h.add("Original-"+name, old, true)
			break
		}
	}
	h.add(name, oneLine(value), true)
}

// replaceContent takes the fields of MIME from another entity.
func (h *header) replaceContent(head []message.Field) {
	h.fields = slices.DeleteFunc(h.fields, func(f field) bool {
		return isContent(f.Name)
	})
	for _, f := range head {
		if isContent(f.Name) {
			h.add(f.Name, f.Text(), true)
		}
	}
	if !slices.ContainsFunc(h.fields, func(f field) bool { return strings.EqualFold(f.Name, "MIME-Version") }) {
		h.add("MIME-Version", "1.0", true)
	}
}

func isContent(name string) bool {
	return len(name) >= len("Content-") && strings.EqualFold(name[:len("Content-")], "Content-")
}

// enclose makes the message an attachment of another, RFC 5703 section 6.
func (c *compiler) enclose(a *args) (node, error) {
	body, err := c.text(a.pos[0])
	if err != nil {
		return nil, err
	}
	subject, err := c.tagText(a, "subject")
	if err != nil {
		return nil, err
	}
	headers, err := c.texts(a.tags["headers"])
	return do(func(m *machine) error {
		root := m.in.Message.Root
		original := make([]byte, m.in.Message.Size)
		if _, err := io.ReadFull(io.NewSectionReader(m.in.Body, 0, m.in.Message.Size), original); err != nil {
			return err
		}
		m.charge(len(headers) * len(m.header.fields) / 64)
		keep := append(expandAll(m, headers), "Received", "Return-Path", "Date", "Message-ID", "From", "To", "Cc", "Subject")
		var fields []message.Field
		for _, f := range m.header.list() {
			if strings.EqualFold(f.Name, "Subject") && subject != nil || !isIn(keep, f.Name) {
				continue
			}
			fields = append(fields, message.Field{Name: f.Name, Value: f.Text()})
		}
		if subject != nil {
			fields = append(fields, message.Field{Name: "Subject", Value: oneLine(subject.expand(m))})
		}
		fields = append(fields, message.Field{Name: "Content-Type", Value: "multipart/mixed"})
		m.trace(a.Pos, "enclose the message")
		whole := message.Compose(&message.Entity{Header: fields, Parts: []message.Entity{
			{Text: body.expand(m)},
			{Header: []message.Field{{Name: "Content-Type", Value: "message/rfc822"}}, Raw: original},
		}}, message.Allow{UTF8: true, EightBit: true})
		m.header = newHeader(m.in) // the changes so far are in the fields above
		m.out.Edits = []Edit{{From: 0, To: root.End, Text: whole}}
		return m.spend(a.Pos, len(original)/64)
	}), err
}
