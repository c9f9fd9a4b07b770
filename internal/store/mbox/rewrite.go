package mbox

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"

	"plic/internal/mbox"
	"plic/internal/store/engine"
	"plic/internal/store/files"
	"plic/internal/vfs"
)

// rewriting writes a file anew: every message with its UID and with room for other
// flags. What is so already is copied as it is. b.mu is held, the locks too.
type rewriting struct {
	ctx   context.Context
	b     *box
	gone  map[uint64]bool
	flags map[uint64]engine.Flags // of those that get others
	words []string                // the keywords of flags
	base  files.Header

	from, to vfs.File
	out      *bufio.Writer
	size     int64     // that is written
	kept     []rewrite // what is there then
	run0     int64     // where the octets begin that are to be copied
	run1     int64     // and end
}

// rewrite is a message in the new file, and whether it was copied.
type rewrite struct {
	entry
	copied bool
}

// run does it, and goes on with the new file.
func (r *rewriting) run(l *locked) error {
	r.from = l.file
	err := r.b.replace(l, func(next vfs.File) error {
		r.to, r.out, r.size, r.kept = next, bufio.NewWriterSize(next, 256<<10), 0, nil
		for i := range r.b.entries {
			if err := r.ctx.Err(); err != nil {
				return err
			}
			e := &r.b.entries[i]
			if r.gone[e.key] {
				continue
			}
			if err := r.message(e); err != nil {
				return err
			}
		}
		return errors.Join(r.flush(), r.out.Flush())
	})
	if err == nil {
		r.follow(l.file)
	}
	return err
}

// message writes a message, or notes that it is to be copied.
func (r *rewriting) message(e *entry) error {
	flags, changed := r.flags[e.key]
	next := rewrite{*e, e.ours && e.written && !changed && len(r.kept) > 0}
	if next.copied {
		if r.run1 != e.at {
			if err := r.flush(); err != nil {
				return err
			}
			r.run0 = e.at
		}
		r.run1 = e.next
		next.at, next.next = r.size, r.size+e.next-e.at
		r.size = next.next
		r.kept = append(r.kept, next)
		return nil
	}
	if err := r.flush(); err != nil {
		return err
	}
	m, err := r.b.message(r.from, e)
	if err != nil {
		return err
	}
	st := m.Status
	if changed {
		st = status(flags, r.words)
	}
	st.Base, st.Pseudo = nil, false
	if len(r.kept) == 0 && r.base.UIDValidity != 0 {
		st.Base, st.Pseudo = &mbox.Base{UIDValidity: r.base.UIDValidity, LastUID: uint32(max(r.base.UIDNext, 1) - 1)}, m.Pseudo
	}
	st.UID = uint32(e.uid)
	text, err := mbox.Open(r.from, m, r.b.options())
	if err != nil {
		return err
	}
	w := &counter{w: r.out}
	if err := mbox.Write(w, &mbox.Outgoing{Sender: m.Sender, Date: m.Date, Status: st, Text: text, Size: text.Size(), Padded: true}); err != nil {
		return err
	}
	next.at, next.next = r.size, r.size+w.n
	r.size = next.next
	r.kept = append(r.kept, next)
	return nil
}

// counter counts what goes through.
type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

// flush brings all that there is so far to the file.
func (r *rewriting) flush() error {
	if r.run1 == r.run0 {
		return nil
	}
	err := r.out.Flush()
	if err == nil {
		err = vfs.Copy(r.to, r.from, r.run0, r.run1-r.run0)
	}
	r.run0, r.run1 = 0, 0
	return err
}

// follow makes known what was written: messages keep their keys.
func (r *rewriting) follow(f vfs.File) {
	b := r.b
	err := r.read(f)
	if err == nil && len(b.entries) != len(r.kept) {
		err = fmt.Errorf("%d messages were written, %d are there", len(r.kept), len(b.entries))
	}
	if err != nil { // the next look reads all of it
		b.t.f.o.Log.Warn("what was written anew is not as it was known", "mailbox", b.p.pathOf(b.at), "error", err)
		b.forget()
		return
	}
	b.byKey = make(map[uint64]int, len(b.entries))
	for i := range b.entries {
		e := &b.entries[i]
		e.key = r.kept[i].key
		if !e.written {
			e.uid = r.kept[i].uid
		}
		b.byKey[e.key] = i
	}
	b.read = true
}

// read reads what was not copied.
func (r *rewriting) read(f vfs.File) error {
	b := r.b
	words, noted := b.words, b.noted
	b.forget()
	b.words, b.noted = words, min(noted, r.size)
	in := &reading{b: b, f: f, size: r.size}
	for i := range r.kept {
		k := &r.kept[i]
		if k.copied {
			b.seen[k.first]++
			b.entries = append(b.entries, k.entry)
			in.at, in.in = k.next, nil
			continue
		}
		if err := in.next(); err != nil {
			return err
		}
	}
	b.walked = b.t.f.o.Now()
	return nil
}
