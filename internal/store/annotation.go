package store

import "strings"

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
