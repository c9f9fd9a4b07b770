package sender

import (
	"net/netip"
	"slices"
	"sync"
	"time"

	"plic/internal/dkim"
)

const (
	replayTime     = 12 * time.Hour // after which half of what is remembered goes
	mostSignatures = 20000          // in each half
	mostNetworks   = 50             // of one signature
)

// Replays remembers from which networks good signatures came, for a day: a message
// that was signed once and comes from many has been sent again by others (RFC 6376
// section 8.6). Its methods may be called at the same time.
type Replays struct {
	mu       sync.Mutex
	new, old map[string][]netip.Prefix
	since    time.Time
}

// Count adds a message to what is remembered, and notes in the findings from how many
// networks one of its good signatures has come by now.
func (r *Replays) Count(f *Findings, client netip.Addr, now time.Time) {
	client = client.Unmap().WithZone("")
	bits := 24
	if client.Is6() {
		bits = 64
	}
	network, err := client.Prefix(bits)
	if err != nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.new == nil || now.Sub(r.since).Abs() >= replayTime || len(r.new) >= mostSignatures {
		r.new, r.old, r.since = map[string][]netip.Prefix{}, r.new, now
	}
	for i := range f.DKIM {
		d := &f.DKIM[i]
		if d.Status != dkim.Pass {
			continue
		}
		key := d.Domain + " " + d.Selector + " " + d.Signature
		seen, ok := r.new[key]
		if !ok {
			seen = r.old[key]
		}
		if !slices.Contains(seen, network) && len(seen) < mostNetworks {
			seen = append(seen, network)
		}
		r.new[key] = seen
		f.Networks = max(f.Networks, len(seen))
	}
}
