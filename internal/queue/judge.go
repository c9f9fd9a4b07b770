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
	busy           // one said that it has too much to do
	down           // none answered
)

// verdict is what follows from one try.
type verdict struct {
	health  health
	item    *mail.Item      // as it goes on, nil when it is done
	relayed []mail.ItemRcpt // and nobody else will report it
	untimed []mail.ItemRcpt // relayed to a host that may take longer than the sender wants
	taken   []mail.ItemRcpt // all that were relayed
	failed  []mail.ItemRcpt
	expired []mail.ItemRcpt
	waiting []mail.ItemRcpt
	delayed bool // waiting, and long enough to tell the sender
}

// judge decides the fate of every recipient after a try that began at an
// instant. The item is changed only in the copy that the verdict holds.
func (o *Options) judge(item *mail.Item, outcomes []mail.Outcome, tries int, began, now time.Time) verdict {
	v := verdict{health: healthOf(outcomes)}
	for i, to := range item.To {
		out := outcomes[i]
		to.Last, to.Host, to.At, to.Fault, to.Reason = out.Status, out.Host, now, out.Fault, ""
		if out.Err != nil {
			to.Reason = out.Err.Error()
		}
		switch out.Status.Class() {
		case mail.Success:
			v.taken = append(v.taken, to)
			switch by := &item.Envelope.By; {
			case !by.At.IsZero() && !by.Return && out.Host != "" && !out.Timed: // RFC 2852 section 4.1.4.2
				v.untimed = append(v.untimed, to)
			case !out.Reports || by.Trace: // RFC 2852 section 4.1.4
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
	if !now.Before(expires) && tries >= o.enough(expires.Sub(firstDue(item))) {
		v.expired, v.waiting = v.waiting, nil
		return v
	}
	next := *item
	next.To, next.Attempts = v.waiting, tries
	remember(&next, outcomes, tries, began, now)
	if at, age := o.warning(item); age > 0 && !item.Warned && o.late(at, age, tries, now) {
		v.delayed, next.Warned = true, true
	}
	next.Due = now.Add(o.nextTry(spread(item), outcomes, tries))
	if now.Before(expires) && next.Due.After(expires) {
		next.Due = expires // one last time
	}
	v.item = &next
	return v
}

// remember notes a try in an item, once for each way in which it ended.
func remember(item *mail.Item, outcomes []mail.Outcome, tries int, began, now time.Time) {
	for left := slices.Clone(outcomes); len(left) > 0; {
		first := left[0]
		n := len(left)
		left = slices.DeleteFunc(left, func(o mail.Outcome) bool { return o.Status == first.Status && o.Remote == first.Remote })
		t := mail.Try{
			At: now, Took: now.Sub(began), Number: tries, To: n - len(left), Host: first.Host, Remote: first.Remote, TLS: first.TLS,
			Status: first.Status, Fault: first.Fault,
		}
		if first.Err != nil {
			t.Reason = first.Err.Error()
		}
		item.Tried(t)
	}
}

// nextTry is the time to the next try. A host that greylists is asked again
// soon, when no other trouble is left.
func (o *Options) nextTry(id mail.ID, outcomes []mail.Outcome, tries int) time.Duration {
	var said time.Duration
	grey := false
	for _, out := range outcomes {
		if !out.Status.Temporary() {
			continue
		}
		if out.Fault != mail.FaultGreylist {
			return o.retryAfter(id, tries)
		}
		grey, said = true, max(said, out.After)
	}
	if !grey {
		return o.retryAfter(id, tries)
	}
	return o.greyAfter(id, tries, said)
}

// late says whether the sender should be told of a delay: at the instant at
// which the item has the age that is one.
func (o *Options) late(at time.Time, age time.Duration, tries int, now time.Time) bool {
	return age > 0 && !now.Before(at) && tries >= o.enough(age)
}

// healthOf: a hop is down when nobody there said anything, and busy when all
// that was said is that the service is not available now (RFC 5321 section
// 3.8), or that we ask too much of it.
func healthOf(outcomes []mail.Outcome) health {
	said, served := false, false
	for _, o := range outcomes {
		said = said || o.Host != "" || o.Apart
		served = served || o.Apart || !o.Status.Temporary() || o.Host != "" && o.Status.Code != 421
	}
	switch {
	case len(outcomes) == 0:
		return unknown
	case !served && said:
		return busy
	case !served:
		return down
	case said:
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
			fit[i].Status, fit[i].Fault = mail.Reply(451, "4.3.0", "the delivery ended without a result"), mail.FaultLocal
		}
	}
	return fit
}
