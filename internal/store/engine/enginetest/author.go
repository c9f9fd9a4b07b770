package enginetest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"plic/internal/mail"
	"plic/internal/store/engine"
)

// author makes up batches, the same for the same seed.
type author struct {
	rng   *rand.Rand
	noted *rand.Rand // for notes
	later *rand.Rand // for details that come later
	wide  *rand.Rand // for changes of all of a mailbox
	large int        // percent of batches that are such
	clock *clock
	model *model
	items uint64
	next  engine.AccountID
	seq   engine.ModSeq
}

func newAuthor(seed uint64, c *clock, s Suite) *author {
	from := func(n uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, n)) }
	return &author{rng: from(77), noted: from(78), later: from(79), wide: from(80), large: s.Large, clock: c, model: newModel(), next: 1}
}

func (a *author) bytes(n int) []byte {
	b := make([]byte, n)
	mask := byte(0xff)
	if n%2 == 0 { // half of them can be compressed
		mask = 0x0f
	}
	for i := range b {
		b[i] = byte(a.rng.Uint32()) & mask
	}
	return b
}

// body writes a body of a size that mail has, some large.
func (a *author) body(ctx context.Context, e engine.Engine) (engine.BodyWriter, error) {
	n := a.rng.IntN(6000)
	switch a.rng.IntN(20) {
	case 0:
		n = 100<<10 + a.rng.IntN(300<<10)
	case 1:
		n = 0
	}
	content := a.bytes(n)
	w, err := write(ctx, e, content)
	if err != nil {
		return nil, err
	}
	a.model.content[w.ID()] = content
	return w, nil
}

// batch makes up a batch that fits the model's state.
func (a *author) batch(ctx context.Context, e engine.Engine) (*engine.Batch, error) {
	a.clock.advance(time.Duration(a.rng.IntN(60)) * time.Second)
	b := &engine.Batch{}
	var err error
	accounts := sortedKeys(a.model.accounts)
	switch {
	case len(accounts) == 0 || len(accounts) < 5 && a.rng.IntN(8) == 0:
		a.newAccount(b)
	case a.wide.IntN(100) < a.large:
		err = a.whole(ctx, e, b, accounts)
	case a.rng.IntN(40) == 0:
		b.Forget = append(b.Forget, accounts[a.rng.IntN(len(accounts))])
	case a.rng.IntN(12) == 0:
		a.removeMailbox(b, accounts)
	case a.rng.IntN(4) == 0:
		err = a.queue(ctx, e, b)
	default:
		err = a.mailboxes(ctx, e, b, accounts)
	}
	if a.noted.IntN(3) == 0 {
		a.note(b)
	}
	if err == nil && a.rng.IntN(15) == 0 {
		var w engine.BodyWriter // a body that nothing names
		if w, err = a.body(ctx, e); err == nil {
			b.Bodies = append(b.Bodies, w)
		}
	}
	if err != nil {
		for _, w := range b.Bodies {
			w.Discard()
		}
	}
	return b, err
}

func (a *author) newAccount(b *engine.Batch) {
	id := a.next
	a.next++
	b.Accounts = append(b.Accounts, engine.Account{
		ID: id, Name: fmt.Sprintf("user%d@example.org", id), NextMailbox: 3, NextUIDValidity: uint32(id) + 2,
		Created: a.clock.now(),
	})
	for i := range engine.MailboxID(2) {
		b.Mailboxes = append(b.Mailboxes, engine.MailboxChange{Account: id, Record: engine.Mailbox{
			ID: i + 1, Name: fmt.Sprintf("Box/%d ü", i), UIDValidity: uint32(id) + uint32(i), UIDNext: 1,
			SpecialUse: `\Sent`, Subscribed: i == 0, NoSelect: i == 1, Created: a.clock.now(),
		}})
	}
}

func (a *author) removeMailbox(b *engine.Batch, accounts []engine.AccountID) {
	acct := a.model.accounts[accounts[a.rng.IntN(len(accounts))]]
	boxes := sortedKeys(acct.boxes)
	if len(boxes) > 1 {
		box := acct.boxes[boxes[a.rng.IntN(len(boxes))]]
		b.Mailboxes = append(b.Mailboxes, engine.MailboxChange{Account: acct.ID, Record: box.Mailbox, Remove: true})
		return
	}
	changed := acct.Account
	changed.NextMailbox++
	changed.NextUIDValidity++
	b.Accounts = append(b.Accounts, changed)
	b.Mailboxes = append(b.Mailboxes, engine.MailboxChange{Account: acct.ID, Record: engine.Mailbox{
		ID: acct.NextMailbox, Name: fmt.Sprint("New ", acct.NextMailbox), UIDValidity: acct.NextUIDValidity, UIDNext: 1,
	}})
}

