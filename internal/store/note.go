package store

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"plic/internal/store/engine"
)

// Notes are small records that other parts of plic keep with the site, an
// account or a mailbox, and go with it. Their keys begin with the name of the
// part that they belong to and a slash, as in "sieve/active". Like mail, a note
// is seen once it is on stable storage, and is put or dropped in one commit
// with whatever else a Tx does.
type Notes struct {
	a *Account
	m *Mailbox // nil for those of the account, or the site
}

// Note is one of them.
type Note struct {
	Key   string
	Value []byte
}

// The bounds of a note, in octets.
const (
	MaxNoteKey = 1000
	MaxNote    = 1 << 20
)

// ErrBadNote says that a note's key or value is out of bounds.
var ErrBadNote = errors.New("not a note that can be kept")

// Notes are those of the site.
func (s *Store) Notes() Notes { return Notes{a: s.site} }

// Notes are those of the account.
func (a *Account) Notes() Notes { return Notes{a: a} }

// Notes are those of the mailbox, under any name that it is given.
func (m *Mailbox) Notes() Notes { return Notes{m.account, m} }

// Get gives a note's value; engine.ErrNotFound.
func (n Notes) Get(ctx context.Context, key string) ([]byte, error) {
	n.a.mu.Lock()
	if n.gone() == nil && n.bare(ctx, key) {
		n.a.mu.Unlock()
		return nil, engine.ErrNotFound
	}
	mailbox := n.mailbox()
	n.a.mu.Unlock()
	value, err := n.a.store.engine.Note(ctx, n.a.id, mailbox, key) // nobody waits for it
	n.a.mu.Lock()
	if gone := n.gone(); gone != nil {
		err = gone
	}
	last := n.a.last
	n.a.mu.Unlock()
	// What was read, or read as absent, may be newer than what is durable.
	if err := errors.Join(err, last.wait(ctx)); err != nil {
		return nil, err
	}
	return value, nil
}

// All gives the notes whose keys begin with a prefix, by rising key.
func (n Notes) All(ctx context.Context, prefix string) ([]Note, error) {
	n.a.mu.Lock()
	all, err := n.all(ctx, prefix)
	last := n.a.last
	n.a.mu.Unlock()
	if err := errors.Join(err, last.wait(ctx)); err != nil {
		return nil, err
	}
	return all, nil
}

// Put keeps a note, or drops it if the value is nil; ErrBadNote, ErrGone.
func (n Notes) Put(ctx context.Context, key string, value []byte) error {
	t := n.a.store.Begin()
	t.PutNote(n, key, value)
	_, err := t.Commit(ctx)
	return err
}

// Room says whether there is room for so many octets that mail can do without;
// engine.ErrFull, engine.ErrFailed.
func (n Notes) Room(octets int64) error { return n.a.store.Room(octets) }

// PutAll is Put for several notes in one commit.
func (n Notes) PutAll(ctx context.Context, all ...Note) error {
	t := n.a.store.Begin()
	for _, note := range all {
		t.PutNote(n, note.Key, note.Value)
	}
	_, err := t.Commit(ctx)
	return err
}

// DropAll drops the notes whose keys begin with a prefix.
func (n Notes) DropAll(ctx context.Context, prefix string) error {
	t := n.a.store.Begin()
	t.DropNotes(n, prefix)
	_, err := t.Commit(ctx)
	return err
}

// Keys gives the keys that begin with a prefix, those of damaged notes left out.
func (n Notes) Keys(ctx context.Context, prefix string) (keys []string, err error) {
	n.a.mu.Lock()
	defer n.a.mu.Unlock()
	if err := n.gone(); err != nil {
		return nil, err
	}
	for note, err := range n.a.store.engine.Notes(ctx, n.a.id, n.mailbox(), prefix) {
		if err != nil {
			return nil, err
		}
		keys = append(keys, note.Key)
	}
	return keys, nil
}

// Update changes a note by what it is: change gets its value, nil if there is
// none, and gives the new one, nil for none. Nothing else in the account
// changes meanwhile, so change should not take long, nor use the store.
func (n Notes) Update(ctx context.Context, key string, change func(old []byte) ([]byte, error)) error {
	c, err := n.a.store.lock(n.a)
	if err != nil {
		return err
	}
	defer c.unlock()
	old, err := n.get(ctx, key)
	if err != nil && !errors.Is(err, engine.ErrNotFound) {
		return err
	}
	next, err := change(old)
	if err != nil {
		return err
	}
	if err := c.note(n, key, next); err != nil {
		return err
	}
	return c.finish()
}

// PutNote keeps a note, or drops it if the value is nil; of more than one of a
// key the last counts.
func (t *Tx) PutNote(n Notes, key string, value []byte) {
	t.notes = append(t.notes, placedNote{n, engine.Note{Key: key, Value: value}})
}

// DropNotes drops the notes whose keys begin with a prefix, but those that the
// Tx puts later.
func (t *Tx) DropNotes(n Notes, prefix string) {
	t.notes = append(t.notes, placedNote{n, engine.Note{Key: prefix, All: true}})
}

type placedNote struct {
	of   Notes
	note engine.Note
}

// mailbox is the number that the engine knows the notes' owner by.
func (n Notes) mailbox() engine.MailboxID {
	if n.m == nil {
		return 0
	}
	return n.m.head.rec.ID
}

// gone says, under the account's lock, that what the notes belong to is.
func (n Notes) gone() error {
	if n.a.gone || n.m != nil && n.m.head.gone {
		return fmt.Errorf("notes of %s: %w", n.a.name, ErrGone)
	}
	return nil
}

// get reads under the account's lock.
func (n Notes) get(ctx context.Context, key string) ([]byte, error) {
	if err := n.gone(); err != nil {
		return nil, err
	}
	return n.a.store.engine.Note(ctx, n.a.id, n.mailbox(), key)
}

func (n Notes) all(ctx context.Context, prefix string) (out []Note, err error) {
	if err := n.gone(); err != nil {
		return nil, err
	}
	for note, err := range n.a.store.engine.Notes(ctx, n.a.id, n.mailbox(), prefix) {
		if err != nil {
			return nil, err
		}
		out = append(out, Note{note.Key, note.Value})
	}
	return out, nil
}

// note adds a note to a commit that holds its account locked.
func (c *commit) note(n Notes, key string, value []byte) error {
	return c.changeNote(n, engine.Note{Key: key, Value: value})
}

func (c *commit) changeNote(n Notes, note engine.Note) error {
	if note.Key == "" || len(note.Key) > MaxNoteKey || len(note.Value) > MaxNote {
		return fmt.Errorf("note %.100q of %d octets: %w", note.Key, len(note.Value), ErrBadNote)
	}
	if err := n.gone(); err != nil {
		return err
	}
	if strings.HasPrefix(note.Key, annotationNotes) {
		delete(n.a.bare, n.mailbox())
	}
	note.Account, note.Mailbox = n.a.id, n.mailbox()
	c.batch.PutNotes = append(c.batch.PutNotes, note)
	return nil
}
