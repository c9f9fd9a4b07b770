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

// expires is when an item is given up.
func (o *Options) expires(item *mail.Item) time.Time {
	if item.Expires.IsZero() {
		return received(item).Add(o.Lifetime)
	}
	return item.Expires
}

// received is when we took an item.
func received(item *mail.Item) time.Time {
	if item.Envelope.Received.IsZero() {
		return item.ID.Time()
	}
	return item.Envelope.Received
}
