package queue

import (
	"context"
	"slices"
	"time"

	"plic/internal/journal"
	"plic/internal/mail"
)

// gather is how long a sender waits at most to be told what became of some
// recipients, while others of the message are being tried: one report is
// better than a hundred. It is never longer than the time to the second try.
const gather = time.Minute

// hopReport is where items wait that have nothing left but fates to tell, so
// that no host that is down keeps them.
const hopReport mail.HopKind = "report"

// settle records a verdict, with what the postmaster has wished for meanwhile,
// and gives the item that goes on. It does not give up while ctx lasts: what
// was delivered must not be delivered again.
func (q *Queue) settle(ctx context.Context, item *mail.Item, v *verdict) *mail.Item {
	q.mu.Lock()
	q.claimed[item.ID] = true
	wished := q.wishes[item.ID]
	q.mu.Unlock()
	next, fates := q.outcome(item, v, wished)
	s, kin := Settlement{}, []mail.Item(nil)
	if later, others := q.tellLater(item, len(fates) > len(item.Fates)); later {
		next = keep(item, next, fates, q.o.Now().Add(min(gather, q.o.MinBackoff)))
	} else {
		kin = q.claimKin(ctx, others)
		next = told(next)
		s = q.tell(item, fates, kin)
	}
	s.put(item.ID, next)
	for pause := time.Second; ; pause = min(2*pause, time.Minute) {
		err := q.o.Custody.Settle(context.WithoutCancel(ctx), s)
		if err != nil {
			q.o.Log.Error("the result of a delivery could not be recorded", "item", item.ID, "message", item.Envelope.ID, "error", err)
			if sleep(ctx, pause) {
				continue
			}
			next = item
		}
		q.releaseKin(kin, err)
		return next
	}
}

// outcome is how an item goes on, nil when it is done, and what its sender is
// to be told.
func (q *Queue) outcome(item *mail.Item, v *verdict, wished wish) (*mail.Item, []mail.Fate) {
	next := v.item
	failed := slices.Concat(v.failed, v.expired)
	if next != nil {
		switch wished.kind {
		case wishHold:
			next.Hold, next.Why = true, wished.why
			q.event(journal.Hold, item, v.waiting, next.Attempts, 0)
		case wishReroute:
			q.reroute(next, wished.hop)
		case wishBounce:
			failed = append(failed, removed(v.waiting, q.o.Now())...)
		}
		if wished.kind == wishRemove || wished.kind == wishBounce {
			q.event(journal.Remove, item, v.waiting, next.Attempts, 0)
			next = nil
		}
	}
	fates := slices.Clone(item.Fates)
	fates = append(fates, fatesOf(item, mail.NotifySuccess, v.relayed)...)
	fates = append(fates, fatesOf(item, mail.NotifySuccess, v.untimed, untimed)...)
	fates = append(fates, fatesOf(item, mail.NotifyFailure, failed)...)
	if v.delayed && next != nil {
		fates = append(fates, fatesOf(item, mail.NotifyDelay, v.waiting)...)
	}
	return next, fates
}

// fatesOf are the fates of those recipients whose sender wants to know them.
func fatesOf(item *mail.Item, kind mail.Notify, rcpts []mail.ItemRcpt, and ...func(*mail.Fate)) (fates []mail.Fate) {
	if item.Report || item.Envelope.From.IsNull() { // RFC 5321 section 6.1
		return nil
	}
	for _, to := range rcpts {
		f := mail.Fate{Kind: kind, ItemRcpt: to}
		for _, more := range and {
			more(&f)
		}
		if f.Wanted(&item.Envelope) {
			fates = append(fates, f)
		}
	}
	return fates
}

func untimed(f *mail.Fate) { f.Untimed = true }

// tellLater says whether what became of an item is told together with news of
// others of its message. If not, others are those that have waited for it.
func (q *Queue) tellLater(item *mail.Item, news bool) (later bool, others []mail.ID) {
	q.mu.Lock()
	defer q.mu.Unlock()
	e := q.s.items[item.ID]
	if e == nil || e.family == nil {
		return false, nil
	}
	// What has waited is told now, in any case.
	if busy := len(item.Fates) == 0 && e.family.isBusy(e); busy {
		e.untold = news
		return news, nil
	}
	e.untold = false // before the lock is given up, so that no two wait for each other
	return false, e.family.untold(e)
}

// keep is an item that remembers fates until they are told, even if nothing
// else is to be done with it, until an instant.
func keep(item, next *mail.Item, fates []mail.Fate, until time.Time) *mail.Item {
	if next == nil {
		done := *item
		done.To, done.Due, done.Hop = nil, until, mail.Hop{Kind: hopReport}
		next = &done
	}
	next.Fates = fates
	return next
}

// told is an item whose fates are told.
func told(next *mail.Item) *mail.Item {
	if next != nil {
		next.Fates = nil
	}
	return next
}

// claimKin takes items out of the schedule that have fates to tell.
func (q *Queue) claimKin(ctx context.Context, ids []mail.ID) (kin []mail.Item) {
	for _, id := range ids {
		busy, err := q.claim(ctx, id, wish{})
		if busy || err != nil {
			continue
		}
		item, err := q.o.Custody.Item(ctx, id)
		if err == nil && len(item.Fates) > 0 {
			kin = append(kin, item)
			continue
		}
		after := &item
		if err != nil {
			after = nil
		}
		q.mu.Lock()
		q.release(id)
		q.back(id, after, err)
		q.mu.Unlock()
	}
	return kin
}

// tell makes one report of the fates of an item and of its kin.
func (q *Queue) tell(item *mail.Item, fates []mail.Fate, kin []mail.Item) (s Settlement) {
	for i := range kin {
		fates = append(fates, kin[i].Fates...)
		s.put(kin[i].ID, rest(&kin[i]))
	}
	if r, due := q.report(item, fates); due {
		s.Reports = append(s.Reports, r)
	}
	return s
}

// rest is an item after its fates were told; nil if nothing else is to be done.
func rest(item *mail.Item) *mail.Item {
	if len(item.To) == 0 {
		return nil
	}
	next := *item
	return told(&next)
}

// releaseKin puts kin back after their fates were told, or were not.
func (q *Queue) releaseKin(kin []mail.Item, err error) {
	if len(kin) == 0 {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	for i := range kin {
		after := &kin[i]
		if err == nil {
			after = rest(after)
		}
		q.release(kin[i].ID)
		q.back(kin[i].ID, after, nil)
	}
	q.poke()
}

// report asks for a report. If that panics there is none: what was delivered
// must be recorded all the same.
func (q *Queue) report(item *mail.Item, fates []mail.Fate) (r Report, due bool) {
	if len(fates) == 0 {
		return Report{}, false
	}
	defer func() {
		if p := recover(); p != nil {
			q.panicked(item, p)
			r, due = Report{}, false
		}
	}()
	return q.o.Reporter.Report(item, fates)
}

// removed are recipients that the postmaster gave up.
func removed(rcpts []mail.ItemRcpt, now time.Time) []mail.ItemRcpt {
	rcpts = slices.Clone(rcpts)
	for i := range rcpts {
		rcpts[i].Last = mail.Reply(554, "5.3.0", "removed from the queue by the postmaster")
		rcpts[i].Host, rcpts[i].Reason, rcpts[i].At = "", "", now
		rcpts[i].Fault = mail.FaultLocal
	}
	return rcpts
}
