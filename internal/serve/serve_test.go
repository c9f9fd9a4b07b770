package serve

import (
	"context"
	"errors"
	"net"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// listener gives what it is fed: connections or errors.
type listener struct {
	feed   chan any
	closed chan struct{}
	once   sync.Once
}

func newListener() *listener {
	return &listener{feed: make(chan any), closed: make(chan struct{})}
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case x := <-l.feed:
		if err, ok := x.(error); ok {
			return nil, err
		}
		return x.(net.Conn), nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *listener) Addr() net.Addr { return &net.TCPAddr{} }

func conn() net.Conn {
	a, _ := net.Pipe()
	return a
}

func TestStopInTwoStages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newListener()
		ctx, stop := context.WithCancel(t.Context())
		var mu sync.Mutex
		var log []string
		end := func(who string) {
			mu.Lock()
			defer mu.Unlock()
			log = append(log, who)
		}
		polite := func(ctx, _ context.Context) {
			<-ctx.Done()
			end("polite")
		}
		stubborn := func(_, work context.Context) {
			<-work.Done()
			end("stubborn")
		}
		sessions := []Session{polite, nil, stubborn}
		ended := make(chan error, 1)
		start := time.Now()
		go func() {
			ended <- Run(ctx, l, Options{Grace: 10 * time.Second}, func(net.Conn) Session {
				s := sessions[0]
				sessions = sessions[1:]
				return s
			})
		}()
		for range 3 {
			l.feed <- conn()
		}
		synctest.Wait()
		stop()
		if err := <-ended; err != nil {
			t.Errorf("a stop is told as %v", err)
		}
		if len(log) != 2 || log[0] != "polite" || log[1] != "stubborn" || time.Since(start) != 10*time.Second {
			t.Errorf("%v after %v, want the polite session at once and the other after the grace", log, time.Since(start))
		}
	})
}

func TestClosedListenerEndsSessions(t *testing.T) {
	l := newListener()
	ended := make(chan error, 1)
	started := make(chan struct{})
	go func() {
		ended <- Run(t.Context(), l, Options{Grace: time.Minute}, func(net.Conn) Session {
			return func(ctx, _ context.Context) {
				close(started)
				<-ctx.Done()
			}
		})
	}()
	l.feed <- conn()
	<-started
	l.Close()
	if err := <-ended; !errors.Is(err, net.ErrClosed) {
		t.Errorf("got %v, want net.ErrClosed", err)
	}
}

func TestAcceptWaitsOutTrouble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newListener()
		ctx, stop := context.WithCancel(t.Context())
		taken := 0
		ended := make(chan error, 1)
		go func() { ended <- Accept(ctx, l, Options{}, func(net.Conn) { taken++ }) }()
		start := time.Now()
		for range 12 {
			l.feed <- error(syscall.EMFILE)
		}
		l.feed <- conn()
		synctest.Wait()
		if waited := time.Since(start); taken != 1 || waited < 4*time.Second || waited > 12*time.Second {
			t.Errorf("%d connections after %v of trouble, want one after growing pauses of at most a second", taken, waited)
		}
		go func() { l.feed <- error(syscall.EMFILE) }()
		synctest.Wait()
		stop() // within a pause
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}
