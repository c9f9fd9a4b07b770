package serve

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// Open is a session that is open.
type Open struct {
	Service string
	Account string // "" before a login
	Remote  netip.AddrPort
	Since   time.Time
}

// Roll is the sessions that are open, of all services that write themselves into
// it. Its zero value is empty; its methods may be called at the same time.
type Roll struct {
	mu sync.Mutex
	of map[*entry]struct{}
}

// entry is a session in a Roll.
type entry struct {
	roll *Roll
	open Open
	end  context.CancelFunc
}

type entryKey struct{}

// run runs a session while it is in the roll.
func (r *Roll) run(ctx, work context.Context, nc net.Conn, o Options, s Session) {
	if r == nil {
		s(ctx, work)
		return
	}
	ctx, end := context.WithCancel(ctx)
	defer end()
	work, cutOff := context.WithCancel(work)
	defer cutOff()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(o.Grace, cutOff) })()
	e := &entry{r, Open{Service: o.Name, Remote: Remote(nc), Since: o.Now()}, end}
	r.mu.Lock()
	if r.of == nil {
		r.of = map[*entry]struct{}{}
	}
	r.of[e] = struct{}{}
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.of, e)
	}()
	s(ctx, context.WithValue(work, entryKey{}, e))
}

// LoggedIn says whose the session is that ctx belongs to: work of a Session, or
// what was made of it.
func LoggedIn(ctx context.Context, account string) {
	if e, ok := ctx.Value(entryKey{}).(*entry); ok {
		e.roll.mu.Lock()
		defer e.roll.mu.Unlock()
		e.open.Account = account
	}
}

// Behind says for whom a proxy has the session that ctx belongs to, and whose it is.
func Behind(ctx context.Context, remote netip.AddrPort, account string) {
	if e, ok := ctx.Value(entryKey{}).(*entry); ok {
		e.roll.mu.Lock()
		defer e.roll.mu.Unlock()
		e.open.Remote, e.open.Account = remote, account
	}
}

// List gives the sessions, the oldest first.
func (r *Roll) List() []Open {
	r.mu.Lock()
	list := make([]Open, 0, len(r.of))
	for e := range r.of {
		list = append(list, e.open)
	}
	r.mu.Unlock()
	slices.SortFunc(list, func(a, b Open) int {
		if d := a.Since.Compare(b.Since); d != 0 {
			return d
		}
		return a.Remote.Compare(b.Remote)
	})
	return list
}

// End has sessions end as they do when the server stops: told why, after what is
// under way, within the grace time. It gives their number.
func (r *Roll) End(which func(Open) bool) (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for e := range r.of {
		if which(e.open) {
			e.end()
			n++
		}
	}
	return n
}
