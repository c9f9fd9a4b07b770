package enginetest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"plic/internal/mail"
	"plic/internal/store/engine"
)

// model is what an engine should hold, kept in the simplest way.
type model struct {
	accounts map[engine.AccountID]*account
	items    map[mail.ID]mail.Item
	notes    notes
	content  map[mail.ID][]byte // of all bodies there ever were
}

type account struct {
	engine.Account
	boxes map[engine.MailboxID]*mailbox
}

type mailbox struct {
	engine.Mailbox
	messages map[engine.UID]engine.Message
	gone     []engine.Expunged
}

func newModel() *model {
	return &model{
		accounts: map[engine.AccountID]*account{},
		items:    map[mail.ID]mail.Item{},
		notes:    notes{},
		content:  map[mail.ID][]byte{},
	}
}

// apply does to the model what Apply does to an engine.
func (m *model) apply(b *engine.Batch) {
	for _, id := range b.Forget {
		delete(m.accounts, id)
		m.notes.forget(id)
	}
	for _, a := range b.Accounts {
		if m.accounts[a.ID] == nil {
			m.accounts[a.ID] = &account{boxes: map[engine.MailboxID]*mailbox{}}
		}
		m.accounts[a.ID].Account = a
	}
	for _, c := range b.Mailboxes {
		m.applyMailbox(&c)
	}
	m.notes.put(b.PutNotes)
	for _, i := range b.PutItems {
		m.items[i.ID] = i
	}
	for _, id := range b.DropItems {
		delete(m.items, id)
	}
}

func (m *model) applyMailbox(c *engine.MailboxChange) {
	a := m.accounts[c.Account]
	if c.Remove {
		delete(a.boxes, c.Record.ID)
		m.notes.remove(c.Account, c.Record.ID)
		return
	}
	box := a.boxes[c.Record.ID]
	if box == nil {
		box = &mailbox{messages: map[engine.UID]engine.Message{}}
		a.boxes[c.Record.ID] = box
	}
	box.Mailbox = c.Record
	box.Keywords = slices.Clone(c.Record.Keywords)
	for _, msg := range c.Add {
		box.messages[msg.UID] = msg
	}
	for _, e := range c.Update {
		msg := box.messages[e.UID]
		msg.Entry = e
		box.messages[e.UID] = msg
	}
	for _, d := range c.Details {
		msg := box.messages[d.UID]
		msg.Detail = d.Detail
		box.messages[d.UID] = msg
	}
	for _, uid := range c.Expunge {
		delete(box.messages, uid)
		box.gone = append(box.gone, engine.Expunged{UID: uid, ModSeq: c.ExpungedAt})
	}
	box.gone = slices.DeleteFunc(box.gone, func(x engine.Expunged) bool { return x.ModSeq <= c.Unlearn })
}

