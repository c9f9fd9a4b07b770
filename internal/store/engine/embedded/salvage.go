package embedded

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"plic/internal/mail"
	"plic/internal/store/engine"
)

// places finds the bodies again whose place is not known, by the heads that
// every body has in its segment.
func (r *repairer) places() error {
	lost := map[mail.ID]bool{}
	err := r.e.eachReadable(r.ctx, r.e.db, kindRef, func(key, _ []byte) error {
		if len(key) > 17 {
			id := mail.ID(key[1:17])
			if l, err := r.e.locate(id); errors.Is(err, engine.ErrNotFound) || errors.Is(err, engine.ErrDamaged) || err == nil && !r.e.stands(id, &l) {
				lost[id] = true
			}
		}
		return nil
	})
	if err != nil || len(lost) == 0 {
		return err
	}
	b := r.e.db.NewBatch()
	found := 0
	for _, number := range r.e.segments.numbers() {
		err := r.e.eachFrame(number, func(at place, f frame, stored []byte) error {
			if !lost[f.id] {
				return nil
			}
			l, err := f.location(stored)
			if err != nil {
				return nil
			}
			l.place = at
			delete(lost, f.id)
			found++
			key := idKey(kindLocation, f.id)
			b.Set(key, encodeLocation(key, &l), nil)
			return r.say("body "+f.id.String(), "", "found again in segment %d", number)
		})
		if err != nil {
			b.Close()
			return err
		}
	}
	if found == 0 {
		return b.Close()
	}
	return r.e.commitWait(b)
}

// stands says that a body of a segment begins at its place. It does not where a
// log has lost that it moved.
func (e *Engine) stands(id mail.ID, l *location) bool {
	if l.own() {
		return true
	}
	head := make([]byte, frameHead)
	if e.segments.handles.read(l.segment, head, l.offset) != nil {
		return false
	}
	f, err := decodeFrame(head)
	return err == nil && f.id == id
}

