package files

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"

	"plic/internal/mail"
	"plic/internal/store/engine"
)

// toFiles copies an account into files.
type toFiles struct {
	e     *Engine
	of    engine.Account
	place Place
	tree  Tree
}

func (t *toFiles) open(ctx context.Context, left bool) (err error) {
	f := t.e.o.Formats[t.place.Format]
	t.tree, err = f.Open(ctx, t.place)
	if errors.Is(err, ErrNoPlace) {
		t.place.Make = true
		t.tree, err = f.Open(ctx, t.place)
		return err
	}
	if err != nil {
		return err
	}
	list, err := t.tree.List(ctx)
	if err != nil {
		return err
	}
	var known map[[sha256.Size]byte]bool
	if left {
		if known, err = t.e.sums(ctx, t.of); err != nil {
			return err
		}
	}
	for _, name := range list.Mailboxes {
		if err := t.ours(ctx, name, known); err != nil {
			return err
		}
	}
	for _, name := range slices.Backward(list.Mailboxes) { // what an earlier conversion has left goes
		if err := t.tree.Remove(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

// ours sees that there is no mail in a mailbox but copies of known messages, so
// that nothing goes that somebody else has put there.
func (t *toFiles) ours(ctx context.Context, name string, known map[[sha256.Size]byte]bool) error {
	b, err := t.tree.Box(name)
	if err != nil {
		return err
	}
	scan, err := b.Scan(ctx, none{}, true)
	switch {
	case errors.Is(err, ErrNoPlace), errors.Is(err, engine.ErrNotFound):
		return nil
	case err != nil:
		return fmt.Errorf("mailbox %s: %w", name, err)
	case scan == nil:
		return nil
	}
	for _, m := range scan.Messages {
		body, err := b.Open(ctx, m.Key)
		digest, _, err := sum(nil, body, err)
		if errors.Is(err, engine.ErrNotFound) {
			continue
		}
		if err != nil {
			return fmt.Errorf("mailbox %s: %w", name, err)
		}
		if !known[digest] {
			return fmt.Errorf("%s, mailbox %s: %w", t.place.Path, name, ErrOccupied)
		}
	}
	return nil
}

// none is the index of a mailbox that has none.
type none struct{}

func (none) UID(uint64) (engine.UID, bool) { return 0, false }

func (t *toFiles) follow(ctx context.Context, b *copied) error {
	name := b.rec.Name
	switch {
	case b.files == nil:
		if err := t.tree.Create(ctx, name); err != nil {
			return err
		}
	case b.before != name:
		if err := t.tree.Rename(ctx, b.before, name); err != nil {
			return err
		}
	default:
		return nil
	}
	files, err := t.tree.Box(name)
	if err != nil {
		return err
	}
	b.files = files
	return t.header(ctx, b)
}

func (t *toFiles) header(ctx context.Context, b *copied) error {
	release, err := b.files.Hold(ctx)
	if err != nil {
		return err
	}
	defer release()
	return b.files.Number(ctx, Header{b.rec.UIDValidity, b.rec.UIDNext}, nil)
}

func (t *toFiles) carry(ctx context.Context, b *copied, s *copyStep) error {
	place := placeOf(t.of.ID, b.rec.ID)
	change := Change{Record: &b.rec, Flag: s.flag, Expunge: s.gone}
	for i := range s.add {
		m := &s.add[i]
		body := m.Body
		change.Add = append(change.Add, Added{
			ID: nameOf(place, m.UID, body), UID: m.UID, Flags: m.Flags, Internal: m.Internal.Time(), Prefix: m.Prefix, Size: m.Size,
			Open: func() (mail.Body, error) { return t.e.OpenBody(ctx, body) },
		})
	}
	carried, err := b.files.Carry(ctx, &change)
	if err != nil {
		return err
	}
	if carried.Done != nil {
		carried.Done()
	}
	for i := range s.add {
		s.add[i].Body = engine.ElsewhereID(place, change.Add[i].Key)
	}
	return nil
}

func (t *toFiles) remove(ctx context.Context, b *copied) error {
	return t.tree.Remove(ctx, b.rec.Name)
}

func (t *toFiles) settle(ctx context.Context, c *Conversion, _ *engine.Batch) error {
	_, boxes, err := c.e.Engine.Account(ctx, c.rec.Name)
	if err != nil {
		return err
	}
	var names []string
	for i := range boxes {
		if boxes[i].Subscribed {
			names = append(names, boxes[i].Name)
		}
	}
	slices.Sort(names)
	if err := t.tree.Subscribe(ctx, names); err != nil {
		return err
	}
	for _, b := range c.boxes {
		if err := t.header(ctx, b); err != nil {
			return fmt.Errorf("mailbox %s: %w", b.rec.Name, err)
		}
	}
	return nil
}

func (t *toFiles) verify(ctx context.Context, b *copied, at mail.ID) (mail.Body, error) {
	return b.files.Open(ctx, keyIn(at))
}

// toNative copies an account into the engine below. Until the switch the copies
// are the messages of an account that nobody can open.
type toNative struct {
	e    *Engine
	of   engine.Account
	side engine.Account
}

// Copies are in accounts of such names, which no real account can have, and with
// numbers that none gets.
const (
	sideName   = "\x01converting/"
	sideNumber = 1 << 63
)

// Accounts lists every account but those that are copies.
func (e *Engine) Accounts(ctx context.Context) iter.Seq2[engine.Account, error] {
	return func(yield func(engine.Account, error) bool) {
		for a, err := range e.Engine.Accounts(ctx) {
			if err == nil && strings.HasPrefix(a.Name, sideName) {
				continue
			}
			if !yield(a, err) {
				return
			}
		}
	}
}

// open makes the account for the copies. Those of an earlier attempt are kept.
func (t *toNative) open(ctx context.Context, _ bool) error {
	t.side = engine.Account{ID: t.of.ID | sideNumber, Name: sideName + t.of.Name, NextMailbox: 1, NextUIDValidity: 1, Created: t.of.Created}
	_, _, err := t.e.Engine.Account(ctx, t.side.Name)
	if errors.Is(err, engine.ErrNotFound) {
		return t.e.under(&engine.Batch{Accounts: []engine.Account{t.side}})
	}
	return err
}

// follow reads what an earlier attempt has copied. Each copy has in place of a
// summary whose copy it is.
func (t *toNative) follow(ctx context.Context, b *copied) error {
	if b.before != "" {
		return nil
	}
	var entries []engine.Entry
	var uids []engine.UID
	for entry, err := range t.e.Engine.Entries(ctx, t.side.ID, b.rec.ID, 0) {
		if err != nil {
			return err
		}
		entries, uids = append(entries, entry), append(uids, entry.UID)
	}
	for d, err := range t.e.Engine.Details(ctx, t.side.ID, b.rec.ID, uids) {
		if err != nil {
			return err
		}
		if i, ok := slices.BinarySearch(uids, d.UID); ok && len(d.Summary) == len(mail.ID{}) {
			b.have[d.UID] = copyOf{mail.ID(d.Summary), entries[i].Body, entries[i].Flags}
		}
	}
	return nil
}

func (t *toNative) carry(ctx context.Context, b *copied, s *copyStep) (err error) {
	side := engine.Mailbox{ID: b.rec.ID, Name: "copy", UIDValidity: 1, UIDNext: b.rec.UIDNext, HighestModSeq: b.rec.HighestModSeq, Created: b.rec.Created, Messages: uint32(len(b.have))}
	batch := &engine.Batch{}
	defer func() {
		for _, w := range batch.Bodies {
			w.Discard()
		}
	}()
	change := engine.MailboxChange{Account: t.side.ID, ExpungedAt: b.rec.HighestModSeq}
	for _, x := range s.gone {
		change.Expunge = append(change.Expunge, x.UID)
		side.Messages--
	}
	if len(change.Expunge) > 0 { // UIDs that come again are others' then
		slices.Sort(change.Expunge)
		change.Record = side
		if err := t.e.under(&engine.Batch{Mailboxes: []engine.MailboxChange{change}}); err != nil {
			return err
		}
		change.Expunge = nil
	}
	for i := range s.add {
		m := s.add[i]
		w, err := t.copy(ctx, m.Prefix, m.Body)
		if err != nil {
			return fmt.Errorf("UID %d: %w", m.UID, err)
		}
		batch.Bodies = append(batch.Bodies, w)
		m.Prefix, m.Summary = nil, bytes.Clone(m.Body[:])
		m.Body = w.ID()
		s.add[i].Body = w.ID()
		change.Add = append(change.Add, m)
		side.Messages++
	}
	for _, x := range s.flag {
		change.Update = append(change.Update, engine.Entry{UID: x.UID, Flags: x.After, ModSeq: b.rec.HighestModSeq})
	}
	change.Record = side
	batch.Mailboxes = []engine.MailboxChange{change}
	return t.e.under(batch)
}

// copy writes a message into a body.
func (t *toNative) copy(ctx context.Context, prefix []byte, from mail.ID) (engine.BodyWriter, error) {
	body, err := t.e.OpenBody(ctx, from)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	w, err := t.e.Engine.NewBody(ctx)
	if err != nil {
		return nil, err
	}
	if _, err = io.Copy(w, io.MultiReader(bytes.NewReader(prefix), io.NewSectionReader(body, 0, body.Size()))); err != nil {
		w.Discard()
		return nil, err
	}
	return w, nil
}

func (t *toNative) remove(_ context.Context, b *copied) error {
	return t.e.under(&engine.Batch{Mailboxes: []engine.MailboxChange{{Account: t.side.ID, Record: engine.Mailbox{ID: b.rec.ID}, Remove: true}}})
}

func (t *toNative) settle(_ context.Context, _ *Conversion, batch *engine.Batch) error {
	batch.Forget = []engine.AccountID{t.side.ID}
	return nil
}

func (t *toNative) verify(ctx context.Context, _ *copied, at mail.ID) (mail.Body, error) {
	return t.e.Engine.OpenBody(ctx, at)
}
