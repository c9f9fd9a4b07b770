package source

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Hosts are servers with the same records, the first that works being used. One
// that did not work is left alone for a moment, so that look-ups neither wait
// for it one by one nor stay away for long.
type Hosts struct {
	names   []string
	timeout time.Duration // for one to connect
	now     func() time.Time

	mu   sync.Mutex
	down map[string]outage
}

type outage struct {
	since time.Time
	err   error
}

// pause is how long a host that did not work is left alone.
const pause = time.Second

// NewHosts makes a list. The time is for connecting to one of them.
func NewHosts(names []string, timeout time.Duration, now func() time.Time) *Hosts {
	if now == nil {
		now = time.Now
	}
	return &Hosts{names: names, timeout: timeout, now: now, down: map[string]outage{}}
}

// Connect tries the hosts in order until one works.
func (h *Hosts) Connect(ctx context.Context, dial func(ctx context.Context, host string) error) error {
	var errs []error
	for _, name := range h.names {
		if err := h.recent(name); err != nil {
			errs = append(errs, err)
			continue
		}
		within, cancel := context.WithTimeout(ctx, h.timeout)
		err := dial(within, name)
		cancel()
		if ctx.Err() != nil && err != nil {
			return err // whoever asked has gone: that says nothing about the host
		}
		if err == nil {
			h.set(name, nil)
			return nil
		}
		err = fmt.Errorf("%s: %w", name, err)
		h.set(name, err)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// recent is why a host is left alone, nil if it is not.
func (h *Hosts) recent(name string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	o, ok := h.down[name]
	if age := h.now().Sub(o.since); !ok || age < 0 || age >= pause {
		return nil
	}
	return o.err
}

func (h *Hosts) set(name string, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err == nil {
		delete(h.down, name)
		return
	}
	h.down[name] = outage{h.now(), err}
}
