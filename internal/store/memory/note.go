package memory

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"

	"plic/internal/store/engine"
)

// notes are those of one owner, by key.
type notes map[string][]byte

// notesOf are the notes of the site, an account or a mailbox; nil without it.
func (e *Engine) notesOf(a engine.AccountID, m engine.MailboxID) notes {
	if a == 0 {
		return e.notes
	}
	if m != 0 {
		if box := e.mailbox(a, m); box != nil {
			return box.notes
		}
		return nil
	}
	if acc := e.accounts[a]; acc != nil {
		return acc.notes
	}
	return nil
}

func (e *Engine) note(n engine.Note) {
	of := e.notesOf(n.Account, n.Mailbox)
	switch {
	case n.Value == nil && n.All:
		maps.DeleteFunc(of, func(key string, _ []byte) bool { return strings.HasPrefix(key, n.Key) })
		return
	case n.Value == nil:
		delete(of, n.Key)
		return
	}
	of[n.Key] = bytes.Clone(n.Value)
}

// checkNotes says whether what notes belong to is there after the batch.
func (e *Engine) checkNotes(b *engine.Batch) error {
	for _, n := range b.PutNotes {
		there := n.Account == 0 && n.Mailbox == 0 || e.notesOf(n.Account, n.Mailbox) != nil
		if n.Account != 0 && n.Mailbox == 0 {
			there = there || slices.ContainsFunc(b.Accounts, func(a engine.Account) bool { return a.ID == n.Account })
		}
		for i := range b.Mailboxes {
			if c := &b.Mailboxes[i]; c.Account == n.Account && n.Mailbox != 0 && c.Record.ID == n.Mailbox {
				there = !c.Remove
			}
		}
		if !there || slices.Contains(b.Forget, n.Account) {
			return fmt.Errorf("note %q belongs to nothing", n.Key)
		}
	}
	return nil
}

// Notes gives the notes whose keys begin with a prefix.
func (e *Engine) Notes(ctx context.Context, a engine.AccountID, m engine.MailboxID, prefix string) iter.Seq2[engine.Note, error] {
	return each(ctx, e, func() (out []engine.Note, err error) {
		of := e.notesOf(a, m)
		for _, key := range slices.Sorted(maps.Keys(of)) {
			if strings.HasPrefix(key, prefix) {
				out = append(out, engine.Note{Account: a, Mailbox: m, Key: key, Value: bytes.Clone(of[key])})
			}
		}
		return out, nil
	})
}

// Note finds the value of one note; engine.ErrNotFound.
func (e *Engine) Note(_ context.Context, a engine.AccountID, m engine.MailboxID, key string) ([]byte, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.open(); err != nil {
		return nil, err
	}
	value, ok := e.notesOf(a, m)[key]
	if !ok {
		return nil, fmt.Errorf("note %q: %w", key, engine.ErrNotFound)
	}
	return bytes.Clone(value), nil
}
