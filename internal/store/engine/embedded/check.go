package embedded

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"

	"github.com/cockroachdb/pebble/v2"

	"plic/internal/mail"
	"plic/internal/store/engine"
)

// Stats are figures of an engine. Bodies, Live, Files and Items are counted by
// going through the records.
type Stats struct {
	Bodies   int   // bodies that are kept
	Live     int64 // their octets
	Files    int   // bodies in files of their own
	Items    int   // queue items
	Segments int   // files that hold small bodies
	Damaged  int64 // records set aside
	Commits  int64 // batches applied since Open
	Syncs    int64 // syncs of the log since Open
}

// Stats counts.
func (e *Engine) Stats(ctx context.Context) (Stats, error) {
	if err := e.enter(); err != nil {
		return Stats{}, err
	}
	defer e.leave()
	s := Stats{Damaged: e.damaged.Load(), Commits: e.commits.Load()}
	err := e.eachRecord(kindLocation, func(key, value []byte) error {
		if l, err := decodeLocation(key, value); err == nil {
			s.Bodies++
			s.Live += l.size
			if l.own() {
				s.Files++
			}
		}
		return ctx.Err()
	})
	if err != nil {
		return Stats{}, e.readError(err)
	}
	err = e.eachRecord(kindItem, func(_, _ []byte) error {
		s.Items++
		return ctx.Err()
	})
	if err != nil {
		return Stats{}, e.readError(err)
	}
	s.Segments = e.segments.count()
	s.Syncs = e.log.Syncs()
	return s, nil
}

// Problem is something that Check found.
type Problem struct {
	Record string // which one, for people
	Err    error
}

func (p Problem) String() string { return p.Record + ": " + p.Err.Error() }

// Check goes through everything: each record decodes, each body fits its
// checksum, references and the messages and items they stand for agree. It
// changes nothing; nothing is reclaimed while it runs.
func (e *Engine) Check(ctx context.Context) iter.Seq[Problem] {
	return func(yield func(Problem) bool) {
		if err := e.enter(); err != nil {
			yield(Problem{"store", err})
			return
		}
		defer e.leave()
		e.reclaimer.mu.Lock()
		defer e.reclaimer.mu.Unlock()
		c := &checker{e: e, ctx: ctx, at: e.db.NewSnapshot(), yield: yield, indexes: map[mailboxRef]map[engine.UID]mail.ID{}}
		defer c.at.Close()
		c.each(kindName, c.name)
		c.each(kindAccount, c.account)
		c.each(kindItem, c.item)
		c.each(kindRef, c.ref)
		c.suspects()
		c.each(kindLocation, c.location)
		c.each(kindRedo, c.redo)
		c.each(kindSegment, func(key, value []byte) error {
			_, err := decodeSegment(key, value)
			return err
		})
		c.each(kindPosition, func(key, value []byte) error {
			_, err := decodeNumber(key, value)
			return err
		})
		c.each(kindDamaged, c.damaged)
	}
}

type checker struct {
	e     *Engine
	ctx   context.Context
	at    *pebble.Snapshot
	yield func(Problem) bool
	ended bool
	held  map[mail.ID]bool // bodies that are waiting to be reclaimed

	indexes map[mailboxRef]map[engine.UID]mail.ID
}

// each gives all records of a kind to a check and reports what it says.
func (c *checker) each(kind byte, check func(key, value []byte) error) {
	if c.ended {
		return
	}
	it, err := c.at.NewIterWithContext(c.ctx, &pebble.IterOptions{LowerBound: []byte{kind}, UpperBound: []byte{kind + 1}})
	if err != nil {
		c.report(fmt.Sprintf("records %q", kind), err)
		return
	}
	defer it.Close()
	last := []byte{kind}
	for ok := it.First(); (ok || it.Error() != nil) && !c.ended; ok = it.Next() {
		if c.ctx.Err() != nil {
			c.ended = true
			return
		}
		if !ok {
			c.report("records after "+describe(last), it.Error())
			if err := c.e.leapAnywhere(it, last); err != nil || !it.Valid() {
				return
			}
		}
		last = append(last[:0], it.Key()...)
		value, err := it.ValueAndErr()
		if err == nil {
			err = check(it.Key(), value)
		}
		if err != nil {
			c.report(describe(it.Key()), err)
		}
	}
}

func (c *checker) report(record string, err error) {
	if !c.ended {
		c.ended = !c.yield(Problem{record, err})
	}
}

