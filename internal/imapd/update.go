package imapd

import (
	"context"
	"errors"
	"slices"

	"plic/internal/imap"
	"plic/internal/store"
)

// maxContexts is how many results a session has kept up to date.
const maxContexts = 32

// searchContext is a search whose result is kept up to date, RFC 5267 section
// 4.3.
type searchContext struct {
	to    correlator
	query imap.Search
	order *sorter // nil for SEARCH
	uids  []uint32
	fresh []uint32 // to be added when the client knows of them
}

// contexts are those of a view.
type contexts []*searchContext

func (all contexts) find(tag string) *searchContext {
	for _, k := range all {
		if k.to.tag == tag {
			return k
		}
	}
	return nil
}

// watch keeps a result up to date, or says that it cannot.
func (c *conn) watch(cmd *imap.Command, q *imap.Search, keys []imap.SortKey, f *found) {
	v := c.view
	why := ""
	switch {
	case len(v.contexts) >= maxContexts:
		why = "too many results are kept up to date"
	case f.lowest > 0:
		why = "a result that is not whole is not kept up to date"
	case namesMessages(&q.Key):
		why = "a search for message numbers is not kept up to date"
	case slices.ContainsFunc(keys, func(k imap.SortKey) bool { return k.By == imap.SortRelevancy }):
		why = "an order by relevancy is not kept up to date"
	}
	if why != "" {
		c.noUpdate(cmd.Tag, why)
		return
	}
	k := &searchContext{to: correlator{tag: cmd.Tag, uid: byUID(cmd)}, query: *q, order: f.order}
	if k.uids = f.sorted; k.order == nil {
		for _, r := range f.uids {
			for uid := uint64(r.Lo); uid <= uint64(r.Hi); uid++ {
				k.uids = append(k.uids, uint32(uid))
			}
		}
	}
	v.contexts = append(v.contexts, k)
}

// noUpdate says that a result is not kept up to date, RFC 5267 section 4.3.1.
func (c *conn) noUpdate(tag, why string) {
	b := append(c.out.line(), "* NO [NOUPDATE "...)
	b = imap.AppendQuoted(b, tag)
	c.out.end(append(append(append(b, "] "...), why...), '\r', '\n'))
}

// dropNumbers ends what is told by message numbers, of which there are none from
// here on.
func (c *conn) dropNumbers() {
	if c.view == nil {
		return
	}
	c.view.contexts = slices.DeleteFunc(c.view.contexts, func(k *searchContext) bool {
		if !k.to.uid {
			c.noUpdate(k.to.tag, "there are no message numbers any more")
		}
		return !k.to.uid
	})
}

// namesMessages says that a search depends on numbers, which change.
func namesMessages(k *imap.SearchKey) bool {
	return k.Op == imap.SearchNumbers || k.Op == imap.SearchUIDs && k.Set.Saved || k.Op == imap.SearchRecent ||
		slices.ContainsFunc(k.Keys, func(k imap.SearchKey) bool { return namesMessages(&k) })
}

// cancelUpdate is CANCELUPDATE, RFC 5267 section 4.3.5.
func (c *conn) cancelUpdate(_ context.Context, cmd *imap.Command) (reply, error) {
	var tags []string
	for {
		cmd.Args.SP()
		tags = append(tags, cmd.Args.Text())
		if cmd.Args.Done() {
			break
		}
	}
	if err := cmd.Args.End(); err != nil {
		return reply{}, bad(err)
	}
	for _, tag := range tags { // all are cancelled, or none
		if c.view.contexts.find(tag) == nil {
			return reply{}, bad(errors.New("no result is kept up to date under that tag"))
		}
	}
	c.view.contexts = slices.DeleteFunc(c.view.contexts, func(k *searchContext) bool { return slices.Contains(tags, k.to.tag) })
	return reply{}, nil
}

// updateContexts finds what changes in results, and tells what is removed: that
// must come before the EXPUNGE of it. What is added is told by tellAdded. Where
// the client is not yet told of messages that came or went, nor is it here.
func (c *conn) updateContexts(ctx context.Context, changes store.Changes, flagged []store.Entry, m movement) error {
	v := c.view
	if len(v.contexts) == 0 {
		return nil
	}
	touched := flagged
	if m.added {
		touched = slices.Clone(flagged)
		for _, e := range v.now.Range(v.now.Search(v.seq.UIDNext()), v.now.Len()) {
			touched = append(touched, e)
		}
	}
	looks := maxLooks
	kept := make(contexts, 0, len(v.contexts))
	for _, k := range v.contexts {
		gone := map[uint32]bool{}
		if m.expunged {
			for _, uid := range changes.Expunged {
				gone[uint32(uid)] = true
			}
		}
		matches, err := c.matching(ctx, k, touched, &looks)
		if err != nil {
			return err
		}
		if looks < 0 {
			looks = 0
			c.noUpdate(k.to.tag, "more has changed than can be searched now")
			continue
		}
		kept = append(kept, k)
		for _, e := range touched {
			if !matches[e.UID] {
				gone[uint32(e.UID)] = true
			}
		}
		k.gather(touched, matches)
		k.fresh = slices.DeleteFunc(k.fresh, func(uid uint32) bool { return gone[uid] })
		c.tellRemoved(k, gone)
	}
	v.contexts = kept
	return nil
}

// gather adds to fresh the messages that match and are not in the result yet.
func (k *searchContext) gather(touched []store.Entry, matches map[store.UID]bool) {
	want := make(map[uint32]bool, len(matches))
	for uid := range matches {
		want[uint32(uid)] = true
	}
	for _, known := range [][]uint32{k.uids, k.fresh} {
		for _, uid := range known {
			delete(want, uid)
		}
	}
	for _, e := range touched {
		if uid := uint32(e.UID); want[uid] {
			k.fresh = append(k.fresh, uid)
			delete(want, uid)
		}
	}
}

