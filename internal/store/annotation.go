package store

import (
	"context"
	"slices"
	"strings"

	"plic/internal/store/engine"
)

// annotationNotes is where annotations are kept among notes.
const annotationNotes = "metadata/"

// Annotations says where an account finds an entry of RFC 5464, of a mailbox or,
// if that is nil, of the server: the note of the prefix and the entry, in lower
// case. Entries of the server are of the site if they are shared, and of the
// account if they are private. What is private in a mailbox has the name of its
// user in its key.
func (a *Account) Annotations(m *Mailbox, entry string) (of Notes, prefix string) {
	shared := strings.HasPrefix(entry, "/shared/")
	prefix = annotationNotes + "\x00"
	if !shared {
		prefix = annotationNotes + a.name + "\x00"
	}
	switch {
	case m != nil:
		return m.Notes(), prefix
	case shared:
		return a.store.Notes(), prefix
	}
	return a.Notes(), prefix
}

// bare says, under the account's lock, that the key is of an annotation where
// there are none at all, durably: as in most mailboxes, of which it is remembered
// since somebody looks for some after each change of a mailbox.
func (n Notes) bare(ctx context.Context, key string) bool {
	if !strings.HasPrefix(key, annotationNotes) {
		return false
	}
	bare, known := n.a.bare[n.mailbox()]
	if known || !n.a.last.kept() {
		return bare
	}
	bare = true
	for range n.a.store.engine.Notes(ctx, n.a.id, n.mailbox(), annotationNotes) {
		bare = false // there is one, or trouble
		break
	}
	n.a.setBare(n.mailbox(), bare)
	return bare
}

// stayBare remembers that mailboxes which were just made have no annotations, and
// forgets those that are gone.
func (c *commit) stayBare() {
	for _, e := range c.edits {
		a, id := e.m.account, e.next.rec.ID
		switch {
		case e.next.gone:
			delete(a.bare, id)
		case e.made && !slices.ContainsFunc(c.batch.PutNotes, func(n engine.Note) bool { return n.Account == a.id && n.Mailbox == id }):
			a.setBare(id, true)
		}
	}
}

func (a *Account) setBare(id engine.MailboxID, bare bool) {
	if a.bare == nil {
		a.bare = map[engine.MailboxID]bool{}
	}
	a.bare[id] = bare
}
