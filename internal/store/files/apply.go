package files

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"syscall"

	"plic/internal/mail"
	"plic/internal/store/engine"
)

// Apply carries a batch out on files, as far as it is of accounts that have
// them, and then has the engine below apply it.
func (e *Engine) Apply(in *engine.Batch) (engine.Ticket, error) {
	c := &carry{e: e, ctx: context.Background(), in: in, out: *in}
	if err := c.accounts(); err != nil {
		return nil, err
	}
	if err := c.sort(); err != nil {
		return nil, err
	}
	if len(c.jobs)+len(c.forget) == 0 {
		if len(c.copied) == 0 && len(c.out.PutNotes) == len(in.PutNotes) {
			return e.Engine.Apply(in)
		}
	}
	defer c.unlock()
	if err := c.carry(); err != nil {
		c.end(false)
		return nil, full(err)
	}
	t, err := e.Engine.Apply(&c.out)
	if err != nil {
		c.end(false)
		return nil, err
	}
	c.follow()
	c.end(true)
	return t, nil
}

// full says in the engine's words that there is no room.
func full(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("%w: %w", engine.ErrFull, err)
	}
	return err
}

// carry is a batch on its way.
type carry struct {
	e      *Engine
	ctx    context.Context
	in     *engine.Batch
	out    engine.Batch // for the engine below
	jobs   []*job
	forget []*account
	locked []*box
	copied []engine.BodyWriter // from files into the engine below

	adopted *account // a new one that has files already

	mu   sync.Mutex // of what follows
	undo []func()
	done []func()
}

// job is what is to be done in one mailbox.
type job struct {
	a   *account
	b   *box
	in  *engine.MailboxChange
	was engine.Mailbox
}

// accounts gives new accounts their place.
func (c *carry) accounts() error {
	for _, rec := range c.in.Accounts {
		c.e.mu.Lock()
		known := c.e.accounts[rec.ID] != nil || c.e.native[rec.ID]
		c.e.mu.Unlock()
		if known {
			continue
		}
		at, native, err := c.e.locate(c.ctx, rec.Name, "")
		if err != nil {
			return err
		}
		if native {
			c.e.isNative(rec.ID)
			continue
		}
		// What is there already is taken as it is: the store will find it.
		a, err := c.e.bind(c.ctx, rec, at)
		if adopt := err == nil; adopt {
			c.adopted = a
		} else if errors.Is(err, ErrNoPlace) {
			at.Make = true
			a, err = c.e.bind(c.ctx, rec, at)
		}
		if err != nil {
			return full(err)
		}
		c.undo = append(c.undo, func() { c.e.unbind(a) })
		c.out.PutNotes = append(slices.Clip(c.out.PutNotes), engine.Note{Account: rec.ID, Key: placeNote, Value: []byte(at.Format + ":" + at.Path)})
	}
	return nil
}

func (e *Engine) unbind(a *account) {
	e.mu.Lock()
	delete(e.accounts, a.id)
	e.mu.Unlock()
	a.forget()
}

// sort finds what is of accounts in files, and locks their mailboxes.
func (c *carry) sort() error {
	for i := range c.in.Mailboxes {
		m := &c.in.Mailboxes[i]
		a := c.e.account(m.Account)
		if a == nil {
			if err := c.copyOut(m); err != nil {
				return err
			}
			continue
		}
		a.mu.Lock()
		b := c.e.newBox(a, m.Record.ID)
		a.mu.Unlock()
		c.jobs = append(c.jobs, &job{a: a, b: b, in: m})
	}
	for _, id := range c.in.Forget {
		if a := c.e.account(id); a != nil {
			c.forget = append(c.forget, a)
		}
	}
	slices.SortFunc(c.jobs, func(x, y *job) int { return cmp.Compare(x.b.place, y.b.place) })
	for _, j := range c.jobs {
		j.b.mu.Lock()
		c.locked = append(c.locked, j.b)
		j.was = j.b.rec
	}
	return nil
}

func (c *carry) unlock() {
	for _, b := range c.locked {
		b.mu.Unlock()
	}
	for _, w := range c.copied {
		w.Discard()
	}
}

