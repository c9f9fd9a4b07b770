package embedded

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"plic/internal/mail"
	"plic/internal/store/engine"
)

// A mailbox's index is pages of some hundred messages each, and a log of what
// has changed since they were written: one record for each commit, however many
// messages it changes. Who reads the index reads the log first and lays it over
// the pages. Now and then the log is folded into them, see fold.go.
//
// A page is two records: UIDs, MODSEQs and flags, two octets a message, with
// which a mailbox can be opened; and the rest, twenty.
const (
	pageSize  = 512               // messages of a full page
	pageLimit = pageSize * 5 / 4  // a longer one is split
	pageCost  = 1 + 16 + 6*3 + 16 // about the octets of a message in a page
)

func pageKey(a engine.AccountID, m engine.MailboxID, first engine.UID) []byte {
	return messageKey(a, partPage, m, first)
}

func restKey(a engine.AccountID, m engine.MailboxID, first engine.UID) []byte {
	return messageKey(a, partRest, m, first)
}

func logKey(a engine.AccountID, m engine.MailboxID, seq uint64) []byte {
	return binary.BigEndian.AppendUint64(mailboxKey(a, partLog, m), seq)
}

// logSeq is the last part of a log record's key.
func logSeq(key []byte) uint64 { return binary.BigEndian.Uint64(key[len(key)-8:]) }

// Columns: what of neighbours is alike stands together, as differences.

func appendUIDs[T any](b []byte, list []T, uid func(*T) engine.UID) []byte {
	before := engine.UID(0)
	for i := range list {
		u := uid(&list[i])
		b = binary.AppendUvarint(b, uint64(u-before))
		before = u
	}
	return b
}

func plainUID(u *engine.UID) engine.UID       { return *u }
func entryUID(e *engine.Entry) engine.UID     { return e.UID }
func addedUID(m *engine.Message) engine.UID   { return m.UID }
func detailUID(d *engine.Detailed) engine.UID { return d.UID }

// appendMarks writes MODSEQs and flags, of which mostly many are the same.
func appendMarks(b []byte, n int, at func(int) *engine.Entry) []byte {
	for i := 0; i < n; {
		e, run := at(i), 1
		for i+run < n && at(i+run).ModSeq == e.ModSeq && at(i+run).Flags == e.Flags {
			run++
		}
		b = binary.AppendUvarint(b, uint64(run))
		b = binary.AppendUvarint(b, uint64(e.ModSeq))
		b = binary.AppendUvarint(b, uint64(e.Flags))
		i += run
	}
	return b
}

// appendRest writes what of entries never changes.
func appendRest(b []byte, n int, at func(int) *engine.Entry) []byte {
	var internal, saved int64
	for i := range n {
		e := at(i)
		b = binary.AppendVarint(b, e.Size)
		b = binary.AppendVarint(b, int64(e.Internal)-internal)
		b = binary.AppendVarint(b, e.Saved-saved)
		b = append(b, e.Body[:]...)
		internal, saved = int64(e.Internal), e.Saved
	}
	return b
}

// uids reads n UIDs that rise.
func (f *fields) uids(n uint64) []engine.UID {
	if n > uint64(len(f.rest)) {
		f.bad = true
		return nil
	}
	out := make([]engine.UID, n)
	before := uint64(0)
	for i := range out {
		step := f.uint()
		if before += step; before > math.MaxUint32 || step == 0 && i > 0 {
			f.bad = true
			return nil
		}
		out[i] = engine.UID(before)
	}
	return out
}

func (f *fields) marks(list []engine.Entry) {
	for len(list) > 0 && !f.bad {
		run := f.uint()
		modSeq, flags := engine.ModSeq(f.uint()), engine.Flags(f.uint())
		if run == 0 || run > uint64(len(list)) {
			f.bad = true
			return
		}
		for i := range list[:run] {
			list[i].ModSeq, list[i].Flags = modSeq, flags
		}
		list = list[run:]
	}
}

