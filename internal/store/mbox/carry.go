package mbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"plic/internal/mail"
	"plic/internal/mbox"
	"plic/internal/store/engine"
	"plic/internal/store/files"
	"plic/internal/vfs"
)

// numberBytes is how large a file may be that is written anew only to note UIDs
// that were given to messages of other programs.
const numberBytes = 16 << 20

// Carry carries a change out, while the file is locked.
func (b *box) Carry(ctx context.Context, c *files.Change) (carried files.Carried, err error) {
	err = b.with(ctx, false, func(l *locked) error {
		if err := b.fresh(l); err != nil {
			return err
		}
		s := &step{b: b, ctx: ctx, c: c, l: l}
		if err := s.run(); err != nil {
			s.undo()
			return err
		}
		if len(c.Add) > 0 {
			carried.Undo = func() {
				_ = b.with(ctx, false, func(l *locked) error { // who was told of an error may try again
					s.l = l
					s.undo()
					return nil
				})
			}
		}
		return nil
	})
	return carried, err
}

// step is a change on its way. b.mu is held.
type step struct {
	b     *box
	ctx   context.Context
	c     *files.Change
	l     *locked
	size  int64 // before what was added
	grown int64 // after it
}

func (s *step) run() error {
	next := map[uint64]engine.Flags{} // that cannot be changed in place
	for _, x := range s.c.Flag {
		s.b.agree(x.Key, x.UID)
		ok, err := s.patch(x)
		if err != nil {
			return err
		}
		if !ok {
			next[x.Key] = x.After
		}
	}
	if len(next)+len(s.c.Expunge) > 0 {
		if err := s.b.sure(s.l.file); err != nil {
			return err
		}
		for _, x := range s.c.Flag {
			s.b.agree(x.Key, x.UID)
		}
	}
	gone := map[uint64]bool{}
	for _, x := range s.c.Expunge {
		s.b.agree(x.Key, x.UID)
		if _, there := s.b.byKey[x.Key]; there {
			gone[x.Key] = true
		}
	}
	if len(s.c.Flag) > len(next) {
		if err := s.l.file.Sync(); err != nil {
			return err
		}
	}
	if len(s.c.Add) > 0 {
		if err := s.append(); err != nil {
			return err
		}
	}
	if len(gone)+len(next) > 0 {
		r := &rewriting{ctx: s.ctx, b: s.b, gone: gone, flags: next, words: s.c.Record.Keywords, base: s.base()}
		if err := r.run(s.l); err != nil {
			return err
		}
	}
	return s.b.restamp(s.l.file)
}

// base is what the first message is to say.
func (s *step) base() files.Header {
	return files.Header{UIDValidity: s.c.Record.UIDValidity, UIDNext: s.c.Record.UIDNext}
}

// restamp takes the file as it is now for known.
func (b *box) restamp(f vfs.File) error {
	now, err := b.stampOf(f)
	b.stamp = now
	b.noteIf(false)
	return err
}

// patch changes flags in place, if there is room.
func (s *step) patch(x files.Flagged) (bool, error) {
	e, m, err := s.b.find(s.l.file, x.Key)
	if errors.Is(err, engine.ErrNotFound) {
		return true, nil // it went: the next look tells
	}
	if err != nil {
		return false, err
	}
	st := status(x.After, s.c.Record.Keywords)
	at, octets, ok := m.Patch(s.l.file, st)
	if !ok {
		return false, nil
	}
	if _, err := s.l.file.WriteAt(octets, at); err != nil {
		return false, err
	}
	e.flags = s.b.flags(&st)
	return true, nil
}

// append writes new messages behind the others.
func (s *step) append() (err error) {
	info, err := s.l.file.Stat()
	if err != nil {
		return err
	}
	s.size = info.Size()
	s.grown = s.size
	w := &at{f: s.l.file, off: s.size}
	defer func() { s.grown = w.end }()
	if err := s.b.part(w, s.l.file, s.size); err != nil {
		return err
	}
	begin := w.off
	for i := range s.c.Add {
		if err := s.write(w, &s.c.Add[i]); err != nil {
			return err
		}
	}
	s.grown = w.off
	if err := s.l.file.Sync(); err != nil {
		return err
	}
	in := mbox.NewScanner(s.l.file, begin, s.grown, s.b.options())
	for i := range s.c.Add {
		m, err := in.Next()
		if err != nil {
			return fmt.Errorf("%s: what was written is not read: %w", s.b.p.pathOf(s.b.at), err)
		}
		e := s.b.add(m)
		e.uid = s.c.Add[i].UID
		s.c.Add[i].Key = e.key
	}
	return s.b.count(s.l.file, s.base())
}

