package maildir

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"sync"

	"plic/internal/mail"
	"plic/internal/store/engine"
	"plic/internal/store/files"
	"plic/internal/vfs"
)

// Carry carries a change out. New messages are written beside the folder, made
// durable, and then renamed into it; what goes is renamed out of it first, and
// removed when the index follows.
func (b *box) Carry(ctx context.Context, c *files.Change) (files.Carried, error) {
	b.mu.Lock()
	b.last = nil // it will not be what there is any more
	b.mu.Unlock()
	s := &step{b: b, c: c, add: make([]*message, len(c.Add)), touched: map[string]bool{}}
	if err := s.run(ctx); err != nil {
		s.undo()
		return files.Carried{}, err
	}
	return files.Carried{Undo: s.undo, Done: s.done}, nil
}

// step is a change on its way.
type step struct {
	b       *box
	c       *files.Change
	add     []*message // that are there
	back    []func()   // what undoes it, in order
	gone    []string   // what is to be removed
	touched map[string]bool
}

func (s *step) undo() {
	for _, f := range slices.Backward(s.back) {
		f()
	}
	if len(s.back) > 0 {
		_ = s.sync() // as far as it goes: who was told of an error may try again
	}
	s.back = nil
	s.b.look() // what could not be undone is not as it is known
}

func (s *step) done() {
	for _, name := range s.gone {
		_ = s.b.p.Remove(name) // tmp is swept
	}
}

func (s *step) run(ctx context.Context) error {
	change, err := s.keywords(ctx)
	if err != nil {
		return err
	}
	if err := s.addAll(change); err != nil {
		return err
	}
	for _, f := range s.c.Flag {
		before, after := change(f.Before), change(f.After)
		if err := s.move(f.Key, false, after&^before, before&^after); err != nil {
			return err
		}
	}
	for _, x := range s.c.Expunge {
		if err := s.take(x.Key); err != nil {
			return err
		}
	}
	if err := s.sync(); err != nil {
		return err
	}
	if s.c.ShownTo > 0 {
		s.shown()
	}
	return s.list(ctx)
}

// keywords numbers those that are new, and gives the translation.
func (s *step) keywords(ctx context.Context) (func(engine.Flags) engine.Flags, error) {
	b, words := s.b, s.c.Record.Keywords
	var used engine.Flags
	for i := range s.c.Add {
		used |= s.c.Add[i].Flags
	}
	for i := range s.c.Flag {
		used |= s.c.Flag[i].After | s.c.Flag[i].Before
	}
	change := func(f engine.Flags) engine.Flags {
		b.mu.Lock()
		defer b.mu.Unlock()
		out, _ := b.translate(f, words)
		return out
	}
	if used>>keywordShift == 0 {
		return change, nil
	}
	err := b.locked(ctx, func() error {
		if err := b.readKeywords(); err != nil {
			return err
		}
		had := slices.Clone(b.words.words)
		if _, fresh := b.translate(used, words); !fresh {
			return nil
		}
		err := b.writeKeywords()
		if err != nil {
			b.words.words = had
		}
		return err
	})
	return change, err
}

