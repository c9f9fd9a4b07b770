package remote

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"plic/internal/mail"
)

// assembly is how long items of one message wait for each other's hosts to be
// found. One that takes longer goes alone, so that it delays nobody.
const assembly = time.Second

// share is the part of a delivery that was an item of its own: recipients of
// one hop.
type share struct {
	hop    mail.Hop
	first  int // of its recipients in the item
	end    int
	aboard bool // the session at hand is good enough for it
	called bool // the place at hand has been seen for it
	worst  *verdict
	need   Requirement // of the host at
	at     *place      // nil if nobody has asked
}

// need is what the host at a place must prove to a share. It is asked for once,
// since refusals are counted.
func (d *delivery) need(ctx context.Context, sh *share, p place) Requirement {
	if sh.at == nil || *sh.at != p {
		sh.need, sh.at = d.t.requirement(ctx, p.peer(sh.hop), &d.item.Envelope), &p
	}
	return sh.need
}

// DeliverAll delivers items of one message as Deliver does, those in common
// that go to the same hosts: their recipients are in the same transactions, as
// far as the host has proved to each domain what that asks for. It calls done
// once for each item, from any goroutine, and returns when all are done.
func (t *Transport) DeliverAll(ctx context.Context, items []*mail.Item, bodies []mail.Body, done func(int, []mail.Outcome)) {
	var going sync.WaitGroup
	defer going.Wait()
	seen := make(chan sighting, len(items))
	for i, item := range items {
		going.Go(func() { seen <- t.sight(ctx, i, item) })
	}
	var companies [][]int
	at := map[string]int{}
	sightings := make([]sighting, len(items))
	for range items {
		s := <-seen
		n, ok := at[s.key]
		if !ok || s.key == "" {
			n = len(companies)
			at[s.key] = n
			companies = append(companies, nil)
		}
		companies[n] = append(companies[n], s.item)
		sightings[s.item] = s
	}
	for _, members := range companies {
		going.Go(func() {
			slices.Sort(members)
			d := newDelivery(t, items[members[0]], bodies[members[0]])
			if len(members) > 1 {
				d = t.joint(items, bodies[members[0]], members)
			}
			d.found = sightings[members[0]].places
			for n, i := range members {
				d.shares[n].need, d.shares[n].at = sightings[i].need, sightings[i].at
			}
			t.carry(ctx, d)
			for n, i := range members {
				done(i, d.outcomes[d.shares[n].first:d.shares[n].end])
			}
		})
	}
}

// sighting is where an item goes.
type sighting struct {
	item   int
	places []place
	key    string // of those that it may go with, "" for nobody
	need   Requirement
	at     *place
}

// sight finds out where an item goes, and what is asked of the first host, so
// that it is known when it is asked for on board. Who goes alone looks again,
// and tells what the trouble was.
func (t *Transport) sight(ctx context.Context, i int, item *mail.Item) (s sighting) {
	s.item = i
	defer func() {
		if p := recover(); p != nil {
			t.panicked(item, p)
		}
	}()
	if apart(&item.Envelope) {
		return s
	}
	ctx, cancel := context.WithTimeout(ctx, assembly)
	defer cancel()
	places, bad := t.places(ctx, item.Hop)
	if bad != nil || places[0].path != "" {
		return s
	}
	need := t.requirement(ctx, places[0].peer(item.Hop), &item.Envelope)
	if ctx.Err() == nil {
		s.places, s.key, s.need, s.at = places, meeting(item, places), need, &places[0]
	}
	return s
}

// joint is a delivery for members that have their places in common.
func (t *Transport) joint(items []*mail.Item, body mail.Body, members []int) *delivery {
	item := *items[members[0]]
	item.To = nil
	shares := make([]share, len(members))
	for n, i := range members {
		first := len(item.To)
		item.To = append(item.To, items[i].To...)
		shares[n] = share{hop: items[i].Hop, first: first, end: len(item.To)}
	}
	d := newDelivery(t, &item, body)
	d.shares = shares
	return d
}

// meeting tells items apart that cannot be in one transaction: other messages
// or senders' wishes, other hosts or other ways to reach and to trust them.
func meeting(item *mail.Item, places []place) string {
	env := &item.Envelope
	hop := item.Hop
	hop.Host = ""
	var key strings.Builder
	fmt.Fprintf(&key, "%v %q %v %q %v %q %v %d %v\n%+v\n", item.Body, item.Prefix, env.ID, env.From.Key(), env.Kind, env.EnvelopeID+" "+env.Ret, env.UTF8, env.Priority, env.By, hop)
	sorted := slices.Clone(places)
	slices.SortFunc(sorted, func(a, b place) int {
		return cmp.Or(a.rank-b.rank, strings.Compare(a.host, b.host), a.addr.Compare(b.addr))
	})
	for _, p := range sorted {
		fmt.Fprintf(&key, "%d %s %s %s %+v\n", p.rank, strings.ToLower(p.host), p.addr, p.path, p.known)
	}
	return key.String()
}

// apart says that a message needs more or less of TLS than others do, so that
// it shares no session with them, RFC 8689.
func apart(env *mail.Envelope) bool { return env.RequireTLS || env.TLSOptional }

// call visits a place, again for each share that asks more of the host than the
// sessions before have shown.
func (d *delivery) call(ctx context.Context, p place) {
	for i := range d.shares {
		d.shares[i].aboard, d.shares[i].called = false, d.leftOf(&d.shares[i]) == 0
	}
	for i := range d.shares {
		lead := &d.shares[i]
		if lead.called || ctx.Err() != nil {
			continue
		}
		for j := range d.shares {
			d.shares[j].aboard = false
		}
		lead.aboard, lead.called, d.boarded = true, true, false
		d.item.Hop = lead.hop
		bad, s := d.visit(ctx, p, lead)
		if bad == nil {
			continue
		}
		// Before anybody was on board, what is not about the security that this
		// domain wants is the same for all.
		everybody := !d.boarded && (bad.said || bad.status.Enhanced[1] != 7)
		for j := range d.shares {
			sh := &d.shares[j]
			if !sh.aboard && !(everybody && !sh.called) {
				continue
			}
			if sh.called = true; sh.worst.yields(bad) {
				sh.worst = &verdict{bad, s}
			}
		}
	}
}

// board takes those shares into a session for whom it is good enough.
func (d *delivery) board(ctx context.Context, s *session) {
	p := s.place
	p.why = ""
	d.boarded = true
	for i := range d.shares {
		sh := &d.shares[i]
		if sh.called {
			continue
		}
		need := d.need(ctx, sh, p)
		if need.Refuse == nil && s.serves(need) {
			sh.aboard, sh.called = true, true
		}
	}
}

// leftOf is how many recipients of a share have no outcome.
func (d *delivery) leftOf(sh *share) (n int) {
	for _, done := range d.done[sh.first:sh.end] {
		if !done {
			n++
		}
	}
	return n
}
