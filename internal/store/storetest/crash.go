package storetest

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"plic/internal/mail"
	"plic/internal/store"
	"plic/internal/store/engine"
)

// CrashPlace is a place that can lose power.
type CrashPlace interface {
	// Open opens an engine over what is there.
	Open() engine.Engine
	// Crash puts in the place what might be left of it if power failed now. The
	// engine that is open goes on over what was there before.
	Crash(random *rand.Rand)
}

// RunCrash has many work on a store that loses power again and again: whatever
// was answered is there afterwards, what was not is there whole or not at all,
// no UID is given twice and no counter falls.
func RunCrash(t *testing.T, seed uint64, cycles int, place CrashPlace) {
	l := newLedger(seed, crashWorkers)
	for cycle := range cycles {
		s := newSite(t, place.Open)
		l.begin(s)
		if cycle > 0 {
			l.verify()
		}
		if t.Failed() {
			t.Fatalf("seed %d, after crash %d", seed, cycle)
		}
		l.work(func() { place.Crash(l.random) })
		s.ok(s.end())
	}
	s := newSite(t, place.Open)
	l.begin(s)
	l.verify()
}

const (
	crashWorkers  = 6
	crashAccounts = 4
)

// FaultPlace is a place whose writes can fail.
type FaultPlace interface {
	CrashPlace
	// FailAt makes the n-th write or sync from now on fail, once, with err.
	FailAt(n int, err error)
	// Failed says that it has.
	Failed() bool
}

// RunFault has one work on a store of which the n-th write fails, and lose power
// when the store stops. An error is engine.ErrFull, after which all is as it
// was and goes on, or engine.ErrFailed. It says whether the write came to pass.
func RunFault(t *testing.T, seed uint64, n int, err error, place FaultPlace) bool {
	l := newLedger(seed, 1)
	l.faulty = true
	s := newSite(t, place.Open)
	l.begin(s)
	l.left = 20
	place.FailAt(n, err)
	l.work(func() { place.Crash(l.random) })
	failed := place.Failed()
	place.FailAt(0, nil)
	s.end() // what it says does not matter any more
	s = newSite(t, place.Open)
	l.begin(s)
	l.verify()
	if t.Failed() {
		t.Fatalf("seed %d, write %d fails with %v", seed, n, err)
	}
	return failed
}

// ledger is what was answered, and what was begun.
type ledger struct {
	*site
	random  *rand.Rand
	workers []*crashWorker
	pairs   map[string]string     // mailbox, UIDVALIDITY and UID: which message
	counts  map[string]store.Info // of each mailbox, as they were last seen

	mu    sync.RWMutex // held whole while power fails
	left  int          // answers until then
	ended bool

	faulty bool // a write may fail
}

func newLedger(seed uint64, workers int) *ledger {
	l := &ledger{
		random: rand.New(rand.NewPCG(seed, 3)),
		pairs:  map[string]string{},
		counts: map[string]store.Info{},
	}
	for i := range workers {
		l.workers = append(l.workers, &crashWorker{l: l, n: i, copies: map[string]copyState{}, items: map[string]mail.ID{}, boxes: map[string]bool{}, noted: map[string]bool{}})
	}
	return l
}

// crashWorker changes only what is its own, so that it knows what must be.
type crashWorker struct {
	l      *ledger
	n      int
	serial int
	random *rand.Rand
	copies map[string]copyState // by account, mailbox and message
	items  map[string]mail.ID
	boxes  map[string]bool
	noted  map[string]bool // what has a note of the site, in one commit with it

	before, after string // what was answered, and with the change in progress
}

type copyState struct {
	account, box string
	uid          store.UID
	flagged      bool
}

func (l *ledger) begin(s *site) {
	l.site, l.ended = s, false
	l.left = 1 + l.random.IntN(60)
	for _, w := range l.workers {
		w.random = rand.New(rand.NewPCG(l.random.Uint64(), 4))
	}
	for i := range crashAccounts {
		s.account(accountName(i))
	}
}

