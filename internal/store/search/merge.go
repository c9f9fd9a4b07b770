package search

import (
	"bytes"
	"context"
	"slices"

	"plic/internal/pace"
	"plic/internal/store"
)

// source is an index that a new one is made of.
type source struct {
	uids []store.UID
	next []stream // no word is in two of them
}

// stream gives words in order, each with its list; nil at the end. Both are good
// until it is called again.
type stream func() (word []byte, list []posting, err error)

// merged are words on their way through a merge.
type merged struct {
	next stream
	docs []uint32 // the new numbers of the messages
	word []byte   // the next; nil at the end
	list []posting
}

// dropped stands for the number of a message that is not in the new index.
const dropped = 1<<32 - 1

// merge writes a segment out of others, which are of rising UIDs, with the
// messages that are to be kept.
func merge(ctx context.Context, w *segmentWriter, sources []*source, keep func(store.UID) bool) (Segment, error) {
	var all []*merged
	var uids []store.UID
	for _, s := range sources {
		docs := make([]uint32, len(s.uids))
		for k, uid := range s.uids {
			docs[k] = dropped
			if keep(uid) {
				docs[k] = uint32(len(uids))
				uids = append(uids, uid)
			}
		}
		for _, next := range s.next {
			m := &merged{next: next, docs: docs}
			if err := m.advance(); err != nil {
				return Segment{}, err
			}
			all = append(all, m)
		}
	}
	w.docs = len(uids)
	var list []posting
	var word []byte
	for n := 0; ; n++ {
		if n%64 == 0 {
			if err := pace.Step(ctx); err != nil {
				return Segment{}, err
			}
		}
		word = append(word[:0], least(all)...)
		if len(word) == 0 {
			return w.end(uids)
		}
		list = list[:0]
		for _, m := range all {
			if m.word == nil || !bytes.Equal(m.word, word) {
				continue
			}
			for _, p := range m.list {
				if doc := m.docs[p.doc]; doc != dropped {
					list = append(list, posting{doc, p.class})
				}
			}
			if err := m.advance(); err != nil {
				return Segment{}, err
			}
		}
		if len(list) == 0 {
			continue
		}
		var all Class
		for _, p := range list {
			all |= p.class
		}
		if err := w.add(word, all, list); err != nil {
			return Segment{}, err
		}
	}
}

func (m *merged) advance() (err error) {
	m.word, m.list, err = m.next()
	return err
}

// least is the next word of all; nil at the end.
func least(all []*merged) (word []byte) {
	for _, m := range all {
		if m.word != nil && (word == nil || bytes.Compare(m.word, word) < 0) {
			word = m.word
		}
	}
	return word
}

// source reads a segment from its beginning to its end, a block at a time.
func (s *segment) source(ctx context.Context) *source {
	out := &source{uids: s.uids}
	for part := range s.Parts {
		out.next = append(out.next, s.all(ctx, part))
	}
	return out
}

// all gives the words of one dictionary.
func (s *segment) all(ctx context.Context, part int) stream {
	type item struct {
		word   []byte
		off, n int64
		lone   bool
	}
	var items []item
	block, at := 0, 0
	var list []posting
	var room []byte
	return func() ([]byte, []posting, error) {
		if at == len(items) {
			if block == s.Parts[part].Dicts {
				return nil, nil, nil
			}
			d, err := s.dict(ctx, part, block)
			if err != nil {
				return nil, nil, err
			}
			block, at, items = block+1, 0, items[:0]
			err = d.each(func(word []byte, off, n int64, lone bool) error {
				items = append(items, item{word, off, n, lone})
				return nil
			})
			if err != nil {
				return nil, nil, err
			}
		}
		it := items[at]
		at++
		raw, err := s.list(ctx, part, it.off, it.n, room)
		if err != nil {
			return nil, nil, err
		}
		list = list[:0]
		visit := func(c Class) func(uint32) {
			return func(doc uint32) { list = append(list, posting{doc, c}) }
		}
		if it.lone {
			err = s.loneDoc(part, raw, visit)
			return it.word, list, err
		}
		err = eachGroup(raw, len(s.uids), visit)
		slices.SortFunc(list, func(a, b posting) int { return int(int64(a.doc) - int64(b.doc)) })
		return it.word, list, err
	}
}
