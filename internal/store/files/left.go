package files

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"plic/internal/store/engine"
	"plic/internal/vfs"
)

// leftNote says where the last conversion has left files; notes with the number
// of a mailbox behind it, what messages of it were copied.
const leftNote = ownNotes + "left"

// Errors of RemoveLeft.
var (
	ErrNothingLeft = errors.New("no conversion has left any files of this account")
	ErrNewThere    = errors.New("there is mail at the old place that was not copied: nothing more was removed")
)

// left is where a conversion has left files.
type left struct {
	Format    string                      `json:"format"`
	Path      string                      `json:"path"`
	Options   map[string]string           `json:"options,omitempty"`
	UID       int                         `json:"uid,omitempty"`
	GID       int                         `json:"gid,omitempty"`
	Mailboxes map[string]engine.MailboxID `json:"mailboxes"`
}

// leaves are the notes of what an account leaves behind at the switch; those of a
// conversion before go, and if it was native, all do.
func (c *Conversion) leaves(ctx context.Context, old *account) ([]engine.Note, error) {
	notes, err := c.e.leftNotes(ctx, c.rec.ID)
	if err != nil || old == nil {
		return notes, err
	}
	l := left{Format: old.at.Format, Path: old.at.Path, Options: old.at.Options, UID: old.at.Owner.UID, GID: old.at.Owner.GID, Mailboxes: map[string]engine.MailboxID{}}
	put := func(key string, value []byte) {
		notes = slices.DeleteFunc(notes, func(n engine.Note) bool { return n.Key == key })
		notes = append(notes, engine.Note{Account: c.rec.ID, Key: key, Value: value})
	}
	for id, b := range c.boxes {
		l.Mailboxes[b.rec.Name] = id
		var keys []byte
		for _, uid := range slices.Sorted(maps.Keys(b.have)) {
			keys = binary.BigEndian.AppendUint64(keys, keyIn(b.have[uid].from))
			keys = binary.BigEndian.AppendUint32(keys, uint32(uid))
		}
		if len(keys) > 0 {
			put(leftOf(id), keys)
		}
	}
	text, err := json.Marshal(l)
	put(leftNote, text)
	return notes, err
}

func leftOf(m engine.MailboxID) string { return fmt.Sprintf("%s/%d", leftNote, m) }

// leftNotes are the notes of an earlier conversion, without values: put, they go.
func (e *Engine) leftNotes(ctx context.Context, id engine.AccountID) (all []engine.Note, err error) {
	for n, err := range e.Engine.Notes(ctx, id, 0, leftNote) {
		if err != nil {
			return nil, err
		}
		all = append(all, engine.Note{Account: id, Key: n.Key})
	}
	return all, nil
}

// keysLeft is an Index: the messages of a mailbox that were copied.
type keysLeft map[uint64]engine.UID

// UID finds a message by its key.
func (k keysLeft) UID(key uint64) (engine.UID, bool) { uid, ok := k[key]; return uid, ok }

func (e *Engine) keysLeft(ctx context.Context, id engine.AccountID, m engine.MailboxID) (keysLeft, error) {
	note, err := e.Engine.Note(ctx, id, 0, leftOf(m))
	if err != nil && !errors.Is(err, engine.ErrNotFound) {
		return nil, err
	}
	keys := keysLeft{}
	for ; len(note) >= 12; note = note[12:] {
		keys[binary.BigEndian.Uint64(note)] = engine.UID(binary.BigEndian.Uint32(note[8:]))
	}
	return keys, nil
}

// RemoveLeft removes the messages that a conversion has left at the old place: each
// was copied and compared before the switch. If there is any other, nothing goes.
// Folders stay, empty, so that what comes there meanwhile is not lost. After an
// error or a crash it can be called again. now is where the account's mail is.
func (e *Engine) RemoveLeft(ctx context.Context, name string, now Location) (old string, messages int, err error) {
	rec, _, err := e.Engine.Account(ctx, name)
	if err != nil {
		return "", 0, err
	}
	note, err := e.Engine.Note(ctx, rec.ID, 0, leftNote)
	if errors.Is(err, engine.ErrNotFound) {
		return "", 0, ErrNothingLeft
	}
	if err != nil {
		return "", 0, err
	}
	var l left
	if err := json.Unmarshal(note, &l); err != nil {
		return "", 0, fmt.Errorf("account %s: where its files were left: %w", name, err)
	}
	old = l.Format + ":" + l.Path
	if now.Text != Native {
		at, err := now.Resolve(name)
		if err == nil && (within(at.Path, l.Path) || within(l.Path, at.Path)) {
			err = ErrOccupied
		}
		if err != nil {
			return old, 0, fmt.Errorf("%s: %w", old, err)
		}
	}
	messages, err = e.removeLeft(ctx, rec.ID, &l)
	if err != nil {
		return old, messages, fmt.Errorf("%s: %w", old, err)
	}
	notes, err := e.leftNotes(ctx, rec.ID)
	if err != nil {
		return old, messages, err
	}
	return old, messages, e.under(&engine.Batch{PutNotes: notes})
}

func (e *Engine) removeLeft(ctx context.Context, id engine.AccountID, l *left) (messages int, err error) {
	f := e.o.Formats[l.Format]
	if f == nil {
		return 0, errors.New("no such format")
	}
	tree, err := f.Open(ctx, Place{Format: l.Format, Path: l.Path, Options: l.Options, Owner: vfs.Owner{UID: l.UID, GID: l.GID}})
	if err != nil {
		return 0, err
	}
	list, err := tree.List(ctx)
	if err != nil {
		return 0, err
	}
	// All are looked at before any is touched.
	found := map[string][]Numbered{}
	for _, box := range list.Mailboxes {
		keys, err := e.keysLeft(ctx, id, l.Mailboxes[box])
		if err != nil {
			return 0, err
		}
		if found[box], err = copiesIn(ctx, tree, box, keys); err != nil {
			return 0, err
		}
	}
	for _, box := range slices.Sorted(maps.Keys(found)) {
		files, err := tree.Box(box)
		if err != nil {
			return messages, err
		}
		for some := range slices.Chunk(found[box], copyMany) {
			carried, err := files.Carry(ctx, &Change{Record: &engine.Mailbox{Name: box}, Expunge: some})
			if err != nil {
				return messages, fmt.Errorf("mailbox %s: %w", box, full(err))
			}
			if carried.Done != nil {
				carried.Done()
			}
			messages += len(some)
		}
		if _, err := copiesIn(ctx, tree, box, nil); err != nil { // new since
			return messages, err
		}
	}
	return messages, nil
}

// copiesIn lists the messages of a mailbox; ErrNewThere if it has one that was
// not copied.
func copiesIn(ctx context.Context, tree Tree, box string, keys keysLeft) (all []Numbered, err error) {
	files, err := tree.Box(box)
	if err != nil {
		return nil, err
	}
	scan, err := files.Scan(ctx, keys, true)
	if errors.Is(err, ErrNoPlace) || errors.Is(err, engine.ErrNotFound) || err == nil && scan == nil {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("mailbox %s: %w", box, err)
	}
	others := 0
	for _, m := range scan.Messages {
		if uid, ok := keys[m.Key]; ok {
			all = append(all, Numbered{m.Key, uid})
		} else {
			others++
		}
	}
	if others > 0 {
		return nil, fmt.Errorf("mailbox %s, %d messages: %w", box, others, ErrNewThere)
	}
	return all, nil
}
