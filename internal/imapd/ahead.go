package imapd

import (
	"context"
	"iter"
	"time"

	"plic/internal/store"
)

// Small messages are opened while those before them are sent: reading and
// decompressing one takes about as long as sending it. They are handed on in
// groups, since a handing on takes as long as well. What waits is at most two
// groups of aheadFull and one message more.
const (
	aheadMany = 32
	aheadFull = 64 << 10
	aheadSize = 64 << 10
)

// ahead opens the messages of a batch in their order.
type ahead struct {
	out  chan []opened
	here []opened // of the group at hand
	stop context.CancelFunc
}

// opened is a message that was opened ahead, or why it could not be; neither if
// it is large.
type opened struct {
	msg *store.Message
	err error
}

func (o opened) close() {
	if o.msg != nil {
		o.msg.Close()
	}
}

func closeAll(group []opened) {
	for _, o := range group {
		o.close()
	}
}

func openAhead(ctx context.Context, mb *store.Mailbox, batch []numbered) *ahead {
	ctx, stop := context.WithCancel(ctx)
	a := &ahead{out: make(chan []opened), stop: stop}
	go a.run(ctx, mb, batch)
	return a
}

// run hands groups on until all is opened; the first is one message, so that
// sending begins at once.
func (a *ahead) run(ctx context.Context, mb *store.Mailbox, batch []numbered) {
	defer close(a.out)
	defer func() { recover() }() // what was not handed on is opened by who wants it
	var group []opened
	defer func() { closeAll(group) }()
	octets, first := int64(0), true
	give := func(o opened) bool {
		if group = append(group, o); o.msg != nil {
			octets += o.msg.Size()
		}
		if !first && len(group) < aheadMany && octets < aheadFull {
			return true
		}
		first = false
		select {
		case a.out <- group:
			group, octets = nil, 0
			return true
		case <-ctx.Done():
			return false
		}
	}
	small := make([]store.Entry, 0, len(batch))
	for i := range batch {
		if batch[i].Size <= aheadSize {
			small = append(small, batch[i].Entry)
		}
	}
	large := func() bool { // those before the next small one
		for len(batch) > 0 && batch[0].Size > aheadSize {
			if batch = batch[1:]; !give(opened{}) {
				return false
			}
		}
		return true
	}
	if !large() {
		return
	}
	for msg, err := range mb.OpenAll(ctx, small) {
		if batch = batch[1:]; !give(opened{msg, err}) || !large() {
			return
		}
	}
	if len(group) > 0 {
		select {
		case a.out <- group:
			group = nil
		case <-ctx.Done():
		}
	}
}

// next is the next message of the batch, if they are opened ahead.
func (a *ahead) next() opened {
	if a == nil {
		return opened{}
	}
	if len(a.here) == 0 {
		if a.here = <-a.out; len(a.here) == 0 {
			return opened{}
		}
	}
	o := a.here[0]
	a.here[0] = opened{} // it may go when it was sent
	a.here = a.here[1:]
	return o
}

func (a *ahead) close() {
	a.stop()
	closeAll(a.here)
	for group := range a.out {
		closeAll(group)
	}
}

// inTurn is the reading of one message after the other, by a command for each:
// the next ones are opened while the client takes one.
type inTurn struct {
	next store.Following
	last store.UID // the message that was read last
	more bool      // it was in turn, and the next ones are not open
}

// openInTurn opens a message that alone is read, if it was opened before, or if
// the command for the one after it is here already.
func (c *conn) openInTurn(ctx context.Context, n numbered) opened {
	v := c.view
	t := &v.turn
	after := n.i > 0 && v.seq.At(n.i-1).UID == t.last
	t.last = n.UID
	msg := t.next.Take(n.UID)
	if msg == nil && after && n.there && c.in.buffered() > 0 {
		t.next.Fill(ctx, v.mb, v.from(n.i))
		msg = t.next.Take(n.UID)
	}
	t.more = after && t.next.Empty()
	if msg != nil && !n.there {
		msg.Close()
		msg = nil
	}
	return opened{msg: msg}
}

// openNext opens the messages that are probably read next.
func (c *conn) openNext(ctx context.Context) {
	if c.view == nil || !c.view.turn.more {
		return
	}
	v := c.view
	v.turn.more = false
	if i, there := v.seq.Find(v.turn.last); there {
		v.turn.next.Fill(ctx, v.mb, v.from(i+1))
	}
}

// await waits for a command. What was made ready for one that does not come soon is
// given up.
func (c *conn) await(patience time.Time) error {
	const soon = time.Second
	if c.view == nil || !c.view.isReady() {
		return c.in.await(patience)
	}
	err := c.in.await(time.Now().Add(soon))
	if isTimeout(err) {
		c.view.unready()
		return c.in.await(patience)
	}
	c.in.deadline(patience)
	return err
}

// isReady says that something is held for the next command.
func (v *view) isReady() bool { return !v.turn.next.Empty() || v.contents.of != nil }

func (v *view) unready() {
	v.turn.next.Close()
	v.contents = contents{}
}

// from gives the messages from an index on that are still there.
func (v *view) from(i int) iter.Seq[store.Entry] {
	return func(yield func(store.Entry) bool) {
		at := position{}
		for _, e := range v.seq.Range(i, v.seq.Len()) {
			if it := v.current(e, &at); it.there && !yield(it.Entry) {
				return
			}
		}
	}
}
