package store

import (
	"context"
	"fmt"
	"io"
	"sync"

	"plic/internal/mail"
	"plic/internal/message"
	"plic/internal/store/engine"
)

// Draft is a message on its way in: it is written, read, analysed once, and
// then taken by a Tx, or discarded. One goroutine writes it; once it is
// written, many may read.
type Draft struct {
	s *Store
	w engine.BodyWriter

	mu      sync.Mutex
	parsed  *message.Message
	summary []byte
	claimed bool // by its owner: nobody analyses it early any more
	taken   bool // by an applied commit
}

// NewDraft starts a message. Discard it when it is not needed any more, taken
// or not.
func (s *Store) NewDraft(ctx context.Context) (*Draft, error) {
	w, err := s.engine.NewBody(ctx)
	if err != nil {
		s.stopped(err)
		return nil, fmt.Errorf("new message: %w", err)
	}
	d := &Draft{s: s, w: w}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drafts[w.ID()] = d
	return d, nil
}

// ID names the body: it is Item.Body of queue items over it, and Incoming.Body
// once it was taken.
func (d *Draft) ID() mail.ID { return d.w.ID() }

// Write appends to the body, with CRLF line ends.
func (d *Draft) Write(p []byte) (int, error) {
	n, err := d.w.Write(p)
	if err != nil {
		d.s.stopped(err)
		err = fmt.Errorf("write message: %w", err)
	}
	return n, err
}

// Size is how much was written.
func (d *Draft) Size() int64 { return d.w.Size() }

// Body reads what was written.
func (d *Draft) Body() mail.Body { return d.w.Body() }

// Written says that all is written: the message is analysed beside what the
// caller does next. It need not be called.
func (d *Draft) Written() { d.s.early.add(d) }

// tryAnalyse analyses a draft that nobody waits for yet. What fails, be it by a
// panic, is done again, and told, by who asks for the message.
func (d *Draft) tryAnalyse() {
	d.mu.Lock()
	defer d.mu.Unlock()
	defer func() { _ = recover() }()
	if !d.claimed {
		d.analyseLocked()
	}
}

// claim waits for an early analysis, and lets none begin.
func (d *Draft) claim() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.claimed = true
}

// Message is the message's structure. It is parsed at the first call, when all is
// written; the error is one of reading. The rest of the analysis is left to who
// delivers it here: what goes on to others does not need it.
func (d *Draft) Message() (*message.Message, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.parseLocked()
}

func (d *Draft) analyse() (*message.Message, []byte, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.analyseLocked()
}

func (d *Draft) analyseLocked() (*message.Message, []byte, error) {
	m, err := d.parseLocked()
	if err != nil {
		return nil, nil, err
	}
	if d.summary == nil {
		d.summary = summarize(m, nil)
	}
	return m, d.summary, nil
}

func (d *Draft) parseLocked() (*message.Message, error) {
	if d.parsed == nil {
		m, err := parse(d.w.Body(), d.s.o.Parse)
		if err != nil {
			return nil, err
		}
		d.parsed = m
		d.w.Finish()
	}
	return d.parsed, nil
}

// Discard frees the body if no commit has taken it. It may be called more than
// once.
func (d *Draft) Discard() {
	d.claim()
	d.s.mu.Lock()
	delete(d.s.drafts, d.w.ID())
	d.s.mu.Unlock()
	d.w.Discard()
}

func (s *Store) draft(id mail.ID) *Draft {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.drafts[id]
}

// parse analyses a body from its beginning.
func parse(b mail.Body, l message.Limits) (*message.Message, error) {
	if whole, ok := b.(mail.InMemory); ok {
		return message.ParseBytes(whole.Bytes(), l), nil
	}
	m, err := message.Parse(io.NewSectionReader(b, 0, b.Size()), l)
	if err != nil {
		return nil, fmt.Errorf("read message: %w", err)
	}
	return m, nil
}
