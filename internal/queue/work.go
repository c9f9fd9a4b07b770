package queue

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"time"

	"plic/internal/journal"
	"plic/internal/mail"
)

// wish is what the postmaster wants with an item that is being tried.
type wish uint8

const (
	none wish = iota
	wishHold
	wishRemove
	wishBounce
)

// try carries out one start, from reading the item to telling the schedule.
// Whatever goes wrong, the item is tried again.
func (q *Queue) try(ctx context.Context, one start) {
	var item mail.Item
	next, said, last := &item, unknown, mail.Outcome{}
	defer func() {
		if p := recover(); p != nil {
			q.panicked(&item, p)
			next = q.later(&item, one)
		}
		q.mu.Lock()
		delete(q.wishes, one.id)
		q.release(one.id)
		q.s.done(one, next, said, last, q.o.Now())
		q.mu.Unlock()
		q.poke()
	}()
	item, err := q.take(ctx, one.id)
	if errors.Is(err, ErrNotFound) {
		next = nil
		return
	}
	if err != nil {
		q.o.Log.Error("a queue item could not be read", "item", one.id, "error", err)
		item.ID = one.id
		next = q.reread(one)
		return
	}
	if item.Hold {
		return
	}
	began := q.o.Now()
	outcomes, local := q.deliver(ctx, &item, one)
	if ctx.Err() != nil && !slices.ContainsFunc(outcomes, settled) {
		q.stopped(ctx, &item) // this was no try
		return
	}
	v := q.o.judge(&item, outcomes, one.tries+1, q.o.Now())
	if said = v.health; local {
		said = unknown
	}
	if said == down {
		last = outcomes[0]
	}
	next = q.settle(ctx, &item, &v)
	q.record(&item, &v, one.tries+1, q.o.Now().Sub(began))
}

// settled says that an outcome must be recorded.
func settled(o mail.Outcome) bool { return !o.Status.Temporary() }

// take gives the whole item: as it was added, or else from the custody.
func (q *Queue) take(ctx context.Context, id mail.ID) (mail.Item, error) {
	if item := q.takeFresh(id); item != nil {
		return *item, nil
	}
	return q.o.Custody.Item(ctx, id)
}

func (q *Queue) takeFresh(id mail.ID) *mail.Item {
	q.mu.Lock()
	defer q.mu.Unlock()
	item := q.fresh[id]
	if item != nil {
		delete(q.fresh, id)
		q.kept -= len(item.To)
	}
	return item
}

// deliver gives one outcome for each recipient. local says that the trouble is
// ours and tells nothing about the hop.
func (q *Queue) deliver(ctx context.Context, item *mail.Item, one start) (outcomes []mail.Outcome, local bool) {
	if one.shared {
		return slices.Repeat([]mail.Outcome{one.last}, len(item.To)), true
	}
	fail := func(status mail.Status, err error) ([]mail.Outcome, bool) {
		return slices.Repeat([]mail.Outcome{{Status: status, Err: err}}, len(item.To)), true
	}
	transport := q.o.Transports[item.Hop.Kind]
	if transport == nil {
		return fail(mail.Reply(451, "4.3.5", "no way to send this kind of mail is configured"), fmt.Errorf("no transport for hops of kind %q", item.Hop.Kind))
	}
	body, err := q.o.Custody.OpenBody(ctx, item)
	if err != nil {
		return fail(mail.Reply(451, "4.3.0", "the message cannot be read now"), err)
	}
	defer body.Close()
	defer func() {
		if p := recover(); p != nil {
			q.panicked(item, p)
			outcomes, local = fail(mail.Reply(451, "4.3.0", "the delivery failed by a fault of ours"), fmt.Errorf("panic: %v", p))
		}
	}()
	return whole(transport.Deliver(ctx, item, body), len(item.To)), false
}

// settle records a verdict, with what the postmaster has wished for meanwhile,
// and gives the item that goes on. It does not give up while ctx lasts: what
// was delivered must not be delivered again.
func (q *Queue) settle(ctx context.Context, item *mail.Item, v *verdict) *mail.Item {
	q.mu.Lock()
	q.claimed[item.ID] = true
	wished := q.wishes[item.ID]
	q.mu.Unlock()
	s := q.settlement(item, v, wished)
	for pause := time.Second; ; pause = min(2*pause, time.Minute) {
		err := q.o.Custody.Settle(context.WithoutCancel(ctx), s)
		if err == nil {
			return s.Put
		}
		q.o.Log.Error("the result of a delivery could not be recorded", "item", item.ID, "message", item.Envelope.ID, "error", err)
		if !sleep(ctx, pause) {
			return item
		}
	}
}

