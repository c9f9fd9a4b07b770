package imapd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"plic/internal/casemap"
	"plic/internal/imap"
	"plic/internal/message"
	"plic/internal/pace"
	"plic/internal/store"
	"plic/internal/store/engine"
	"plic/internal/store/search"
)

// matcher looks into messages, one after the other, each no further than it
// must.
type matcher struct {
	ctx  context.Context
	rest func() error // makes way for others; nil for pace.Step
	mb   *store.Mailbox
	pool *Server

	e     store.Entry
	d     *store.Detail
	env   *message.Envelope // nil until it is needed
	raw   []byte            // ENVELOPE of the message
	fold  []byte            // raw folded, empty until it is needed
	coded bool              // raw holds more than meets the eye
	msg   *store.Message    // nil until it is needed
	tree  *message.Message
	err   error
	score int // the best of FUZZY keys, 0 for none
}

// matches says whether a message passes.
func (m *matcher) matches(p *test, e store.Entry, d *store.Detail) (bool, error) {
	m.close()
	m.e, m.d, m.raw, m.fold, m.score = e, d, d.AppendEnvelope(m.raw[:0]), m.fold[:0], 0
	for _, l := range [...]level{inEnvelope, inMessage} {
		switch v := m.look(p, l); {
		case m.err != nil:
			return false, m.err
		case v != unknown:
			return v == yes, nil
		}
	}
	return false, nil
}

// close forgets the message.
func (m *matcher) close() {
	if m.msg != nil {
		m.msg.Close()
	}
	m.env, m.msg, m.tree, m.err = nil, nil, nil, nil
}

// look tests a message no further than to a level.
func (m *matcher) look(t *test, to level) verdict {
	switch {
	case m.err != nil:
		return nope
	case t.op == imap.SearchAnd || t.op == imap.SearchOr || t.op == imap.SearchNot:
		return t.combine(func(k *test) verdict { return m.look(k, to) })
	case t.op == imap.SearchFuzzy:
		v, score := t.fuzzy(func(k *test) verdict { return m.look(k, to) })
		if v == yes {
			m.score = max(m.score, score)
		}
		return v
	}
	if v := t.index(&m.e); v != unknown {
		return v
	}
	switch {
	case t.level > to:
		return unknown
	case t.raw && m.lacks(t.needle):
		return nope
	case t.op == imap.SearchThreadID:
		return decided(threadID(m.e, m.d) == string(t.needle))
	case t.level == inEnvelope:
		return t.envelope(m.envelope())
	}
	if m.open(); m.tree == nil {
		return nope // it went meanwhile, or there is an error
	}
	if m.err = m.pause(); m.err != nil {
		return nope
	}
	switch t.op {
	case imap.SearchHeader:
		return decided(m.inField(t))
	case imap.SearchText:
		return decided(m.inFields(t.needle) || m.inBody(t.needle))
	}
	return decided(m.inBody(t.needle))
}

// lacks says, without taking the envelope apart, that a string is nowhere in it.
func (m *matcher) lacks(needle []byte) bool {
	if len(m.fold) == 0 {
		m.fold = casemap.Append(m.fold, m.raw)
		m.coded = !casemap.IsASCII(m.raw) || bytes.Contains(m.raw, []byte("=?"))
	}
	return !m.coded && !bytes.Contains(m.fold, needle)
}

// pause makes way for others: what is large, or searched for much, takes long.
func (m *matcher) pause() error {
	if m.rest != nil {
		return m.rest()
	}
	return pace.Step(m.ctx)
}

// envelope reads the envelope; what is damaged has an empty one.
func (m *matcher) envelope() *message.Envelope {
	if m.env == nil {
		if m.env, _ = imap.ParseEnvelope(m.raw); m.env == nil {
			m.env = new(message.Envelope)
		}
	}
	return m.env
}

// open opens the message. One that cannot be read matches nothing.
func (m *matcher) open() {
	if m.msg != nil || m.err != nil {
		return
	}
	if m.err = m.ctx.Err(); m.err != nil {
		return
	}
	msg, err := m.mb.Open(m.ctx, m.e)
	if err != nil {
		m.fail(err)
		return
	}
	m.msg = msg
	if m.tree, err = msg.Structure(); err != nil {
		m.fail(err)
	}
}

func (m *matcher) fail(err error) {
	if errors.Is(err, engine.ErrNotFound) || errors.Is(err, engine.ErrDamaged) {
		return
	}
	if m.err == nil {
		m.err = fmt.Errorf("search in UID %d: %w", m.e.UID, err)
	}
}

// inField tests the header field of a name; an empty string matches if there
// is such a field.
func (m *matcher) inField(t *test) bool {
	for _, f := range m.tree.Root.Header {
		if equalFold(f.Name, t.field) && hasText(message.DecodeHeader(f.Text()), t.needle) {
			return true
		}
	}
	return false
}

// inFields tests all header fields of the message and of its parts.
func (m *matcher) inFields(needle []byte) (ok bool) {
	err := search.WalkFields(m.msg, m.tree, func(text string) bool {
		ok = hasText(text, needle)
		return !ok
	})
	if err != nil {
		m.fail(err)
	}
	return ok
}

// inBody tests every text of the message, and the headers of the messages in
// it.
func (m *matcher) inBody(needle []byte) (ok bool) {
	search.Walk(m.tree, func(p *message.Part) bool {
		ok = m.inText(p, needle)
		return !ok && m.err == nil
	}, func(p *message.Part) bool {
		search.Fields(p, func(text string) bool {
			ok = hasText(text, needle)
			return !ok
		})
		return !ok
	})
	return ok
}

func (m *matcher) inText(p *message.Part, needle []byte) bool {
	ok, err := m.contains(search.Text(m.msg, p), needle)
	if err != nil {
		m.fail(err)
	}
	return ok
}

// contains searches a text as it comes, in pieces that overlap by the length
// of what is sought.
func (m *matcher) contains(r io.Reader, needle []byte) (bool, error) {
	if len(needle) == 0 {
		return true, nil
	}
	page := m.pool.pages.Get().(*[]byte)
	defer m.pool.pages.Put(page)
	buf := (*page)[:cap(*page)]
	if len(buf) < 2*len(needle) {
		buf = make([]byte, 4*len(needle))
	}
	n := 0
	for {
		if err := m.pause(); err != nil {
			return false, err
		}
		got, err := io.ReadFull(r, buf[n:])
		n += got
		if bytes.Contains(buf[:n], needle) {
			return true, nil
		}
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		n = copy(buf, buf[n-len(needle)+1:n])
	}
}

func hasText(text string, needle []byte) bool {
	return len(needle) == 0 || bytes.Contains(casemap.Fold(text), needle)
}

// hasAddress tests addresses as people write them.
func hasAddress(list []message.Mailbox, needle []byte) bool {
	for _, a := range list {
		if hasText(search.AddressText(a), needle) {
			return true
		}
	}
	return false
}
