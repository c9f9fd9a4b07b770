package enginetest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"

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
		if c.Moved && len(msg.Prefix)+len(msg.Summary) == 0 {
			msg.Detail = box.messages[msg.UID].Detail
		}
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
