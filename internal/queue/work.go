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
type wish struct {
	kind wishKind
	why  string   // of wishHold
	hop  mail.Hop // of wishReroute
}

type wishKind uint8

const (
	none wishKind = iota
	wishReroute
	wishHold
	wishRemove
	wishBounce
)

// try carries out one start, from reading the item to telling the schedule.
// Whatever goes wrong, the item is tried again.
func (q *Queue) try(ctx context.Context, one start) {
	one.joins = one.party != nil
	defer q.stayAway(ctx, &one)
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
	outcomes, local := q.deliver(ctx, &item, &one)
	q.stayAway(ctx, &one)
	if ctx.Err() != nil && !slices.ContainsFunc(outcomes, settled) {
		q.stopped(ctx, &item) // this was no try
		return
	}
	v := q.o.judge(&item, outcomes, one.tries+1, began, q.o.Now())
	if said = v.health; local {
		said = unknown
	}
	if said == down || said == busy {
		last = outcomes[0]
	}
	next = q.settle(ctx, &item, &v)
	q.record(&item, &v, one.tries+1, q.o.Now().Sub(began))
	q.gone(&item, v.failed)
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
func (q *Queue) deliver(ctx context.Context, item *mail.Item, one *start) (outcomes []mail.Outcome, local bool) {
	if one.shared {
		return slices.Repeat([]mail.Outcome{one.last}, len(item.To)), true
	}
	fail := func(status mail.Status, err error) ([]mail.Outcome, bool) {
		return slices.Repeat([]mail.Outcome{{Status: status, Fault: mail.FaultLocal, Err: err}}, len(item.To)), true
	}
	if len(item.To) == 0 { // only its sender is to be told
		return nil, true
	}
	if by := item.Envelope.By; by.Return && !q.o.Now().Before(by.At) {
		return fail(mail.Reply(554, "5.4.7", "the time within which the sender wanted it delivered is over"), nil)
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
	if joiner, ok := transport.(Joiner); ok && one.joins && item.Hop.Kind == one.kind {
		one.joins = false
		return whole(one.party.join(ctx, joiner, item, body), len(item.To)), false
	}
	q.stayAway(ctx, one)
	return whole(transport.Deliver(ctx, item, body), len(item.To)), false
}

// stayAway lets the party leave without an item that was to join it and did not.
func (q *Queue) stayAway(ctx context.Context, one *start) {
	if one.joins {
		one.joins = false
		one.party.arrive(ctx, q.o.Transports[one.kind].(Joiner))
	}
}

// stopped is the end of a try that was cut short by the stop of the queue:
// only what the postmaster has wished for is recorded.
func (q *Queue) stopped(ctx context.Context, item *mail.Item) {
	q.mu.Lock()
	wished := q.wishes[item.ID]
	q.mu.Unlock()
	if wished.kind != none {
		same := *item
		q.settle(ctx, item, &verdict{item: &same, waiting: item.To})
	}
}

// later is the item for another try, after a fault of ours that is nobody
// else's business.
func (q *Queue) later(item *mail.Item, one start) *mail.Item {
	if item.ID.IsZero() {
		return q.reread(one)
	}
	next := *item
	next.Attempts = one.tries + 1
	next.Due = q.o.Now().Add(q.o.retryAfter(spread(item), next.Attempts))
	return &next
}

// reread is what the schedule needs of an item that could not be read.
func (q *Queue) reread(one start) *mail.Item {
	q.mu.Lock()
	defer q.mu.Unlock()
	e := q.s.items[one.id]
	item := &mail.Item{ID: one.id, Hop: e.hop.key, Size: int64(e.kib) << 10, Attempts: one.tries, Warned: e.warned,
		Expires: e.expires.time(), Due: q.o.Now().Add(q.o.MinBackoff)}
	item.Envelope.Received = e.received.time()
	return item
}

// gone tells of recipients who failed because there is no such mailbox.
func (q *Queue) gone(item *mail.Item, failed []mail.ItemRcpt) {
	if q.o.Gone == nil {
		return
	}
	for _, to := range failed {
		if to.Fault == mail.FaultMailbox && to.Host != "" {
			q.o.Gone(item, to)
		}
	}
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
		e.Status, e.Fault, e.Reason = rcpts[0].Last.String(), rcpts[0].Fault, rcpts[0].Reason
		if rcpts[0].Host != "" {
			e.Host = rcpts[0].Host
		}
	}
	for _, to := range rcpts {
		e.To = append(e.To, to.Address.String())
	}
	q.o.Journal.Record(e)
}
