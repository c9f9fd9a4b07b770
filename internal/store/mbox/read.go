package mbox

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"plic/internal/mbox"
	"plic/internal/store/engine"
	"plic/internal/vfs"
)

// walkAgain is how long flags that other programs have changed in a large file may
// stay unseen, if they have appended to it at the same time, or changed them twice
// before the clock went on.
const walkAgain = time.Minute

// refresh reads the file as far as it may have changed. b.mu is held.
func (b *box) refresh(f vfs.File) error {
	if f == nil {
		b.news = true
		return nil
	}
	now, err := b.stampOf(f)
	if err != nil {
		return err
	}
	again := b.unsure && now.seen.Sub(b.walked) >= walkAgain
	if b.read && b.stamp.same(now) && !again {
		return nil
	}
	b.news = true // whoever asked
	fresh := !b.read
	if fresh {
		b.forget()
		b.load()
	}
	must, err := b.reread(f, now, fresh, again)
	if err != nil {
		b.forget()
		return err
	}
	b.stamp, b.read = now, true
	b.noteIf(must && now.size > saveBytes)
	return nil
}

// reread brings what is known up to a file as it is now; anew says that much of it
// was read.
func (b *box) reread(f vfs.File, now stamp, fresh, again bool) (anew bool, err error) {
	n := len(b.entries)
	switch {
	case n == 0:
		b.forget()
		b.walked = now.seen
		return true, b.scan(f, 0, now.size)
	case fresh && b.stamp.same(now):
		b.walked = now.seen
		return false, b.scan(f, b.entries[n-1].next, now.size)
	case !fresh && !again && now.size > saveBytes && (b.stamp.alike(now) || b.stamp.inode == now.inode && b.stamp.size < now.size):
		if ok, err := b.grown(f, now.size); ok || err != nil {
			b.unsure = true
			return false, err
		}
	}
	b.walked, b.unsure = now.seen, false
	return true, b.walk(f, now.size)
}

// sure looks at every message before octets are copied from where they are known to
// be, if other programs may have moved some. b.mu is held.
func (b *box) sure(f vfs.File) error {
	if !b.unsure {
		return nil
	}
	b.news = true
	now, err := b.stampOf(f)
	if err == nil {
		_, err = b.reread(f, now, false, true)
	}
	if err != nil {
		b.forget()
		return err
	}
	b.stamp, b.read = now, true
	return nil
}

// grown reads what is new in a file that is longer than before, or not longer but
// looked at too soon after its last change, if the last message is still where it
// was.
func (b *box) grown(f vfs.File, size int64) (bool, error) {
	last := &b.entries[len(b.entries)-1]
	m, err := mbox.NewScanner(f, last.at, size, b.options()).Next()
	if err != nil || m.Offset != last.at || firstOf(m) != last.first || m.Next < last.next {
		return false, nil // what is wrong will be seen
	}
	last.next = m.Next // empty lines may have come behind it
	last.behind, last.known = m.Extent()
	b.note(last, &m.Status)
	return true, b.scan(f, m.Next, size)
}

// walk goes through a file that has changed: of messages that are known only the
// fields are read, wherever they are now, if another one begins where they end;
// others as a whole. b.mu is held.
func (b *box) walk(f vfs.File, size int64) error {
	had := hints{entries: b.entries}
	b.forget()
	heads := mbox.NewHeads(f, size, b.options())
	r := &reading{b: b, f: f, size: size}
	for r.at < size && !r.ended {
		m, err := heads.At(r.at)
		if err != nil && !errors.Is(err, mbox.ErrNoMbox) {
			return fmt.Errorf("%s: %w", b.p.pathOf(b.at), err)
		}
		if was := had.find(m); was != nil {
			heads.Extend(m, was.behind)
			ok, err := heads.Begins(m.Next)
			if err != nil {
				return fmt.Errorf("%s: %w", b.p.pathOf(b.at), err)
			}
			if ok {
				b.addAs(m, was)
				r.at, r.in = m.Next, nil
				continue
			}
		}
		if err := r.next(); err != nil {
			return err
		}
	}
	return nil
}

// hints are the messages that were there, in their order.
type hints struct {
	entries []entry
	next    int
	by      map[uint64][]int // by their fields, when they are no more where they were
}