func (q *Queue) settlement(item *mail.Item, v *verdict, wished wish) Settlement {
	var s Settlement
	report := func(kind mail.Notify, rcpts []mail.ItemRcpt) {
		if r, due := q.report(item, kind, rcpts); due {
			s.Reports = append(s.Reports, r)
		}
	}
	s.Put = v.item
	failed := slices.Concat(v.failed, v.expired)
	switch {
	case s.Put == nil:
	case wished == wishHold:
		s.Put.Hold = true
		q.event(journal.Hold, item, v.waiting, s.Put.Attempts, 0)
	case wished == wishBounce:
		failed = append(failed, removed(v.waiting, q.o.Now())...)
		s.Put = nil
	case wished == wishRemove:
		s.Put = nil
	}
	if s.Put == nil {
		s.Drop = item.ID
	}
	if s.Put != v.item {
		q.event(journal.Remove, item, v.waiting, v.item.Attempts, 0)
	}
	report(mail.NotifySuccess, v.relayed)
	report(mail.NotifyFailure, failed)
	if v.delayed && s.Put != nil {
		report(mail.NotifyDelay, v.waiting)
	}
	return s
}

// report asks for a report on those recipients whose sender wants it. If that
// panics there is none: what was delivered must be recorded all the same.
func (q *Queue) report(item *mail.Item, kind mail.Notify, rcpts []mail.ItemRcpt) (r Report, due bool) {
	rcpts = slices.Clone(rcpts)
	rcpts = slices.DeleteFunc(rcpts, func(to mail.ItemRcpt) bool { return !to.Notify.Wants(kind) })
	if len(rcpts) == 0 {
		return Report{}, false
	}
	defer func() {
		if p := recover(); p != nil {
			q.panicked(item, p)
			r, due = Report{}, false
		}
	}()
	return q.o.Reporter.Report(item, kind, rcpts)
}

// stopped is the end of a try that was cut short by the stop of the queue:
// only what the postmaster has wished for is recorded.
func (q *Queue) stopped(ctx context.Context, item *mail.Item) {
	q.mu.Lock()
	wished := q.wishes[item.ID]
	q.mu.Unlock()
	if wished != none {
		same := *item
		q.settle(ctx, item, &verdict{item: &same, waiting: item.To})
	}
}

// removed are recipients that the postmaster gave up.
func removed(rcpts []mail.ItemRcpt, now time.Time) []mail.ItemRcpt {
	rcpts = slices.Clone(rcpts)
	for i := range rcpts {
		rcpts[i].Last = mail.Reply(554, "5.3.0", "removed from the queue by the postmaster")
		rcpts[i].Host, rcpts[i].Reason, rcpts[i].At = "", "", now
	}
	return rcpts
}

// later is the item for another try, after a fault of ours that is nobody
// else's business.
func (q *Queue) later(item *mail.Item, one start) *mail.Item {
	if item.ID.IsZero() {
		return q.reread(one)
	}
	next := *item
	next.Attempts = one.tries + 1
	next.Due = q.o.Now().Add(q.o.retryAfter(item.ID, next.Attempts))
	return &next
}

// reread is what the schedule needs of an item that could not be read.
func (q *Queue) reread(one start) *mail.Item {
	q.mu.Lock()
	defer q.mu.Unlock()
	e := q.s.items[one.id]
	item := &mail.Item{ID: one.id, Size: e.size, Attempts: one.tries, Warned: e.warned,
		Expires: time.Unix(0, e.expires), Due: q.o.Now().Add(q.o.MinBackoff)}
	item.Envelope.Received = time.Unix(0, e.received)
	return item
}

func (q *Queue) panicked(item *mail.Item, p any) {
	q.o.Log.Error("panic in a delivery", "item", item.ID, "message", item.Envelope.ID, "panic", p, "stack", string(debug.Stack()))
	q.o.Journal.Record(journal.Event{Kind: journal.Panic, Service: "queue", Message: item.Envelope.ID, Reason: fmt.Sprint(p)})
}

// record writes the fate of every recipient into the journal, those with the
// same fate together.
func (q *Queue) record(item *mail.Item, v *verdict, tries int, took time.Duration) {
	for _, part := range []struct {
		kind  string
		rcpts []mail.ItemRcpt
	}{{journal.Relayed, v.taken}, {journal.Bounce, v.failed}, {journal.Expire, v.expired}, {journal.Defer, v.waiting}} {
		for left := part.rcpts; len(left) > 0; {
			same := 1
			for same < len(left) && left[same].Last == left[0].Last && left[same].Host == left[0].Host {
				same++
			}
			q.event(part.kind, item, left[:same], tries, took)
			left = left[same:]
		}
	}
	if v.delayed {
		q.event(journal.Delay, item, v.waiting, tries, took)
	}
}

func (q *Queue) event(kind string, item *mail.Item, rcpts []mail.ItemRcpt, tries int, took time.Duration) {
	e := journal.Event{
		Kind: kind, Service: "queue", Message: item.Envelope.ID, From: item.Envelope.From.String(),
		Size: item.Size, Attempt: tries, Took: took, Host: item.Hop.Host,
	}
	if len(rcpts) > 0 {
		e.Status, e.Reason = rcpts[0].Last.String(), rcpts[0].Reason
		if rcpts[0].Host != "" {
			e.Host = rcpts[0].Host
		}
	}
	for _, to := range rcpts {
		e.To = append(e.To, to.Address.String())
	}
	q.o.Journal.Record(e)
}
