package embedded

import (
	"errors"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"plic/internal/mail"
	"plic/internal/store/engine"
	"plic/internal/vfs"
)

// Apply makes a batch visible and starts it on its way to the disk.
func (e *Engine) Apply(in *engine.Batch) (engine.Ticket, error) {
	if err := e.enter(); err != nil {
		return nil, err
	}
	defer e.leave()
	if err := e.admit(in); err != nil {
		return nil, err
	}
	if err := e.persistLarge(in.Bodies); err != nil {
		return nil, err
	}
	c := change{e: e, in: in, out: e.db.NewBatch(), owned: map[mail.ID]bool{}}
	if err := c.encode(); err != nil {
		c.out.Close()
		return nil, err
	}
	if err := e.commit(c.out, true); err != nil {
		return nil, err
	}
	e.commits.Add(1)
	e.graves.add(c.graves)
	for _, body := range in.Bodies {
		body.(*writer).taken()
	}
	return &ticket{e: e, batch: c.out}, nil
}

// admit refuses what there is no room for.
func (e *Engine) admit(in *engine.Batch) error {
	var size int64
	for _, body := range in.Bodies {
		w, ok := body.(*writer)
		if !ok || w.e != e || w.done {
			return fmt.Errorf("body %s is not one of this engine's, or taken already", body.ID())
		}
		if w.err != nil {
			return w.err
		}
		size += int64(len(w.buf))
	}
	if len(in.Bodies) > 0 {
		return e.space.room(size)
	}
	return e.space.tight()
}

// persistLarge puts large bodies and their names on the disk.
func (e *Engine) persistLarge(bodies []engine.BodyWriter) error {
	large := false
	for _, body := range bodies {
		if w := body.(*writer); w.file != nil {
			large = true
			if err := w.persist(); err != nil {
				return err
			}
		}
	}
	if large {
		if err := vfs.SyncDir(e.fs, e.bodies); err != nil {
			return e.fail(err) // names of others may be lost with ours
		}
	}
	return nil
}

// change turns a batch into one of Pebble's.
type change struct {
	e      *Engine
	in     *engine.Batch
	out    *pebble.Batch
	owned  map[mail.ID]bool // bodies that the batch names
	graves []grave
	value  []byte // scratch
}

func (c *change) encode() error {
	for _, a := range c.in.Forget {
		if err := c.forget(a); err != nil {
			return err
		}
	}
	for i := range c.in.Accounts {
		if err := c.account(&c.in.Accounts[i]); err != nil {
			return err
		}
	}
	for i := range c.in.Mailboxes {
		if err := c.mailbox(&c.in.Mailboxes[i]); err != nil {
			return err
		}
	}
	for i := range c.in.PutNotes {
		if err := c.note(&c.in.PutNotes[i]); err != nil {
			return err
		}
	}
	for i := range c.in.PutItems {
		if err := c.putItem(&c.in.PutItems[i]); err != nil {
			return err
		}
	}
	for _, id := range c.in.DropItems {
		if err := c.dropItem(id); err != nil {
			return err
		}
	}
	for _, body := range c.in.Bodies {
		if err := c.body(body.(*writer)); err != nil {
			return err
		}
	}
	// Pebble leaves an empty batch out of the log, and with it its place there.
	if c.out.Empty() {
		return c.out.LogData(nil, nil)
	}
	return nil
}

// get reads a record as it is before the batch; nil if there is none.
func (c *change) get(key []byte) ([]byte, error) {
	value, closer, err := c.e.db.Get(key)
	if err == pebble.ErrNotFound {
		return nil, nil
	}
	if err != nil {
		return nil, c.e.readError(err)
	}
	defer closer.Close()
	return append([]byte{}, value...), nil
}

func (c *change) account(a *engine.Account) error {
	if slices.Contains(c.in.Forget, a.ID) {
		return fmt.Errorf("account number %d is forgotten and put in one batch", a.ID)
	}
	if err := c.e.exhume(grave{account: a.ID, all: true}); err != nil {
		return err
	}
	key := partKey(a.ID, partRecord)
	old, err := c.get(key)
	if err != nil {
		return err
	}
	name := nameKey(a.Name)
	if before, err := decodeAccount(key, old); old == nil || err != nil || before.Name != a.Name {
		if err := c.claim(name, a); err != nil {
			return err
		}
		if old != nil && err == nil {
			c.out.Delete(nameKey(before.Name), nil)
		}
		c.out.Set(name, encodeNumber(name, uint64(a.ID)), nil)
	}
	return c.out.Set(key, encodeAccount(key, a), nil)
}

// claim checks that no other account has the name.
func (c *change) claim(name []byte, a *engine.Account) error {
	taken, err := c.get(name)
	if err != nil || taken == nil {
		return err
	}
	id, err := decodeNumber(name, taken)
	if err != nil || engine.AccountID(id) == a.ID {
		return nil
	}
	if slices.Contains(c.in.Forget, engine.AccountID(id)) {
		return nil
	}
	return fmt.Errorf("account %q exists with number %d", a.Name, id)
}

// forget removes an account's record and mailboxes; what is under them is
// buried later.
func (c *change) forget(a engine.AccountID) error {
	key := partKey(a, partRecord)
	old, err := c.get(key)
	if err != nil || old == nil {
		return err
	}
	if before, err := decodeAccount(key, old); err == nil {
		c.out.Delete(nameKey(before.Name), nil)
	}
	c.out.Delete(key, nil)
	for _, part := range []byte{partMailbox, partNote} {
		all := partKey(a, part)
		c.out.DeleteRange(all, after(all), nil)
	}
	return c.dig(grave{account: a, all: true})
}

