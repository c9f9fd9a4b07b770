package store

import "sync"

// hub tells watchers that something has changed.
type hub struct {
	mu  sync.Mutex
	all map[*func()]struct{}
}

// notify calls f after each change until stop is called; once that has
// returned f does not run. f must not wait, nor use the hub.
func (h *hub) notify(f func()) (stop func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.all == nil {
		h.all = map[*func()]struct{}{}
	}
	h.all[&f] = struct{}{}
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.all, &f)
	}
}

// watch is notify with a channel: a watcher that is told while it has not yet
// taken the notice before gets one for both.
func (h *hub) watch() (<-chan struct{}, func()) {
	c := make(chan struct{}, 1)
	return c, h.notify(func() {
		select {
		case c <- struct{}{}:
		default: // the notice before was not taken yet
		}
	})
}

func (h *hub) signal() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for f := range h.all {
		(*f)()
	}
}

func (h *hub) watched() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.all) > 0
}
