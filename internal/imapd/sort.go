package imapd

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"slices"
	"strconv"

	"plic/internal/imap"
	"plic/internal/pace"
	"plic/internal/store"
	"plic/internal/thread"
)

// sort is SORT and UID SORT, RFC 5256 section 3, with SORT=DISPLAY of RFC 5957
// and RETURN of RFC 5267 section 3.
func (c *conn) sort(ctx context.Context, cmd *imap.Command) (reply, error) {
	keys, q := cmd.Args.Sort()
	if err := cmd.Args.End(); err != nil {
		return reply{}, bad(err)
	}
	return c.searchOrSort(ctx, cmd, &q, keys)
}

// sorter orders messages by sort keys.
type sorter struct {
	keys    []imap.SortKey
	columns *store.Columns // nil if no key needs them
	scores  map[store.UID]int
}

// sortable is what a message is sorted by, for each key a number or a text.
type sortable struct {
	uid    uint32
	values []sortValue
}

type sortValue struct {
	number int64
	text   []byte
}

func (f *found) sort(ctx context.Context, keys []imap.SortKey) error {
	s := &sorter{keys: keys, scores: f.scores}
	for _, k := range keys {
		switch k.By {
		case imap.SortArrival, imap.SortSize, imap.SortRelevancy:
			continue
		}
		columns, err := f.v.mb.Columns(ctx, f.v.now)
		if err != nil {
			return err
		}
		s.columns = columns
		break
	}
	n := imap.Numbers(f.uids)
	all := make([]sortable, 0, n)
	values := make([]sortValue, n*len(keys)) // of all, in one piece
	next := func(store.UID) store.Keys { return store.Keys{} }
	if s.columns != nil {
		next = s.columns.Walk()
	}
	for _, r := range f.uids {
		for i, e := range f.v.now.Range(f.v.now.Search(store.UID(r.Lo)), f.v.now.Search(store.UID(r.Hi)+1)) {
			if i%256 == 0 {
				if err := pace.Step(ctx); err != nil {
					return err
				}
			}
			k := next(e.UID)
			m := sortable{uint32(e.UID), values[:len(keys):len(keys)]}
			values = values[len(keys):]
			s.fill(m.values, &e, &k)
			all = append(all, m)
		}
	}
	compared := 0
	slices.SortStableFunc(all, func(a, b sortable) int {
		if compared++; compared%1024 == 0 {
			pace.Step(ctx) // its error is seen below
		}
		return s.compare(a, b)
	})
	f.sorted, f.order = make([]uint32, len(all)), s
	for i := range all {
		f.sorted[i] = all[i].uid
	}
	return ctx.Err()
}

// of is what a message is sorted by.
func (s *sorter) of(e store.Entry) sortable {
	var k store.Keys
	if s.columns != nil {
		k = s.columns.Keys(e.UID)
	}
	m := sortable{uint32(e.UID), make([]sortValue, len(s.keys))}
	s.fill(m.values, &e, &k)
	return m
}

func (s *sorter) fill(values []sortValue, e *store.Entry, k *store.Keys) {
	for i := range s.keys {
		v := &values[i]
		switch s.keys[i].By {
		case imap.SortArrival:
			v.number = e.Internal.Unix()
		case imap.SortSize:
			v.number = e.Size
		case imap.SortDate:
			v.number = sentDate(e, k)
		case imap.SortRelevancy:
			v.number = int64(s.scores[e.UID])
		case imap.SortSubject:
			v.text = k.Base
		case imap.SortFrom:
			v.text = k.From
		case imap.SortTo:
			v.text = k.To
		case imap.SortCc:
			v.text = k.Cc
		case imap.SortDisplayFrom:
			v.text = k.ShownFrom
		case imap.SortDisplayTo:
			v.text = k.ShownTo
		}
	}
}

