package imapd

import (
	"context"
	"maps"
	"slices"
	"strconv"

	"plic/internal/imap"
	"plic/internal/store"
)

// notice is what a client wants to be told of at any time, RFC 5465, and what it
// was told of other mailboxes than the selected one.
type notice struct {
	groups   bool              // there are any but that of the selected mailbox
	of       choice            // what they ask for
	selected imap.NotifyGroup  // of the selected mailbox; no events if none were asked for
	abroad   bool              // some group may have mailboxes of others
	who      string            // the account of the session
	any      imap.NotifyEvents // those of all groups
	changes  chan struct{}     // something is new; nil if only the selected mailbox matters
	stops    map[string]func()
	boxes    map[string]known

	news []annotations // of the board, and under its lock
	lost bool          // there were too many of them
}

// known is a mailbox that a client was told of.
type known struct {
	store.Info
	own bool
}

// maxNotices is how many changes of mailboxes are told at a time. A client that
// falls behind further is told that it is.
const maxNotices = 1000

// errEvents is the answer to events that there are none of, RFC 5465 section 3.1.
var errEvents = no("BADEVENT (MessageNew MessageExpunge FlagChange MailboxName SubscriptionChange"+
	" MailboxMetadataChange ServerMetadataChange)", "there are no other events here")

// notify is NOTIFY, RFC 5465 section 3.1. What has changed in the selected mailbox
// is told before the answer.
func (c *conn) notify(ctx context.Context, cmd *imap.Command) (reply, error) {
	n := cmd.Args.Notify()
	switch err := cmd.Args.End(); {
	case err != nil:
		return reply{}, bad(err)
	case n.Unknown:
		return reply{}, errEvents
	}
	c.stopNotice()
	w := &notice{who: c.account.Name()}
	for i := range n.Groups {
		g := n.Groups[i]
		if g.Mailboxes.Kind == imap.SourceSelected {
			w.selected = g
		} else if g.Events != 0 {
			w.groups = true
			w.of.add(&g.Mailboxes, g.Events)
			w.any |= g.Events
			patterns := patternsOf(&g.Mailboxes)
			w.abroad = w.abroad || mayMatchBelow(patterns, otherUsers) || mayMatchBelow(patterns, sharedTree)
		}
	}
	c.notice = w
	if !w.groups {
		return reply{}, nil
	}
	w.changes = make(chan struct{}, 1)
	w.stops = map[string]func(){"": c.server.board.listen(w), c.account.Name(): c.account.Tell(w.changes)}
	all, err := c.watched(ctx)
	if err != nil {
		c.stopNotice()
		return reply{}, err
	}
	w.boxes = make(map[string]known, len(all))
	for _, k := range all {
		w.boxes[k.Name] = k
		if n.Status {
			c.tellStart(&k)
		}
	}
	return reply{}, nil
}

// sharesStop is the key of what ends the watch of who shares with whom; no account
// has that name.
const sharesStop = "\x00"

// watched lists the mailboxes that a client may be told of, and watches the
// accounts that have them.
func (c *conn) watched(ctx context.Context) ([]known, error) {
	w := c.notice
	if w.abroad && w.stops[sharesStop] == nil {
		w.stops[sharesStop] = c.server.o.Store.TellShares(w.changes)
	}
	infos := c.account.Mailboxes()
	own := len(infos)
	if w.abroad {
		foreign, from, err := c.abroad(ctx)
		if err != nil {
			return nil, err
		}
		for _, a := range from {
			if w.stops[a.Name()] == nil {
				w.stops[a.Name()] = a.Tell(w.changes)
				w.wake() // what changed before is seen then
			}
		}
		if infos, err = c.subscriptions(ctx, distinct(append(infos, foreign...))); err != nil {
			return nil, err
		}
	}
	all := make([]known, 0, len(infos))
	for i, info := range infos {
		all = append(all, known{info, i < own})
	}
	return all, nil
}

// wake makes a client be told of what is new.
func (w *notice) wake() {
	select {
	case w.changes <- struct{}{}:
	default:
	}
}

