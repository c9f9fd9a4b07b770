package imapd

import (
	"strings"

	"plic/internal/imap"
	"plic/internal/store"
)

// choice is what sources ask for of mailboxes, RFC 5465 section 6. To ask it of a
// mailbox takes as long as its name has levels, however many the sources name. The
// zero value asks for nothing.
type choice struct {
	personal, inboxes, subscribed imap.NotifyEvents
	named, children, below        map[string]imap.NotifyEvents // of a name, of what is one level below it, of all below
}

// add asks for events of the mailboxes of a source.
func (c *choice) add(s *imap.SearchSource, events imap.NotifyEvents) {
	switch s.Kind {
	case imap.SourcePersonal:
		c.personal |= events
	case imap.SourceInboxes:
		c.inboxes |= events
	case imap.SourceSubscribed:
		c.subscribed |= events
	}
	for _, name := range s.Names {
		set(&c.named, name, events)
		switch s.Kind {
		case imap.SourceSubtree:
			set(&c.below, name, events)
		case imap.SourceSubtreeOne:
			set(&c.children, name, events)
		}
	}
}

func set(of *map[string]imap.NotifyEvents, name string, events imap.NotifyEvents) {
	if *of == nil {
		*of = map[string]imap.NotifyEvents{}
	}
	(*of)[name] |= events
}

// events are those that are asked for of a mailbox, which is one's own or another's.
func (c *choice) events(b *store.Info, own bool) imap.NotifyEvents {
	all := c.named[b.Name]
	if own {
		all |= c.personal
		if imap.IsInbox(b.Name) {
			all |= c.inboxes
		}
	}
	if b.Subscribed {
		all |= c.subscribed
	}
	above := strings.LastIndexByte(b.Name, imap.Delimiter)
	if above < 0 {
		return all
	}
	all |= c.children[b.Name[:above]]
	for i := above; i > 0 && len(c.below) > 0; i = strings.LastIndexByte(b.Name[:i], imap.Delimiter) {
		all |= c.below[b.Name[:i]]
	}
	return all
}
