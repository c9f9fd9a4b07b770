package learn

import (
	"bytes"
	"context"
	"strings"

	"plic/internal/bayes"
	"plic/internal/mail"
	"plic/internal/store"
	"plic/internal/store/engine"
)

// lesson is a message of which a user has said what it is.
type lesson struct {
	account string
	body    mail.ID
	class   bayes.Class
	prefix  []byte
	done    chan struct{} // no lesson: all before it were taken
}

// atOnce is how many messages of one change are looked at: who files or flags a thousand
// at once says little of each.
const atOnce = 100

// Touched is told of what users do with mailboxes, as store.Options.Touched. When more
// comes than can be learnt, the rest is not learnt.
func (l *Learner) Touched(mb *store.Mailbox, c *engine.MailboxChange) {
	place := placeOf(&c.Record)
	if place == nowhere {
		return
	}
	account := mb.Account().Name()
	words := keywords(c.Record.Keywords)
	for i := range c.Add[:min(len(c.Add), atOnce)] {
		m := &c.Add[i]
		if class, ok := l.added(account, place, words.of(m.Flags), m); ok {
			l.teach(lesson{account: account, body: m.Body, class: class, prefix: bytes.Clone(m.Prefix)})
		}
	}
	for i := range c.Update[:min(len(c.Update), atOnce)] {
		e := &c.Update[i]
		if class, ok := flagged(place, words.of(e.Flags), e.Flags); ok {
			l.teach(lesson{account: account, body: e.Body, class: class})
		}
	}
}

func (l *Learner) teach(x lesson) {
	select {
	case l.todo <- x:
	default:
	}
}

// Settle waits until all that users have done so far is learnt.
func (l *Learner) Settle(ctx context.Context) error {
	l.awaits.Add(1)
	defer l.awaits.Add(-1)
	select {
	case l.hurry <- struct{}{}:
	default:
	}
	done := make(chan struct{})
	select {
	case l.todo <- lesson{done: done}:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// place is what a mailbox is for.
type place int

const (
	elsewhere place = iota
	inJunk
	nowhere // what is put there says nothing: Trash, Drafts, Sent
)

func placeOf(r *engine.Mailbox) place {
	switch use := strings.ToLower(r.SpecialUse); {
	case use == `\junk`:
		return inJunk
	case use == `\trash` || use == `\drafts` || use == `\sent` || use == `\all`:
		return nowhere
	case use == "":
		switch strings.ToLower(r.Name) {
		case "junk", "spam", "junk e-mail", "junk email", "bulk mail":
			return inJunk
		case "trash", "deleted messages", "deleted items", "drafts", "sent", "sent messages", "sent items", "outbox", "templates":
			return nowhere
		}
	}
	return elsewhere
}

// opinion is what keywords say.
type opinion int

const (
	none opinion = iota
	junk
	notJunk
)

// opinions are the flags that say so.
type opinions struct{ junk, notJunk engine.Flags }

func keywords(names []string) (o opinions) {
	for i, name := range names {
		switch strings.ToLower(name) {
		case "$junk", "junk":
			o.junk |= store.KeywordBit(i)
		case "$notjunk", "notjunk", "nonjunk":
			o.notJunk |= store.KeywordBit(i)
		}
	}
	return o
}

func (o opinions) of(f engine.Flags) opinion {
	switch {
	case f&o.notJunk != 0:
		return notJunk
	case f&o.junk != 0:
		return junk
	}
	return none
}

// ourJunk is what we write before what we put into Junk.
var ourJunk = []byte("\r\nX-Spam-Flag: YES\r\n")

// added says what it means that a user has put a message into a mailbox. To leave in
// Junk what we have put there means nothing.
func (l *Learner) added(account string, p place, said opinion, m *engine.Message) (bayes.Class, bool) {
	switch {
	case said == junk:
		return bayes.Spam, true
	case said == notJunk:
		return bayes.Ham, true
	case p == inJunk:
		before, known := l.before(account, m.Body.String())
		return bayes.Spam, !bytes.Contains(m.Prefix, ourJunk) || known && before.class == bayes.Ham
	}
	return bayes.Ham, true // it was taken out of Junk, or put somewhere to be kept
}

// flagged says what it means that a message has flags.
func flagged(p place, said opinion, f engine.Flags) (bayes.Class, bool) {
	switch {
	case said == junk:
		return bayes.Spam, true
	case said == notJunk:
		return bayes.Ham, true
	}
	return bayes.Ham, p != inJunk && f&(store.Answered|store.Flagged) != 0 && f&store.Deleted == 0
}
