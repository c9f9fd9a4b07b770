package imapd

import (
	"context"
	"fmt"

	"plic/internal/store"
)

// Small messages are opened while those before them are sent: reading and
// decompressing one takes about as long as sending it. They are handed on in
// groups, since a handing on takes as long as well. What waits is at most two
// groups of aheadFull and one message more.
const (
	aheadMany  = 16
	aheadFull  = 16 << 10
	aheadSize  = 32 << 10
	aheadKnown = 64 // prefixes that are looked up at a time
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
	var prefixes map[store.UID][]byte
	var group []opened
	octets := int64(0)
	for i, n := range batch {
		if i%aheadKnown == 0 {
			prefixes = lookUp(ctx, mb, batch[i:min(i+aheadKnown, len(batch))])
		}
		o := open1(ctx, mb, n.Entry, prefixes)
		if group = append(group, o); o.msg != nil {
			octets += o.msg.Size()
		}
		if i > 0 && i+1 < len(batch) && len(group) < aheadMany && octets < aheadFull {
			continue
		}
		select {
		case a.out <- group:
			group, octets = nil, 0
		case <-ctx.Done():
			closeAll(group)
			return
		}
	}
}

// lookUp reads the prefixes of small messages. What it lacks is read with the
// message, which tells what is wrong.
func lookUp(ctx context.Context, mb *store.Mailbox, batch []numbered) (prefixes map[store.UID][]byte) {
	defer func() {
		if recover() != nil {
			prefixes = nil
		}
	}()
	uids := make([]store.UID, 0, len(batch))
	for _, n := range batch {
		if n.Size <= aheadSize {
			uids = append(uids, n.UID)
		}
	}
	if len(uids) < 2 {
		return nil
	}
	prefixes, _ = mb.Prefixes(ctx, uids)
	return prefixes
}

// open1 opens a message; its panic is not that of the whole server.
func open1(ctx context.Context, mb *store.Mailbox, e store.Entry, prefixes map[store.UID][]byte) (o opened) {
	defer func() {
		if p := recover(); p != nil {
			o = opened{err: fmt.Errorf("open UID %d: panic: %v", e.UID, p)}
		}
	}()
	if e.Size > aheadSize {
		return opened{}
	}
	if prefix, known := prefixes[e.UID]; known {
		o.msg, o.err = mb.OpenAfter(ctx, e, prefix)
	} else {
		o.msg, o.err = mb.Open(ctx, e)
	}
	if o.err != nil {
		o.msg = nil
	}
	return o
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
