package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"

	"plic/internal/store/engine"
)

// copyBatch and copyBytes bound how much goes into one commit of Copy and Move,
// whose details are in memory meanwhile.
const (
	copyBatch = 8192
	copyBytes = 32 << 20
)

// Copy puts copies of messages, with their flags and dates, into another
// mailbox or the same; UIDs that are not there are left out. Bodies are shared.
// It gives the UIDs that were copied and where the copies are, in the same
// order, RFC 9051 section 6.4.7. After an error there are no copies. Beyond 8192
// messages, or many octets of details, it is more than one commit, which others may
// see one by one.
func (m *Mailbox) Copy(ctx context.Context, uids []UID, to *Mailbox) (src []UID, dst []Placed, err error) {
	return m.CopyBut(ctx, uids, to, 0)
}

// CopyBut is Copy without some of the flags.
func (m *Mailbox) CopyBut(ctx context.Context, uids []UID, to *Mailbox, drop engine.Flags) (src []UID, dst []Placed, err error) {
	src, dst, err = m.transfer(ctx, uids, to, false, drop)
	if err == nil || len(dst) == 0 || errors.Is(err, engine.ErrFailed) {
		return src, dst, err
	}
	// RFC 9051 section 6.4.7: the mailbox is to be as it was before.
	undo := make([]UID, len(dst))
	for i := range dst {
		undo[i] = dst[i].UID
	}
	if _, undoErr := to.Expunge(context.WithoutCancel(ctx), undo, false); undoErr != nil {
		err = errors.Join(err, undoErr)
	}
	return nil, nil, err
}

// Move is Copy and Expunge of the originals in one commit, RFC 6851: a message
// is never in both mailboxes nor in neither. What is too much for one commit
// of Copy is more than one; after an error it gives what was moved until then.
func (m *Mailbox) Move(ctx context.Context, uids []UID, to *Mailbox) (src []UID, dst []Placed, err error) {
	return m.transfer(ctx, uids, to, true, 0)
}

// MoveBut is Move without some of the flags.
func (m *Mailbox) MoveBut(ctx context.Context, uids []UID, to *Mailbox, drop engine.Flags) (src []UID, dst []Placed, err error) {
	return m.transfer(ctx, uids, to, true, drop)
}

func (m *Mailbox) transfer(ctx context.Context, uids []UID, to *Mailbox, move bool, drop engine.Flags) (src []UID, dst []Placed, err error) {
	if to.account.store != m.account.store {
		return nil, nil, errors.New("the mailbox is of another store")
	}
	uids = rising(uids)
	for len(uids) > 0 {
		s, d, n, err := m.transferSome(ctx, uids, to, move, drop)
		if err != nil {
			return src, dst, fmt.Errorf("copy from %s to %s: %w", m.Name(), to.Name(), err)
		}
		src, dst = append(src, s...), append(dst, d...)
		uids = uids[n:]
	}
	return src, dst, nil
}

// transferSome transfers as many of the messages as fit a batch: n of the UIDs.
func (m *Mailbox) transferSome(ctx context.Context, uids []UID, to *Mailbox, move bool, drop engine.Flags) (src []UID, dst []Placed, n int, err error) {
	keep := arena{of: &m.account.store.pieces}
	defer keep.free() // nobody keeps the details of a commit
	details, n, err := m.details(ctx, uids, &keep)
	if err != nil {
		return nil, nil, 0, err
	}
	err = m.account.store.freshly(ctx, func() (err error) {
		src, dst, err = m.transferBatch(ctx, details, to, move, drop)
		return err
	})
	return src, dst, n, err
}

// detailsEach is how many messages a processor gets at least whose details are read
// by several.
const detailsEach = 256

// details reads what goes along with messages, for as many of the UIDs as fit a
// batch: n of them. Of many, all processors read.
func (m *Mailbox) details(ctx context.Context, uids []UID, keep *arena) (out []engine.Detailed, n int, err error) {
	st := m.visible.Load()
	if st.gone {
		return nil, 0, m.errGone()
	}
	uids = uids[:min(len(uids), copyBatch)]
	shares := make([]detailShare, max(1, min(runtime.GOMAXPROCS(0), len(uids)/detailsEach)))
	each := (len(uids) + len(shares) - 1) / len(shares)
	var others sync.WaitGroup
	for i := range shares {
		p := &shares[i]
		p.keep.of = keep.of
		p.uids = uids[min(i*each, len(uids)):min((i+1)*each, len(uids))]
		if i > 0 {
			others.Go(func() { p.read(ctx, m, st, copyBytes/len(shares)) })
		}
	}
	shares[0].read(ctx, m, st, copyBytes/len(shares))
	others.Wait()
	out = slices.Grow(shares[0].out, len(uids)-len(shares[0].out))
	for i := range shares {
		p := &shares[i]
		keep.take(&p.keep)
		if n < i*each || err != nil {
			continue // what comes before it did not fit
		}
		if i > 0 {
			out = append(out, p.out...)
		}
		n, err = n+p.n, p.err
	}
	return out, n, err
}

