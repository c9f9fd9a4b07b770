package queue

import (
	"context"
	"fmt"
	"runtime"
	"testing"
	"time"

	"plic/internal/mail"
)

// BenchmarkThroughput is what the queue itself costs: a transport that takes
// no time, custody in memory.
func BenchmarkThroughput(b *testing.B) {
	for _, hops := range []int{1, 1000} {
		b.Run(fmt.Sprintf("hops=%d", hops), func(b *testing.B) {
			m := newMemory()
			tr := &transport{do: outcomes(250)}
			q := New(Options{Custody: m, Reporter: reporter{}, Transports: map[mail.HopKind]Transport{mail.HopRemote: tr}})
			items := make([]mail.Item, b.N)
			for i := range items {
				items[i] = *newItem(fmt.Sprintf("h%d.test", i%hops), time.Now())
				m.items[items[i].ID] = items[i]
			}
			ctx, cancel := context.WithCancel(context.Background())
			b.ReportAllocs()
			b.ResetTimer()
			done := make(chan struct{})
			go func() {
				q.Run(ctx)
				close(done)
			}()
			q.Added(items...)
			for q.Stats().Items > 0 {
				time.Sleep(time.Millisecond)
			}
			b.StopTimer()
			cancel()
			<-done
		})
	}
}

// BenchmarkMemory is what a waiting item costs in memory.
func BenchmarkMemory(b *testing.B) {
	for range b.N {
		const n = 1_000_000
		s := newSchedule(testOptions(nil))
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		item := newItem("a.test", epoch)
		item.Due = epoch.Add(time.Hour)
		for range n {
			item.ID = mail.NewID(epoch)
			s.add(item, epoch)
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/n, "B/item")
		runtime.KeepAlive(s)
	}
}

// BenchmarkSchedule is one round of an item through a schedule of many.
func BenchmarkSchedule(b *testing.B) {
	s := newSchedule(testOptions(nil))
	now := epoch
	for i := range 100_000 {
		s.add(newItem(fmt.Sprintf("h%d.test", i%1000), now.Add(time.Duration(i)*time.Second)), now)
	}
	b.ReportAllocs()
	for b.Loop() {
		item := newItem("a.test", now)
		s.add(item, now)
		for _, one := range s.next(now) {
			s.done(one, nil, up, mail.Outcome{}, now)
		}
	}
}