// numbers are those of all segments, in order.
func (s *segments) numbers() []uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := slices.Collect(maps.Keys(s.info))
	for _, f := range append([]*segmentFile{s.current}, s.pending...) {
		if f != nil {
			all = append(all, f.number)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// eachFrame goes through the sound frames of a segment, over what is damaged.
func (e *Engine) eachFrame(number uint64, do func(at place, f frame, stored []byte) error) error {
	size, err := e.segmentLength(number)
	if err != nil {
		return nil // it is missing
	}
	file, err := e.segments.handles.acquire(number)
	if err != nil {
		return nil
	}
	defer e.segments.handles.release(file)
	head := make([]byte, frameHead)
	for at := int64(0); at+frameHead <= size; {
		if _, err := file.file.ReadAt(head, at); err != nil {
			return nil
		}
		f, err := decodeFrame(head)
		if err != nil || at+frameHead+f.stored > size {
			at++ // the next head is somewhere behind
			continue
		}
		raw := make([]byte, frameHead+f.stored)
		if _, err := file.file.ReadAt(raw, at); err != nil {
			return nil
		}
		if f, stored, err := openFrame(raw); err == nil {
			if err := do(place{number, at}, f, stored); err != nil {
				return err
			}
		}
		at += frameHead + f.stored
	}
	return nil
}

// rawBody gives the octets of a body as they are on the disk, sound or not.
func (e *Engine) rawBody(id mail.ID) (io.ReadCloser, error) {
	l, err := e.locate(id)
	if err != nil || l.own() {
		return e.fs.Open(e.fs.PathJoin(e.bodies, bodyName(id)))
	}
	file, err := e.segments.handles.acquire(l.segment)
	if err != nil {
		return nil, err
	}
	return rawFrame{io.NewSectionReader(file.file, l.offset, frameHead+l.stored), func() { e.segments.handles.release(file) }}, nil
}

type rawFrame struct {
	io.Reader
	release func()
}

func (f rawFrame) Close() error {
	f.release()
	return nil
}

// rest gives what of a large body can still be read, with a line in place of
// each block that cannot; nil if that is nothing.
func (e *Engine) rest(id mail.ID) io.ReadCloser {
	l, err := e.locate(id)
	if err != nil || !l.own() {
		return nil
	}
	body, err := e.openAt(id, &l)
	if err != nil {
		return nil
	}
	read, write := io.Pipe()
	go func() {
		defer body.Close()
		out := bufio.NewWriter(write)
		buf := make([]byte, blockSize)
		for at := int64(0); at < l.size; at += blockSize {
			n, err := body.ReadAt(buf[:min(blockSize, l.size-at)], at)
			if err != nil && !errors.Is(err, io.EOF) {
				fmt.Fprintf(out, "\r\n[%d octets are lost here]\r\n", min(blockSize, l.size-at))
				continue
			}
			if _, err := out.Write(buf[:n]); err != nil {
				break
			}
		}
		write.CloseWithError(out.Flush())
	}()
	return read
}

// readable reads a body to its end.
func (e *Engine) readable(id mail.ID) error {
	l, err := e.locate(id)
	if err != nil {
		return err
	}
	body, err := e.openAt(id, &l)
	if err != nil {
		return err
	}
	defer body.Close()
	_, err = io.Copy(io.Discard, io.NewSectionReader(body, 0, body.Size()))
	return err
}

// mailboxes repairs every mailbox.
func (r *repairer) mailboxes() error {
	for _, id := range slices.Sorted(maps.Keys(r.accounts)) {
		a := r.accounts[id]
		for m := range a.heirs {
			if a.boxes[m] != nil || r.e.graves.has(grave{account: id, mailbox: m}) {
				continue
			}
			a.boxes[m] = &engine.Mailbox{
				ID: m, Name: fmt.Sprintf("Recovered/%d", m), UIDValidity: a.rec.NextUIDValidity, Subscribed: true, Created: r.e.o.Now(),
			}
			a.rec.NextUIDValidity++
			if err := r.say(fmt.Sprintf("account %s, mailbox %d", a.rec.Name, m), "", "its record was made anew: it is now called %q", a.boxes[m].Name); err != nil {
				return err
			}
		}
		for _, m := range slices.Sorted(maps.Keys(a.boxes)) {
			if err := r.mailbox(a, a.boxes[m]); err != nil {
				return err
			}
		}
		if a.rec != nil {
			key := partKey(id, partRecord)
			if err := r.e.set(key, encodeAccount(key, a.rec)); err != nil {
				return err
			}
		}
	}
	return nil
}

// mailbox makes index, details, references and counters of a mailbox agree.
func (r *repairer) mailbox(a *account, box *engine.Mailbox) error {
	m := mailboxRef{a.rec.ID, box.ID}
	where := fmt.Sprintf("account %s, mailbox %s", a.rec.Name, box.Name)
	key := mailboxKey(m.account, partMailbox, m.mailbox)
	before := encodeMailbox(key, box)
	if err := r.e.set(key, before); err != nil { // walk needs it
		return err
	}
	entries, err := r.index(m)
	if err != nil {
		return err
	}
	c := engine.MailboxChange{Account: m.account, Record: *box}
	b := r.e.db.NewBatch()
	known := map[engine.UID]bool{}
	kept := entries[:0]
	for _, entry := range entries {
		known[entry.UID] = true
		ok, err := r.message(b, where, m, entry)
		if err != nil {
			return err
		}
		if ok {
			kept = append(kept, entry)
		} else {
			c.Expunge = append(c.Expunge, entry.UID)
		}
	}
	lost, err := r.strays(b, where, m, known)
	if err != nil {
		return err
	}
	c.Add = lost
	for _, msg := range lost {
		kept = append(kept, msg.Entry)
	}
	r.count(&c.Record, kept, len(c.Expunge) > 0)
	if n := len(c.Add) + len(c.Expunge); n > 0 {
		seq, err := r.e.nextLog(m, n)
		if err != nil {
			return err
		}
		log := logKey(m.account, m.mailbox, seq)
		b.Set(log, encodeChange(log, &c), nil)
		if len(c.Expunge) > 0 {
			gone := goneKey(m.account, m.mailbox, c.Record.HighestModSeq, c.Expunge[0])
			b.Set(gone, encodeGone(gone, c.Expunge), nil)
		}
	}
	if after := encodeMailbox(key, &c.Record); string(after) != string(before) {
		b.Set(key, after, nil)
		if err := r.say(where, "", "counters: %d messages, next UID %d", c.Record.Messages, c.Record.UIDNext); err != nil {
			return err
		}
	}
	return r.finish(b, nil)
}

// index gives the messages of a mailbox, mended.
func (r *repairer) index(m mailboxRef) (entries []engine.Entry, err error) {
	at := r.e.db.NewSnapshot()
	defer at.Close()
	r.e.walk(r.ctx, at, m, 0, true, func(entry engine.Entry, werr error) bool {
		if err = werr; err == nil {
			entries = append(entries, entry)
		}
		return err == nil
	})
	return entries, err
}

// message repairs what belongs to a message; one without a readable body is set
// aside, and is to be expunged.
func (r *repairer) message(b *pebble.Batch, where string, m mailboxRef, entry engine.Entry) (ok bool, err error) {
	which := fmt.Sprintf("%s, uid %d", where, entry.UID)
	ref, detail := messageRef(entry.Body, m.account, m.mailbox, entry.UID), messageKey(m.account, partDetail, m.mailbox, entry.UID)
	if cause := r.e.readable(entry.Body); cause != nil {
		kept, err := r.keepBody(fmt.Sprintf("account-%d-mailbox-%d-uid-%d", m.account, m.mailbox, entry.UID), entry.Body)
		if err != nil {
			return false, err
		}
		b.Delete(ref, nil)
		b.Delete(detail, nil)
		r.e.suspect(b, []mail.ID{entry.Body})
		return false, r.say(which, kept, "taken out of the mailbox: %v", cause)
	}
	if !r.has(ref) {
		b.Set(ref, nil, nil)
		if err := r.say(which, "", "its reference was made anew"); err != nil {
			return true, err
		}
	}
	if !r.has(detail) {
		b.Set(detail, encodeDetail(nil, detail, &engine.Detail{}), nil)
		return true, r.say(which, "", "its summary will be made anew; header lines put before it are lost")
	}
	return true, nil
}

func (r *repairer) has(key []byte) bool {
	_, closer, err := r.e.db.Get(key)
	if err == nil {
		closer.Close()
	}
	return err == nil
}

// strays finds messages with details that the index does not name: those with
// a body come back, without their flags.
func (r *repairer) strays(b *pebble.Batch, where string, m mailboxRef, known map[engine.UID]bool) (back []engine.Message, err error) {
	entries, err := r.e.recover(r.ctx, r.e.db, m, 0, math.MaxUint32, func(uid engine.UID) bool { return known[uid] })
	if err != nil {
		return nil, err
	}
	for _, entry := range entries {
		if r.e.readable(entry.Body) != nil {
			continue
		}
		known[entry.UID] = true
		back = append(back, engine.Message{Entry: entry})
		if err := r.say(fmt.Sprintf("%s, uid %d", where, entry.UID), "", "put back into the index, without its flags"); err != nil {
			return nil, err
		}
	}
	var bad broken
	all := mailboxKey(m.account, partDetail, m.mailbox)
	err = r.e.eachReadableIn(r.ctx, r.e.db, all, after(all), func(key, value []byte) error {
		if !known[uidOf(key)] {
			bad.add(key, value, fmt.Errorf("%w: a summary of no message", engine.ErrDamaged))
		}
		return nil
	})
	r.e.moveAside(b, &bad)
	return back, err
}

// count makes a mailbox's record fit its messages.
func (r *repairer) count(rec *engine.Mailbox, entries []engine.Entry, changed bool) {
	const seen, deleted = 1, 8 // as the store numbers them
	rec.Messages, rec.Unseen, rec.Deleted, rec.Bytes = uint32(len(entries)), 0, 0, 0
	for i := range entries {
		entry := &entries[i]
		rec.Bytes += entry.Size
		if entry.Flags&seen == 0 {
			rec.Unseen++
		}
		if entry.Flags&deleted != 0 {
			rec.Deleted++
		}
		rec.HighestModSeq = max(rec.HighestModSeq, entry.ModSeq)
		if entry.UID < math.MaxUint32 {
			rec.UIDNext = max(rec.UIDNext, entry.UID+1)
		}
	}
	rec.UIDNext, rec.HighestModSeq = max(rec.UIDNext, 1), max(rec.HighestModSeq, 1)
	if changed {
		rec.HighestModSeq++
	}
}

// items sets queue items aside whose message cannot be read.
func (r *repairer) items() error {
	b := r.e.db.NewBatch()
	err := r.e.eachReadable(r.ctx, r.e.db, kindItem, func(key, value []byte) error {
		i, err := decodeItem(key, value)
		if err != nil {
			return nil
		}
		if !r.has(itemRef(i.Body, i.ID)) {
			b.Set(itemRef(i.Body, i.ID), nil, nil)
		}
		cause := r.e.readable(i.Body)
		if cause == nil {
			return nil
		}
		text, err := json.MarshalIndent(i, "", "  ")
		if err != nil {
			return err
		}
		name := "queue-" + i.ID.String()
		kept, err := r.keep(name+".json", bytes.NewReader(text))
		if err != nil {
			return err
		}
		if _, err := r.keepBody(name, i.Body); err != nil {
			return err
		}
		b.Delete(bytes.Clone(key), nil)
		b.Delete(itemRef(i.Body, i.ID), nil)
		r.e.suspect(b, []mail.ID{i.Body})
		return r.say("queue item "+i.ID.String(), kept, "taken out of the queue: %v", cause)
	})
	return r.finish(b, err)
}

// checker is one that tells of nothing, for its questions.
func (r *repairer) checker(at *pebble.Snapshot) *checker {
	return &checker{
		e: r.e, ctx: r.ctx, at: at, yield: func(Problem) bool { return true },
		indexes: map[mailboxRef]map[engine.UID]mail.ID{},
	}
}

// owners takes references away whose owner is not there.
func (r *repairer) owners() error {
	at := r.e.db.NewSnapshot()
	defer at.Close()
	c := r.checker(at)
	b := r.e.db.NewBatch()
	err := r.e.eachReadable(r.ctx, at, kindRef, func(key, value []byte) error {
		cause := c.ref(key, value)
		if cause == nil {
			return nil
		}
		b.Delete(bytes.Clone(key), nil)
		return r.say(describe(key), "", "a reference was removed: %v", cause)
	})
	return r.finish(b, err)
}

// orphans sets bodies aside that nothing names and nobody gave up.
func (r *repairer) orphans() error {
	at := r.e.db.NewSnapshot()
	defer at.Close()
	c := r.checker(at)
	c.suspects()
	b := r.e.db.NewBatch()
	err := r.e.eachReadable(r.ctx, at, kindLocation, func(key, value []byte) error {
		cause := c.location(key, value)
		if cause == nil {
			return nil
		}
		id := mail.ID(key[1:17])
		if r.e.readable(id) != nil {
			kept, err := r.keepBody("body-"+id.String(), id)
			if err != nil {
				return err
			}
			b.Delete(bytes.Clone(key), nil)
			return r.say("body "+id.String(), kept, "set aside: %v", cause)
		}
		body, err := r.e.OpenBody(r.ctx, id)
		if err != nil {
			return err
		}
		defer body.Close()
		kept, err := r.keep("body-"+id.String()+".eml", io.NewSectionReader(body, 0, body.Size()))
		if err != nil {
			return err
		}
		r.e.suspect(b, []mail.ID{id})
		return r.say("body "+id.String(), kept, "set aside: %v", cause)
	})
	return r.finish(b, err)
}
