package embedded

import (
	"github.com/cockroachdb/pebble/v2"
)

// span is a range of keys. With key and of its keys are numbered, and a scan
// can get over a damaged file of Pebble's, in which many records are lost.
type span struct {
	from, to []byte
	key      func(n uint64) []byte // the first key of a number
	of       func(key []byte) uint64
	max      uint64
	bad      *broken // takes damaged records instead of their being set aside
	hurt     func()  // is called when some are left out
}

func (r *span) miss() {
	if r.hurt != nil {
		r.hurt()
	}
}

// leap moves an iterator that cannot be read after the last key to the next one
// that can: in steps that double, and back by halves. It gives back the error
// if there is no way on.
func (e *Engine) leap(it *pebble.Iterator, r *span, last []byte) error {
	cause := it.Error()
	if r.key == nil || !pebble.IsCorruptionError(cause) {
		return cause
	}
	return e.leapOver(it, r, last, cause)
}

func (e *Engine) leapOver(it *pebble.Iterator, r *span, last []byte, cause error) error {
	readable := func(n uint64) bool {
		it.SeekGE(r.key(n))
		return it.Error() == nil
	}
	start := r.of(last)
	bad, good := start, start
	for step := uint64(1); ; step *= 2 {
		if step > r.max-start {
			return cause
		}
		if good = start + step; readable(good) {
			break
		}
		bad = good
	}
	for good-bad > 1 {
		if middle := bad + (good-bad)/2; readable(middle) {
			good = middle
		} else {
			bad = middle
		}
	}
	if !readable(good) {
		return it.Error()
	}
	e.damaged.Add(1)
	e.leaps.Add(1)
	e.o.Log.Error("records cannot be read", "after", describe(last), "up to", good, "error", cause)
	return nil
}
