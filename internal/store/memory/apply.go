package memory

import (
	"errors"
	"fmt"
	"slices"

	"plic/internal/mail"
	"plic/internal/store/engine"
)

// ticket is done when what it stands for is as durable as memory can be.
type ticket struct {
	done chan struct{}
	err  error
}

func (t *ticket) Wait() error {
	<-t.done
	return t.err
}

// Hold makes the tickets of batches from now on wait for Release or Fail.
func (e *Engine) Hold() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.held = true
}

// Release makes every batch applied so far durable, and those to come.
func (e *Engine) Release() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.release(nil)
}

// ReleaseOne makes the oldest batch held back durable; false if there is none.
func (e *Engine) ReleaseOne() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.tickets) == 0 {
		return false
	}
	close(e.tickets[0].done)
	e.tickets = e.tickets[1:]
	return true
}

// Pending is how many batches are held back.
func (e *Engine) Pending() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.tickets)
}

// Fail stops the engine as a failed sync does: what is held back will never be
// durable, and nothing more is taken.
func (e *Engine) Fail() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.refuse = engine.ErrFailed
	e.release(engine.ErrFailed)
}

// Refuse makes Apply and NewBody answer with an error; nil ends that.
func (e *Engine) Refuse(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.refuse = err
}

func (e *Engine) release(err error) {
	for _, t := range e.tickets {
		t.err = err
		close(t.done)
	}
	e.tickets, e.held = nil, false
}

// Apply makes the changes. A batch that makes no sense is refused whole.
func (e *Engine) Apply(b *engine.Batch) (engine.Ticket, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := first(e.open(), e.refuse); err != nil {
		return nil, err
	}
	if err := e.check(b); err != nil {
		return nil, fmt.Errorf("a batch that makes no sense: %w", err)
	}
	for _, w := range b.Bodies {
		w := w.(*writer)
		e.bodies[w.id] = &body{data: w.data}
		w.taken = true
	}
	for _, a := range b.Accounts {
		e.account(a)
	}
	for i := range b.Mailboxes {
		e.change(&b.Mailboxes[i])
	}
	for _, n := range b.PutNotes {
		e.note(n)
	}
	for _, item := range b.PutItems {
		e.own(item.Body, 1)
		e.dropItem(item.ID)
		e.items[item.ID] = item
	}
	for _, id := range b.DropItems {
		e.dropItem(id)
	}
	for _, id := range b.Forget {
		e.forget(id)
	}
	for _, w := range b.Bodies {
		e.own(w.ID(), 0) // one that nobody wants goes
	}
	t := &ticket{done: make(chan struct{})}
	if e.held {
		e.tickets = append(e.tickets, t)
	} else {
		close(t.done)
	}
	return t, nil
}

func (e *Engine) account(rec engine.Account) {
	a := e.accounts[rec.ID]
	if a == nil {
		a = &account{notes: notes{}, boxes: map[engine.MailboxID]*mailbox{}}
		e.accounts[rec.ID] = a
	}
	delete(e.names, a.rec.Name)
	a.rec = rec
	e.names[rec.Name] = rec.ID
}

func (e *Engine) forget(id engine.AccountID) {
	a := e.accounts[id]
	for _, m := range a.boxes {
		e.disown(m)
	}
	delete(e.names, a.rec.Name)
	delete(e.accounts, id)
}

func (e *Engine) disown(m *mailbox) {
	for i := range m.messages {
		e.own(m.messages[i].Body, -1)
	}
}

func (e *Engine) dropItem(id mail.ID) {
	if old, ok := e.items[id]; ok {
		e.own(old.Body, -1)
		delete(e.items, id)
	}
}

// own changes the number of a body's owners; without any it goes.
func (e *Engine) own(id mail.ID, by int) {
	if b := e.bodies[id]; b != nil {
		if b.owners += by; b.owners <= 0 {
			delete(e.bodies, id)
		}
	}
}

func (e *Engine) change(c *engine.MailboxChange) {
	a := e.accounts[c.Account]
	box := a.boxes[c.Record.ID]
	if c.Remove {
		if box != nil {
			e.disown(box)
			delete(a.boxes, c.Record.ID)
		}
		return
	}
	if box == nil {
		box = &mailbox{notes: notes{}}
		a.boxes[c.Record.ID] = box
	}
	box.rec = c.Record
	box.rec.Keywords = slices.Clone(c.Record.Keywords)
	for _, entry := range c.Update {
		i, _ := box.search(entry.UID)
		box.messages[i].Entry = entry
	}
	for _, msg := range c.Add {
		e.own(msg.Body, 1)
		if c.Moved {
			box.moved(e, msg)
			continue
		}
		msg.Prefix, msg.Summary = slices.Clone(msg.Prefix), slices.Clone(msg.Summary)
		box.messages = append(box.messages, msg)
	}
	for _, d := range c.Details {
		i, _ := box.search(d.UID)
		box.messages[i].Detail = d.Clone()
	}
	for _, uid := range c.Expunge {
		box.expunged = append(box.expunged, engine.Expunged{UID: uid, ModSeq: c.ExpungedAt})
	}
	box.expunged = slices.DeleteFunc(box.expunged, func(x engine.Expunged) bool { return x.ModSeq <= c.Unlearn })
	rest := c.Expunge
	box.messages = slices.DeleteFunc(box.messages, func(msg engine.Message) bool {
		if len(rest) == 0 || msg.UID != rest[0] {
			return false
		}
		e.own(msg.Body, -1)
		rest = rest[1:]
		return true
	})
}