// stopNotice ends what NOTIFY began.
func (c *conn) stopNotice() {
	if c.notice != nil {
		for _, stop := range c.notice.stops {
			stop()
		}
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
	return c.notice != nil && (c.notice.groups || c.view != nil && c.notice.selected.Events != 0)
}

// events are those that are told of a mailbox that is not selected. What is in
// it is not told to who may not read it.
func (c *conn) events(k *known) imap.NotifyEvents {
	all := c.notice.of.events(&k.Info, k.own)
	if !k.own && !k.ACL.Of(c.account.Name(), c.groups...).Has(store.MayRead) {
		all &^= imap.MessageEvents | imap.MailboxMetadataChange
	}
	return all
}

// tellStart sends the STATUS that a client asks for to begin with.
func (c *conn) tellStart(info *known) {
	events := c.events(info) & imap.MessageEvents
	if events == 0 || info.NoSelect || c.isSelected(info.Name) {
		return
	}
	items := []imap.StatusItem{imap.StatusMessages, imap.StatusUIDNext, imap.StatusUIDValidity}
	if events&imap.FlagChange != 0 {
		items = append(items, imap.StatusHighestModSeq)
	}
	c.tellNumbersOf(&info.Info, items)
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
func (c *conn) tellElsewhere(ctx context.Context) error {
	w := c.notice
	before, told := w.boxes, 0
	all, err := c.watched(ctx)
	if err != nil {
		return err
	}
	w.boxes = make(map[string]known, len(all))
	for _, k := range all {
		w.boxes[k.Name] = k
	}
	before, told = c.tellRenamings(before, all)
	for i := range all {
		if told += c.tellNews(&all[i], before); told > maxNotices {
			c.overflow()
			return nil
		}
	}
	for name, was := range before {
		events := c.events(&was)
		went := !was.NonExistent && events&imap.MailboxName != 0
		left := was.Subscribed && events&imap.SubscriptionChange != 0
		if _, there := w.boxes[name]; there || !went && !left {
			continue
		}
		c.tellMailbox(store.Info{Name: name, NoSelect: true, NonExistent: true}, name)
		if told++; told > maxNotices {
			c.overflow()
			return nil
		}
	}
	c.tellAnnotations()
	return nil
}

// overflow says that the client will hear no more, RFC 5465 section 5.8.
func (c *conn) overflow() {
	c.stopNotice()
	c.notice = &notice{}
	c.out.text("* OK [NOTIFICATIONOVERFLOW] more has changed than can be told")
}

// renames gives for new names the old ones of the same mailboxes.
func renames(before map[string]known, now []known) map[string]string {
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

// tellRenamings tells which mailboxes have other names, and gives what the client
// knows then: what is below a mailbox moves with it, RFC 5465 section 5.4. Who is
// not to hear of a renaming, or could not follow, as the new name is still another's,
// is told of a mailbox that went and one that came.
func (c *conn) tellRenamings(before map[string]known, all []known) (after map[string]known, told int) {
	moved, lives := renames(before, all), make(map[string]bool, len(all))
	if len(moved) == 0 {
		return before, 0
	}
	for i := range all {
		lives[all[i].ObjectID] = true
	}
	after = maps.Clone(before)
	for waits := true; waits; {
		waits = false
		for _, name := range slices.Sorted(maps.Keys(moved)) {
			from, now := moved[name], c.notice.boxes[name]
			was, taken := after[from], after[name]
			switch {
			case taken.ObjectID == now.ObjectID: // it has moved with another
			case was.ObjectID != now.ObjectID || (c.events(&now)|c.events(&was))&imap.MailboxName == 0:
			case taken.ObjectID != "" && lives[taken.ObjectID]:
				continue // until that has moved
			default:
				c.tellMailbox(now.Info, from)
				told++
				move(after, from, name)
				was.Subscribed = now.Subscribed
				after[name] = was
				waits = true
			}
			delete(moved, name)
		}
	}
	return after, told
}

// move gives a mailbox and those below it other names. Mere subscriptions stay.
func move(boxes map[string]known, from, to string) {
	moved := map[string]known{}
	for name, k := range boxes {
		if !k.NonExistent && (name == from || isBelow(name, from)) {
			moved[to+name[len(from):]] = k
			delete(boxes, name)
		}
	}
	maps.Copy(boxes, moved)
}

// tellNews tells what is new of a mailbox, and gives the number of responses.
func (c *conn) tellNews(info *known, before map[string]known) (told int) {
	events := c.events(info)
	was, had := before[info.Name]
	if had && was.NonExistent == info.NonExistent && was.NoSelect == info.NoSelect {
		heard := c.events(&was)
		if events&^heard&imap.MessageEvents != 0 && info.UIDNext > 1 {
			was.Info = store.Info{Subscribed: was.Subscribed, Unseen: ^info.Unseen} // it begins to hear of all that is in there
		}
		events |= heard & imap.SubscriptionChange // one of those subscribed to leaves them
		return c.tellChanged(&info.Info, &was.Info, events)
	}
	if events&imap.MailboxName != 0 || events&imap.SubscriptionChange != 0 && info.Subscribed != was.Subscribed {
		c.tellMailbox(info.Info, info.Name)
		told++
	}
	if info.UIDNext <= 1 { // nothing was in it yet
		return told
	}
	return told + c.tellChanged(&info.Info, &store.Info{Subscribed: info.Subscribed}, events)
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
	another := info.UIDValidity != was.UIDValidity
	if another {
		items = append(items, imap.StatusUIDValidity)
	}
	if info.Messages != was.Messages || info.UIDNext != was.UIDNext {
		items = append(items, imap.StatusUIDNext, imap.StatusMessages)
	}
	flags := events&imap.FlagChange != 0 && (another || info.HighestModSeq != was.HighestModSeq)
	if flags && info.Unseen != was.Unseen {
		items = append(items, imap.StatusUnseen)
	}
	if c.condstore && (flags || len(items) > 0) { // RFC 5465 sections 5.1 to 5.3
		if items = append(items, imap.StatusHighestModSeq); !another {
			items = append(items, imap.StatusUIDValidity)
		}
	}
	if len(items) > 0 {
		c.tellNumbersOf(info, items)
		told++
	}
	return told
}
