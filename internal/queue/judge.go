package queue

import (
	"slices"
	"time"

	"plic/internal/mail"
)

// health is what a try says about its hop.
type health uint8

const (
	unknown health = iota
	up             // a host answered
	down           // none did, or it wants no mail from us now
)

// verdict is what follows from one try.
type verdict struct {
	health  health
	item    *mail.Item      // as it goes on, nil when it is done
	relayed []mail.ItemRcpt // and nobody else will report it
	taken   []mail.ItemRcpt // all that were relayed
	failed  []mail.ItemRcpt
	expired []mail.ItemRcpt
	waiting []mail.ItemRcpt
	delayed bool // waiting, and long enough to tell the sender
}

// judge decides the fate of every recipient after a try. The item is changed
// only in the copy that the verdict holds.
func (o *Options) judge(item *mail.Item, outcomes []mail.Outcome, tries int, now time.Time) verdict {
	v := verdict{health: healthOf(outcomes)}
	for i, to := range item.To {
		out := outcomes[i]
		to.Last, to.Host, to.At, to.Reason = out.Status, out.Host, now, ""
		if out.Err != nil {
			to.Reason = out.Err.Error()
		}
		switch out.Status.Class() {
		case mail.Success:
			v.taken = append(v.taken, to)
			if !out.Reports {
				v.relayed = append(v.relayed, to)
			}
		case mail.Permanent:
			v.failed = append(v.failed, to)
		default:
			v.waiting = append(v.waiting, to)
		}
	}
	if len(v.waiting) == 0 {
		return v
	}
	expires := o.expires(item)
	if !now.Before(expires) && tries >= o.enough(expires.Sub(received(item))) {
		v.expired, v.waiting = v.waiting, nil
		return v
	}
	next := *item
	next.To, next.Attempts = v.waiting, tries
	if !item.Warned && o.late(received(item), tries, now) {
		v.delayed, next.Warned = true, true
	}
	next.Due = now.Add(o.retryAfter(item.ID, tries))
	if now.Before(expires) && next.Due.After(expires) {
		next.Due = expires // one last time
	}
	v.item = &next
	return v
}

// late says whether the sender should be told of a delay.
func (o *Options) late(received time.Time, tries int, now time.Time) bool {
	return o.WarnAfter > 0 && !now.Before(received.Add(o.WarnAfter)) && tries >= o.enough(o.WarnAfter)
}

// healthOf: a hop is down when nobody there said anything, or only that the
// service is not available (RFC 5321 section 3.8).
func healthOf(outcomes []mail.Outcome) health {
	if len(outcomes) == 0 {
		return unknown
	}
	if !slices.ContainsFunc(outcomes, func(o mail.Outcome) bool {
		return !o.Status.Temporary() || o.Host != "" && o.Status.Code != 421
	}) {
		return down
	}
	if slices.ContainsFunc(outcomes, func(o mail.Outcome) bool { return o.Host != "" }) {
		return up
	}
	return unknown
}

// whole makes outcomes that a broken transport gave fit the recipients: one
// for each, with a class.
func whole(outcomes []mail.Outcome, n int) []mail.Outcome {
	fit := make([]mail.Outcome, n)
	for i := range fit {
		if i < len(outcomes) {
			fit[i] = outcomes[i]
		}
		switch fit[i].Status.Class() {
		case mail.Success, mail.Transient, mail.Permanent:
		default:
			fit[i].Status = mail.Reply(451, "4.3.0", "the delivery ended without a result")
		}
	}
	return fit
}