func accountName(i int) string { return fmt.Sprintf("a%d", i) }

func (l *ledger) work(crash func()) {
	var all sync.WaitGroup
	for _, w := range l.workers {
		all.Go(func() {
			for w.step(crash) {
			}
		})
	}
	all.Wait()
}

// text says what is the worker's: a line for each thing.
func (w *crashWorker) text() string {
	var lines []string
	for key, c := range w.copies {
		lines = append(lines, fmt.Sprint(key, " flagged ", c.flagged))
	}
	for id := range w.items {
		lines = append(lines, "item "+id)
	}
	for name := range w.boxes {
		lines = append(lines, "mailbox "+name)
	}
	for id := range w.noted {
		lines = append(lines, "note of "+id)
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// change is one change: do makes it, and then changes the worker's own idea of
// what there is, if it was answered; plan is that change beforehand.
type change struct {
	plan func()
	do   func() error
}

// step makes one change; false when power has failed.
func (w *crashWorker) step(crash func()) bool {
	l := w.l
	c := w.choose()
	l.mu.RLock()
	if l.ended {
		l.mu.RUnlock()
		return false
	}
	w.before = w.text()
	copies, items, boxes, noted := maps.Clone(w.copies), maps.Clone(w.items), maps.Clone(w.boxes), maps.Clone(w.noted)
	c.plan()
	w.after = w.text()
	w.copies, w.items, w.boxes, w.noted = copies, items, boxes, noted
	l.mu.RUnlock()

	err := c.do()

	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return false
	}
	stopped := l.faulty && errors.Is(err, engine.ErrFailed)
	switch {
	case stopped: // the change is there whole, or not at all
	case l.faulty && (errors.Is(err, engine.ErrFull) || l.files && err != nil): // files of one account may fail alone
		w.after = w.before
	case err != nil:
		l.t.Errorf("worker %d: %v", w.n, err)
		l.ended = true
		return false
	default:
		c.plan()
		w.before, w.after = w.text(), w.text()
		l.see()
	}
	if l.left--; l.left > 0 && !stopped {
		return true
	}
	crash()
	l.ended = true
	return false
}

// see notes what is visible now: it must never fall.
func (l *ledger) see() {
	for i := range crashAccounts {
		for _, info := range l.account(accountName(i)).Mailboxes() {
			l.counts[accountName(i)+"/"+info.Name] = info
		}
	}
}

func (w *crashWorker) choose() change {
	keys := slices.Sorted(maps.Keys(w.copies))
	if len(keys) == 0 || w.random.IntN(3) == 0 {
		return w.deliver()
	}
	key := keys[w.random.IntN(len(keys))]
	switch w.random.IntN(6) {
	case 0:
		return w.flag(key)
	case 1, 2:
		return w.move(key)
	case 3:
		return w.expunge(key)
	case 4:
		return w.tree()
	default:
		return w.drop()
	}
}

func (w *crashWorker) id() string {
	w.serial++
	return fmt.Sprintf("w%d-%d", w.n, w.serial)
}

// deliver puts a message into several mailboxes and the queue.
func (w *crashWorker) deliver() change {
	id, now := w.id(), w.l.clock.now()
	accounts := w.random.Perm(crashAccounts)[:1+w.random.IntN(3)]
	size := 1 << w.random.IntN(18)
	item := mail.Item{ID: mail.NewID(now)}
	item.Envelope.EnvelopeID = id
	queued := w.random.IntN(2) == 0
	placed := make([]store.Placed, len(accounts))
	return change{
		plan: func() {
			for i, a := range accounts {
				w.copies[accountName(a)+"/INBOX "+id] = copyState{account: accountName(a), box: "INBOX", uid: placed[i].UID}
				w.note(accountName(a), placed[i], id)
			}
			if queued {
				w.items[id] = item.ID
			}
			w.noted[id] = true
		},
		do: func() error {
			d, err := w.l.NewDraft(w.l.ctx)
			if err != nil {
				return err
			}
			defer d.Discard()
			if _, err := fmt.Fprint(d, text(id), strings.Repeat("0123456789abcdef\r\n", size/18)); err != nil {
				return err
			}
			tx := w.l.Begin()
			for _, a := range accounts {
				tx.Deliver(w.l.mailbox(accountName(a), "INBOX"), store.Incoming{Draft: d})
			}
			if queued {
				item.Body, item.Size = d.ID(), d.Size()
				tx.PutItem(item)
			}
			tx.PutNote(w.l.Notes(), id, []byte(id))
			got, err := tx.Commit(w.l.ctx)
			copy(placed, got)
			return err
		},
	}
}

// note remembers which message a UID was given to. It is called under the lock
// of the ledger.
func (w *crashWorker) note(account string, p store.Placed, id string) {
	if p.UID != 0 {
		w.l.pair(account, p.Mailbox, p.UIDValidity, p.UID, id)
	}
}

func (l *ledger) pair(account, box string, validity uint32, uid store.UID, id string) {
	key := fmt.Sprint(account, "/", box, " ", validity, " ", uid)
	if had := l.pairs[key]; had != "" && had != id {
		l.t.Errorf("%s names %s and %s", key, had, id)
	}
	l.pairs[key] = id
}

func (w *crashWorker) flag(key string) change {
	c := w.copies[key]
	return change{
		plan: func() { c.flagged = true; w.copies[key] = c },
		do: func() error {
			_, _, err := w.l.mailbox(c.account, c.box).SetFlags(w.l.ctx, []store.UID{c.uid}, store.FlagsAdd, store.Flags{System: store.Flagged, Keywords: []string{"mine"}}, store.MaxModSeq)
			return err
		},
	}
}

func (w *crashWorker) move(key string) change {
	c := w.copies[key]
	_, id, _ := strings.Cut(key, " ")
	to := copyState{account: accountName(w.random.IntN(crashAccounts)), box: "Archive", flagged: c.flagged}
	if _, there := w.copies[to.account+"/Archive "+id]; there {
		return w.flag(key)
	}
	var placed store.Placed
	return change{
		plan: func() {
			delete(w.copies, key)
			to.uid = placed.UID
			w.copies[to.account+"/Archive "+id] = to
			w.note(to.account, placed, id)
		},
		do: func() error {
			_, dst, err := w.l.mailbox(c.account, c.box).Move(w.l.ctx, []store.UID{c.uid}, w.l.mailbox(to.account, to.box))
			if err == nil && len(dst) != 1 {
				err = fmt.Errorf("%s: %d messages moved", key, len(dst))
			}
			if err == nil {
				placed = dst[0]
			}
			return err
		},
	}
}

func (w *crashWorker) expunge(key string) change {
	c := w.copies[key]
	return change{
		plan: func() { delete(w.copies, key) },
		do: func() error {
			gone, err := w.l.mailbox(c.account, c.box).Expunge(w.l.ctx, []store.UID{c.uid}, false)
			if err == nil && len(gone) != 1 {
				err = fmt.Errorf("%s: %d messages expunged", key, len(gone))
			}
			return err
		},
	}
}

// tree makes, renames or removes a mailbox of the worker's own.
func (w *crashWorker) tree() change {
	account := accountName(w.n % crashAccounts)
	a := w.l.account(account)
	have := slices.Sorted(maps.Keys(w.boxes))
	next := w.id()
	if len(have) == 0 || w.random.IntN(2) == 0 {
		return change{
			plan: func() { w.boxes[account+"/"+next] = true },
			do:   func() error { return a.Create(w.l.ctx, next, "") },
		}
	}
	old := have[0]
	_, name, _ := strings.Cut(old, "/")
	if w.random.IntN(2) == 0 {
		return change{
			plan: func() { delete(w.boxes, old) },
			do:   func() error { return a.Delete(w.l.ctx, name) },
		}
	}
	return change{
		plan: func() { delete(w.boxes, old); w.boxes[account+"/"+next] = true },
		do:   func() error { return a.Rename(w.l.ctx, name, next) },
	}
}

// drop takes an item out of the queue.
func (w *crashWorker) drop() change {
	ids := slices.Sorted(maps.Keys(w.items))
	if len(ids) == 0 {
		return w.deliver()
	}
	return change{
		plan: func() { delete(w.items, ids[0]) },
		do: func() error {
			tx := w.l.Begin()
			tx.DropItem(w.items[ids[0]])
			_, err := tx.Commit(w.l.ctx)
			return err
		},
	}
}

var errNotSubject = errors.New("a message without a name")

// verify compares what is there with the ledger, and goes on from it.
func (l *ledger) verify() {
	l.t.Helper()
	for _, w := range l.workers {
		w.copies, w.items, w.boxes, w.noted = map[string]copyState{}, map[string]mail.ID{}, map[string]bool{}, map[string]bool{}
	}
	for i := range crashAccounts {
		for _, info := range l.account(accountName(i)).Mailboxes() {
			l.verifyMailbox(accountName(i), info)
		}
	}
	for _, item := range l.items() {
		id := item.Envelope.EnvelopeID
		l.owner(id).items[id] = item.ID
		b, err := l.OpenBody(l.ctx, item.Body)
		l.ok(err)
		if !strings.HasPrefix(l.body(b), text(id)) {
			l.t.Errorf("item %s has another body", id)
		}
		l.ok(b.Close())
	}
	notes, err := l.Notes().All(l.ctx, "")
	l.ok(err)
	for _, n := range notes {
		l.owner(n.Key).noted[n.Key] = true
	}
	for _, w := range l.workers {
		if got := w.text(); got != w.before && got != w.after && !(l.files && between(got, w.before, w.after)) {
			l.t.Errorf("worker %d: there is\n%s\nanswered was\n%s\nand with what was in progress\n%s", w.n, got, w.before, w.after)
		}
	}
}

func (l *ledger) owner(id string) *crashWorker {
	var n, serial int
	if _, err := fmt.Sscanf(id, "w%d-%d", &n, &serial); err != nil || n >= len(l.workers) {
		l.t.Fatalf("%v: %q", errNotSubject, id)
	}
	return l.workers[n]
}

func (l *ledger) verifyMailbox(account string, info store.Info) {
	l.t.Helper()
	full := account + "/" + info.Name
	if had, ok := l.counts[full]; ok && (info.UIDValidity < had.UIDValidity || info.UIDValidity == had.UIDValidity &&
		(info.UIDNext < had.UIDNext || info.HighestModSeq < had.HighestModSeq)) {
		l.t.Errorf("%s: counters fell from %+v to %+v", full, had, info)
	}
	m := l.mailbox(account, info.Name)
	l.recount(m)
	snap := l.snapshot(m)
	for _, e := range snap.All() {
		body := l.read(m, e.UID)
		_, rest, _ := strings.Cut(body, "Subject: ")
		id, _, _ := strings.Cut(rest, "\r\n")
		if !strings.HasPrefix(body, text(id)) || int64(len(body)) != e.Size {
			l.t.Errorf("%s: UID %d is damaged", full, e.UID)
		}
		flagged := flagNames(snap.Flags(e)) == `\Flagged mine`
		key := full + " " + id
		if _, twice := l.owner(id).copies[key]; twice {
			l.t.Errorf("%s: %s is there twice", full, id)
		}
		l.owner(id).copies[key] = copyState{account, info.Name, e.UID, flagged}
		l.pair(account, info.Name, info.UIDValidity, e.UID, id)
	}
	if strings.HasPrefix(info.Name, "w") {
		l.owner(info.Name).boxes[full] = true
	}
}