// maxLooks is how many messages are looked into when results are brought up to
// date, of all of them together: no command has asked for it.
const maxLooks = 5000

// matching says which of some messages a search finds now. looks, which is made
// less, falls below zero if they are too many to look into.
func (c *conn) matching(ctx context.Context, k *searchContext, touched []store.Entry, looks *int) (map[store.UID]bool, error) {
	out := map[store.UID]bool{}
	if len(touched) == 0 {
		return out, nil
	}
	p, err := c.compiler(c.view).compile(&k.query.Key)
	if err != nil {
		return nil, err
	}
	m := matcher{ctx: ctx, mb: c.view.mb, pool: c.server}
	defer m.close()
	uids := make([]store.UID, 0, len(touched))
	open := map[store.UID]store.Entry{}
	for _, e := range touched {
		switch p.index(&e) {
		case yes:
			out[e.UID] = true
		case unknown:
			uids = append(uids, e.UID)
			open[e.UID] = e
		}
	}
	if *looks -= len(uids); len(uids) == 0 || *looks < 0 {
		return out, nil
	}
	for d, err := range c.view.mb.Details(ctx, uids) {
		if err != nil {
			if d.UID == 0 {
				return nil, err
			}
			continue
		}
		ok, err := m.matches(p, open[d.UID], &d)
		if err != nil {
			return nil, err
		}
		if ok {
			out[d.UID] = true
		}
	}
	return out, nil
}

// tellRemoved sends REMOVEFROM, RFC 5267 section 4.3.4. Positions in an ordered
// result are told from the last to the first, so that each is right when it
// comes.
func (c *conn) tellRemoved(k *searchContext, gone map[uint32]bool) {
	var set []imap.Range
	b := []byte(nil)
	for i, uid := range slices.Backward(k.uids) {
		switch {
		case !gone[uid]:
			continue
		case k.order == nil:
			set = append(set, imap.Range{Lo: uid, Hi: uid})
			continue
		case b == nil:
			b = append(c.beginExtended(k.to), " REMOVEFROM ("...)
		default:
			b = append(b, ' ')
		}
		b = c.appendPlace(b, k, i+1, []imap.Range{{Lo: uid, Hi: uid}})
	}
	if len(set) > 0 {
		b = append(c.beginExtended(k.to), " REMOVEFROM ("...)
		b = c.appendPlace(b, k, 0, imap.Normalize(set))
	}
	if b != nil {
		c.out.end(append(b, ")\r\n"...))
		k.uids = slices.DeleteFunc(slices.Clone(k.uids), func(uid uint32) bool { return gone[uid] })
	}
}

func (c *conn) appendPlace(b []byte, k *searchContext, place int, uids []imap.Range) []byte {
	b = append(appendInt(b, place), ' ')
	if !k.to.uid {
		uids = c.view.numbers(uids)
	}
	return imap.AppendSet(b, uids)
}

// tellAdded sends ADDTO, RFC 5267 section 4.3.3; the client knows the messages.
// Some may have gone before it was told of them. An ordered result waits until
// what is gone has left it.
func (c *conn) tellAdded(ctx context.Context, m movement) error {
	for _, k := range c.view.contexts {
		k.fresh = slices.DeleteFunc(k.fresh, func(uid uint32) bool {
			_, there := c.view.now.Get(store.UID(uid))
			return !there
		})
		if len(k.fresh) == 0 || k.order != nil && !m.expunged {
			continue
		}
		b := append(c.beginExtended(k.to), " ADDTO ("...)
		if k.order == nil {
			var set []imap.Range
			for _, uid := range k.fresh {
				set = append(set, imap.Range{Lo: uid, Hi: uid})
			}
			b = c.appendPlace(b, k, 0, imap.Normalize(set))
			k.uids = append(slices.Clone(k.uids), k.fresh...)
			slices.Sort(k.uids)
		} else {
			var err error
			if b, err = c.appendInserted(ctx, b, k); err != nil {
				return err
			}
		}
		k.fresh = nil
		c.out.end(append(b, ")\r\n"...))
	}
	return nil
}

// appendInserted puts messages into an ordered result, each at its place.
func (c *conn) appendInserted(ctx context.Context, b []byte, k *searchContext) ([]byte, error) {
	v := c.view
	if k.order.columns != nil {
		columns, err := v.mb.Columns(ctx, v.now)
		if err != nil {
			return b, err
		}
		k.order.columns = columns
	}
	of := func(uid uint32) sortable {
		e, _ := v.now.Get(store.UID(uid))
		e.UID = store.UID(uid)
		return k.order.of(e)
	}
	fresh := make([]sortable, len(k.fresh))
	for i, uid := range k.fresh {
		fresh[i] = of(uid)
	}
	slices.SortFunc(fresh, k.order.compare)
	rest, all := k.uids, make([]uint32, 0, len(k.uids)+len(fresh))
	for i, m := range fresh {
		at, _ := slices.BinarySearchFunc(rest, m, func(other uint32, m sortable) int { return k.order.compare(of(other), m) })
		all = append(append(all, rest[:at]...), m.uid)
		rest = rest[at:]
		if i > 0 {
			b = append(b, ' ')
		}
		b = c.appendPlace(b, k, len(all), []imap.Range{{Lo: m.uid, Hi: m.uid}})
	}
	k.uids = append(all, rest...)
	return b, nil
}
