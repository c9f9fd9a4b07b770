package pool

import (
	"bufio"
	"context"
	"net"
	"time"
)

// Line is a connection that is read through a buffer.
type Line struct {
	net.Conn
	R *bufio.Reader
}

// Dial connects, with a buffer of so many octets.
func Dial(ctx context.Context, network, address string, buffer int) (*Line, error) {
	nc, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &Line{nc, bufio.NewReaderSize(nc, buffer)}, nil
}

// Within has a function read and write until ctx ends, which cuts it short.
func (l *Line) Within(ctx context.Context, talk func() error) error {
	deadline, _ := ctx.Deadline()
	l.SetDeadline(deadline)
	end := context.AfterFunc(ctx, func() { l.SetDeadline(time.Unix(1, 0)) })
	err := talk()
	if !end() && err == nil { // the deadline may be set at any moment: nobody may use it again
		err = ctx.Err()
	}
	return err
}

// Quiet says that nothing has come that was not asked for.
func (l *Line) Quiet() bool { return l.R.Buffered() == 0 }
