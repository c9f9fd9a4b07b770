package store

import (
	"context"
	"encoding/binary"
	"errors"
	"maps"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"plic/internal/mail"
	"plic/internal/pace"
	"plic/internal/store/engine"
)

// Of messages that other programs have put there by the thousand, the first look
// finds what the index must have. The summaries are made when somebody asks for
// them, and for all others in the background; once made they are kept. A note of
// the mailbox says from which UID on some may be to be made. It is put down in the
// commit with the messages, moves on in the commits with their summaries, and goes
// with the last: so after a crash it is gone on with where it was.

// pendingNote is the key of that note.
const pendingNote = "pending/from"

const (
	pendingMany   = 256     // messages analysed for who asks, at a time
	pendingSlice  = 64      // in the background
	pendingTries  = 1024    // messages in a row that cannot be read end the work for now
	pendingOctets = 4 << 20 // of summaries that are in memory until they are kept

	pendingAgain = time.Minute // after an error

	fewMany   = 64 // found messages that are analysed before they are shown
	fewOctets = 1 << 20
)

// analysis is a message to be analysed.
type analysis struct {
	*engine.Detailed
	body mail.ID
	err  error
}

// run makes a summary, and says how long it is.
func (a *analysis) run(ctx context.Context, s *Store) int64 {
	_, msg, err := s.readBody(ctx, a.body, a.Prefix)
	if err != nil {
		a.err = err
		return 0
	}
	a.Summary = summarize(msg, foreword(a.Prefix))
	return int64(len(a.Summary))
}

// analyse analyses messages, several at the same time: the first, and as many after
// it as their summaries have room in memory. It says how many.
func (s *Store) analyse(ctx context.Context, todo []analysis, together int) int {
	var next, octets atomic.Int64
	var all sync.WaitGroup
	for range min(together, len(todo)) {
		all.Go(func() {
			for octets.Load() < pendingOctets && pace.Step(ctx) == nil {
				i := next.Add(1) - 1
				if i >= int64(len(todo)) {
					return
				}
				octets.Add(todo[i].run(ctx, s))
			}
		})
	}
	all.Wait()
	return min(int(next.Load()), len(todo))
}

// few gives the summaries of messages that were found, if they are so few that who
// looks can wait for them. One that cannot be read has none yet.
func (s *Store) few(ctx context.Context, found []engine.FoundMessage) map[mail.ID][]byte {
	if len(found) > fewMany {
		return nil
	}
	octets := int64(0)
	todo := make([]analysis, len(found))
	for i := range found {
		octets += found[i].Size
		todo[i] = analysis{Detailed: &engine.Detailed{}, body: found[i].Body}
	}
	if octets > fewOctets {
		return nil
	}
	out := make(map[mail.ID][]byte, len(found))
	for _, a := range todo[:s.analyse(ctx, todo, runtime.GOMAXPROCS(0))] {
		if a.err == nil {
			out[a.body] = a.Summary
		} else if !errors.Is(a.err, engine.ErrNotFound) {
			s.o.Log.Warn("a message that was found cannot be read", "body", a.body, "error", a.err)
		}
	}
	return out
}

// analyse makes the summaries that are still to be made, or as many as have room,
// for who waits for them, and keeps them. It says for which messages there is none.
func (m *Mailbox) analyse(ctx context.Context, raws []engine.Detailed) (failed map[UID]error, err error) {
	made, failed, err := m.analyses(ctx, raws, runtime.GOMAXPROCS(0))
	if err != nil {
		return nil, err
	}
	if len(made) > 0 {
		m.pending.Store(true) // there may be more
		_ = m.keep(made, 0)   // else they are made again
	}
	return failed, nil
}

func (m *Mailbox) analyses(ctx context.Context, raws []engine.Detailed, together int) (made []engine.Detailed, failed map[UID]error, err error) {
	snap, err := m.Snapshot(ctx)
	if err != nil {
		return nil, nil, err
	}
	failed = map[UID]error{}
	var todo []analysis
	for i := range raws {
		if !pending(raws[i].Summary) {
			continue
		}
		e, ok := snap.Get(raws[i].UID)
		if !ok {
			failed[raws[i].UID] = engine.ErrNotFound // it has gone since
			continue
		}
		todo = append(todo, analysis{Detailed: &raws[i], body: e.Body})
	}
	for _, a := range todo[:m.account.store.analyse(ctx, todo, together)] {
		if a.err != nil {
			failed[a.UID] = a.err
			continue
		}
		made = append(made, *a.Detailed)
	}
	return made, failed, ctx.Err()
}