// describe names a record for people.
func describe(key []byte) string {
	if a, m, text, ok := noteOf(key); ok {
		return fmt.Sprintf("account %d, mailbox %d, note %q", a, m, text)
	}
	if a, m, ok := ownerOf(key); ok && key[0] == kindAccount {
		return fmt.Sprintf("account %d, mailbox %d, uid %d (%c)", a, m, uidOf(key), key[9])
	}
	if len(key) >= 17 && bytes.IndexByte([]byte{kindItem, kindLocation, kindRef}, key[0]) >= 0 {
		return fmt.Sprintf("%c %s %x", key[0], mail.ID(key[1:17]), key[17:])
	}
	if p, ok := redoPlace(key); ok && key[0] == kindHole {
		return fmt.Sprintf("%d commits of the log from %d on", p.offset, p.segment)
	}
	return fmt.Sprintf("%c %x", key[0], key[1:])
}

func (c *checker) get(key []byte) ([]byte, error) {
	value, closer, err := c.at.Get(key)
	if err != nil {
		return nil, c.e.readError(err)
	}
	defer closer.Close()
	return bytes.Clone(value), nil
}

// need says that a record must be there.
func (c *checker) need(what string, key []byte) error {
	if _, err := c.get(key); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

func (c *checker) name(key, value []byte) error {
	id, err := decodeNumber(key, value)
	if err != nil {
		return err
	}
	record := partKey(engine.AccountID(id), partRecord)
	raw, err := c.get(record)
	if err != nil {
		return fmt.Errorf("record of account %d: %w", id, err)
	}
	a, err := decodeAccount(record, raw)
	if err != nil {
		return err
	}
	if a.Name != string(key[1:]) {
		return fmt.Errorf("account %d is called %q", id, a.Name)
	}
	return nil
}

func (c *checker) account(key, value []byte) error {
	if len(key) < 10 {
		return fmt.Errorf("key of %d octets", len(key))
	}
	id := engine.AccountID(numberOf(key))
	switch key[9] {
	case partRecord:
		a, err := decodeAccount(key, value)
		if err != nil {
			return err
		}
		return c.need("name", nameKey(a.Name))
	case partMailbox:
		m, err := decodeMailbox(key, value)
		if err != nil {
			return err
		}
		if !bytes.Equal(key, mailboxKey(id, partMailbox, m.ID)) {
			return fmt.Errorf("says that it is mailbox %d", m.ID)
		}
		return c.messages(mailboxRef{id, m.ID})
	case partNote:
		return c.note(id, key, value)
	case partGone:
		_, err := decodeGone(key, value)
		return err
	case partLog:
		_, err := decodeChange(key, value)
		return err
	case partPage:
		return c.page(key, value)
	case partRest:
		return c.need("page", messageTwin(key, partPage))
	case partDetail:
		return c.detail(id, key, value)
	}
	return fmt.Errorf("unknown part %q", key[9])
}

// messageTwin is the key of another part of the same message or page.
func messageTwin(key []byte, part byte) []byte {
	twin := bytes.Clone(key)
	twin[9] = part
	return twin
}

func (c *checker) page(key, value []byte) error {
	list, err := decodePage(key, value)
	if err != nil {
		return err
	}
	twin := messageTwin(key, partRest)
	rest, err := c.get(twin)
	if err != nil {
		return fmt.Errorf("the rest of a page: %w", err)
	}
	return decodeRest(list, twin, rest)
}

// entriesOf are the messages of a mailbox, read once.
func (c *checker) entriesOf(m mailboxRef) map[engine.UID]mail.ID {
	if known, ok := c.indexes[m]; ok {
		return known
	}
	all := map[engine.UID]mail.ID{}
	c.indexes[m] = all
	if c.e.graves.has(grave{account: m.account, mailbox: m.mailbox}) || c.e.graves.has(grave{account: m.account, all: true}) {
		return all
	}
	c.e.walk(c.ctx, c.at, m, 0, false, func(entry engine.Entry, err error) bool {
		if err != nil {
			c.report(fmt.Sprintf("account %d, mailbox %d, index", m.account, m.mailbox), err)
			return false
		}
		all[entry.UID] = entry.Body
		return true
	})
	return all
}

// messages checks that what an index names is there.
func (c *checker) messages(m mailboxRef) error {
	var errs []error
	for uid, body := range c.entriesOf(m) {
		err := errors.Join(
			c.need("reference", messageRef(body, m.account, m.mailbox, uid)),
			c.need("detail", messageKey(m.account, partDetail, m.mailbox, uid)),
		)
		if !engine.Elsewhere(body) {
			err = errors.Join(err, c.need("body "+body.String(), idKey(kindLocation, body)))
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("uid %d: %w", uid, err))
		}
	}
	return errors.Join(errs...)
}

