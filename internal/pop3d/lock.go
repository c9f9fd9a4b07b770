package pop3d

import (
	"context"
	"net"
	"sync"
	"time"

	"plic/internal/serve"
)

// Locks are those of maildrops, RFC 1939 section 4. Servers that follow each other, as
// settings change, share them. The zero value has none locked.
type Locks struct {
	unheard func(net.Conn) time.Duration // serve.Unheard if nil

	mu   sync.Mutex
	held map[string]*hold // by account
}

// hold is the lock of a maildrop.
type hold struct {
	nc    net.Conn
	ended chan struct{} // closed when it is given back
}

// gone is how long a client may owe an answer before another session of its account
// may end its own.
const gone = time.Minute

// lock gives one session the maildrop. If the client of the one that has it has gone
// without a word, that ends: else it would last until a time-out, while the client is
// back and wants its mail.
func (l *Locks) lock(ctx context.Context, account string, nc net.Conn) bool {
	other := l.take(account, nc)
	if other == nil {
		return true
	}
	unheard := l.unheard
	if unheard == nil {
		unheard = serve.Unheard
	}
	if unheard(other.nc) < gone {
		return false
	}
	other.nc.Close()
	select {
	case <-other.ended:
	case <-ctx.Done():
		return false
	}
	return l.take(account, nc) == nil
}

// take locks the maildrop, or gives the hold that another session has of it.
func (l *Locks) take(account string, nc net.Conn) *hold {
	l.mu.Lock()
	defer l.mu.Unlock()
	other := l.held[account]
	if other == nil {
		if l.held == nil {
			l.held = map[string]*hold{}
		}
		l.held[account] = &hold{nc, make(chan struct{})}
	}
	return other
}

func (l *Locks) unlock(account string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.held[account].ended)
	delete(l.held, account)
}
