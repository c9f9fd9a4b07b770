package queue

import (
	"encoding/binary"
	"time"

	"plic/internal/mail"
)

// backoff is the time from the given number of tries to the next one: it
// doubles from MinBackoff to MaxBackoff.
func (o *Options) backoff(tries int) time.Duration {
	d := o.MinBackoff
	for range tries - 1 {
		if d >= o.MaxBackoff {
			break
		}
		d *= 2
	}
	return min(d, o.MaxBackoff)
}

// spread is what the times of an item's tries are told apart by: its message if
// that has several items, which come back together.
func spread(item *mail.Item) mail.ID {
	if item.Parts > 1 && !item.Envelope.ID.IsZero() {
		return item.Envelope.ID
	}
	return item.ID
}

// retryAfter is backoff with a tenth more or less, so that what failed
// together does not come back together. It is the same for the same item and
// number of tries.
func (o *Options) retryAfter(id mail.ID, tries int) time.Duration {
	d := o.backoff(tries)
	mixed := (binary.BigEndian.Uint64(id[8:]) + uint64(tries)) * 0x9e3779b97f4a7c15 // Fibonacci hashing
	fifth := int64(d / 5)
	if fifth == 0 {
		return d
	}
	return d - time.Duration(fifth/2) + time.Duration(mixed>>1%uint64(fifth))
}

// enough is how many tries an item must have seen before an age of d counts:
// as many as the schedule would have made in a tenth of d. A clock that jumps
// ahead by days makes every item old at once, but nothing is given up, or
// warned of, that was not tried over some real time as well.
func (o *Options) enough(d time.Duration) int {
	tries := 1
	for left := d / 10; tries < 1000; tries++ {
		if left -= o.backoff(tries); left < 0 {
			break
		}
	}
	return tries
}

// soon is the time from the first failed try to the second when a host only
// wants to see us come back.
const soon = time.Minute

// greyAfter is the time to the next try of an item that was greylisted: as the
// host has said, or else a minute and then twice as long each time, until the
// common intervals are no longer.
func (o *Options) greyAfter(id mail.ID, tries int, said time.Duration) time.Duration {
	common := o.retryAfter(id, tries)
	if said > 0 {
		return min(max(said+said/20, soon/4), o.MaxBackoff)
	}
	return min(soon<<min(tries-1, 20), common)
}

// expires is when an item is given up.
func (o *Options) expires(item *mail.Item) time.Time {
	end := item.Expires
	if end.IsZero() {
		end = firstDue(item).Add(o.Lifetime)
	}
	if by := item.Envelope.By; by.Return && by.At.Before(end) {
		end = by.At // RFC 2852 section 4.1
	}
	return end
}

// warning is when the sender of an item should be told of a delay, and the age
// that it has then; 0 for never.
func (o *Options) warning(item *mail.Item) (time.Time, time.Duration) {
	first := firstDue(item)
	at, age := first.Add(o.WarnAfter), o.WarnAfter
	if by := item.Envelope.By; !by.At.IsZero() && !by.Return && (age <= 0 || by.At.Before(at)) {
		at, age = by.At, max(by.At.Sub(first), time.Nanosecond)
	}
	return at, age
}

// firstDue is when an item could first be tried: when we took it, or when its
// sender wanted it to go.
func firstDue(item *mail.Item) time.Time {
	at := item.Envelope.Received
	if at.IsZero() {
		at = item.ID.Time()
	}
	if item.Envelope.Release.After(at) {
		return item.Envelope.Release
	}
	return at
}