// detailShare is the part of the UIDs that one processor reads the details of.
type detailShare struct {
	uids []UID
	keep arena
	out  []engine.Detailed
	n    int // of the UIDs: those that fit
	err  error
}

// read reads details until they are so many octets.
func (p *detailShare) read(ctx context.Context, m *Mailbox, st *state, most int) {
	octets := 0
	p.out = make([]engine.Detailed, 0, len(p.uids))
	for d, err := range m.rawDetails(ctx, st, p.uids) {
		if err != nil {
			p.err = err
			return
		}
		d.Prefix, d.Summary = p.keep.clone(d.Prefix), p.keep.clone(d.Summary)
		p.out = append(p.out, d)
		if octets += len(d.Prefix) + len(d.Summary); octets >= most {
			break
		}
	}
	if octets < most {
		p.n = len(p.uids)
		return
	}
	last := p.out[len(p.out)-1].UID
	for p.n < len(p.uids) && p.uids[p.n] <= last {
		p.n++
	}
}

func (m *Mailbox) transferBatch(ctx context.Context, details []engine.Detailed, to *Mailbox, move bool, drop engine.Flags) (src []UID, dst []Placed, err error) {
	c, err := m.account.store.lock(m.account, to.account)
	if err != nil {
		return nil, nil, err
	}
	defer c.unlock()
	if src, dst, err = m.transferLocked(ctx, c, details, to, move, drop); err != nil {
		return nil, nil, err
	}
	if len(src) == 0 {
		return nil, nil, c.nothing(ctx)
	}
	if err := c.finish(); err != nil {
		return nil, nil, err
	}
	return src, dst, nil
}

func (m *Mailbox) transferLocked(ctx context.Context, c *commit, details []engine.Detailed, to *Mailbox, move bool, drop engine.Flags) (src []UID, dst []Placed, err error) {
	st, err := m.loaded(ctx)
	if err != nil {
		return nil, nil, err
	}
	if err := c.claim(ctx, to); err != nil {
		return nil, nil, err
	}
	into, err := c.edit(to)
	if err != nil {
		return nil, nil, err
	}
	var from *edit
	if move {
		if from, err = c.edit(m); err != nil {
			return nil, nil, err
		}
	}
	saved := m.account.store.o.Now().Unix()
	flags := translation{from: st, into: into, used: to.flagsInUse(ctx)}
	into.change.Add = slices.Grow(into.change.Add, len(details))
	src, dst = make([]UID, 0, len(details)), make([]Placed, 0, len(details))
	if move {
		from.change.Expunge = slices.Grow(from.change.Expunge, len(details))
		from.change.Gone = slices.Grow(from.change.Gone, len(details))
	}
	at := st.snap.Cursor()
	for i := range details {
		if i%checkEvery == 0 && ctx.Err() != nil {
			return nil, nil, ctx.Err()
		}
		e, ok := at.Get(details[i].UID)
		if !ok {
			continue
		}
		msg := engine.Message{Entry: e, Detail: details[i].Detail}
		msg.Saved = saved
		if msg.Flags, err = flags.translate(e.Flags &^ drop); err != nil {
			return nil, nil, err
		}
		into.numbered(0)
		p, err := into.add(msg)
		if err != nil {
			return nil, nil, err
		}
		if move {
			from.expunge(e)
		}
		src, dst = append(src, e.UID), append(dst, p)
	}
	return src, dst, nil
}

// arena keeps copies of many small things that are dropped together.
type arena struct {
	of   *sync.Pool // of *[]byte
	used []*[]byte
	rest []byte
}

func (a *arena) clone(b []byte) []byte {
	const piece = 64 << 10
	if len(b) > piece/4 {
		return bytes.Clone(b)
	}
	if len(a.rest) < len(b) {
		p, _ := a.of.Get().(*[]byte)
		if p == nil {
			p = new(make([]byte, piece))
		}
		a.used = append(a.used, p)
		a.rest = *p
	}
	n := copy(a.rest, b)
	out := a.rest[:n:n]
	a.rest = a.rest[n:]
	return out
}

// take takes over what another keeps.
func (a *arena) take(other *arena) {
	a.used = append(a.used, other.used...)
	other.used, other.rest = nil, nil
}

func (a *arena) free() {
	for _, p := range a.used {
		a.of.Put(p)
	}
	a.used, a.rest = nil, nil
}

// translation gives keywords the numbers of another mailbox.
type translation struct {
	from *state
	into *edit
	used func() (engine.Flags, error)
	done map[engine.Flags]engine.Flags
}

func (t *translation) translate(f engine.Flags) (engine.Flags, error) {
	if f>>keywordShift == 0 {
		return f, nil
	}
	if out, ok := t.done[f]; ok {
		return out, nil
	}
	out, err := t.into.bits(flagsOf(f, t.from.rec.Keywords), t.used)
	if err != nil {
		return 0, err
	}
	if t.done == nil {
		t.done = map[engine.Flags]engine.Flags{}
	}
	t.done[f] = out
	return out, nil
}
