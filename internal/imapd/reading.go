package imapd

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"

	"plic/internal/imap"
	"plic/internal/message"
	"plic/internal/store"
)

// reading is a message whose octets are wanted. It is analysed only if its
// header does not tell enough.
type reading struct {
	server *Server
	msg    *store.Message
	tree   *message.Message // nil until it is needed
	page   *[]byte          // from the pool
	head   int64            // where the header ends, 0 if not known yet
	cached int              // octets of the message that page holds
}

// piece is what an item wants of a message.
type piece struct {
	r      io.ReaderAt
	off, n int64
	decode func(off int64) (io.Reader, error) // instead of r: what is there from off on
	none   bool                               // there is no such part
	binary bool                               // it holds NUL
	skip   bool                               // it cannot be sent
}

var errUnknownEncoding = errors.New("unknown content transfer encoding")

// maxHeader bounds how much of a header is filtered.
const maxHeader = 4 << 20

func (m *reading) open(ctx context.Context, c *conn, e store.Entry, next opened) error {
	m.closeMessage()
	m.server = c.server
	if next.msg == nil && next.err == nil {
		return m.openIn(ctx, c.view.mb, e)
	}
	m.msg, m.tree, m.head, m.cached = next.msg, nil, 0, 0
	return next.err
}

func (m *reading) openIn(ctx context.Context, mb *store.Mailbox, e store.Entry) error {
	msg, err := mb.Open(ctx, e)
	if err != nil {
		return err
	}
	m.msg, m.tree, m.head, m.cached = msg, nil, 0, 0
	return nil
}

func (m *reading) closeMessage() {
	if m.msg != nil {
		m.msg.Close()
		m.msg = nil
	}
}

func (m *reading) close() {
	m.closeMessage()
	if m.page != nil {
		m.server.pages.Put(m.page)
		m.page = nil
	}
}

// piece finds what an item wants, BINARY excepted.
func (m *reading) piece(it imap.FetchItem) (piece, error) {
	p, err := m.section(it.Section)
	if err != nil {
		return p, err
	}
	return p.part(it), nil
}

// part gives what an item wants of the octets that it names.
func (p piece) part(it imap.FetchItem) piece {
	if it.Partial {
		p.off += min(it.Offset, p.n)
		p.n = min(p.n-min(it.Offset, p.n), it.Count)
	}
	return p
}

// section finds BODY[section], RFC 9051 section 6.4.5.1.
func (m *reading) section(s imap.Section) (piece, error) {
	if len(s.Path) == 0 {
		if s.Text == imap.SectionAll {
			return piece{r: m.msg, n: m.msg.Size()}, nil
		}
		end, err := m.headEnd()
		if err != nil {
			return piece{}, err
		}
		return m.ofMessage(s, 0, end, m.msg.Size())
	}
	if err := m.analyse(); err != nil {
		return piece{}, err
	}
	p := m.tree.Find(s.Path)
	switch {
	case p == nil:
		return piece{none: true}, nil
	case s.Text == imap.SectionAll:
		return piece{r: m.msg, off: p.Body, n: p.End - p.Body}, nil
	case s.Text == imap.SectionMIME:
		return piece{r: m.msg, off: p.Offset, n: p.Body - p.Offset}, nil
	case p.Embedded == nil:
		return piece{none: true}, nil // only messages have these
	}
	p = p.Embedded
	return m.ofMessage(s, p.Offset, p.Body, p.End)
}

// ofMessage finds HEADER, TEXT and the like of a message at [from, end) whose
// body begins at body.
func (m *reading) ofMessage(s imap.Section, from, body, end int64) (piece, error) {
	switch s.Text {
	case imap.SectionHeader:
		return piece{r: m.msg, off: from, n: body - from}, nil
	case imap.SectionText:
		return piece{r: m.msg, off: body, n: end - body}, nil
	}
	header, err := m.bytes(from, min(body-from, maxHeader))
	if err != nil {
		return piece{}, err
	}
	out := filter(header, s.Fields, s.Text == imap.SectionFields)
	return piece{r: bytes.NewReader(out), n: int64(len(out))}, nil
}

// filter keeps the fields of a header that are named, or those that are not,
// with the blank line after them.
func filter(header []byte, names []string, named bool) []byte {
	out := make([]byte, 0, 512)
	for name, raw := range message.Fields(header) {
		found := false
		for _, n := range names {
			if strings.EqualFold(n, name) {
				found = true
				break
			}
		}
		if found == named {
			if out = append(out, raw...); raw[len(raw)-1] != '\n' {
				out = append(out, '\r', '\n')
			}
		}
	}
	return append(out, '\r', '\n')
}

// bytes reads octets of the message, from the page if it has them.
func (m *reading) bytes(off, n int64) ([]byte, error) {
	if m.page != nil && off+n <= int64(m.cached) {
		return (*m.page)[:cap(*m.page)][off : off+n], nil
	}
	b := make([]byte, n)
	if got, err := m.msg.ReadAt(b, off); int64(got) < n {
		return nil, err
	}
	return b, nil
}

// headEnd finds where the message's body begins: mostly without an analysis of
// the whole.
func (m *reading) headEnd() (int64, error) {
	if m.head > 0 {
		return m.head, nil
	}
	if m.tree == nil {
		if m.page == nil {
			m.page = m.server.pages.Get().(*[]byte)
		}
		b := (*m.page)[:cap(*m.page)]
		b = b[:min(int64(len(b)), m.msg.Size())]
		got, err := m.msg.ReadAt(b, 0)
		if got < len(b) {
			return 0, err
		}
		m.cached = got
		if m.head = plainHeader(b); m.head > 0 {
			return m.head, nil
		}
	}
	if err := m.analyse(); err != nil {
		return 0, err
	}
	m.head = m.tree.Root.Body
	return m.head, nil
}

// plainHeader gives the end of a header in which there is nothing odd, its
// blank line included; else 0.
func plainHeader(b []byte) int64 {
	at := 0
	for {
		line := b[at:]
		end := bytes.IndexByte(line, '\n')
		if end < 0 {
			return 0
		}
		line = line[:end+1]
		at += end + 1
		switch {
		case line[0] == '\n' || line[0] == '\r' && len(line) == 2:
			return int64(at)
		case line[0] == ' ' || line[0] == '\t':
			if at == end+1 {
				return 0
			}
		default:
			n := 0
			for line[n] > ' ' && line[n] < 0x7f && line[n] != ':' {
				n++
			}
			if n == 0 || line[n] != ':' {
				return 0
			}
		}
	}
}

func (m *reading) analyse() (err error) {
	if m.tree == nil {
		m.tree, err = m.msg.Structure()
	}
	return err
}
