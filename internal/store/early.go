package store

import (
	"runtime"
	"sync"
)

// early analyses drafts while what comes after them arrives, on as many
// processors as there are. It holds no more drafts than others do.
type early struct {
	mu      sync.Mutex
	waiting []*Draft
	workers int
}

func (e *early) add(d *Draft) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.waiting = append(e.waiting, d)
	if e.workers < runtime.GOMAXPROCS(0) {
		e.workers++
		go e.work()
	}
}

func (e *early) work() {
	for d := e.next(); d != nil; d = e.next() {
		d.tryAnalyse()
	}
}

// next gives the draft that has waited longest; with none a worker ends.
func (e *early) next() *Draft {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.waiting) == 0 {
		e.waiting = nil
		e.workers--
		return nil
	}
	d := e.waiting[0]
	e.waiting[0] = nil
	e.waiting = e.waiting[1:]
	return d
}
