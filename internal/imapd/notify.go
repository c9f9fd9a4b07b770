package imapd

import (
	"context"
	"strconv"

	"plic/internal/imap"
	"plic/internal/store"
)

// notice is what a client wants to be told of at any time, RFC 5465, and what it
// was told of other mailboxes than the selected one.
type notice struct {
	groups   []imap.NotifyGroup
	selected imap.NotifyGroup // of the selected mailbox; no events if none were asked for
	changes  <-chan struct{}  // of the account; nil if only the selected mailbox matters
	stop     func()
	boxes    map[string]store.Info
}

// maxNotices is how many changes of mailboxes are told at a time. A client that
// falls behind further is told that it is.
const maxNotices = 1000

// errEvents is the answer to events that there are none of, RFC 5465 section 3.1.
var errEvents = no("BADEVENT (MessageNew MessageExpunge FlagChange MailboxName SubscriptionChange)", "there are no other events here")

// notify is NOTIFY, RFC 5465 section 3.1. What has changed in the selected mailbox
// is told before the answer.
func (c *conn) notify(_ context.Context, cmd *imap.Command) (reply, error) {
	n := cmd.Args.Notify()
	switch err := cmd.Args.End(); {
	case err != nil:
		return reply{}, bad(err)
	case n.Unknown:
		return reply{}, errEvents
	}
	c.stopNotice()
	w := &notice{}
	for _, g := range n.Groups {
		if g.Mailboxes.Kind == imap.SourceSelected {
			w.selected = g
		} else if g.Events != 0 {
			w.groups = append(w.groups, g)
		}
	}
	c.notice = w
	if len(w.groups) == 0 {
		return reply{}, nil
	}
	w.changes, w.stop = c.account.Watch()
	w.boxes = map[string]store.Info{}
	for _, info := range c.account.Mailboxes() {
		w.boxes[info.Name] = info
		if n.Status {
			c.tellStart(&info)
		}
	}
	return reply{}, nil
}

// stopNotice ends what NOTIFY began.
func (c *conn) stopNotice() {
	if c.notice != nil && c.notice.stop != nil {
		c.notice.stop()
	}
	c.notice = nil
}

// selectedEvents are the events of the selected mailbox that are told: all, as
// long as NOTIFY has not said otherwise.
func (c *conn) selectedEvents() imap.NotifyEvents {
	if c.notice == nil {
		return imap.MessageEvents
	}
	return c.notice.selected.Events
}

// isListening says that the client wants to be told of something at any time.
func (c *conn) isListening() bool {
	return c.notice != nil && (len(c.notice.groups) > 0 || c.view != nil && c.notice.selected.Events != 0)
}

// events are those that are told of a mailbox that is not selected.
func (w *notice) events(info *store.Info) (all imap.NotifyEvents) {
	for i := range w.groups {
		if includes(&w.groups[i].Mailboxes, info) {
			all |= w.groups[i].Events
		}
	}
	return all
}

// tellStart sends the STATUS that a client asks for to begin with.
func (c *conn) tellStart(info *store.Info) {
	events := c.notice.events(info) & imap.MessageEvents
	if events == 0 || info.NoSelect || c.isSelected(info.Name) {
		return
	}
	items := []imap.StatusItem{imap.StatusMessages, imap.StatusUIDNext, imap.StatusUIDValidity}
	if events&imap.FlagChange != 0 {
		items = append(items, imap.StatusHighestModSeq)
	}
	c.tellNumbersOf(info, items)
}

func (c *conn) isSelected(name string) bool { return c.view != nil && c.nameOf(c.view.mb) == name }

func (c *conn) tellNumbersOf(info *store.Info, items []imap.StatusItem) {
	b := append(c.out.line(), "* STATUS "...)
	b = imap.AppendMailbox(b, info.Name, c.utf8Names())
	sep := " ("
	for _, item := range items {
		b = append(append(append(b, sep...), item.String()...), ' ')
		b = strconv.AppendUint(b, statusValue(*info, item), 10)
		sep = " "
	}
	c.out.end(append(b, ")\r\n"...))
}