// queue adds, changes or drops items.
func (a *author) queue(ctx context.Context, e engine.Engine, b *engine.Batch) error {
	items := sortedItems(a.model.items)
	if len(items) == 0 || len(items) <= 6 && a.rng.IntN(3) == 0 {
		return a.newItems(ctx, e, b)
	}
	i := items[a.rng.IntN(len(items))]
	if len(items) > 6 || a.rng.IntN(2) == 0 {
		b.DropItems = append(b.DropItems, i.ID)
		return nil
	}
	i.Attempts++
	i.Prefix = a.bytes(10)
	b.PutItems = append(b.PutItems, i)
	return nil
}

// newItems puts some items over one body.
func (a *author) newItems(ctx context.Context, e engine.Engine, b *engine.Batch) error {
	w, err := a.body(ctx, e)
	if err != nil {
		return err
	}
	b.Bodies = append(b.Bodies, w)
	for range 1 + a.rng.IntN(3) {
		a.items++
		id := mail.FirstID(a.clock.now())
		id[15], id[14] = byte(a.items), byte(a.items>>8)
		b.PutItems = append(b.PutItems, mail.Item{
			ID: id, Body: w.ID(), Prefix: a.bytes(5),
			Envelope: mail.Envelope{From: mail.MustAddress("a@example.org")},
			To:       []mail.ItemRcpt{{Recipient: mail.Recipient{Address: mail.MustAddress("b@example.net")}}},
		})
	}
	return nil
}

// mailboxes changes one to three mailboxes: adds (with one body for all),
// copies, changes flags, expunges.
func (a *author) mailboxes(ctx context.Context, e engine.Engine, b *engine.Batch, accounts []engine.AccountID) error {
	w, err := a.body(ctx, e)
	if err != nil {
		return err
	}
	b.Bodies = append(b.Bodies, w)
	if a.rng.IntN(4) == 0 {
		if err := a.newItems(ctx, e, b); err != nil {
			return err
		}
	}
	for range 1 + a.rng.IntN(3) {
		acct := a.model.accounts[accounts[a.rng.IntN(len(accounts))]]
		boxes := sortedKeys(acct.boxes)
		if len(boxes) == 0 {
			continue
		}
		box := acct.boxes[boxes[a.rng.IntN(len(boxes))]]
		if slices.ContainsFunc(b.Mailboxes, func(c engine.MailboxChange) bool {
			return c.Account == acct.ID && c.Record.ID == box.ID
		}) {
			continue
		}
		b.Mailboxes = append(b.Mailboxes, a.change(acct.ID, box, w.ID()))
	}
	return nil
}

func (a *author) change(acct engine.AccountID, box *mailbox, body mail.ID) engine.MailboxChange {
	c := engine.MailboxChange{Account: acct, Record: box.Mailbox}
	r := &c.Record
	uids := sortedKeys(box.messages)
	a.seq++
	r.HighestModSeq = a.seq
	bodies := []mail.ID{body}
	for _, uid := range uids {
		msg := box.messages[uid]
		switch {
		case a.rng.IntN(6) == 0:
			c.Expunge = append(c.Expunge, uid)
			c.ExpungedAt = a.seq
			if a.seq%2 == 0 {
				c.Gone = append(c.Gone, msg.Body)
			}
			r.Messages--
		case a.rng.IntN(6) == 0:
			entry := msg.Entry
			entry.Flags, entry.ModSeq = engine.Flags(a.rng.Uint64()), a.seq
			c.Update = append(c.Update, entry)
		case a.rng.IntN(10) == 0:
			bodies = append(bodies, msg.Body) // a copy
		}
	}
	c.Details = a.details(uids, c.Expunge)
	for _, id := range bodies {
		c.Add = append(c.Add, engine.Message{
			Entry: engine.Entry{
				UID: r.UIDNext, ModSeq: a.seq, Flags: engine.Flags(a.rng.IntN(32)), Size: int64(a.rng.IntN(1 << 30)),
				Internal: engine.DateOf(a.clock.now().In(time.FixedZone("", 3600*a.noted.IntN(3)))), Saved: a.clock.now().Unix() - 5, Body: id,
			},
			Detail: engine.Detail{Prefix: a.bytes(a.rng.IntN(40)), Summary: a.bytes(a.rng.IntN(60))},
		})
		r.UIDNext++
		r.Messages++
	}
	if n := len(box.gone); n > 8 {
		c.Unlearn = box.gone[n/2].ModSeq
		r.ExpungedSince, r.ExpungedCount = c.Unlearn, uint32(n)
	}
	if a.rng.IntN(5) == 0 {
		r.Keywords = append(slices.Clone(r.Keywords), fmt.Sprint("$k", len(r.Keywords)))
	}
	return c
}