// heads reads UID, MODSEQ and flags of n entries into a list that is used
// again.
func (f *fields) heads(list []engine.Entry, n uint64) []engine.Entry {
	if f.bad || n > uint64(len(f.rest)) {
		f.bad = true
		return nil
	}
	if uint64(cap(list)) < n {
		list = make([]engine.Entry, n)
	}
	list = list[:n]
	before := uint64(0)
	for i := range list {
		step := f.uint()
		if before += step; before > math.MaxUint32 || step == 0 && i > 0 {
			f.bad = true
			return nil
		}
		list[i].UID = engine.UID(before)
	}
	f.marks(list)
	return list
}

// tails reads the rest of entries.
func (f *fields) tails(list []engine.Entry) {
	rest := f.rest
	var internal, saved int64
	for i := range list {
		e := &list[i]
		size, a := binary.Varint(rest)
		if a <= 0 {
			f.bad = true
			return
		}
		after, b := binary.Varint(rest[a:])
		if b <= 0 {
			f.bad = true
			return
		}
		later, c := binary.Varint(rest[a+b:])
		if c <= 0 || len(rest) < a+b+c+len(e.Body) {
			f.bad = true
			return
		}
		internal += after
		saved += later
		e.Size, e.Internal, e.Saved = size, engine.Date(internal), saved
		e.Body = mail.ID(rest[a+b+c:])
		rest = rest[a+b+c+len(e.Body):]
	}
	f.rest = rest
}

// encodePage writes the first part of a page. Its entries rise.
func encodePage(key []byte, list []engine.Entry) []byte {
	b := append(make([]byte, 0, 32+4*len(list)), recordVersion)
	b = binary.AppendUvarint(b, uint64(len(list)))
	b = appendUIDs(b, list, entryUID)
	return seal(key, appendMarks(b, len(list), func(i int) *engine.Entry { return &list[i] }))
}

// encodeRest writes the second.
func encodeRest(key []byte, list []engine.Entry) []byte {
	b := append(make([]byte, 0, 16+pageCost*len(list)), recordVersion)
	return seal(key, appendRest(b, len(list), func(i int) *engine.Entry { return &list[i] }))
}

func decodePage(key, record []byte) ([]engine.Entry, error) { return decodePageInto(nil, key, record) }

// decodePageInto decodes the first part of a page into a list that is used
// again.
func decodePageInto(list []engine.Entry, key, record []byte) ([]engine.Entry, error) {
	raw, err := unseal(key, record)
	if err != nil {
		return nil, err
	}
	f := fields{rest: raw}
	list = f.heads(list, f.uint())
	return list, f.end()
}

// decodeRest decodes the second part of a page of which the first is known.
func decodeRest(list []engine.Entry, key, record []byte) error {
	raw, err := unseal(key, record)
	if err != nil {
		return err
	}
	f := fields{rest: raw}
	f.tails(list)
	return f.end()
}

// indexChange is a record of the log: what one commit did to an index.
type indexChange struct {
	seq    uint64
	add    []engine.Entry
	update []engine.Entry // UID, ModSeq and Flags
	gone   []engine.UID
}

func (c *indexChange) size() int { return len(c.add) + len(c.update) + len(c.gone) }

// encodeChange writes a record of the log. UIDs rise in each of its parts.
func encodeChange(key []byte, m *engine.MailboxChange) []byte {
	b := append(make([]byte, 0, 32+pageCost*len(m.Add)+8*len(m.Update)+2*len(m.Expunge)), recordVersion)
	b = binary.AppendUvarint(b, uint64(len(m.Add)))
	b = appendUIDs(b, m.Add, addedUID)
	at := func(i int) *engine.Entry { return &m.Add[i].Entry }
	b = appendRest(appendMarks(b, len(m.Add), at), len(m.Add), at)
	b = binary.AppendUvarint(b, uint64(len(m.Update)))
	b = appendUIDs(b, m.Update, entryUID)
	b = appendMarks(b, len(m.Update), func(i int) *engine.Entry { return &m.Update[i] })
	b = binary.AppendUvarint(b, uint64(len(m.Expunge)))
	return seal(key, appendUIDs(b, m.Expunge, plainUID))
}