func sortedKeys[K interface{ ~uint32 | ~uint64 }, V any](m map[K]V) []K {
	keys := make([]K, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func sortedItems(m map[mail.ID]mail.Item) []mail.Item {
	items := make([]mail.Item, 0, len(m))
	for _, i := range m {
		items = append(items, i)
	}
	slices.SortFunc(items, func(x, y mail.Item) int { return bytes.Compare(x.ID[:], y.ID[:]) })
	return items
}

func sum(content []byte) string { return fmt.Sprintf("%d:%x", len(content), sha256.Sum256(content)) }

// describe writes out all that the model holds.
func (m *model) describe() string {
	var b strings.Builder
	var names []string
	byName := map[string]*account{}
	for _, a := range m.accounts {
		names = append(names, a.Name)
		byName[a.Name] = a
	}
	slices.Sort(names)
	m.notes.describe(&b, 0, 0)
	for _, name := range names {
		a := byName[name]
		describeAccount(&b, a.Account)
		m.notes.describe(&b, a.ID, 0)
		for _, id := range sortedKeys(a.boxes) {
			box := a.boxes[id]
			describeMailbox(&b, box.Mailbox)
			m.notes.describe(&b, a.ID, id)
			for _, uid := range sortedKeys(box.messages) {
				msg := box.messages[uid]
				describeMessage(&b, msg.Entry, msg.Detail, sum(m.content[msg.Body]))
			}
			gone := slices.Clone(box.gone)
			slices.SortFunc(gone, func(x, y engine.Expunged) int {
				if x.ModSeq != y.ModSeq {
					return int(int64(x.ModSeq) - int64(y.ModSeq))
				}
				return int(int64(x.UID) - int64(y.UID))
			})
			fmt.Fprintf(&b, "  gone %v\n", gone)
		}
	}
	for _, i := range sortedItems(m.items) {
		describeItem(&b, i, sum(m.content[i.Body]))
	}
	return b.String()
}

func describeAccount(b *strings.Builder, a engine.Account) {
	fmt.Fprintf(b, "account %d %q %d %d %d\n", a.ID, a.Name, a.NextMailbox, a.NextUIDValidity, a.Created.UnixNano())
}

func describeMailbox(b *strings.Builder, m engine.Mailbox) {
	m.Created = m.Created.UTC()
	if m.Keywords == nil {
		m.Keywords = []string{}
	}
	fmt.Fprintf(b, " mailbox %+v\n", m)
}

func describeMessage(b *strings.Builder, e engine.Entry, d engine.Detail, body string) {
	fmt.Fprintf(b, "  %+v prefix %q summary %q body %s\n", e, d.Prefix, d.Summary, body)
}

func describeItem(b *strings.Builder, i mail.Item, body string) {
	fmt.Fprintf(b, "item %s %s prefix %q to %v body %s\n", i.ID, i.Envelope.From, i.Prefix, i.To, body)
}

// describe writes out all that an engine holds, in the same words.
func describe(ctx context.Context, e engine.Engine) (string, error) {
	var b strings.Builder
	var accounts []engine.Account
	for a, err := range e.Accounts(ctx) {
		if err != nil {
			return "", err
		}
		accounts = append(accounts, a)
	}
	slices.SortFunc(accounts, func(x, y engine.Account) int { return strings.Compare(x.Name, y.Name) })
	if err := describeNotes(ctx, e, &b, 0, 0); err != nil {
		return "", err
	}
	for _, listed := range accounts {
		a, boxes, err := e.Account(ctx, listed.Name)
		if err != nil {
			return "", err
		}
		describeAccount(&b, a)
		if err := describeNotes(ctx, e, &b, a.ID, 0); err != nil {
			return "", err
		}
		slices.SortFunc(boxes, func(x, y engine.Mailbox) int { return int(x.ID) - int(y.ID) })
		for _, box := range boxes {
			describeMailbox(&b, box)
			if err := describeMessages(ctx, e, &b, a.ID, box.ID); err != nil {
				return "", fmt.Errorf("mailbox %d of %s: %w", box.ID, a.Name, err)
			}
		}
	}
	for i, err := range e.Items(ctx) {
		if err != nil {
			return "", err
		}
		body, err := contentOf(ctx, e, i.Body)
		if err != nil {
			return "", err
		}
		describeItem(&b, i, sum(body))
	}
	return b.String(), nil
}

func contentOf(ctx context.Context, e engine.Engine, id mail.ID) ([]byte, error) {
	body, err := e.OpenBody(ctx, id)
	if err != nil {
		return nil, err
	}
	return read(body)
}

func describeMessages(ctx context.Context, e engine.Engine, b *strings.Builder, a engine.AccountID, m engine.MailboxID) error {
	if err := describeNotes(ctx, e, b, a, m); err != nil {
		return err
	}
	var entries []engine.Entry
	var uids []engine.UID
	for entry, err := range e.Entries(ctx, a, m, 0) {
		if err != nil {
			return err
		}
		entries = append(entries, entry)
		uids = append(uids, entry.UID)
	}
	if err := sameMarks(ctx, e, a, m, entries); err != nil {
		return err
	}
	details := map[engine.UID]engine.Detail{}
	for d, err := range e.Details(ctx, a, m, uids) {
		if err != nil {
			return err
		}
		details[d.UID] = d.Clone()
	}
	for _, entry := range entries {
		body, err := contentOf(ctx, e, entry.Body)
		if err != nil {
			return fmt.Errorf("uid %d: %w", entry.UID, err)
		}
		describeMessage(b, entry, details[entry.UID], sum(body))
	}
	gone := []engine.Expunged{}
	for x, err := range e.Expunged(ctx, a, m, 0) {
		if err != nil {
			return err
		}
		gone = append(gone, x)
	}
	fmt.Fprintf(b, "  gone %v\n", gone)
	return nil
}

// author makes up batches, the same for the same seed.
type author struct {
	rng   *rand.Rand
	noted *rand.Rand // for notes
	later *rand.Rand // for details that come later
	clock *clock
	model *model
	items uint64
	next  engine.AccountID
	seq   engine.ModSeq
}

func newAuthor(seed uint64, c *clock) *author {
	return &author{rng: rand.New(rand.NewPCG(seed, 77)), noted: rand.New(rand.NewPCG(seed, 78)), later: rand.New(rand.NewPCG(seed, 79)), clock: c, model: newModel(), next: 1}
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
