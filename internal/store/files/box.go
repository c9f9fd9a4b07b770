package files

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"plic/internal/mail"
	"plic/internal/store/engine"
)

// box is a mailbox whose messages are in files.
type box struct {
	e     *Engine
	a     *account
	id    engine.MailboxID
	place uint64 // in the IDs of its bodies
	files atomic.Pointer[opened]
	size  atomic.Int64 // of marks, when they were read

	mu      sync.Mutex
	rec     engine.Mailbox  // as the index has it; changed with the account locked too
	marks   map[uint64]mark // the index by key; nil if it is not in memory
	settled bool            // at the last look nothing differed
	stop    func()          // of the watch, nil if there is none

	described map[uint64]Description // of new messages at the last look
}

// opened is the files of a mailbox under its present name.
type opened struct{ Box }

// mark is what the index has of a message.
type mark struct {
	uid   engine.UID
	flags engine.Flags
}

// placeOf is the number of a mailbox in IDs of bodies.
func placeOf(a engine.AccountID, m engine.MailboxID) uint64 {
	var b [12]byte
	binary.BigEndian.PutUint64(b[:], uint64(a))
	binary.BigEndian.PutUint32(b[8:], uint32(m))
	sum := sha256.Sum256(b[:])
	place, _ := engine.SplitElsewhere(mail.ID(sum[:16]))
	return place
}

// newBox gives the box of a number. The account is locked.
func (e *Engine) newBox(a *account, m engine.MailboxID) *box {
	if b := a.boxes[m]; b != nil {
		return b
	}
	b := &box{e: e, a: a, id: m, place: placeOf(a.id, m)}
	a.boxes[m] = b
	e.mu.Lock()
	e.places[b.place] = b
	e.mu.Unlock()
	return b
}

// drop makes a removed mailbox unknown.
func (e *Engine) drop(b *box) {
	b.a.mu.Lock()
	delete(b.a.boxes, b.id)
	b.a.mu.Unlock()
	e.mu.Lock()
	delete(e.places, b.place)
	e.mu.Unlock()
	b.release()
}

// follow takes over a record. b is locked.
func (b *box) follow(rec *engine.Mailbox) {
	b.a.mu.Lock() // who has either lock may read it
	defer b.a.mu.Unlock()
	b.rec = *rec
	b.rec.Keywords = slices.Clone(rec.Keywords)
}

// reopen finds the files of a name. b is locked.
func (b *box) reopen(name string) error {
	files, err := b.a.tree.Box(name)
	if err != nil {
		return err
	}
	b.release()
	b.files.Store(&opened{files})
	return nil
}

// UID finds a message of the index by its key. b is locked.
func (b *box) UID(key uint64) (engine.UID, bool) {
	m, ok := b.marks[key]
	return m.uid, ok
}

// load reads the index, and begins to watch. b is locked.
func (b *box) load(ctx context.Context) error {
	if b.marks != nil {
		b.e.touch(b)
		return nil
	}
	marks := map[uint64]mark{}
	for entry, err := range b.e.Engine.Entries(ctx, b.a.id, b.id, 0) {
		if errors.Is(err, engine.ErrDamaged) {
			continue
		}
		if err != nil {
			return fmt.Errorf("read the index of %s: %w", b.rec.Name, err)
		}
		_, key := engine.SplitElsewhere(entry.Body)
		marks[key] = mark{entry.UID, entry.Flags}
	}
	b.marks, b.settled = marks, false
	b.size.Store(int64(len(marks)))
	if stop, err := b.files.Load().Watch(func() { b.e.tell(b.a.name, b.id) }); err == nil {
		b.stop = stop
	}
	b.e.hold(b)
	return nil
}

// release forgets what is in memory. b is locked, or used by nobody.
func (b *box) release() {
	b.marks, b.settled, b.described = nil, false, nil
	if b.stop != nil {
		b.stop()
		b.stop = nil
	}
	b.e.letGo(b)
}

func (b *box) open(ctx context.Context, key uint64) (mail.Body, error) {
	f := b.files.Load()
	if f == nil {
		return nil, engine.ErrNotFound
	}
	return f.Open(ctx, key)
}

// hold notes that a mailbox is in memory, and lets the least used go.
func (e *Engine) hold(b *box) {
	e.mu.Lock()
	e.order = append(e.order, b)
	e.mu.Unlock()
	e.trim(b)
}

// trim lets mailboxes go, but for one.
func (e *Engine) trim(but *box) {
	e.mu.Lock()
	held := 0
	for _, b := range e.order {
		held += int(b.size.Load())
	}
	victims := slices.DeleteFunc(slices.Clone(e.order), func(b *box) bool { return b == but })
	e.mu.Unlock()
	for _, b := range victims {
		if held <= e.o.Held {
			return
		}
		if b.mu.TryLock() { // one that is in use stays
			held -= int(b.size.Load())
			b.release()
			b.mu.Unlock()
		}
	}
}

// touch makes a mailbox the most used.
func (e *Engine) touch(b *box) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if i := slices.Index(e.order, b); i >= 0 && i != len(e.order)-1 {
		e.order = append(slices.Delete(e.order, i, i+1), b)
	}
}

func (e *Engine) letGo(b *box) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if i := slices.Index(e.order, b); i >= 0 {
		e.order = slices.Delete(e.order, i, i+1)
	}
}