func decodeChange(key, record []byte) (indexChange, error) {
	raw, err := unseal(key, record)
	if err != nil {
		return indexChange{}, err
	}
	if len(key) != 1+8+1+4+8 {
		return indexChange{}, fmt.Errorf("%w: key of %d octets", engine.ErrDamaged, len(key))
	}
	f := fields{rest: raw}
	c := indexChange{seq: logSeq(key)}
	c.add = f.heads(nil, f.uint())
	f.tails(c.add)
	uids := f.uids(f.uint())
	c.update = make([]engine.Entry, len(uids))
	f.marks(c.update)
	for i := range c.update {
		c.update[i].UID = uids[i]
	}
	c.gone = f.uids(f.uint())
	return c, f.end()
}

// overlay is what the log says of messages since the pages were written.
type overlay struct {
	over    map[engine.UID]change1
	order   []engine.UID // its keys, rising once all is taken
	records int
	first   uint64 // the oldest record
	last    uint64 // the newest
	bad     broken // records that were left out
	hurt    bool   // some could not be read
}

// change1 is what became of one message.
type change1 struct {
	entry engine.Entry
	kind  changeKind
}

type changeKind uint8

const (
	marked  changeKind = iota // new flags and MODSEQ
	put                       // a new message
	expunge                   // it went
)

// overlay reads the log of a mailbox.
func (e *Engine) overlay(ctx context.Context, at pebble.Reader, a engine.AccountID, m engine.MailboxID) (*overlay, error) {
	return e.overlayFrom(ctx, at, mailboxRef{a, m}, 0)
}

func (e *Engine) overlayFrom(ctx context.Context, at pebble.Reader, m mailboxRef, from uint64) (*overlay, error) {
	o := &overlay{}
	r := span{
		from: logKey(m.account, m.mailbox, from), to: after(mailboxKey(m.account, partLog, m.mailbox)),
		key: func(n uint64) []byte { return logKey(m.account, m.mailbox, n) }, of: logSeq, max: math.MaxInt64,
		bad: &o.bad, hurt: func() { o.hurt = true },
	}
	var failed error
	scanAt(ctx, e, at, r, decodeChange, func(c indexChange, err error) bool {
		if failed = err; err == nil {
			o.take(&c)
		}
		return err == nil
	})
	if failed != nil {
		return nil, failed
	}
	slices.Sort(o.order)
	return o, nil
}

func (o *overlay) take(c *indexChange) {
	if o.records == 0 {
		o.first = c.seq
	}
	o.records++
	o.last = c.seq
	if o.over == nil {
		o.over = make(map[engine.UID]change1, c.size())
	}
	o.order = slices.Grow(o.order, c.size())
	for i := range c.add {
		o.set(c.add[i].UID, change1{c.add[i], put})
	}
	for _, u := range c.update {
		now, ok := o.over[u.UID]
		if !ok || now.kind == expunge {
			now = change1{u, marked}
		}
		now.entry.ModSeq, now.entry.Flags = u.ModSeq, u.Flags
		o.set(u.UID, now)
	}
	for _, uid := range c.gone {
		o.set(uid, change1{kind: expunge})
	}
}

func (o *overlay) set(uid engine.UID, now change1) {
	n := len(o.over)
	if o.over[uid] = now; len(o.over) > n {
		o.order = append(o.order, uid)
	}
}

// merge lays the changes of some UIDs over a part of the pages.
func (o *overlay) merge(page []engine.Entry, uids []engine.UID, yield func(engine.Entry) bool) bool {
	for i := 0; i < len(page) || len(uids) > 0; {
		if len(uids) == 0 || i < len(page) && page[i].UID < uids[0] {
			if !yield(page[i]) {
				return false
			}
			i++
			continue
		}
		c := o.over[uids[0]]
		there := i < len(page) && page[i].UID == uids[0]
		if c.kind == marked {
			if there {
				was := page[i]
				was.ModSeq, was.Flags = c.entry.ModSeq, c.entry.Flags
				c.entry = was
			} else {
				c.kind = expunge // a change of what is not there
			}
		}
		if there {
			i++
		}
		uids = uids[1:]
		if c.kind != expunge && !yield(c.entry) {
			return false
		}
	}
	return true
}

// before splits rising UIDs at the first that is not below another.
func before(uids []engine.UID, limit engine.UID) (below, rest []engine.UID) {
	i, _ := slices.BinarySearch(uids, limit)
	return uids[:i], uids[i:]
}