// find gives the next message with such fields of which it is known where it ends.
func (h *hints) find(m *mbox.Message) *entry {
	if m == nil {
		return nil
	}
	fields := fieldsOf(m)
	if h.next >= len(h.entries) || h.entries[h.next].fields != fields {
		if h.by == nil {
			h.by = make(map[uint64][]int, len(h.entries))
			for i := range h.entries {
				h.by[h.entries[i].fields] = append(h.by[h.entries[i].fields], i)
			}
		}
		all := h.by[fields]
		i, _ := slices.BinarySearch(all, h.next)
		if i == len(all) {
			return nil
		}
		h.next = all[i]
	}
	e := &h.entries[h.next]
	h.next++
	if !e.known {
		return nil
	}
	return e
}

// reading reads messages as a whole.
type reading struct {
	b        *box
	f        vfs.File
	at, size int64
	in       *mbox.Scanner // nil unless it is at the same place
	ended    bool
}

// next reads one.
func (r *reading) next() error {
	b := r.b
	if r.in == nil {
		r.in = mbox.NewScanner(r.f, r.at, r.size, b.options())
	}
	m, err := r.in.Next()
	switch {
	case errors.Is(err, io.EOF):
		r.ended = true
		return b.rest(r.f, r.at, r.size)
	case errors.Is(err, mbox.ErrNoMbox) && r.at == 0 && len(b.entries) == 0:
		if b.rest(r.f, 0, r.size) == nil && b.tail > 0 {
			r.ended = true
			return nil
		}
		return fmt.Errorf("%s: %w", b.p.pathOf(b.at), err)
	case err != nil:
		return fmt.Errorf("%s: %w", b.p.pathOf(b.at), err)
	case m.Torn && !b.counted(m):
		b.tail, r.ended = r.size-m.Offset, true
		return nil
	}
	b.add(m)
	r.at = m.Next
	return nil
}

// scan reads messages as a whole from an offset on. b.mu is held.
func (b *box) scan(f vfs.File, from, size int64) error {
	b.tail = 0
	r := &reading{b: b, f: f, at: from, size: size}
	for !r.ended {
		if err := r.next(); err != nil {
			return err
		}
	}
	return nil
}

// rest finds the beginning of a From_ line at the end of the file.
func (b *box) rest(f vfs.File, end, size int64) error {
	text := make([]byte, min(size-end, 1024))
	if _, err := f.ReadAt(text, end); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if size-end == int64(len(text)) && mbox.Fragment(text) {
		b.tail = size - end
	}
	return nil
}

// counted says that a message was there before its end got lost: it is kept as
// it is. The last UID is written behind messages that are whole.
func (b *box) counted(m *mbox.Message) bool {
	base := b.base
	if len(b.entries) == 0 {
		base = m.Base
	}
	return base != nil && m.UID != 0 && m.UID <= base.LastUID
}

// add makes a message known.
func (b *box) add(m *mbox.Message) *entry { return b.addAs(m, nil) }

// addAs keeps key and UID of a message that was there, if no other has them.
func (b *box) addAs(m *mbox.Message, was *entry) *entry {
	e := entry{at: m.Offset, next: m.Next, first: firstOf(m), fields: fieldsOf(m), pseudo: m.Pseudo}
	e.behind, e.known = m.Extent()
	e.ours = e.known && m.Padded()
	taken := true
	if was != nil && was.first == e.first {
		b.seen[e.first]++
		if _, taken = b.byKey[was.key]; !taken {
			e.key, e.uid = was.key, was.uid
		}
	}
	for taken {
		b.seen[e.first]++
		e.key = keyOf(e.first, b.seen[e.first])
		_, taken = b.byKey[e.key]
	}
	if len(b.entries) == 0 {
		b.base = m.Base
	}
	b.note(&e, &m.Status)
	b.byKey[e.key] = len(b.entries)
	b.entries = append(b.entries, e)
	return &b.entries[len(b.entries)-1]
}

// note takes over what the file says of a message. UIDs must rise, and mean
// nothing without UIDVALIDITY.
func (b *box) note(e *entry, st *mbox.Status) {
	e.flags = b.flags(st)
	if st.UID != 0 && b.base != nil {
		e.written = true
		i, known := b.byKey[e.key]
		if !known {
			i = len(b.entries)
		}
		for i--; i >= 0; i-- {
			if before := &b.entries[i]; before.written {
				e.written = before.uid < engine.UID(st.UID)
				break
			}
		}
		if e.written {
			e.uid = engine.UID(st.UID)
		}
	}
}