// keep puts summaries down that were made; nobody waits for the disk, since they can
// be made again. below, if it is not 0, says that below it all are made, as far as
// they can be.
func (m *Mailbox) keep(made []engine.Detailed, below UID) error {
	s := m.account.store
	if below == 0 {
		octets := int64(0)
		for i := range made {
			octets += int64(len(made[i].Summary))
		}
		if s.Room(octets) != nil {
			return nil // what is left is for mail
		}
	}
	c, err := s.lock(m.account)
	if err != nil {
		return err
	}
	defer c.unlock()
	c.found, c.exempt, c.quiet = true, true, true
	st, err := m.loaded(context.Background())
	if err != nil {
		return err
	}
	e, err := c.edit(m)
	if err != nil {
		return err
	}
	at := st.snap.Cursor()
	for i := range made {
		if _, there := at.Get(made[i].UID); there {
			e.change.Details = append(e.change.Details, made[i])
		}
	}
	if below != 0 {
		c.batch.PutNotes = append(c.batch.PutNotes, m.pendingFrom(below, st.rec.UIDNext))
	} else if len(e.change.Details) == 0 {
		return nil
	}
	p, err := c.apply()
	if err != nil {
		return err
	}
	if below != 0 {
		m.pending.Store(below < st.rec.UIDNext)
	}
	s.background.Go(func() { p.publish() })
	return nil
}

// pendingFrom is the note that says from where on messages may be to be analysed,
// before the next UID; without value if none is.
func (m *Mailbox) pendingFrom(from, next UID) engine.Note {
	n := engine.Note{Account: m.account.id, Mailbox: m.head.rec.ID, Key: pendingNote}
	if from < next {
		n.Value = binary.BigEndian.AppendUint32(nil, uint32(from))
	}
	return n
}

// remember notes that an edit adds messages that are still to be analysed. One that
// has been noted before comes first.
func (c *commit) remember(e *edit) error {
	if e.later == 0 {
		return nil
	}
	m := e.m
	m.pending.Store(true)
	from, err := m.leftFrom(context.Background())
	if err != nil || from != 0 {
		return err
	}
	c.batch.PutNotes = append(c.batch.PutNotes, m.pendingFrom(e.later, e.later+1))
	return nil
}

// leftFrom reads the note; 0 if there is none. The account is locked.
func (m *Mailbox) leftFrom(ctx context.Context) (UID, error) {
	value, err := m.account.store.engine.Note(ctx, m.account.id, m.head.rec.ID, pendingNote)
	switch {
	case errors.Is(err, engine.ErrNotFound):
		return 0, nil
	case errors.Is(err, engine.ErrDamaged), err == nil && len(value) != 4:
		return 1, nil
	case err != nil:
		return 0, err
	}
	return UID(binary.BigEndian.Uint32(value)), nil
}

// backlog is the mailboxes with messages that are still to be analysed and that
// somebody has looked at. They are worked on one after the other, for half of one
// processor's time at most, with pauses as Options.Pace wants them.
type backlog struct {
	mu      sync.Mutex
	waiting []*Mailbox
	working bool
}

// analyseSoon puts a mailbox into the backlog, if it has something to be done.
func (m *Mailbox) analyseSoon() {
	if !m.pending.Load() || !m.queued.CompareAndSwap(false, true) {
		return
	}
	s := m.account.store
	s.backlog.mu.Lock()
	defer s.backlog.mu.Unlock()
	s.backlog.waiting = append(s.backlog.waiting, m)
	if !s.backlog.working {
		s.backlog.working = true
		s.background.Go(s.work)
	}
}

// next gives the mailbox that has waited longest; nil ends the work.
func (b *backlog) next() *Mailbox {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.waiting) == 0 {
		b.waiting, b.working = nil, false
		return nil
	}
	m := b.waiting[0]
	b.waiting[0] = nil
	b.waiting = b.waiting[1:]
	return m
}

// work works the backlog off.
func (s *Store) work() {
	for m := s.backlog.next(); m != nil; m = s.backlog.next() {
		err := m.analyseRest(pace.With(s.ending, s.o.Pace))
		switch {
		case err == nil:
			m.queued.Store(false)
			m.analyseSoon() // what came at the last moment
		case s.ending.Err() == nil && !errors.Is(err, ErrGone) && !errors.Is(err, ErrMoved):
			s.o.Log.Warn("messages are still to be analysed", "account", m.account.name, "mailbox", m.Name(), "error", err)
			s.background.Go(func() {
				if s.pause(pendingAgain) {
					m.queued.Store(false) // the next look tries again
				}
			})
		}
	}
}

