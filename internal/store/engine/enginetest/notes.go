package enginetest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"plic/internal/store/engine"
)

// owner is what a note belongs to.
type owner struct {
	account engine.AccountID
	mailbox engine.MailboxID
}

// notes are the model's notes.
type notes map[owner]map[string][]byte

func (n notes) put(list []engine.Note) {
	for _, note := range list {
		o := owner{note.Account, note.Mailbox}
		if n[o] == nil {
			n[o] = map[string][]byte{}
		}
		switch {
		case note.Value != nil:
			n[o][note.Key] = note.Value
		case note.All:
			maps.DeleteFunc(n[o], func(key string, _ []byte) bool { return strings.HasPrefix(key, note.Key) })
		default:
			delete(n[o], note.Key)
		}
	}
}

func (n notes) forget(a engine.AccountID) {
	maps.DeleteFunc(n, func(o owner, _ map[string][]byte) bool { return o.account == a })
}

func (n notes) remove(a engine.AccountID, m engine.MailboxID) { delete(n, owner{a, m}) }

func (n notes) describe(b *strings.Builder, a engine.AccountID, m engine.MailboxID) {
	all := n[owner{a, m}]
	for _, key := range slices.Sorted(maps.Keys(all)) {
		fmt.Fprintf(b, " note %q %x\n", key, all[key])
	}
}

func describeNotes(ctx context.Context, e engine.Engine, b *strings.Builder, a engine.AccountID, m engine.MailboxID) error {
	for note, err := range e.Notes(ctx, a, m, "") {
		if err != nil {
			return err
		}
		if note.Account != a || note.Mailbox != m {
			return fmt.Errorf("notes of %d, %d: one of %d, %d", a, m, note.Account, note.Mailbox)
		}
		fmt.Fprintf(b, " note %q %x\n", note.Key, note.Value)
	}
	return nil
}

// note adds some notes to a batch: of the site, of an account or of a mailbox
// that stays.
func (a *author) note(b *engine.Batch) {
	owners := []owner{{}}
	for _, id := range sortedKeys(a.model.accounts) {
		if slices.Contains(b.Forget, id) {
			continue
		}
		owners = append(owners, owner{account: id})
		for _, box := range sortedKeys(a.model.accounts[id].boxes) {
			if !slices.ContainsFunc(b.Mailboxes, func(c engine.MailboxChange) bool {
				return c.Remove && c.Account == id && c.Record.ID == box
			}) {
				owners = append(owners, owner{id, box})
			}
		}
	}
	for range 1 + a.noted.IntN(3) {
		o := owners[a.noted.IntN(len(owners))]
		note := engine.Note{Account: o.account, Mailbox: o.mailbox, Key: fmt.Sprintf("k%d/\x00ü", a.noted.IntN(4))}
		if a.noted.IntN(4) > 0 {
			note.Value = fmt.Appendf([]byte{}, "%x", a.noted.Uint64N(1<<a.noted.IntN(64)))
		} else if a.noted.IntN(3) == 0 {
			note.Key, note.All = note.Key[:a.noted.IntN(len(note.Key))], true
		}
		b.PutNotes = append(b.PutNotes, note)
	}
}

func noteKeys(list []engine.Note) string {
	var keys []string
	for _, n := range list {
		keys = append(keys, fmt.Sprintf("%s=%s", n.Key, n.Value))
	}
	return strings.Join(keys, " ")
}

func testNotes(b *bench) {
	b.user(1, "a", 1)
	b.user(2, "b", 1)
	put := func(a engine.AccountID, m engine.MailboxID, key string, value []byte) engine.Note {
		return engine.Note{Account: a, Mailbox: m, Key: key, Value: value}
	}
	b.apply(&engine.Batch{PutNotes: []engine.Note{
		put(0, 0, "site", []byte("s")), put(1, 0, "p/2", []byte("two")), put(1, 0, "p/1", []byte("one")),
		put(1, 0, "q", []byte{}), put(1, 0, "p\xff", []byte("x")), put(1, 1, "p/1", []byte("box")), put(2, 0, "p/1", []byte("other")),
	}})
	b.reopen()
	list := func(a engine.AccountID, m engine.MailboxID, prefix string) string {
		return noteKeys(all(b.T, b.e.Notes(b.Context(), a, m, prefix)))
	}
	b.wants("of the site", list(0, 0, ""), "site=s")
	b.wants("in order", list(1, 0, ""), "p/1=one p/2=two p\xff=x q=")
	b.wants("of a prefix", list(1, 0, "p/"), "p/1=one p/2=two")
	b.wants("of a prefix that ends high", list(1, 0, "p\xff"), "p\xff=x")
	b.wants("of a mailbox", list(1, 1, ""), "p/1=box")
	value, err := b.e.Note(b.Context(), 1, 0, "q")
	b.wants("an empty one", fmt.Sprint(value != nil, len(value), err), "true 0 <nil>")
	value, err = b.e.Note(b.Context(), 1, 0, "p/2")
	b.wants("by name", fmt.Sprintf("%s %v", value, err), "two <nil>")
	missing := func(a engine.AccountID, m engine.MailboxID, key string) {
		b.Helper()
		if value, err := b.e.Note(b.Context(), a, m, key); !errors.Is(err, engine.ErrNotFound) {
			b.Errorf("note %q: %q, %v, want ErrNotFound", key, value, err)
		}
	}
	missing(1, 0, "p")
	missing(0, 0, "p/1")
	missing(9, 0, "p/1")
	b.apply(&engine.Batch{PutNotes: []engine.Note{put(1, 0, "p/1", nil), put(1, 0, "never", nil), put(1, 0, "q", []byte("new"))}})
	b.wants("changed", list(1, 0, ""), "p/2=two p\xff=x q=new")
	every := func(a engine.AccountID, m engine.MailboxID, prefix string) engine.Note {
		return engine.Note{Account: a, Mailbox: m, Key: prefix, All: true}
	}
	b.apply(&engine.Batch{PutNotes: []engine.Note{put(1, 0, "r/1", []byte("gone")), every(1, 0, "r/"), put(1, 0, "r/2", []byte("after")), every(1, 0, "p")}})
	b.wants("all of a prefix", list(1, 0, ""), "q=new r/2=after")
	b.apply(&engine.Batch{PutNotes: []engine.Note{every(1, 0, "r/"), put(1, 0, "s\xff", []byte("high")), every(2, 0, "p/2")}})
	b.reopen()
	b.wants("once more", list(1, 0, ""), "q=new s\xff=high")
	b.apply(&engine.Batch{PutNotes: []engine.Note{every(1, 0, "s\xff")}})
	b.wants("of a prefix that ends high", list(1, 0, ""), "q=new")
	b.wants("of a mailbox, still", list(1, 1, ""), "p/1=box")
	b.wants("of another account", list(2, 0, ""), "p/1=other")

	b.apply(&engine.Batch{Mailboxes: []engine.MailboxChange{{Account: 1, Record: engine.Mailbox{ID: 1}, Remove: true}}})
	b.wants("of a removed mailbox", list(1, 1, ""), "")
	b.wants("of its account", list(1, 0, "q"), "q=new")
	b.apply(&engine.Batch{Forget: []engine.AccountID{1}})
	b.wants("of a forgotten account", list(1, 0, ""), "")
	missing(1, 0, "q")
	b.tend()
	b.wants("of another", list(2, 0, ""), "p/1=other")
	b.wants("of the site, still", list(0, 0, ""), "site=s")
	b.sound()
}
