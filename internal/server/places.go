package server

import (
	"context"
	"net"
	"sync"
	"syscall"
)

// keptFiles is how many file descriptors are kept for the store, the queue and
// the rest of the house, where the system gives twice as many.
const keptFiles = 4096

// places bounds the connections of all doors together, so that they never use
// up the file descriptors that the store needs to keep its word. Who finds no
// place waits unanswered until another leaves.
type places chan struct{}

// newPlaces has a place for each file descriptor of the process that is not
// kept: at least half of them are.
func newPlaces() places {
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		files.Cur = 2 * keptFiles
	}
	most := min(files.Cur, 1<<20)
	return make(places, most-min(most/2, keptFiles))
}

// take gives a connection a place until it is closed. Without one before ctx
// ends it closes the connection and gives nil.
func (p places) take(ctx context.Context, conn *net.TCPConn) net.Conn {
	select {
	case p <- struct{}{}:
		return &seated{TCPConn: conn, leave: sync.OnceFunc(func() { <-p })}
	case <-ctx.Done():
		conn.Close()
		return nil
	}
}

// seated is a connection that has a place.
type seated struct {
	*net.TCPConn
	leave func()
}

// Close gives the place free.
func (s *seated) Close() error {
	defer s.leave()
	return s.TCPConn.Close()
}