// locked runs something with the lock and b.mu held.
func (b *box) locked(ctx context.Context, do func() error) error {
	if !b.holding.Load() {
		release, err := b.Hold(ctx)
		if err != nil {
			return err
		}
		defer release()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return do()
}

// addAll writes new messages, several at the same time, and then lets them
// appear in their order.
func (s *step) addAll(change func(engine.Flags) engine.Flags) error {
	errs := make([]error, len(s.c.Add))
	temps := make([]string, len(s.c.Add))
	var all sync.WaitGroup
	most := make(chan struct{}, 8)
	for i := range s.c.Add {
		a := &s.c.Add[i]
		from, ok := a.From.(*box)
		if ok && from.p.FS == s.b.p.FS {
			if done, err := s.linked(i, from, change(a.Flags)); done || err != nil {
				errs[i] = err
				continue
			}
		}
		most <- struct{}{}
		all.Go(func() {
			defer func() { <-most }()
			s.add[i], temps[i], errs[i] = s.write(a)
		})
	}
	all.Wait()
	for i, temp := range temps {
		if temp == "" {
			continue
		}
		if err := errors.Join(errs...); err != nil {
			_ = s.b.p.Remove(temp)
			continue
		}
		s.place(s.add[i], &s.c.Add[i], change(s.c.Add[i].Flags))
		if err := s.appear(temp, s.add[i]); err != nil {
			errs[i] = errors.Join(err, s.b.p.Remove(temp))
		}
	}
	for i, m := range s.add {
		if m != nil {
			s.c.Add[i].Key = keyOf(m.base)
		}
	}
	return errors.Join(errs...)
}

// place says where a new message appears, and with which flags: in new if no
// session was told of it and it has none.
func (s *step) place(m *message, a *files.Added, f engine.Flags) {
	m.uid = a.UID
	if m.fresh = f == 0 && a.UID >= s.c.Record.RecentFrom; !m.fresh {
		m.info = withFlags("", f, 0)
	}
}

// appear renames a file into the folder.
func (s *step) appear(from string, m *message) error {
	b := s.b
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.p.Rename(from, b.path(m)); err != nil {
		return err
	}
	s.put(m)
	return nil
}

// put notes a new message, and how it is undone. b.mu is held.
func (s *step) put(m *message) {
	b, key := s.b, keyOf(m.base)
	b.messages[key] = m
	s.touched[m.dir()] = true
	at := *m
	s.back = append(s.back, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.messages, key)
		_ = b.p.Remove(b.path(&at))
	})
}

// linked takes a message over from another folder, by renaming it or by a link;
// false if it has to be copied.
func (s *step) linked(i int, from *box, f engine.Flags) (done bool, err error) {
	a, b := &s.c.Add[i], s.b
	var m *message
	err = from.find(a.FromKey, func(at message) error {
		info, err := from.p.Stat(from.path(&at))
		if err != nil {
			return err
		}
		size, wire := sizes(at.base)
		if size != info.Size() || wire != a.Size {
			return errors.ErrUnsupported // the name is to tell them
		}
		m = &message{base: b.t.f.newBase(a.ID, size, wire)}
		s.place(m, a, f)
		b.mu.Lock()
		defer b.mu.Unlock()
		if !a.Move {
			if err := b.p.Link(from.path(&at), b.path(m)); err != nil {
				return err
			}
			s.put(m)
			return nil
		}
		if err := b.p.Rename(from.path(&at), b.path(m)); err != nil {
			return err
		}
		s.put(m)
		now := *m
		s.back[len(s.back)-1] = func() { // instead of removing it
			b.mu.Lock()
			delete(b.messages, keyOf(now.base))
			_ = b.p.Rename(b.path(&now), from.path(&at))
			b.mu.Unlock()
			from.look()
		}
		return nil
	})
	if err != nil {
		return false, nil // it is copied; what is wrong will be told there
	}
	s.add[i] = m
	if a.Move {
		from.mu.Lock()
		from.last = nil
		delete(from.messages, a.FromKey)
		from.mu.Unlock()
	}
	return true, nil
}

// write writes a message into tmp.
func (s *step) write(a *files.Added) (m *message, temp string, err error) {
	body, err := a.Open()
	if err != nil {
		return nil, "", err
	}
	defer body.Close()
	source := func() io.Reader {
		return io.MultiReader(bytes.NewReader(a.Prefix), io.NewSectionReader(body, 0, body.Size()))
	}
	c := counter{}
	lines := &lineCounter{}
	if err := c.count(io.TeeReader(source(), lines), int64(len(a.Prefix))+body.Size()); err != nil {
		return nil, "", err
	}
	// With LF line ends, as other programs like it, if it can be read back as it
	// was; else as it is.
	exact := c.bare == 0 && !c.doubt
	size := a.Size
	if exact {
		size -= lines.n
	}
	m = &message{base: s.b.t.f.newBase(a.ID, size, a.Size)}
	temp = s.b.at("tmp", m.base)
	f, err := s.b.p.Create(temp, vfs.Mail)
	if err != nil {
		return nil, "", err
	}
	w := bufio.NewWriterSize(f, 64<<10)
	var out io.Writer = w
	if exact {
		out = &unixLines{w: w}
	}
	_, err = io.Copy(out, source())
	if u, ok := out.(*unixLines); ok && err == nil {
		err = u.flush()
	}
	if err == nil {
		err = w.Flush()
	}
	if err == nil {
		err = vfs.SetTime(f, a.Internal)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, "", errors.Join(err, s.b.p.Remove(temp))
	}
	return m, temp, nil
}

