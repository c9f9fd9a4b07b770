package imapd

import (
	"strings"
	"sync"

	"plic/internal/imap"
	"plic/internal/store"
)

// board is where sessions tell others of annotations that they change.
type board struct {
	mu        sync.Mutex
	listeners map[*notice]struct{}
}

// annotations are those that a session has changed at once.
type annotations struct {
	mb      *store.Mailbox // nil for those of the server
	who     string         // the account of the session: the private ones are its own
	entries []string
}

// listen begins to collect what a client may want to be told.
func (b *board) listen(w *notice) (stop func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.listeners == nil {
		b.listeners = map[*notice]struct{}{}
	}
	b.listeners[w] = struct{}{}
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.listeners, w)
	}
}

// take gives what was collected, and whether it is not all.
func (b *board) take(w *notice) (news []annotations, lost bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	news, lost = w.news, w.lost
	w.news, w.lost = nil, false
	return news, lost
}

// post tells the other sessions of values that were set.
func (c *conn) post(mb *store.Mailbox, values []imap.Value) {
	n := annotations{mb: mb, who: c.account.Name()}
	for _, v := range values {
		n.entries = append(n.entries, v.Entry)
	}
	b := &c.server.board
	b.mu.Lock()
	defer b.mu.Unlock()
	for w := range b.listeners {
		switch {
		case w == c.notice:
			continue // who did it knows
		case !w.concerns(&n):
			continue
		case len(w.news) >= maxNotices:
			w.lost = true
		default:
			w.news = append(w.news, n)
		}
		w.wake()
	}
}

// concerns says that a client may want to be told: nobody else is woken, and
// nobody else's list is filled.
func (w *notice) concerns(n *annotations) bool {
	if n.mb == nil {
		return w.any&imap.ServerMetadataChange != 0
	}
	return w.any&imap.MailboxMetadataChange != 0 && (w.abroad || n.mb.Account().Name() == w.who)
}

// tellAnnotations tells which annotations have changed: METADATA without values,
// RFC 5465 sections 5.6 and 5.7.
func (c *conn) tellAnnotations() {
	news, lost := c.server.board.take(c.notice)
	if lost {
		c.overflow()
		return
	}
	for _, n := range news {
		name, ok := c.annotatedName(&n)
		if !ok {
			continue
		}
		b := append(c.out.line(), "* METADATA "...)
		if n.mb == nil {
			b = append(b, `""`...)
		} else {
			b = imap.AppendMailbox(b, name, c.utf8Names())
		}
		some := false
		for _, entry := range n.entries {
			if strings.HasPrefix(entry, "/shared/") || n.who == c.account.Name() {
				b, some = imap.AppendAString(append(b, ' '), entry), true
			}
		}
		if some {
			c.out.end(append(b, "\r\n"...))
		}
	}
}

// annotatedName is the name of what has other annotations now, if the client is to
// be told.
func (c *conn) annotatedName(n *annotations) (name string, ok bool) {
	if n.mb == nil {
		return "", c.notice.any&imap.ServerMetadataChange != 0
	}
	name = c.nameOf(n.mb)
	k, known := c.notice.boxes[name]
	return name, known && c.events(&k)&imap.MailboxMetadataChange != 0
}
