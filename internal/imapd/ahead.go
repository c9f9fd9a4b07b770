package imapd

import (
	"context"
	"fmt"

	"plic/internal/store"
)

// Small messages are opened while those before them are sent: reading and
// decompressing one takes about as long as sending it. What waits is at most
// aheadMany of aheadSize.
const (
	aheadMany = 3
	aheadSize = 32 << 10
)

// ahead opens the messages of a batch in their order.
type ahead struct {
	out  chan opened
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

func openAhead(ctx context.Context, mb *store.Mailbox, batch []numbered) *ahead {
	ctx, stop := context.WithCancel(ctx)
	a := &ahead{make(chan opened, aheadMany-2), stop} // one more waits on each side
	go func() {
		defer close(a.out)
		for _, n := range batch {
			o := open1(ctx, mb, n.Entry)
			select {
			case a.out <- o:
			case <-ctx.Done():
				o.close()
				return
			}
		}
	}()
	return a
}

// open1 opens a message; its panic is not that of the whole server.
func open1(ctx context.Context, mb *store.Mailbox, e store.Entry) (o opened) {
	defer func() {
		if p := recover(); p != nil {
			o = opened{err: fmt.Errorf("open UID %d: panic: %v", e.UID, p)}
		}
	}()
	if e.Size > aheadSize {
		return opened{}
	}
	o.msg, o.err = mb.Open(ctx, e)
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
	return <-a.out
}

func (a *ahead) close() {
	a.stop()
	for o := range a.out {
		o.close()
	}
}