// move renames a message to its flags, and into cur if it has some or shown
// says so. One that is not there is no error: the next look will tell.
func (s *step) move(key uint64, shown bool, add, remove engine.Flags) error {
	b := s.b
	err := b.find(key, func(at message) error {
		next := at
		next.info, next.fresh = withFlags(at.info, add, remove), false
		if next.name() == at.name() && next.fresh == at.fresh {
			return nil
		}
		b.mu.Lock()
		defer b.mu.Unlock()
		if err := b.p.Rename(b.path(&at), b.path(&next)); err != nil {
			return err
		}
		b.messages[key] = &next
		s.touched["cur"] = true
		s.touched[at.dir()] = true
		s.back = append(s.back, func() {
			b.mu.Lock()
			defer b.mu.Unlock()
			if b.p.Rename(b.path(&next), b.path(&at)) == nil {
				b.messages[key] = &at
			}
		})
		return nil
	})
	if errors.Is(err, engine.ErrNotFound) {
		return nil
	}
	return err
}

// take renames a message out of the folder.
func (s *step) take(key uint64) error {
	b := s.b
	b.mu.Lock()
	_, there := b.messages[key]
	read := b.read
	b.mu.Unlock()
	if read && !there { // it was moved away, or another program has removed it
		s.touched["cur"], s.touched["new"] = true, true
		return nil
	}
	err := b.find(key, func(at message) error {
		b.mu.Lock()
		defer b.mu.Unlock()
		aside := b.at("tmp", "gone."+mail.NewID(b.t.f.o.Now()).String())
		if err := b.p.Rename(b.path(&at), aside); err != nil {
			return err
		}
		delete(b.messages, key)
		s.gone = append(s.gone, aside)
		s.touched[at.dir()] = true
		s.back = append(s.back, func() {
			b.mu.Lock()
			defer b.mu.Unlock()
			if b.p.Rename(aside, b.path(&at)) == nil {
				b.messages[key] = &at
			}
		})
		return nil
	})
	if errors.Is(err, engine.ErrNotFound) {
		return nil
	}
	return err
}

// shown moves what sessions were told of out of new. It is no loss if that is
// undone by a power cut.
func (s *step) shown() {
	b := s.b
	b.mu.Lock()
	var keys []uint64
	for key, m := range b.messages {
		if m.fresh && m.uid != 0 && m.uid < s.c.ShownTo {
			keys = append(keys, key)
		}
	}
	b.mu.Unlock()
	for _, key := range keys {
		if err := s.move(key, true, 0, 0); err != nil {
			b.t.f.o.Log.Warn("a message cannot be moved out of new", "folder", b.p.on(b.dir), "error", err)
			return
		}
	}
}

// sync makes the names of the folder durable.
func (s *step) sync() error {
	for dir := range s.touched {
		if err := vfs.SyncDir(s.b.p, s.b.at(dir)); err != nil && !(dir == "new" && vfs.NotExist(err)) {
			return err
		}
	}
	return nil
}

// list writes the UIDs of new messages down.
func (s *step) list(ctx context.Context) error {
	if len(s.add) == 0 {
		return nil
	}
	return s.b.locked(ctx, func() error {
		return s.b.writeUIDs(files.Header{UIDValidity: s.c.Record.UIDValidity}, s.add)
	})
}
