package store

import (
	"context"
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

// bare says, under the account's lock, that the key is of an annotation where it
// is known that there is none at all, as in most mailboxes: they are looked for
// after each change of a mailbox.
func (n Notes) bare(key string) bool {
	if len(n.a.bare) == 0 || !strings.HasPrefix(key, annotationNotes) {
		return false
	}
	_, ok := n.a.bare[n.mailbox()]
	return ok
}

// lookBare remembers that there are no annotations, if that is durable.
func (n Notes) lookBare(ctx context.Context, key string) {
	if !strings.HasPrefix(key, annotationNotes) {
		return
	}
	n.a.mu.Lock()
	defer n.a.mu.Unlock()
	if n.gone() != nil || !n.a.last.kept() {
		return
	}
	for range n.a.store.engine.Notes(ctx, n.a.id, n.mailbox(), annotationNotes) {
		return // there is one, or trouble
	}
	if n.a.bare == nil {
		n.a.bare = map[engine.MailboxID]struct{}{}
	}
	n.a.bare[n.mailbox()] = struct{}{}
}