// tellElsewhere tells what is new in the mailboxes that are not selected, and of
// which there are.
func (c *conn) tellElsewhere() {
	w := c.notice
	before, told := w.boxes, 0
	infos := c.account.Mailboxes()
	w.boxes = make(map[string]store.Info, len(infos))
	for i := range infos {
		w.boxes[infos[i].Name] = infos[i]
	}
	renamed := renames(before, infos)
	for i := range infos {
		info := &infos[i]
		events := w.events(info)
		was, had := before[info.Name]
		switch {
		case events == 0:
			continue
		case had && was.NonExistent == info.NonExistent:
			told += c.tellChanged(info, &was, events)
		case events&imap.MailboxName != 0 && !isBelowRenamed(info.Name, renamed):
			from := renamed[info.Name]
			if from == "" {
				from = info.Name
			}
			c.tellMailbox(*info, from)
			told++
		}
		if told > maxNotices {
			c.overflow()
			return
		}
	}
	for _, name := range renamed {
		delete(before, name)
	}
	for name, was := range before {
		if _, there := w.boxes[name]; there || was.NonExistent || w.events(&was)&imap.MailboxName == 0 {
			continue
		}
		c.tellMailbox(store.Info{Name: name, NoSelect: true, NonExistent: true}, name)
		if told++; told > maxNotices {
			c.overflow()
			return
		}
	}
}

// overflow says that the client will hear no more, RFC 5465 section 5.8.
func (c *conn) overflow() {
	c.stopNotice()
	c.notice = &notice{}
	c.out.text("* OK [NOTIFICATIONOVERFLOW] more has changed than can be told")
}

// renames gives for new names the old ones of the same mailboxes.
func renames(before map[string]store.Info, now []store.Info) map[string]string {
	gone := map[string]string{} // name by ObjectID
	for name, was := range before {
		if was.ObjectID != "" {
			gone[was.ObjectID] = name
		}
	}
	for i := range now {
		if was, ok := before[now[i].Name]; ok && was.ObjectID == now[i].ObjectID {
			delete(gone, now[i].ObjectID)
		}
	}
	out := map[string]string{}
	for i := range now {
		if from, ok := gone[now[i].ObjectID]; ok && from != now[i].Name {
			out[now[i].Name] = from
		}
	}
	return out
}

// isBelowRenamed says that a mailbox has another name only because one above it
// has: that is not told, RFC 5465 section 5.4.
func isBelowRenamed(name string, renamed map[string]string) bool {
	from, ok := renamed[name]
	for i := len(name) - 1; ok && i > 0; i-- {
		if above := renamed[name[:i]]; name[i] == imap.Delimiter && above != "" && from == above+name[i:] {
			return true
		}
	}
	return false
}

// tellChanged tells what is new in a mailbox, and gives the number of responses.
func (c *conn) tellChanged(info, was *store.Info, events imap.NotifyEvents) (told int) {
	if events&imap.SubscriptionChange != 0 && info.Subscribed != was.Subscribed {
		c.tellMailbox(*info, info.Name)
		told++
	}
	if events&imap.MessageEvents == 0 || info.NoSelect || c.isSelected(info.Name) {
		return told
	}
	var items []imap.StatusItem
	if info.UIDValidity != was.UIDValidity {
		items = append(items, imap.StatusUIDValidity)
	}
	if info.Messages != was.Messages || info.UIDNext != was.UIDNext {
		items = append(items, imap.StatusUIDNext, imap.StatusMessages)
	}
	flags := events&imap.FlagChange != 0 && info.HighestModSeq != was.HighestModSeq
	if flags && info.Unseen != was.Unseen {
		items = append(items, imap.StatusUnseen)
	}
	if c.condstore && (flags || len(items) > 0) { // RFC 5465 sections 5.1 to 5.3
		if items = append(items, imap.StatusHighestModSeq); info.UIDValidity == was.UIDValidity {
			items = append(items, imap.StatusUIDValidity)
		}
	}
	if len(items) > 0 {
		c.tellNumbersOf(info, items)
		told++
	}
	return told
}
