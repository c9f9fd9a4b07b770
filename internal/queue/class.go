package queue

import (
	"hash/maphash"
	"time"

	"plic/internal/mail"
)

// class is how much of a hurry an item is in.
type class uint8

const (
	urgent class = iota // reports, and what a sender marked as such
	normal
	bulk // one of very many
	classes
)

// handicap is how long an item of a class lets those that came after it, but
// are of a better one, go first. That it ends keeps all moving.
func (c class) handicap() time.Duration {
	return [...]time.Duration{urgent: 0, normal: time.Minute, bulk: 15 * time.Minute}[c]
}

const (
	crowd = 50   // recipients at one hop that make a message bulk
	flood = 1000 // items of one sender in the queue that make the next one bulk
)

// senders counts the items in the queue by sender, as a sketch: two that share
// a place are counted together, which only costs them some of their hurry.
type senders struct {
	seed  maphash.Seed // keeps strangers from choosing who shares their place
	items [1 << 16]int32
}

// place is where an item's sender is counted: the account, or else the address.
func (s *senders) place(item *mail.Item) uint16 {
	who := item.Envelope.Origin.Account
	if who == "" {
		who = item.Envelope.From.Key()
	}
	return uint16(maphash.String(s.seed, who))
}

// classOf says how much of a hurry an item of a sender is in. Mail that its sender gave no
// priority (RFC 6710) is as urgent as any until there is much of it: whoever
// sends thousands does not wait for an answer.
func (s *schedule) classOf(item *mail.Item, sender uint16) class {
	switch p := item.Envelope.Priority; {
	case item.Report, p > 0:
		return urgent
	case p < 0, len(item.To) >= crowd, s.senders.items[sender] >= flood:
		return bulk
	}
	return normal
}

// turnOfSound gives the next entry of a hop that answers. Of eight turns five
// begin with what is urgent, two with what is normal, and one with bulk, which
// may not take the last tenth of all places.
func (s *schedule) turnOfSound() *entry {
	first := [...]class{urgent, normal, urgent, urgent, bulk, urgent, normal, urgent}[s.turns%8]
	for _, c := range [...]class{first, urgent, normal, bulk} {
		if c == bulk && s.load() >= max(1, s.o.Active-s.o.Active/10) {
			continue
		}
		if e := turn(s.sound[c]); e != nil {
			s.turns++
			return e
		}
	}
	return nil
}
