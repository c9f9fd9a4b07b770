package internet

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"plic/internal/deliver/delivertest"
	"plic/internal/mail"
	"plic/test/world"
)

// A host that takes connections and never says a word has two thousand messages
// to come, before a hundred for others: those arrive while every one of the two
// thousand waits, and the host is asked by a few at a time.
func TestBlackHole(t *testing.T) {
	t.Parallel()
	w := world.New(t, binary, "127.80.23")
	p := w.Plic(t, world.Site{Host: "mx.one.test", Domain: "one.test"})
	hole := w.Sink(t, "mx.hole.test", &delivertest.Remote{On: func(c *delivertest.Conn, step, _ string) bool {
		if step == "CONNECT" {
			c.Wait()
		}
		return false
	}})
	ann := p.Account(t, "ann")
	const lost, good, hosts, senders = 2000, 100, 10, 8
	var all sync.WaitGroup
	for i := range senders {
		c := p.Submission(t, ann)
		all.Go(func() {
			defer c.Close()
			for n := range lost / senders {
				c.Deliver(world.Letter{From: ann, To: []string{fmt.Sprintf("x%d@hole.test", n)}, Text: text(ann, "x@hole.test", fmt.Sprintf("lost-%d-%d", i, n))})
			}
		})
	}
	all.Wait()
	if t.Failed() {
		t.FailNow()
	}
	world.Wait(t, "the black hole to be asked", func() bool { return hole.Connections() > 0 })

	var living []*world.Sink
	for i := range hosts {
		living = append(living, w.Sink(t, fmt.Sprintf("mx.living%d.test", i), nil))
	}
	c := p.Submission(t, ann)
	began := time.Now()
	for n := range good {
		to := fmt.Sprintf("x%d@living%d.test", n, n%hosts)
		c.Deliver(world.Letter{From: ann, To: []string{to}, Text: text(ann, to, fmt.Sprintf("living-%d", n))})
	}
	accepted := time.Since(began)
	for _, sink := range living {
		sink.Wait(t, good/hosts)
	}
	t.Logf("%d messages were accepted in %v and at their hosts after %v", good, accepted, time.Since(began))
	world.Wait(t, "the queue to forget them", func() bool { return len(p.Queue(t)) <= lost })
	waiting := map[mail.Hop]int{}
	for _, item := range p.Queue(t) {
		waiting[item.Hop]++
	}
	if got := waiting[mail.Hop{Kind: mail.HopRemote, Host: "hole.test"}]; got != lost || len(waiting) != 1 {
		t.Errorf("the queue has %v", waiting)
	}
	if n := hole.Connections(); n > 20 || len(hole.Messages()) > 0 {
		t.Errorf("the black hole was asked by %d at a time and took %d messages", n, len(hole.Messages()))
	}
}