// moved gives a message another body.
func (m *mailbox) moved(e *Engine, msg engine.Message) {
	i, _ := m.search(msg.UID)
	had := &m.messages[i]
	e.own(had.Body, -1)
	had.Entry = msg.Entry
	if len(msg.Prefix)+len(msg.Summary) > 0 {
		had.Detail = msg.Detail.Clone()
	}
}

// check looks for what a store must never do.
func (e *Engine) check(b *engine.Batch) error {
	given := map[mail.ID]bool{}
	for _, w := range b.Bodies {
		own, ok := w.(*writer)
		if !ok || own.e != e || own.taken || own.gone {
			return fmt.Errorf("body %s is not to be taken", w.ID())
		}
		given[own.id] = true
	}
	accounts := map[engine.AccountID]bool{}
	for _, a := range b.Accounts {
		if id, ok := e.names[a.Name]; ok && id != a.ID {
			return fmt.Errorf("account %s exists with another number", a.Name)
		}
		accounts[a.ID] = true
	}
	for _, id := range b.Forget {
		if e.accounts[id] == nil || accounts[id] {
			return fmt.Errorf("account number %d is not to be forgotten", id)
		}
	}
	seen := map[[2]uint64]bool{}
	for i := range b.Mailboxes {
		c := &b.Mailboxes[i]
		key := [2]uint64{uint64(c.Account), uint64(c.Record.ID)}
		if seen[key] || e.accounts[c.Account] == nil && !accounts[c.Account] {
			return fmt.Errorf("mailbox %s comes twice or has no account", c.Record.Name)
		}
		seen[key] = true
		if e.trusting {
			continue
		}
		if err := e.checkChange(c, given); err != nil {
			return fmt.Errorf("mailbox %s: %w", c.Record.Name, err)
		}
	}
	if err := e.checkNotes(b); err != nil {
		return err
	}
	for _, item := range b.PutItems {
		if e.bodies[item.Body] == nil && !given[item.Body] {
			return fmt.Errorf("item %s has no body", item.ID)
		}
	}
	return nil
}

func (e *Engine) checkChange(c *engine.MailboxChange, given map[mail.ID]bool) error {
	if c.Remove {
		return nil
	}
	box := e.mailbox(c.Account, c.Record.ID)
	if box == nil {
		box = &mailbox{}
	}
	if c.Record.HighestModSeq < box.rec.HighestModSeq || c.Record.UIDNext < box.rec.UIDNext ||
		c.Record.UIDValidity < box.rec.UIDValidity {
		return errors.New("a counter falls")
	}
	next := box.rec.UIDNext
	for _, m := range c.Add {
		if _, ok := box.search(m.UID); c.Moved && ok && (e.bodies[m.Body] != nil || given[m.Body] || engine.Elsewhere(m.Body)) {
			continue
		}
		if m.UID < next || m.UID >= c.Record.UIDNext || m.ModSeq <= box.rec.HighestModSeq || m.ModSeq > c.Record.HighestModSeq {
			return fmt.Errorf("UID %d with MODSEQ %d does not fit", m.UID, m.ModSeq)
		}
		if e.bodies[m.Body] == nil && !given[m.Body] && !engine.Elsewhere(m.Body) {
			return fmt.Errorf("UID %d has no body", m.UID)
		}
		next = m.UID + 1
	}
	touched := map[engine.UID]bool{}
	var last engine.UID
	for _, m := range c.Update {
		i, ok := box.search(m.UID)
		if !ok || touched[m.UID] || m.ModSeq <= box.messages[i].ModSeq || m.ModSeq > c.Record.HighestModSeq {
			return fmt.Errorf("update of UID %d does not fit", m.UID)
		}
		touched[m.UID] = true
	}
	for i, d := range c.Details {
		if _, ok := box.search(d.UID); !ok || slices.Contains(c.Expunge, d.UID) || i > 0 && d.UID <= c.Details[i-1].UID {
			return fmt.Errorf("details of UID %d do not fit", d.UID)
		}
	}
	for _, uid := range c.Expunge {
		if _, ok := box.search(uid); !ok || uid <= last || c.ExpungedAt <= box.rec.HighestModSeq || c.ExpungedAt > c.Record.HighestModSeq {
			return fmt.Errorf("expunge of UID %d does not fit", uid)
		}
		last = uid
	}
	return nil
}
