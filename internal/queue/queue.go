// Package queue keeps mail for other hosts until it is gone: it decides when
// each item is tried, how many at once and for how long, hands it to the
// transport of its hop, and records what became of every recipient in one
// commit. It knows no protocol and no mailbox, and keeps nothing durable of its
// own: the items are its Custody's.
//
// All decisions about time and order are made by schedule, a state machine
// without clock, goroutines or I/O; all about the fate of recipients by judge.
// What surrounds them only carries things back and forth. The schedule knows a
// bounded number of items; of more the others are found in the Custody when there
// is room and their time has come.
//
// Between the moment a remote host takes a message and the moment Settle has
// recorded that, a crash leads to one more copy; nothing is ever lost.
//
// RFC 5321 section 4.5.4.1 (retries, give-up time), RFC 3461 section 5 (which
// reports are due).
package queue

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"sync"
	"time"

	"plic/internal/journal"
	"plic/internal/mail"
)

// ErrNotFound is (or is wrapped by) what Custody.Item says of an item that is
// not, or no longer, in the queue.
var ErrNotFound = errors.New("no such item in the queue")

// Transport takes items one hop further.
type Transport interface {
	// Deliver tries to deliver the message to every recipient of the item and
	// gives one Outcome for each, in order. The body includes the prefix.
	Deliver(ctx context.Context, item *mail.Item, body mail.Body) []mail.Outcome
}

// Custody holds the items and their bodies durably.
type Custody interface {
	// Items gives every item.
	Items(ctx context.Context) iter.Seq2[mail.Item, error]
	// Item gives one item; ErrNotFound.
	Item(ctx context.Context, id mail.ID) (mail.Item, error)
	// OpenBody gives an item's prefix and body as one.
	OpenBody(ctx context.Context, item *mail.Item) (mail.Body, error)
	// Settle makes a Settlement happen, whole or not at all, and returns when
	// it is on stable storage.
	Settle(ctx context.Context, s Settlement) error
}

// Settlement is what follows from one try, or from the postmaster's word: one
// atomic commit.
type Settlement struct {
	Put     []mail.Item // items as they go on
	Drop    []mail.ID   // items that are done
	Reports []Report    // for their sender
}

// put adds an item as it goes on, or drops it when there is nothing to be done.
func (s *Settlement) put(id mail.ID, item *mail.Item) {
	if item == nil {
		s.Drop = append(s.Drop, id)
		return
	}
	s.Put = append(s.Put, *item)
}

// Report is a message of our own to the sender of another.
type Report = mail.Report

// Reporter writes delivery status notifications.
type Reporter interface {
	// Report tells the sender of an item what became of recipients of its
	// message. Their senders want to know it: they failed for good
	// (NotifyFailure), are late (NotifyDelay), or were handed to a host that
	// will not report itself (NotifySuccess). False means that no report is due.
	Report(item *mail.Item, fates []mail.Fate) (Report, bool)
}

// Options are what a Queue works with. Custody, Reporter and Transports must
// be set; the zero value of the others is a default.
type Options struct {
	Custody    Custody
	Reporter   Reporter
	Transports map[mail.HopKind]Transport
	Journal    *journal.Journal
	Log        *slog.Logger
	Now        func() time.Time // the wall clock
	// Gone is told of each recipient of whom a host said that there is no such
	// mailbox; nil for nobody.
	Gone func(item *mail.Item, to mail.ItemRcpt)

	Known       int           // items in memory at most; 100,000
	Active      int           // deliveries at once; 500
	StartWindow int           // deliveries to one hop at once, to begin with; 5
	MaxWindow   int           // and at most; 20
	MinBackoff  time.Duration // from the first try to the second; 5 min
	MaxBackoff  time.Duration // between later ones; 1 h
	WarnAfter   time.Duration // when the sender is told of a delay; 4 h, negative for never
	Lifetime    time.Duration // of items without a time of expiry; 5 days
	Grace       time.Duration // for deliveries to end when Run is told to; 30 s, negative for none
}

func (o *Options) defaults() {
	setDefault(&o.Known, 100_000)
	setDefault(&o.Active, 500)
	setDefault(&o.StartWindow, 5)
	setDefault(&o.MaxWindow, 20)
	setDefault(&o.MinBackoff, 5*time.Minute)
	setDefault(&o.MaxBackoff, time.Hour)
	setDefault(&o.WarnAfter, 4*time.Hour)
	setDefault(&o.Lifetime, 5*24*time.Hour)
	setDefault(&o.Grace, 30*time.Second)
	o.MaxWindow = max(o.MaxWindow, o.StartWindow)
	o.MaxBackoff = max(o.MaxBackoff, o.MinBackoff)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
}

func setDefault[T comparable](v *T, to T) {
	var zero T
	if *v == zero {
		*v = to
	}
}

// maxKept bounds how many recipients the items hold together that are kept in
// memory between Added and their first try; the others are read again.
const maxKept = 20000

// Queue is the queue of one site. Make it with New. Its methods may be called
// at any time, whether it runs or not.
type Queue struct {
	o    Options
	wake chan struct{} // capacity 1: the schedule has changed

	mu      sync.Mutex
	s       *schedule
	wishes  map[mail.ID]wish       // for items that are being tried
	claimed map[mail.ID]bool       // items that are being settled
	changed chan struct{}          // closed and renewed when a claim ends
	fresh   map[mail.ID]*mail.Item // whole items of maxKept recipients at most
	kept    int
}

// New makes a Queue that does nothing until Run.
func New(o Options) *Queue {
	o.defaults()
	return &Queue{
		o: o, wake: make(chan struct{}, 1), s: newSchedule(&o), changed: make(chan struct{}),
		wishes: map[mail.ID]wish{}, claimed: map[mail.ID]bool{}, fresh: map[mail.ID]*mail.Item{},
	}
}

// Added tells the queue of items that were committed, so that they are tried
// at once. Without it they are found at the next start.
func (q *Queue) Added(items ...mail.Item) {
	q.mu.Lock()
	now := q.o.Now()
	for i := range items {
		item := &items[i]
		if q.claimed[item.ID] || !q.s.add(item, now) {
			continue
		}
		if cost := len(item.To); !item.Hold && q.kept+cost <= maxKept {
			kept := *item
			q.fresh[item.ID] = &kept
			q.kept += cost
		}
	}
	q.mu.Unlock()
	q.poke()
}

func (q *Queue) poke() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// Run delivers until ctx is done. Then it starts nothing more, gives the
// deliveries at work Options.Grace to end, cancels the rest, and returns when
// all of them have ended and what they did is recorded.
func (q *Queue) Run(ctx context.Context) error {
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	var workers sync.WaitGroup
	q.mu.Lock()
	q.s.startSweep(q.o.Now())
	q.mu.Unlock()
	workers.Go(func() { q.sweep(ctx) })
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		q.mu.Lock()
		now := q.o.Now()
		starts := q.s.next(now)
		if q.s.beginSweep(now) {
			workers.Go(func() { q.sweep(ctx) })
		}
		wait := q.s.wait(now)
		q.mu.Unlock()
		q.parties(starts)
		for _, start := range starts {
			workers.Go(func() { q.try(work, start) })
		}
		timer.Reset(wait)
		select {
		case <-ctx.Done():
		case <-q.wake:
		case <-timer.C:
		}
	}
	end := time.AfterFunc(q.o.Grace, cancel)
	defer end.Stop()
	workers.Wait()
	return nil
}

// sleep waits; false when ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