// copyOut gives messages that come from files into a mailbox without files a
// body of the engine below.
func (c *carry) copyOut(m *engine.MailboxChange) error {
	for i := range m.Add {
		id := m.Add[i].Body
		if !engine.Elsewhere(id) {
			continue
		}
		from, err := c.e.OpenBody(c.ctx, id)
		if err != nil {
			return err
		}
		w, err := c.e.Engine.NewBody(c.ctx)
		if err == nil {
			c.copied = append(c.copied, w)
			_, err = io.Copy(w, io.NewSectionReader(from, 0, from.Size()))
		}
		from.Close()
		if err != nil {
			return err
		}
		m.Add[i].Body = w.ID()
	}
	return nil
}

// carry carries all out, in an order in which nothing is lost: what is added is
// there before anything goes.
func (c *carry) carry() error {
	if err := c.trees(); err != nil {
		return err
	}
	var adding, rest []*job
	for _, j := range c.jobs {
		switch {
		case j.in.Remove || j.in.Record.NoSelect:
		case len(j.in.Add) > 0 && len(j.in.Expunge) == 0:
			adding = append(adding, j)
		default:
			rest = append(rest, j)
		}
	}
	if err := c.together(adding); err != nil {
		return err
	}
	for _, j := range rest {
		if err := c.messages(j); err != nil {
			return err
		}
	}
	if err := c.removals(); err != nil {
		return err
	}
	c.bodies()
	return nil
}