func (c *checker) detail(a engine.AccountID, key, value []byte) error {
	_, m, ok := ownerOf(key)
	if !ok {
		return fmt.Errorf("key of %d octets", len(key))
	}
	if c.e.graves.has(grave{account: a, mailbox: m}) || c.e.graves.has(grave{account: a, all: true}) {
		return nil
	}
	if err := c.need("mailbox", mailboxKey(a, partMailbox, m)); err != nil {
		return err
	}
	if _, err := decodeDetail(key, value); err != nil {
		return err
	}
	if _, ok := c.entriesOf(mailboxRef{a, m})[uidOf(key)]; !ok {
		return errors.New("the index does not name the message")
	}
	return nil
}

func (c *checker) item(key, value []byte) error {
	i, err := decodeItem(key, value)
	if err != nil {
		return err
	}
	if !bytes.Equal(key, idKey(kindItem, i.ID)) {
		return fmt.Errorf("says that it is item %s", i.ID)
	}
	return errors.Join(
		c.need("reference", itemRef(i.Body, i.ID)),
		c.need("body "+i.Body.String(), idKey(kindLocation, i.Body)),
	)
}

// ref checks that the owner in a reference is there and names the body.
func (c *checker) ref(key, _ []byte) error {
	if len(key) < 18 {
		return fmt.Errorf("key of %d octets", len(key))
	}
	body, owner := mail.ID(key[1:17]), key[17:]
	var named mail.ID
	switch {
	case owner[0] == ownerItem && len(owner) == 17:
		record := idKey(kindItem, mail.ID(owner[1:]))
		raw, err := c.get(record)
		if err != nil {
			return fmt.Errorf("item: %w", err)
		}
		if named, _, err = decodeItemBody(record, raw); err != nil {
			return err
		}
	case owner[0] == ownerMessage && len(owner) == 17:
		m := mailboxRef{engine.AccountID(binary.BigEndian.Uint64(owner[1:])), engine.MailboxID(binary.BigEndian.Uint32(owner[9:]))}
		if c.e.graves.has(grave{account: m.account, mailbox: m.mailbox}) || c.e.graves.has(grave{account: m.account, all: true}) {
			return nil // to be buried
		}
		uid := engine.UID(binary.BigEndian.Uint32(owner[13:]))
		if named = c.entriesOf(m)[uid]; named.IsZero() {
			return fmt.Errorf("account %d, mailbox %d has no message of UID %d", m.account, m.mailbox, uid)
		}
	default:
		return errors.New("unknown owner")
	}
	if named != body {
		return fmt.Errorf("its owner names body %s", named)
	}
	return nil
}

func (c *checker) suspects() {
	c.held = map[mail.ID]bool{}
	c.each(kindSuspect, func(key, value []byte) error {
		bodies, ok := suspectsOf(key, value)
		if !ok {
			return fmt.Errorf("key of %d octets, record of %d", len(key), len(value))
		}
		for _, id := range bodies {
			c.held[id] = true
		}
		return nil
	})
}

func (c *checker) location(key, value []byte) error {
	if len(key) != 17 {
		return fmt.Errorf("key of %d octets", len(key))
	}
	id := mail.ID(key[1:])
	l, err := decodeLocation(key, value)
	if err != nil {
		return err
	}
	refs := idKey(kindRef, id)
	it, err := c.at.NewIter(&pebble.IterOptions{LowerBound: refs, UpperBound: after(refs)})
	if err != nil {
		return err
	}
	owned := it.First()
	if err := it.Close(); err != nil {
		return err
	}
	if !owned && !c.held[id] {
		return errors.New("body has no owner and is not on the way to be reclaimed")
	}
	body, err := c.e.openAt(id, &l)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, io.NewSectionReader(body, 0, body.Size()))
	return errors.Join(err, body.Close())
}

func (c *checker) redo(key, value []byte) error {
	if _, ok := redoPlace(key); !ok {
		return fmt.Errorf("key of %d octets", len(key))
	}
	_, _, err := openFrame(value)
	return err
}

func (c *checker) damaged(key, _ []byte) error {
	if len(key) > 1 && key[1] == kindHole {
		return fmt.Errorf("%s: changes that were acknowledged are lost there", describe(key[1:]))
	}
	return errors.New("was set aside as damaged")
}
