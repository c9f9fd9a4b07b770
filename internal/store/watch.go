package store

import "sync"

// hub tells watchers that something has changed. A watcher that is told while
// it has not yet taken the notice before gets one for both.
type hub struct {
	mu  sync.Mutex
	all map[chan struct{}]struct{}
}

func (h *hub) watch() (<-chan struct{}, func()) {
	c := make(chan struct{}, 1)
	return c, h.add(c)
}

// add tells a channel too, which has room for a notice.
func (h *hub) add(c chan struct{}) (stop func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.all == nil {
		h.all = map[chan struct{}]struct{}{}
	}
	h.all[c] = struct{}{}
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.all, c)
	}
}

func (h *hub) signal() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for c := range h.all {
		select {
		case c <- struct{}{}:
		default: // the notice before was not taken yet
		}
	}
}

func (h *hub) watched() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.all) > 0
}