// pageOf is the key of the page that a UID is in, if it is there.
func (e *Engine) pageOf(at pebble.Reader, a engine.AccountID, m engine.MailboxID, uid engine.UID) ([]byte, error) {
	all := mailboxKey(a, partPage, m)
	if uid == 0 {
		return all, nil
	}
	it, err := at.NewIter(&pebble.IterOptions{LowerBound: all, UpperBound: after(all)})
	if err != nil {
		return nil, err
	}
	defer it.Close()
	if it.SeekLT(pageKey(a, m, uid)); it.Valid() {
		return slices.Clone(it.Key()), nil
	}
	if err := it.Error(); !pebble.IsCorruptionError(err) {
		return all, err
	}
	return all, nil // whatever cannot be read is got over there
}

// find gives the entries of some UIDs, which rise.
func (e *Engine) find(ctx context.Context, at pebble.Reader, a engine.AccountID, m engine.MailboxID, uids []engine.UID) ([]engine.Entry, error) {
	var found []engine.Entry
	o, err := e.overlay(ctx, at, a, m)
	if err != nil {
		return nil, err
	}
	p, err := openPages(at, mailboxRef{a, m})
	if err != nil {
		return nil, e.readError(err)
	}
	defer p.close()
	for len(uids) > 0 {
		page, limit, err := p.at(uids[0])
		if err != nil {
			e.o.Log.Error("a page of an index cannot be read", "account", a, "mailbox", m, "uid", uids[0], "error", err)
		}
		mine, rest := before(uids, limit)
		uids = rest
		_, changed := before(o.order, mine[0])
		changed, _ = before(changed, mine[len(mine)-1]+1)
		o.merge(page, changed, func(entry engine.Entry) bool {
			_, mine = before(mine, entry.UID)
			if len(mine) > 0 && mine[0] == entry.UID {
				found = append(found, entry)
			}
			return len(mine) > 0
		})
	}
	return found, nil
}

// pages reads both parts of the pages of an index.
type pages struct {
	m        mailboxRef
	it, rest *pebble.Iterator
}

func openPages(at pebble.Reader, m mailboxRef) (p *pages, err error) {
	p = &pages{m: m}
	open := func(part byte) *pebble.Iterator {
		if err != nil {
			return nil
		}
		var it *pebble.Iterator
		all := mailboxKey(m.account, part, m.mailbox)
		it, err = at.NewIter(&pebble.IterOptions{LowerBound: all, UpperBound: after(all)})
		return it
	}
	if p.it, p.rest = open(partPage), open(partRest); err != nil && p.it != nil {
		p.it.Close()
	}
	return p, err
}

func (p *pages) close() {
	p.it.Close()
	p.rest.Close()
}

// at reads the page that a UID is in, if it is there, and gives the first UID
// that another page may hold.
func (p *pages) at(uid engine.UID) (page []engine.Entry, limit engine.UID, err error) {
	limit = math.MaxUint32
	if p.it.SeekLT(append(pageKey(p.m.account, p.m.mailbox, uid), 0)); p.it.Valid() {
		var value []byte
		if value, err = p.it.ValueAndErr(); err == nil {
			if page, err = decodePage(p.it.Key(), value); err == nil {
				err = p.fill(p.it.Key(), page)
			}
		}
		p.it.Next()
	} else if err = p.it.Error(); err == nil {
		p.it.First()
	}
	if p.it.Valid() {
		limit = uidOf(p.it.Key())
	}
	return page, max(limit, uid+1), err
}

// fill reads the rest of a page.
func (p *pages) fill(key []byte, list []engine.Entry) error {
	rest := restKey(p.m.account, p.m.mailbox, uidOf(key))
	if !nextOrSeek(p.rest, rest) || !bytes.Equal(p.rest.Key(), rest) {
		if err := p.rest.Error(); err != nil {
			return fmt.Errorf("%w: the rest of a page: %w", engine.ErrDamaged, err)
		}
		return fmt.Errorf("%w: a page without its rest", engine.ErrDamaged)
	}
	return decodeRest(list, rest, p.rest.Value())
}
