package embedded

import (
	"context"
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
	e.mending.RLock()
	defer e.mending.RUnlock()
	c := change{e: e, in: in, out: e.db.NewBatchWithSize(e.batchSize(in), pebble.WithMaxRetainedSizeBytes(batchKept))}
	if err := c.encode(); err != nil {
		c.out.Close()
		return nil, err
	}
	t, err := e.commit(c.out)
	if err != nil {
		return nil, err
	}
	e.commits.Add(1)
	e.graves.add(c.graves)
	for _, body := range in.Bodies {
		body.(*writer).taken()
	}
	return t, nil
}

// batchKept is the size of batches whose memory is used again.
const batchKept = 4 << 20

// batchSize is about what a batch takes, so that it need not grow.
func (e *Engine) batchSize(in *engine.Batch) int {
	size, frames := 1<<10, 0
	for _, body := range in.Bodies {
		w := body.(*writer)
		w.Finish()
		frames += len(w.frame)
		size += 128
	}
	if int64(frames) < e.o.once {
		size += frames
	}
	for i := range in.Mailboxes {
		m := &in.Mailboxes[i]
		for k := range m.Add {
			size += len(m.Add[k].Prefix) + len(m.Add[k].Summary) + 160
		}
		for k := range m.Details {
			size += len(m.Details[k].Prefix) + len(m.Details[k].Summary) + 40
		}
		size += 8*len(m.Update) + 64*len(m.Expunge)
	}
	return size
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
	refs   refs
	graves []grave
	lost   []mail.ID // bodies that lost an owner
	ref    []byte    // scratch
	once   bool      // small bodies are in their segment alone, which is synced first
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
	if err := c.bodies(); err != nil {
		return err
	}
	c.suspect()
	c.refs.put(c.out)
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
	if err := inOrder(m); err != nil {
		return err
	}
	if m.Moved {
		if err := c.leave(m); err != nil {
			return err
		}
	}
	c.add(m)
	for i := range m.Details {
		c.detail(m, m.Details[i].UID, &m.Details[i].Detail)
	}
	if err := c.expunge(m); err != nil {
		return err
	}
	if n := len(m.Add) + len(m.Update) + len(m.Expunge); n > 0 {
		seq, err := c.e.nextLog(mailboxRef{m.Account, box}, n)
		if err != nil {
			return err
		}
		key := logKey(m.Account, box, seq)
		c.out.Set(key, encodeChange(key, m), nil)
	}
	if m.Unlearn > 0 {
		return c.out.DeleteRange(goneKey(m.Account, box, 0, 0), goneKey(m.Account, box, m.Unlearn+1, 0), nil)
	}
	return nil
}

// inOrder refuses changes whose UIDs do not rise: records hold differences.
func inOrder(m *engine.MailboxChange) error {
	if !rises(m.Add, addedUID) || !rises(m.Update, entryUID) || !rises(m.Expunge, plainUID) ||
		!rises(m.Details, detailUID) {
		return fmt.Errorf("change of mailbox %d, account %d: UIDs out of order", m.Record.ID, m.Account)
	}
	return nil
}

func rises[T any](list []T, uid func(*T) engine.UID) bool {
	for i := 1; i < len(list); i++ {
		if uid(&list[i]) <= uid(&list[i-1]) {
			return false
		}
	}
	return true
}

// add puts details of new messages down, and notes their references.
func (c *change) add(m *engine.MailboxChange) {
	box := m.Record.ID
	c.refs.list = slices.Grow(c.refs.list, len(m.Add))
	for i := range m.Add {
		c.ref = appendMessageRef(c.ref[:0], m.Add[i].Body, m.Account, box, m.Add[i].UID)
		c.refs.add(c.ref)
	}
	for i := range m.Add {
		if m.Moved && len(m.Add[i].Prefix)+len(m.Add[i].Summary) == 0 {
			continue
		}
		c.detail(m, m.Add[i].UID, &m.Add[i].Detail)
	}
}

func (c *change) detail(m *engine.MailboxChange, uid engine.UID, d *engine.Detail) {
	op := c.out.SetDeferred(messageKeySize, detailSize(d)) // they are most of a large batch
	appendMessageKey(op.Key[:0], m.Account, partDetail, m.Record.ID, uid)
	encodeDetail(op.Value[:0], op.Key, d)
	op.Finish()
}