// analyseRest analyses what is still to be analysed.
func (m *Mailbox) analyseRest(ctx context.Context) error {
	m.account.mu.Lock()
	from, err := m.leftFrom(ctx)
	if err == nil && from == 0 {
		m.pending.Store(false)
	}
	m.account.mu.Unlock()
	if from != 0 {
		from = max(from, m.failures.next)
	}
	for before := m.failures.n; err == nil && from != 0; {
		began := time.Now()
		from, err = m.analyseSome(ctx, from)
		if before = min(before, m.failures.n); err == nil && m.failures.n-before >= pendingTries {
			err = m.failures.err
		}
		if err == nil && from != 0 && !m.account.store.pause(time.Since(began)) {
			return ctx.Err()
		}
	}
	return err
}

// failures are messages in a row that cannot be read. Few are passed over. Many may be
// no matter of messages, as while a disk is away: then the note of the mailbox stays as
// it is until one behind them can be read, and they are tried once more. If none can,
// they rest until somebody has asked for one and got it, another is found, or the
// mailbox is loaded again.
type failures struct {
	n     int
	next  UID // where to go on behind many
	again UID // what cannot be read below it is tried for the second time
	err   error
}

// analyseSome analyses messages from a UID on, and says where to go on; 0 at the end.
func (m *Mailbox) analyseSome(ctx context.Context, from UID) (next UID, err error) {
	if err := m.account.store.Room(pendingOctets); err != nil {
		return 0, err // what is left is for mail
	}
	snap, err := m.Snapshot(ctx)
	if err != nil {
		return 0, err
	}
	at := snap.Search(from)
	uids := make([]UID, 0, pendingSlice)
	for _, e := range snap.Range(at, min(at+pendingSlice, snap.Len())) {
		uids = append(uids, e.UID)
	}
	next = snap.UIDNext()
	if at+len(uids) < snap.Len() {
		next = uids[len(uids)-1] + 1
	}
	keep := arena{of: &m.account.store.pieces}
	defer keep.free()
	raws, n, err := m.details(ctx, uids, &keep)
	if err != nil {
		return 0, err
	}
	if n < len(uids) {
		next = uids[n]
	}
	made, errs, err := m.analyses(ctx, raws, 1)
	if err != nil {
		return 0, err
	}
	for i := range raws {
		if pending(raws[i].Summary) && errs[raws[i].UID] == nil {
			next = raws[i].UID // as much as was made is enough for once
			break
		}
	}
	u, many := &m.failures, m.failures.n >= pendingSlice
	m.unreadable(errs, len(made), from < u.again)
	switch {
	case many && len(made) > 0: // a disk may be back
		*u = failures{again: next}
		return m.goBack(ctx, made)
	case u.n < pendingSlice:
	default:
		if u.next = next; next < snap.UIDNext() || !m.rest(next) {
			return next, nil
		}
		err, *u = u.err, failures{}
		return 0, err
	}
	if err := m.keep(made, next); err != nil || !m.pending.Load() {
		return 0, err
	}
	return next, nil
}

// goBack keeps summaries, and says where the messages begin of which many could not be
// read.
func (m *Mailbox) goBack(ctx context.Context, made []engine.Detailed) (from UID, err error) {
	if err := m.keep(made, 0); err != nil {
		return 0, err
	}
	m.account.mu.Lock()
	defer m.account.mu.Unlock()
	return m.leftFrom(ctx)
}

// rest has nothing more analysed until somebody asks, unless more has been found.
func (m *Mailbox) rest(next UID) bool {
	m.account.mu.Lock()
	defer m.account.mu.Unlock()
	if m.head.rec.UIDNext != next {
		return false
	}
	m.pending.Store(false)
	return true
}

// unreadable logs which messages cannot be analysed, and counts them since one could
// be, unless they are tried for the second time.
func (m *Mailbox) unreadable(errs map[UID]error, made int, again bool) {
	maps.DeleteFunc(errs, func(_ UID, err error) bool { return errors.Is(err, engine.ErrNotFound) })
	if made > 0 {
		m.failures = failures{again: m.failures.again}
	}
	if len(errs) == 0 {
		return
	}
	first := slices.Min(slices.Collect(maps.Keys(errs)))
	if made == 0 && !again {
		m.failures.n, m.failures.err = m.failures.n+len(errs), errs[first]
	}
	m.account.store.o.Log.Warn("messages cannot be analysed", "account", m.account.name, "mailbox", m.Name(), "messages", len(errs), "uid", first, "error", errs[first])
}
