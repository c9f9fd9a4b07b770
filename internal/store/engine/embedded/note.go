package embedded

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"

	"github.com/cockroachdb/pebble/v2"

	"plic/internal/store/engine"
)

func noteKey(a engine.AccountID, m engine.MailboxID, key string) []byte {
	return append(mailboxKey(a, partNote, m), key...)
}

func noteOf(key []byte) (engine.AccountID, engine.MailboxID, string, bool) {
	const head = 1 + 8 + 1 + 4
	if len(key) < head || key[0] != kindAccount || key[9] != partNote {
		return 0, 0, "", false
	}
	return engine.AccountID(numberOf(key)), engine.MailboxID(binary.BigEndian.Uint32(key[10:])), string(key[head:]), true
}

func encodeNote(key []byte, value []byte) []byte {
	b := make([]byte, 0, 1+len(value)+checksumSize)
	return seal(key, append(append(b, recordVersion), value...))
}

// decodeNote copies, as the record is Pebble's.
func decodeNote(key, record []byte) (engine.Note, error) {
	a, m, text, ok := noteOf(key)
	if !ok {
		return engine.Note{}, fmt.Errorf("%w: key of %d octets", engine.ErrDamaged, len(key))
	}
	raw, err := unseal(key, record)
	if err != nil {
		return engine.Note{}, err
	}
	return engine.Note{Account: a, Mailbox: m, Key: text, Value: append([]byte{}, raw...)}, nil
}

func (c *change) note(n *engine.Note) error {
	key := noteKey(n.Account, n.Mailbox, n.Key)
	switch {
	case n.Value == nil && n.All:
		return c.out.DeleteRange(key, after(key), nil)
	case n.Value == nil:
		return c.out.Delete(key, nil)
	}
	return c.out.Set(key, encodeNote(key, n.Value), nil)
}

// Notes gives the notes whose keys begin with a prefix.
func (e *Engine) Notes(ctx context.Context, a engine.AccountID, m engine.MailboxID, prefix string) iter.Seq2[engine.Note, error] {
	return guarded(e, func(yield func(engine.Note, error) bool) {
		from := noteKey(a, m, prefix)
		scan(ctx, e, span{from: from, to: after(from)}, decodeNote, yield)
	})
}

// Note finds the value of one note.
func (e *Engine) Note(_ context.Context, a engine.AccountID, m engine.MailboxID, key string) ([]byte, error) {
	if err := e.enter(); err != nil {
		return nil, err
	}
	defer e.leave()
	at := noteKey(a, m, key)
	value, closer, err := e.db.Get(at)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, fmt.Errorf("note %q: %w", key, engine.ErrNotFound)
	}
	if err != nil {
		return nil, e.readError(err)
	}
	defer closer.Close()
	n, err := decodeNote(at, value)
	return n.Value, err
}

// note checks that a note decodes and that what it belongs to is there.
func (c *checker) note(a engine.AccountID, key, value []byte) error {
	n, err := decodeNote(key, value)
	if err != nil || a == 0 || c.e.graves.has(grave{account: a, all: true}) {
		return err
	}
	if n.Mailbox != 0 {
		return c.need("mailbox", mailboxKey(a, partMailbox, n.Mailbox))
	}
	return c.need("account", partKey(a, partRecord))
}
