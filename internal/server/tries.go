package server

import (
	"cmp"
	"maps"
	"slices"
	"sync"

	"plic/internal/auth"
	"plic/internal/control"
)

// tries counts logins by protocol and what came of them, and the hashes that
// they took.
type tries struct {
	mu     sync.Mutex
	logins map[try]uint64
	hashes map[string]uint64
}

type try struct {
	protocol string
	outcome  auth.Outcome
}

func newTries() *tries { return &tries{logins: map[try]uint64{}, hashes: map[string]uint64{}} }

// observe is auth.Options.Observe.
func (t *tries) observe(protocol string, o auth.Outcome, hashes int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.logins[try{protocol, o}]++
	t.hashes[protocol] += uint64(hashes)
}

// metrics are the counters of now.
func (t *tries) metrics() []control.Metric {
	t.mu.Lock()
	defer t.mu.Unlock()
	var all []control.Metric
	for _, k := range slices.SortedFunc(maps.Keys(t.logins), func(a, b try) int {
		return cmp.Or(cmp.Compare(a.protocol, b.protocol), cmp.Compare(a.outcome, b.outcome))
	}) {
		all = append(all, control.Metric{Name: "plic_logins_total", Help: "Tries to log in, by what came of them.", Counter: true,
			Labels: [][2]string{{"protocol", k.protocol}, {"outcome", string(k.outcome)}}, Value: float64(t.logins[k])})
	}
	for _, protocol := range slices.Sorted(maps.Keys(t.hashes)) {
		all = append(all, control.Metric{Name: "plic_login_hashes_total", Help: "Hashes of passwords that logins took.", Counter: true,
			Labels: [][2]string{{"protocol", protocol}}, Value: float64(t.hashes[protocol])})
	}
	return all
}
