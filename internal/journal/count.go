package journal

import (
	"cmp"
	"slices"
	"sync/atomic"
)

// Count is how many events there were of a service and kind whose Status was
// of a class: "2xx", "4xx", "5xx", "" for none.
type Count struct {
	Service, Kind, Class string
	N                    uint64
}

type countKey struct{ service, kind, class string }

func (j *Journal) count(e *Event) {
	key := countKey{e.Service, e.Kind, classOf(e.Status)}
	n, ok := j.counts.Load(key)
	if !ok {
		n, _ = j.counts.LoadOrStore(key, new(atomic.Uint64))
	}
	n.(*atomic.Uint64).Add(1)
}

// classOf keeps the number of counters small whatever peers say.
func classOf(status string) string {
	if len(status) >= 3 {
		switch status[0] {
		case '2':
			return "2xx"
		case '4':
			return "4xx"
		case '5':
			return "5xx"
		}
	}
	return ""
}

// Counts gives the counters since Open, in order of service, kind and class.
func (j *Journal) Counts() []Count {
	if j == nil {
		return nil
	}
	var all []Count
	j.counts.Range(func(key, n any) bool {
		k := key.(countKey)
		all = append(all, Count{k.service, k.kind, k.class, n.(*atomic.Uint64).Load()})
		return true
	})
	slices.SortFunc(all, func(a, b Count) int {
		return cmp.Or(cmp.Compare(a.Service, b.Service), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Class, b.Class))
	})
	return all
}