// together carries out what is added to several mailboxes at the same time.
func (c *carry) together(jobs []*job) error {
	if len(jobs) == 1 {
		return c.messages(jobs[0])
	}
	errs := make([]error, len(jobs))
	var all sync.WaitGroup
	most := make(chan struct{}, 8)
	for i, j := range jobs {
		most <- struct{}{}
		all.Go(func() {
			defer func() { <-most }()
			errs[i] = c.messages(j)
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

// messages carries out what is to be done to the messages of a mailbox.
func (c *carry) messages(j *job) error {
	b, in := j.b, j.in
	files := b.files.Load()
	if in.Found {
		return c.number(j)
	}
	change := Change{Record: &in.Record}
	if in.Record.RecentFrom > j.was.RecentFrom && j.was.ID != 0 {
		change.ShownTo = in.Record.RecentFrom
	}
	if len(in.Update)+len(in.Expunge) > 0 {
		if err := b.load(c.ctx); err != nil {
			return err
		}
	}
	for i := range in.Add {
		change.Add = append(change.Add, c.added(j, &in.Add[i]))
	}
	for i := range in.Update {
		_, key := engine.SplitElsewhere(in.Update[i].Body)
		change.Flag = append(change.Flag, Flagged{Key: key, UID: in.Update[i].UID, Before: b.marks[key].flags, After: in.Update[i].Flags})
	}
	if len(in.Expunge) > 0 {
		for key, m := range b.marks {
			if _, goes := slices.BinarySearch(in.Expunge, m.uid); goes {
				change.Expunge = append(change.Expunge, Numbered{key, m.uid})
			}
		}
	}
	if len(change.Add)+len(change.Flag)+len(change.Expunge) == 0 && change.ShownTo == 0 {
		return nil
	}
	carried, err := files.Carry(c.ctx, &change)
	if err != nil {
		return fmt.Errorf("mailbox %s: %w", in.Record.Name, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.undo, c.done = append(c.undo, carried.Undo), append(c.done, carried.Done)
	for i := range in.Add {
		in.Add[i].Body = engine.ElsewhereID(b.place, change.Add[i].Key)
		in.Add[i].Prefix = nil
	}
	return nil
}

// number writes down the UIDs that were given to messages found.
func (c *carry) number(j *job) error {
	var uids []Numbered
	for i := range j.in.Add {
		_, key := engine.SplitElsewhere(j.in.Add[i].Body)
		uids = append(uids, Numbered{key, j.in.Add[i].UID})
	}
	h := Header{j.in.Record.UIDValidity, j.in.Record.UIDNext}
	if len(uids) == 0 && h == (Header{j.was.UIDValidity, j.was.UIDNext}) {
		return nil
	}
	if j.was.ID == 0 {
		release, err := j.b.files.Load().Hold(c.ctx)
		if err != nil {
			return fmt.Errorf("mailbox %s: %w", j.in.Record.Name, err)
		}
		defer release()
	}
	if err := j.b.files.Load().Number(c.ctx, h, uids); err != nil {
		return fmt.Errorf("mailbox %s: %w", j.in.Record.Name, err)
	}
	return nil
}

// added says what a new message is made of.
func (c *carry) added(j *job, m *engine.Message) Added {
	body := m.Body
	add := Added{
		ID: nameOf(j.b.place, m.UID, body), UID: m.UID, Flags: m.Flags, Internal: m.Internal.Time(), Prefix: m.Prefix, Size: m.Size,
		Open: func() (mail.Body, error) {
			for _, w := range c.in.Bodies {
				if w.ID() == body {
					return w.Body(), nil
				}
			}
			return c.e.OpenBody(c.ctx, body)
		},
	}
	if !engine.Elsewhere(body) {
		return add
	}
	place, key := engine.SplitElsewhere(body)
	c.e.mu.Lock()
	from := c.e.places[place]
	c.e.mu.Unlock()
	if from == nil || from.a != j.a {
		return add
	}
	if f := from.files.Load(); f != nil {
		add.From, add.FromKey = f.Box, key
	}
	for _, other := range c.jobs {
		if other.b == from {
			_, known := from.marks[key]
			add.Move = known && slices.Contains(other.in.Expunge, from.marks[key].uid)
		}
	}
	return add
}

// nameOf makes the name of a message that is added: the same if it is tried
// again, and no other's.
func nameOf(place uint64, uid engine.UID, body mail.ID) mail.ID {
	var b [28]byte
	binary.BigEndian.PutUint64(b[:], place)
	binary.BigEndian.PutUint32(b[8:], uint32(uid))
	copy(b[12:], body[:])
	sum := sha256.Sum256(b[:])
	return mail.ID(sum[:16])
}

// bodies leaves those out that the engine below has no owner for, and adds those
// that were copied.
func (c *carry) bodies() {
	wanted := map[mail.ID]bool{}
	for i := range c.in.Mailboxes {
		for k := range c.in.Mailboxes[i].Add {
			wanted[c.in.Mailboxes[i].Add[k].Body] = true
		}
	}
	for i := range c.in.PutItems {
		wanted[c.in.PutItems[i].Body] = true
	}
	c.out.Bodies = slices.Clone(c.copied)
	for _, w := range c.in.Bodies {
		if wanted[w.ID()] {
			c.out.Bodies = append(c.out.Bodies, w)
		}
	}
}

// follow takes over what the index has now.
func (c *carry) follow() {
	for _, j := range c.jobs {
		b := j.b
		if j.in.Remove {
			continue
		}
		b.follow(&j.in.Record)
		b.described = nil
		if b.marks == nil {
			continue
		}
		if len(j.in.Expunge) > 0 {
			for key, m := range b.marks {
				if _, gone := slices.BinarySearch(j.in.Expunge, m.uid); gone {
					delete(b.marks, key)
				}
			}
		}
		for i := range j.in.Update {
			_, key := engine.SplitElsewhere(j.in.Update[i].Body)
			b.marks[key] = mark{j.in.Update[i].UID, j.in.Update[i].Flags}
		}
		for i := range j.in.Add {
			_, key := engine.SplitElsewhere(j.in.Add[i].Body)
			b.marks[key] = mark{j.in.Add[i].UID, j.in.Add[i].Flags}
		}
	}
	for _, j := range c.jobs {
		if j.in.Remove {
			c.e.drop(j.b)
		}
	}
	for _, a := range c.forget {
		c.e.unbind(a)
	}
}

// end says to the formats whether the index follows.
func (c *carry) end(follows bool) {
	list := c.undo
	if follows {
		list = c.done
	}
	for _, f := range slices.Backward(list) {
		if f != nil {
			f()
		}
	}
}
