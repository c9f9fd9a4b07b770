package check

import (
	"sync"
	"time"
)

// Volume is how much one sender may send; 0 is without limit.
type Volume struct {
	Network int // in an hour, of a stranger's IPv4 /24 or IPv6 /64
	Account int // in a day
}

// Rates are limits of how much.
type Rates struct {
	Connections int // of a stranger's network in a minute
	Messages    Volume
	Recipients  Volume
}

// limiter holds a bucket for each key: it fills evenly over its time, and what
// is full is forgotten.
type limiter struct {
	now func() time.Time

	mu      sync.Mutex
	buckets map[string]bucket
	swept   time.Time
}

// bucket is how much was taken, and when that was true.
type bucket struct {
	used float64
	at   time.Time
	most int
	per  time.Duration
}

func newLimiter(now func() time.Time) *limiter {
	return &limiter{now: now, buckets: map[string]bucket{}, swept: now()}
}

func (b bucket) usedAt(now time.Time) float64 {
	return max(b.used-float64(b.most)*float64(now.Sub(b.at))/float64(b.per), 0)
}

// take takes n, if there is as much.
func (l *limiter) take(key string, n, most int, per time.Duration) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	l.sweep(now)
	b, ok := l.buckets[key]
	if !ok || b.most != most {
		b = bucket{at: now, most: most, per: per}
	}
	used := b.usedAt(now)
	if used+float64(n) > float64(most) {
		return false
	}
	b.used, b.at = used+float64(n), now
	l.buckets[key] = b
	return true
}

// sweep forgets full buckets once a minute, so that memory is bounded by who
// came lately.
func (l *limiter) sweep(now time.Time) {
	if now.Sub(l.swept) < time.Minute {
		return
	}
	l.swept = now
	for key, b := range l.buckets {
		if b.usedAt(now) == 0 {
			delete(l.buckets, key)
		}
	}
}