// sentDate is the date that SORT and THREAD go by, RFC 5256 section 2.2.
func sentDate(e *store.Entry, k *store.Keys) int64 {
	if k.Dated {
		return k.Sent
	}
	return e.Internal.Unix()
}

// compare orders two messages; equal ones stay in the order of the mailbox.
func (s *sorter) compare(a, b sortable) int {
	for i := range s.keys {
		x, y := &a.values[i], &b.values[i]
		c := cmp.Or(cmp.Compare(x.number, y.number), bytes.Compare(x.text, y.text))
		if s.keys[i].Reverse {
			c = -c
		}
		if s.keys[i].By == imap.SortRelevancy {
			c = -c // the best first, RFC 6203 section 6
		}
		if c != 0 {
			return c
		}
	}
	return cmp.Compare(a.uid, b.uid)
}

// thread is THREAD and UID THREAD, RFC 5256 section 4.
func (c *conn) thread(ctx context.Context, cmd *imap.Command) (reply, error) {
	algorithm, q := cmd.Args.Thread()
	if err := cmd.Args.End(); err != nil {
		return reply{}, bad(err)
	}
	way, ok := map[string]threading{"ORDEREDSUBJECT": thread.Ordered, "REFERENCES": thread.References, "REFS": thread.Refs}[algorithm]
	if !ok {
		return reply{}, bad(errors.New("there is no way of threading of that name"))
	}
	if err := c.prepare(ctx, &q); err != nil {
		return reply{}, err
	}
	f, err := c.find(ctx, c.view, cmd.Tag, &q, nil, true)
	if err != nil {
		return reply{}, err
	}
	forest, err := c.threads(ctx, cmd, f, way)
	if err != nil {
		return reply{}, err
	}
	c.out.end(append(c.out.line(), "* THREAD"...))
	for i := range forest.Len() {
		b := c.out.line()
		if i == 0 {
			b = append(b, ' ')
		}
		c.out.end(forest.Append(b, i))
	}
	c.out.end(append(c.out.line(), '\r', '\n'))
	return reply{}, nil
}

// threading is a way of threading messages.
type threading func(messages []thread.Message, step func() error) (*thread.Forest, error)

// under threads messages at the pace of a context, until that is done.
func (w threading) under(ctx context.Context, messages []thread.Message) (*thread.Forest, error) {
	return w(messages, func() error { return pace.Step(ctx) })
}

// threads threads what was found, in a turn that ends before the client is told.
func (c *conn) threads(ctx context.Context, cmd *imap.Command, f *found, way threading) (*thread.Forest, error) {
	t, err := c.takeTurn(ctx, cmd.Tag, c.server.searches)
	if err != nil {
		return nil, err
	}
	defer t.end()
	messages, err := f.threadable(t.ctx, byUID(cmd))
	if err != nil {
		return nil, err
	}
	return way.under(t.ctx, messages)
}

// threadable gives what threads are made of.
func (f *found) threadable(ctx context.Context, byUID bool) ([]thread.Message, error) {
	columns, err := f.v.mb.Columns(ctx, f.v.now)
	if err != nil {
		return nil, err
	}
	next := columns.Walk()
	out := make([]thread.Message, 0, imap.Numbers(f.uids))
	for _, r := range f.uids {
		for i, e := range f.v.now.Range(f.v.now.Search(store.UID(r.Lo)), f.v.now.Search(store.UID(r.Hi)+1)) {
			if i%256 == 0 {
				if err := pace.Step(ctx); err != nil {
					return nil, err
				}
			}
			k := next(e.UID)
			m := thread.Message{
				Number: uint32(e.UID), ID: k.ID, Refs: k.Refs(), Subject: k.Base, Reply: k.Reply,
				Date: sentDate(&e, &k),
			}
			if !byUID {
				m.Number = f.v.number(e.UID)
			}
			out = append(out, m)
		}
	}
	return out, nil
}

func appendInt(b []byte, n int) []byte { return strconv.AppendInt(b, int64(n), 10) }