// part ends the last message with an empty line, if it does not.
func (b *box) part(w io.Writer, f vfs.File, size int64) error {
	if size == 0 {
		return nil
	}
	tail := make([]byte, min(size, 4))
	if _, err := f.ReadAt(tail, size-int64(len(tail))); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	ends := "\n\n"
	tail = bytes.ReplaceAll(tail, []byte("\r\n"), []byte("\n"))
	switch {
	case bytes.HasSuffix(tail, []byte("\n\n")):
		return nil
	case bytes.HasSuffix(tail, []byte("\n")):
		ends = "\n"
	}
	_, err := io.WriteString(w, ends)
	return err
}

func (s *step) write(w io.Writer, a *files.Added) error {
	s.b.mu.Unlock() // it may be one of this mailbox; the file is locked
	body, err := a.Open()
	s.b.mu.Lock()
	if err != nil {
		return err
	}
	defer body.Close()
	text := &joined{a.Prefix, body}
	o := mbox.Outgoing{
		Sender: mbox.SenderOf(text, text.Size()), Date: a.Internal.In(s.b.t.f.o.Zone), Status: status(a.Flags, s.c.Record.Keywords),
		Text: text, Size: text.Size(), Padded: true,
	}
	o.UID = uint32(a.UID)
	if len(s.b.entries) == 0 && s.size == 0 && a == &s.c.Add[0] {
		o.Base = &mbox.Base{UIDValidity: s.c.Record.UIDValidity, LastUID: uint32(a.UID - 1)}
	}
	return mbox.Write(w, &o)
}

// joined is a prefix and a body as one.
type joined struct {
	prefix []byte
	mail.Body
}

func (j *joined) Size() int64 { return int64(len(j.prefix)) + j.Body.Size() }

func (j *joined) ReadAt(p []byte, off int64) (n int, err error) {
	if off < int64(len(j.prefix)) {
		n = copy(p, j.prefix[off:])
		if n == len(p) {
			return n, nil
		}
	}
	more, err := j.Body.ReadAt(p[n:], off+int64(n)-int64(len(j.prefix)))
	return n + more, err
}

// at writes from an offset on. What failed may have been written up to end: a file
// does not always tell how much there was room for.
type at struct {
	f        vfs.File
	off, end int64
}

func (w *at) Write(p []byte) (int, error) {
	w.end = w.off + int64(len(p))
	n, err := w.f.WriteAt(bytes.Clone(p), w.off)
	w.off += int64(n)
	return n, err
}

// count writes the last UID into the first message, if it stands there as we
// write it. b.mu is held.
func (b *box) count(f vfs.File, h files.Header) error {
	if b.base == nil || h.UIDNext == 0 || b.base.UIDValidity != h.UIDValidity || engine.UID(b.base.LastUID)+1 >= h.UIDNext || len(b.entries) == 0 {
		return nil
	}
	head := make([]byte, min(b.entries[0].next-b.entries[0].at, 4096))
	if _, err := f.ReadAt(head, b.entries[0].at); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	for _, name := range []string{"X-IMAPbase", "X-IMAP"} {
		old := fmt.Appendf(nil, "\n%s: %d %010d", name, b.base.UIDValidity, b.base.LastUID)
		i := bytes.Index(head, old)
		if i < 0 {
			continue
		}
		if _, err := f.WriteAt(fmt.Appendf(nil, "%010d", h.UIDNext-1), b.entries[0].at+int64(i+len(old)-10)); err != nil {
			return err
		}
		b.base.LastUID = uint32(h.UIDNext - 1)
		return f.Sync()
	}
	return nil
}

// undo takes away what was added, if nobody has added more.
func (s *step) undo() {
	if s.grown <= s.size {
		return
	}
	info, err := s.l.file.Stat()
	if err != nil || info.Size() <= s.size || info.Size() > s.grown {
		return
	}
	err = s.b.cut(s.l, s.size)
	if err != nil && !vfs.NotExist(err) {
		s.b.t.f.o.Log.Warn("what was added cannot be taken away again", "mailbox", s.b.p.pathOf(s.b.at), "error", err)
	}
	s.b.forget()
}

// Number writes UIDs to the messages of other programs.
func (b *box) Number(ctx context.Context, h files.Header, uids []files.Numbered) error {
	return b.with(ctx, false, func(l *locked) error {
		if err := b.fresh(l); err != nil {
			return err
		}
		f := l.file
		if b.stamp.size <= numberBytes {
			if err := b.sure(f); err != nil {
				return err
			}
		}
		for _, x := range uids {
			if i, ok := b.byKey[x.Key]; ok {
				b.entries[i].uid = x.UID
			}
		}
		if len(b.entries) == 0 {
			return nil
		}
		if b.stamp.size > numberBytes {
			err := b.count(f, h)
			return errors.Join(err, b.restamp(f)) // they are written when the file is
		}
		if err := (&rewriting{ctx: ctx, b: b, base: h}).run(l); err != nil {
			return err
		}
		return b.restamp(l.file)
	})
}
