package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"plic/internal/mail"
	"plic/internal/message"
	"plic/internal/store/engine"
)

// Message is a message of a mailbox opened for reading: its prefix and body as
// one. It is a mail.Body; many may read it at the same time.
type Message struct {
	s      *Store
	prefix []byte
	body   mail.Body
	id     mail.ID
}

// Open opens a message. ErrGone or engine.ErrNotFound if it was expunged
// meanwhile, engine.ErrDamaged.
func (m *Mailbox) Open(ctx context.Context, e Entry) (*Message, error) {
	s := m.account.store
	st := m.visible.Load()
	if st.gone {
		return nil, m.errGone()
	}
	msg := &Message{s: s, id: e.Body}
	found := false
	for d, err := range m.rawDetails(ctx, st, []UID{e.UID}) {
		if err != nil {
			return nil, fmt.Errorf("open UID %d of %s: %w", e.UID, st.rec.Name, err)
		}
		found, msg.prefix = true, bytes.Clone(d.Prefix) // a lost prefix is no reason to withhold the body
	}
	if !found {
		return nil, fmt.Errorf("open UID %d of %s: %w", e.UID, st.rec.Name, engine.ErrNotFound)
	}
	body, err := s.OpenBody(ctx, e.Body)
	if err != nil {
		return nil, fmt.Errorf("open UID %d of %s: %w", e.UID, st.rec.Name, err)
	}
	msg.body = body
	return msg, nil
}

// Size is the size of prefix and body together, RFC822.SIZE.
func (g *Message) Size() int64 { return int64(len(g.prefix)) + g.body.Size() }

// Prefix is the header lines before the body. Not to be changed.
func (g *Message) Prefix() []byte { return g.prefix }

// Close ends the reading.
func (g *Message) Close() error { return g.body.Close() }

// ReadAt reads over prefix and body as one.
func (g *Message) ReadAt(p []byte, off int64) (n int, err error) {
	if off < 0 {
		return 0, errors.New("read before the beginning of a message")
	}
	if off < int64(len(g.prefix)) {
		n = copy(p, g.prefix[off:])
		if n == len(p) {
			return n, nil
		}
	}
	more, err := g.body.ReadAt(p[n:], off+int64(n)-int64(len(g.prefix)))
	return n + more, err
}

// Structure is the message's structure, with offsets over prefix and body.
func (g *Message) Structure() (*message.Message, error) {
	if endsHeader(g.prefix) {
		return parse(mail.WithPrefix(g.prefix, g.body), g.s.o.Parse)
	}
	m := g.s.parsed.get(g.id)
	if m == nil {
		var err error
		if m, err = parse(g.body, g.s.o.Parse); err != nil {
			return nil, err
		}
		g.s.parsed.put(g.id, m)
	}
	return shift(m, g.prefix), nil
}

// shift gives the structure of a message with a prefix: as it was analysed
// without, so that it agrees with the summary, but that everything is further
// on and the header begins with the prefix.
func shift(m *message.Message, prefix []byte) *message.Message {
	if len(prefix) == 0 {
		return m
	}
	n := int64(len(prefix))
	out := *m
	out.Size += n
	type place struct{ at **message.Part }
	todo := []place{{&out.Root}}
	for len(todo) > 0 {
		at := todo[len(todo)-1].at
		todo = todo[:len(todo)-1]
		p := **at
		p.Offset, p.Body, p.End = p.Offset+n, p.Body+n, p.End+n
		p.Children = slices.Clone(p.Children)
		*at = &p
		for i := range p.Children {
			todo = append(todo, place{&p.Children[i]})
		}
		if p.Embedded != nil {
			todo = append(todo, place{&p.Embedded})
		}
	}
	out.Root.Offset = 0
	fields := make([]message.Field, 0, len(m.Root.Header)+4)
	for name, raw := range message.Fields(prefix) {
		if name != "" {
			fields = append(fields, message.Field{Name: name, Value: fieldValue(raw)})
		}
	}
	out.Root.Header = append(fields, m.Root.Header...)
	return &out
}

// fieldValue is a raw field without its name and last line end.
func fieldValue(raw []byte) string {
	text := string(raw)
	for i := range len(text) {
		if text[i] == ':' {
			text = text[i+1:]
			break
		}
	}
	if n := len(text); n > 0 && text[n-1] == '\n' {
		text = text[:n-1]
	}
	if n := len(text); n > 0 && text[n-1] == '\r' {
		text = text[:n-1]
	}
	return text
}

// weight is about how much memory a structure takes.
func weight(m *message.Message) int64 {
	n := int64(256 + len(m.Text))
	m.Walk(func(p *message.Part) bool {
		n += 400
		for i := range p.Header {
			n += int64(32 + len(p.Header[i].Name) + len(p.Header[i].Value))
		}
		return true
	})
	return n
}

var _ interface {
	mail.Body
	io.ReaderAt
} = (*Message)(nil)