// leave takes the references of messages to the bodies that they had.
func (c *change) leave(m *engine.MailboxChange) error {
	uids := make([]engine.UID, len(m.Add))
	for i := range m.Add {
		uids[i] = m.Add[i].UID
	}
	entries, err := c.e.find(context.Background(), c.e.db, m.Account, m.Record.ID, uids)
	if err != nil {
		return err
	}
	for i := range entries {
		c.refs.drop(messageRef(entries[i].Body, m.Account, m.Record.ID, entries[i].UID))
		c.lost = append(c.lost, entries[i].Body)
	}
	return nil
}

// expunge takes references and details of messages away, and remembers that
// they were there.
func (c *change) expunge(m *engine.MailboxChange) error {
	if len(m.Expunge) == 0 {
		return nil
	}
	box := m.Record.ID
	if err := c.release(m); err != nil {
		return err
	}
	for uids := m.Expunge; len(uids) > 0; {
		n := 1
		for n < len(uids) && uids[n] == uids[0]+engine.UID(n) {
			n++
		}
		c.dropDetails(m, uids[:n])
		uids = uids[n:]
	}
	gone := goneKey(m.Account, box, m.ExpungedAt, m.Expunge[0])
	return c.out.Set(gone, encodeGone(gone, m.Expunge), nil)
}

// release takes the references of messages that are expunged.
func (c *change) release(m *engine.MailboxChange) error {
	c.refs.list = slices.Grow(c.refs.list, len(m.Expunge))
	c.lost = slices.Grow(c.lost, len(m.Expunge))
	drop := func(body mail.ID, uid engine.UID) {
		c.ref = appendMessageRef(c.ref[:0], body, m.Account, m.Record.ID, uid)
		c.refs.drop(c.ref)
		c.lost = append(c.lost, body)
	}
	if len(m.Gone) == len(m.Expunge) && !slices.ContainsFunc(m.Gone, mail.ID.IsZero) {
		for i, uid := range m.Expunge {
			drop(m.Gone[i], uid)
		}
		return nil
	}
	// The body of a damaged entry is not known; its reference keeps it.
	entries, err := c.e.find(context.Background(), c.e.db, m.Account, m.Record.ID, m.Expunge)
	for i := range entries {
		drop(entries[i].Body, entries[i].UID)
	}
	return err
}

// dropDetails takes the details of neighbours.
func (c *change) dropDetails(m *engine.MailboxChange, uids []engine.UID) {
	const few = 16 // that a range does not pay for
	if len(uids) < few {
		for _, uid := range uids {
			c.out.Delete(messageKey(m.Account, partDetail, m.Record.ID, uid), nil)
		}
		return
	}
	from, last := messageKey(m.Account, partDetail, m.Record.ID, uids[0]), messageKey(m.Account, partDetail, m.Record.ID, uids[len(uids)-1])
	c.out.DeleteRange(from, append(last, 0), nil)
}

// suspect puts down which bodies lost an owner and got none in this batch.
func (c *change) suspect() {
	c.lost = slices.DeleteFunc(c.lost, func(id mail.ID) bool { return c.refs.owns(id) || engine.Elsewhere(id) })
	c.e.suspect(c.out, c.lost)
}

// suspect puts bodies down for the reclaimer.
func (e *Engine) suspect(b *pebble.Batch, bodies []mail.ID) {
	if len(bodies) == 0 {
		return
	}
	key := suspectKey(e.o.Now().UnixNano(), bodies[0], e.suspects.Add(1))
	var more []byte
	for _, id := range bodies[1:] {
		more = append(more, id[:]...)
	}
	b.Set(key, more, nil)
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
		c.refs.drop(itemRef(body, i.ID))
		c.lost = append(c.lost, body)
	}
	c.refs.add(itemRef(i.Body, i.ID))
	return c.out.Set(key, value, nil)
}

func (c *change) dropItem(id mail.ID) error {
	key := idKey(kindItem, id)
	old, err := c.get(key)
	if err != nil || old == nil {
		return err
	}
	if body, _, err := decodeItemBody(key, old); err == nil {
		c.refs.drop(itemRef(body, id))
		c.lost = append(c.lost, body)
	}
	return c.out.Delete(key, nil)
}
