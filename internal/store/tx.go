package store

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"plic/internal/mail"
	"plic/internal/message"
	"plic/internal/store/engine"
)

// Tx is one atomic, durable change of any mailboxes and the queue: it happens
// whole or not at all. It is for one goroutine, and for one Commit.
type Tx struct {
	s       *Store
	deliver []delivery
	replace []replaced
	put     []mail.Item
	drop    []mail.ID
	notes   []placedNote
	exempt  bool
	arrival bool
}

type delivery struct {
	to   *Mailbox
	in   Incoming
	body mail.ID
	size int64 // of the body
	sum  []byte
}

// Begin starts a Tx. One that is not committed needs no end.
func (s *Store) Begin() *Tx { return &Tx{s: s} }

// Deliver puts a message into a mailbox. A Draft may go into many.
func (t *Tx) Deliver(mb *Mailbox, in Incoming) {
	t.deliver = append(t.deliver, delivery{to: mb, in: in})
}

// Replace takes a message out of a mailbox, RFC 8508; one that is not there any
// more fails the Commit with engine.ErrNotFound.
func (t *Tx) Replace(mb *Mailbox, uid UID) { t.replace = append(t.replace, replaced{mb, uid}) }

type replaced struct {
	in  *Mailbox
	uid UID
}

// BeyondQuota lets the Tx come to pass whatever quotas say.
func (t *Tx) BeyondQuota() { t.exempt = true }

// Arrival says that mail arrives by the Tx: no user has put it where it goes.
func (t *Tx) Arrival() { t.arrival = true }

// PutItem adds or changes a queue item. Its Body may be the ID of a Draft.
func (t *Tx) PutItem(item mail.Item) { t.put = append(t.put, item) }

// DropItem takes an item out of the queue.
func (t *Tx) DropItem(id mail.ID) { t.drop = append(t.drop, id) }

// Commit does it all and returns when it is on stable storage, with a Placed
// for each Deliver, in order. After an error nothing is visible, and Drafts are
// still the caller's, unless the error is engine.ErrFailed: then nothing is
// known but that no one can see it. ErrGone if a mailbox was removed meanwhile.
func (t *Tx) Commit(ctx context.Context) ([]Placed, error) {
	var placed []Placed
	err := t.s.freshly(ctx, func() (err error) {
		placed, err = t.commit(ctx)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("commit: %w", err)
	}
	return placed, nil
}

func (t *Tx) commit(ctx context.Context) ([]Placed, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := t.prepare(ctx); err != nil {
		return nil, err
	}
	accounts := make([]*Account, 0, len(t.deliver)+len(t.notes)+len(t.replace))
	for i := range t.deliver {
		accounts = append(accounts, t.deliver[i].to.account)
	}
	for i := range t.notes {
		accounts = append(accounts, t.notes[i].of.a)
	}
	for i := range t.replace {
		accounts = append(accounts, t.replace[i].in.account)
	}
	c, err := t.s.lock(accounts...)
	if err != nil {
		return nil, err
	}
	defer c.unlock()
	c.exempt, c.arrival = t.exempt, t.arrival
	placed, drafts, err := t.fill(ctx, c)
	if err != nil || c.empty() {
		return placed, err
	}
	p, err := c.apply()
	c.unlock()
	if err != nil {
		return nil, err
	}
	t.s.took(drafts)
	return placed, p.publish()
}

// took notes that a commit has taken drafts: they are bodies now.
func (s *Store) took(drafts []*Draft) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range drafts {
		d.taken = true
		delete(s.drafts, d.w.ID())
	}
}

// analyse analyses many drafts at the same time; what fails is tried again, and
// told of, by prepare.
func (t *Tx) analyse() {
	const many = 8
	if len(t.deliver) < many {
		return
	}
	var next atomic.Int64
	var all sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		all.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(t.deliver)); i = next.Add(1) - 1 {
				if d := t.deliver[i].in.Draft; d != nil {
					d.analyse()
				}
			}
		})
	}
	all.Wait()
}

// prepare analyses what is to be delivered; nothing is locked.
func (t *Tx) prepare(ctx context.Context) error {
	t.analyse()
	var msg *message.Message
	var sum []byte // of the message without any prefix
	for i := range t.deliver {
		d := &t.deliver[i]
		var err error
		switch {
		case i > 0 && d.in.Draft == t.deliver[i-1].in.Draft && d.in.Body == t.deliver[i-1].in.Body:
			d.body, d.size = t.deliver[i-1].body, t.deliver[i-1].size
		case d.in.Draft != nil:
			d.body, d.size = d.in.Draft.ID(), d.in.Draft.Size()
			msg, sum, err = d.in.Draft.analyse()
		case !d.in.Body.IsZero():
			d.body = d.in.Body
			if d.size, msg, err = t.s.readBody(ctx, d.body, nil); err == nil {
				sum = summarize(msg, nil)
			}
		default:
			err = errors.New("no message given")
		}
		if err != nil {
			return err
		}
		if d.sum, err = t.s.prefixed(ctx, d.in, msg, sum); err != nil {
			return err
		}
	}
	return nil
}

