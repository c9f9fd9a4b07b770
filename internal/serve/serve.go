// Package serve runs the sessions of a protocol server: it accepts connections,
// starts a session for each, and stops in two stages.
package serve

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"time"
)

// Options say how a service runs.
type Options struct {
	Name  string // in the log
	Log   *slog.Logger
	Grace time.Duration    // for sessions to end when the service stops
	Roll  *Roll            // that the sessions are in; nil for none
	Now   func() time.Time // time.Now if nil
}

// Session serves one connection and closes it. When ctx ends it should end as
// soon as its protocol allows; when work ends it must.
type Session func(ctx, work context.Context)

// Run accepts connections until ctx ends and starts the Session that admit
// gives for each; nil means that admit has turned the connection away. It
// closes the listener and returns when every session has ended: nil if that was
// because ctx ended.
func Run(ctx context.Context, l net.Listener, o Options, admit func(net.Conn) Session) error {
	if o.Now == nil {
		o.Now = time.Now
	}
	defer context.AfterFunc(ctx, func() { l.Close() })()
	work, cutOff := context.WithCancel(context.WithoutCancel(ctx))
	defer cutOff()
	// Sessions are asked to end also when the listener was closed by others.
	running, stop := context.WithCancel(ctx)
	defer stop()
	var sessions sync.WaitGroup
	err := Accept(ctx, l, o, func(nc net.Conn) {
		if session := admit(nc); session != nil {
			sessions.Go(func() { o.Roll.run(running, work, nc, o, session) })
		}
	})
	l.Close()
	stop()
	ended := make(chan struct{})
	go func() {
		sessions.Wait()
		close(ended)
	}()
	grace := time.NewTimer(o.Grace)
	defer grace.Stop()
	select {
	case <-ended:
	case <-grace.C:
		cutOff()
		<-ended
	}
	return err
}

// Pauses between tries to accept while that fails.
const (
	firstPause = 5 * time.Millisecond
	lastPause  = time.Second
)

// Accept hands connections on until ctx ends, then it returns nil, or until the
// listener is closed. What passes, such as a lack of file descriptors, is
// waited out.
func Accept(ctx context.Context, l net.Listener, o Options, take func(net.Conn)) error {
	pause := firstPause
	for {
		nc, err := l.Accept()
		switch {
		case err == nil:
			pause = firstPause
			take(nc)
			continue
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, net.ErrClosed):
			return err
		}
		if o.Log != nil {
			o.Log.Error("cannot accept connections, trying again", "service", o.Name, "error", err)
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil
		}
		pause = min(2*pause, lastPause)
	}
}