func (c *change) dig(g grave) error {
	c.graves = append(c.graves, g)
	return c.out.Set(g.key(), []byte{recordVersion}, nil)
}

func (c *change) mailbox(m *engine.MailboxChange) error {
	box := m.Record.ID
	key := mailboxKey(m.Account, partMailbox, box)
	if m.Remove {
		c.out.Delete(key, nil)
		notes := mailboxKey(m.Account, partNote, box)
		c.out.DeleteRange(notes, after(notes), nil)
		return c.dig(grave{account: m.Account, mailbox: box})
	}
	if err := c.e.exhume(grave{account: m.Account, mailbox: box}); err != nil {
		return err
	}
	c.out.Set(key, encodeMailbox(key, &m.Record), nil)
	for i := range m.Add {
		c.add(m.Account, box, &m.Add[i])
	}
	for i := range m.Update {
		entry := messageKey(m.Account, partEntry, box, m.Update[i].UID)
		c.value = encodeEntry(c.value[:0], entry, &m.Update[i])
		c.out.Set(entry, c.value, nil)
	}
	for _, uid := range m.Expunge {
		if err := c.expunge(m, uid); err != nil {
			return err
		}
	}
	if m.Unlearn > 0 {
		return c.out.DeleteRange(goneKey(m.Account, box, 0, 0), goneKey(m.Account, box, m.Unlearn+1, 0), nil)
	}
	return nil
}

func (c *change) add(a engine.AccountID, box engine.MailboxID, m *engine.Message) {
	c.owned[m.Body] = true
	key := messageKey(a, partEntry, box, m.UID)
	c.value = encodeEntry(c.value[:0], key, &m.Entry)
	c.out.Set(key, c.value, nil)
	c.out.Set(messageRef(m.Body, a, box, m.UID), nil, nil)
	key = messageKey(a, partDetail, box, m.UID)
	c.value = encodeDetail(c.value[:0], key, &m.Detail)
	c.out.Set(key, c.value, nil)
}

func (c *change) expunge(m *engine.MailboxChange, uid engine.UID) error {
	box := m.Record.ID
	key := messageKey(m.Account, partEntry, box, uid)
	old, err := c.get(key)
	if err != nil {
		return err
	}
	if old != nil {
		// The body of a damaged entry is not known; its reference keeps it.
		if entry, err := decodeEntry(key, old); err == nil {
			c.out.Delete(messageRef(entry.Body, m.Account, box, uid), nil)
			c.suspect(entry.Body)
		}
	}
	c.out.Delete(key, nil)
	c.out.Delete(messageKey(m.Account, partDetail, box, uid), nil)
	gone := goneKey(m.Account, box, m.ExpungedAt, uid)
	return c.out.Set(gone, seal(gone, []byte{recordVersion}), nil)
}

func (c *change) suspect(body mail.ID) {
	c.out.Set(suspectKey(c.e.o.Now().UnixNano(), body, c.e.suspects.Add(1)), nil, nil)
}

func (c *change) putItem(i *mail.Item) error {
	key := idKey(kindItem, i.ID)
	value, err := encodeItem(key, i)
	if err != nil {
		return err
	}
	old, err := c.get(key)
	if err != nil {
		return err
	}
	if body, _, err := decodeItemBody(key, old); err == nil && body != i.Body {
		c.out.Delete(itemRef(body, i.ID), nil)
		c.suspect(body)
	}
	c.owned[i.Body] = true
	c.out.Set(itemRef(i.Body, i.ID), nil, nil)
	return c.out.Set(key, value, nil)
}

func (c *change) dropItem(id mail.ID) error {
	key := idKey(kindItem, id)
	old, err := c.get(key)
	if err != nil || old == nil {
		return err
	}
	if body, _, err := decodeItemBody(key, old); err == nil {
		c.out.Delete(itemRef(body, id), nil)
		c.suspect(body)
	}
	return c.out.Delete(key, nil)
}

// body places a body and puts down where it is.
func (c *change) body(w *writer) error {
	if !c.owned[w.id] {
		c.suspect(w.id) // nobody wants it
	}
	key := idKey(kindLocation, w.id)
	if w.file != nil {
		l := w.location()
		return c.out.Set(key, encodeLocation(key, &l), nil)
	}
	raw := appendFrame(make([]byte, 0, frameHead+len(w.buf)), w.id, w.buf)
	l, err := c.e.place(c.out, w.id, raw)
	if err != nil {
		return err
	}
	return c.out.Set(key, encodeLocation(key, &l), nil)
}

// place writes a frame to the current segment and a redo record to the batch.
func (e *Engine) place(b *pebble.Batch, id mail.ID, raw []byte) (location, error) {
	f, err := decodeFrame(raw)
	if err != nil {
		return location{}, err
	}
	// The record is copied before the write, which may change what it is given.
	redo := b.SetDeferred(len(redoKey(place{})), len(raw))
	copy(redo.Value, raw)
	at, err := e.segments.append(raw)
	if err != nil {
		if full := noSpace(err); errors.Is(full, engine.ErrFull) {
			return location{}, full
		}
		return location{}, e.fail(err)
	}
	copy(redo.Key, redoKey(at))
	if err := redo.Finish(); err != nil {
		return location{}, err
	}
	return location{place: at, size: f.size, sum: f.sum}, nil
}