// prefixed gives the summary of a message with its prefix, of what the body is
// alone.
func (s *Store) prefixed(ctx context.Context, in Incoming, alone *message.Message, sum []byte) ([]byte, error) {
	if !endsHeader(in.Prefix) {
		if before := foreword(in.Prefix); before != nil {
			sum = summarize(alone, before)
		}
		return sum, nil
	}
	var m *message.Message
	var err error
	if in.Draft != nil {
		m, err = parse(mail.WithPrefix(in.Prefix, in.Draft.Body()), s.o.Parse)
	} else {
		_, m, err = s.readBody(ctx, in.Body, in.Prefix)
	}
	if err != nil {
		return nil, err
	}
	return summarize(m, nil), nil
}

// readBody analyses a body that the engine has: by itself, or as the text that it is
// behind a prefix that ends the header.
func (s *Store) readBody(ctx context.Context, id mail.ID, prefix []byte) (size int64, m *message.Message, err error) {
	b, err := s.OpenBody(ctx, id)
	if err != nil {
		return 0, nil, err
	}
	defer b.Close()
	if endsHeader(prefix) {
		m, err = parse(mail.WithPrefix(prefix, b), s.o.Parse)
	} else {
		m, err = parse(b, s.o.Parse)
	}
	return b.Size(), m, err
}

// fill puts the Tx into a commit and says which drafts it takes.
func (t *Tx) fill(ctx context.Context, c *commit) (placed []Placed, drafts []*Draft, err error) {
	now := t.s.o.Now()
	take := func(d *Draft) {
		if d != nil && !slices.Contains(drafts, d) && !t.s.isTaken(d) {
			d.claim()
			drafts = append(drafts, d)
			c.batch.Bodies = append(c.batch.Bodies, d.w)
		}
	}
	if len(t.deliver) > 0 {
		placed = make([]Placed, len(t.deliver))
	}
	for i := range t.deliver {
		d := &t.deliver[i]
		if err := c.claim(ctx, d.to); err != nil {
			return nil, nil, err
		}
		e, err := c.edit(d.to)
		if err != nil {
			return nil, nil, err
		}
		flags, err := e.bits(d.in.Flags, d.to.flagsInUse(ctx))
		if err != nil {
			return nil, nil, err
		}
		internal := d.in.Internal
		if internal.IsZero() {
			internal = now.UTC()
		}
		e.numbered(d.in.UID)
		placed[i], err = e.add(engine.Message{
			Entry: Entry{
				Flags: flags, Size: int64(len(d.in.Prefix)) + d.size,
				Internal: engine.DateOf(internal), Saved: now.Unix(), Body: d.body,
			},
			Detail: engine.Detail{Prefix: d.in.Prefix, Summary: d.sum},
		})
		if err != nil {
			return nil, nil, err
		}
		take(d.in.Draft)
	}
	for i := range t.notes {
		if err := c.changeNote(t.notes[i].of, t.notes[i].note); err != nil {
			return nil, nil, err
		}
	}
	if err := t.takeOut(ctx, c); err != nil {
		return nil, nil, err
	}
	for i := range t.put {
		take(t.s.draft(t.put[i].Body))
	}
	c.batch.PutItems, c.batch.DropItems = t.put, t.drop
	return placed, drafts, nil
}

// takeOut expunges what is replaced.
func (t *Tx) takeOut(ctx context.Context, c *commit) error {
	for _, r := range t.replace {
		st, err := r.in.loaded(ctx)
		if err != nil {
			return err
		}
		e, err := c.edit(r.in)
		if err != nil {
			return err
		}
		msg, ok := st.snap.Get(r.uid)
		if !ok {
			return fmt.Errorf("replace UID %d of %s: %w", r.uid, st.rec.Name, engine.ErrNotFound)
		}
		e.expunge(msg)
	}
	return nil
}

func (s *Store) isTaken(d *Draft) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return d.taken
}

// flagsInUse asks the index which flags messages have; only that loads it.
func (m *Mailbox) flagsInUse(ctx context.Context) func() (engine.Flags, error) {
	return func() (engine.Flags, error) {
		st, err := m.loaded(ctx)
		if err != nil {
			return 0, err
		}
		return st.snap.used(), nil
	}
}

// Append puts messages into the mailbox, all or none, RFC 9051 section 6.3.12
// and RFC 3502.
func (m *Mailbox) Append(ctx context.Context, in ...Incoming) ([]Placed, error) {
	t := m.account.store.Begin()
	for _, i := range in {
		t.Deliver(m, i)
	}
	return t.Commit(ctx)
}
