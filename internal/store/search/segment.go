package search

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sort"

	"plic/internal/store"
)

// Segment names an index of a range of UIDs. It is kept as notes: dictionaries in
// blocks, each with some words in order and the lengths of their lists; the lists,
// cut into blocks; and a head.
type Segment struct {
	ID    string        `json:"id"`
	Low   store.UID     `json:"low"` // it knows of messages from here
	High  store.UID     `json:"high"`
	Docs  int           `json:"docs"`
	Parts [parts]volume `json:"parts"`
	Bytes int64         `json:"bytes"` // altogether, as kept
}

// volume is a dictionary and the lists of its words.
type volume struct {
	Words int   `json:"words"`
	Dicts int   `json:"dicts"` // blocks of the dictionary
	Lists int64 `json:"lists"` // octets of all lists
}

// A segment has three dictionaries, so that what is sought in names and subjects,
// or in bodies, need not go through all the numbers that headers are full of: the
// words of the envelope, others that are in bodies, and those of other fields.
const parts = 3

// partOf is the dictionary of a word that is in some classes.
func partOf(all Class) int {
	switch {
	case all&(From|To|Cc|Bcc|Subject) != 0:
		return 0
	case all&Body != 0:
		return 1
	}
	return 2
}

// partsFor is how many of the dictionaries, from the first, know words of classes.
func partsFor(in Class) int {
	switch {
	case in&Header != 0:
		return 3
	case in&Body != 0:
		return 2
	}
	return 1
}

const (
	dictBlock = 64 << 10
	listBlock = 64 << 10
)

func (s *Segment) prefix() string             { return notes + s.ID + "/" }
func (s *Segment) dictKey(part, n int) string { return fmt.Sprintf("%sd%d%06x", s.prefix(), part, n) }
func (s *Segment) listKey(part, n int) string { return fmt.Sprintf("%sl%d%06x", s.prefix(), part, n) }
func (s *Segment) headKey() string            { return s.prefix() + "head" }
func (s *Segment) holds(uid store.UID) bool   { return s.Low <= uid && uid <= s.High }
func (v *volume) listBlocks() int             { return int((v.Lists + listBlock - 1) / listBlock) }

// keys are those of all its notes.
func (s *Segment) keys() []string {
	keys := []string{s.headKey()}
	for p := range s.Parts {
		for n := range s.Parts[p].Dicts {
			keys = append(keys, s.dictKey(p, n))
		}
		for n := range s.Parts[p].listBlocks() {
			keys = append(keys, s.listKey(p, n))
		}
	}
	return keys
}

// words is how many there are.
func (s *Segment) words() (n int) {
	for _, v := range s.Parts {
		n += v.Words
	}
	return n
}

// segmentWriter writes a segment; words come in order.
type segmentWriter struct {
	seg   Segment
	block int // octets after which a block of a dictionary ends
	put   func(key string, value []byte) (kept int, err error)
	parts [parts]volumeWriter
}

// volumeWriter is what of a dictionary is not written yet.
type volumeWriter struct {
	first int64 // where the lists of this dictionary block begin
	words int   // in this block
	lens  []byte
	text  []byte
	lists []byte
	done  int      // blocks of lists written
	heads [][]byte // the first word of each block
}

// add takes a word, the classes that it is in anywhere, and its list.
func (w *segmentWriter) add(word []byte, all Class, list []byte) error {
	part := partOf(all)
	p, v := &w.parts[part], &w.seg.Parts[part]
	if p.words == 0 {
		p.first = v.Lists
		p.heads = append(p.heads, bytes.Clone(word))
	}
	p.words++
	p.lens = binary.AppendUvarint(p.lens, uint64(len(list)))
	p.text = append(append(p.text, word...), '\n')
	p.lists = append(p.lists, list...)
	v.Lists += int64(len(list))
	v.Words++
	for len(p.lists) >= listBlock {
		if err := w.write(w.seg.listKey(part, p.done), p.lists[:listBlock]); err != nil {
			return err
		}
		p.done++
		p.lists = p.lists[:copy(p.lists, p.lists[listBlock:])]
	}
	if len(p.lens)+len(p.text) >= w.block {
		return w.endDict(part)
	}
	return nil
}

func (w *segmentWriter) write(key string, value []byte) error {
	kept, err := w.put(key, value)
	w.seg.Bytes += int64(kept)
	return err
}

func (w *segmentWriter) endDict(part int) error {
	p, v := &w.parts[part], &w.seg.Parts[part]
	if p.words == 0 {
		return nil
	}
	b := binary.AppendUvarint(nil, uint64(p.words))
	b = binary.AppendUvarint(b, uint64(p.first))
	b = append(append(append(b, p.lens...), '\n'), p.text...)
	p.words, p.lens, p.text = 0, p.lens[:0], p.text[:0]
	v.Dicts++
	return w.write(w.seg.dictKey(part, v.Dicts-1), b)
}

// end writes the rest; uids are the segment's messages, which rise.
func (w *segmentWriter) end(uids []store.UID) (Segment, error) {
	for part := range w.parts {
		if err := w.endDict(part); err != nil {
			return w.seg, err
		}
		if p := &w.parts[part]; len(p.lists) > 0 {
			if err := w.write(w.seg.listKey(part, p.done), p.lists); err != nil {
				return w.seg, err
			}
		}
	}
	var b []byte
	next := store.UID(0)
	for _, uid := range uids {
		b = binary.AppendUvarint(b, uint64(uid-next))
		next = uid + 1
	}
	for part := range w.parts {
		for _, word := range w.parts[part].heads {
			b = append(binary.AppendUvarint(b, uint64(len(word))), word...)
		}
	}
	w.seg.Docs = len(uids)
	return w.seg, w.write(w.seg.headKey(), b)
}

// segment is one that is read.
type segment struct {
	Segment
	uids  []store.UID
	heads [parts][][]byte // the first word of each block of the dictionaries
	dict  func(ctx context.Context, part, n int) (*dict, error)
	lists func(ctx context.Context, part, n int) ([]byte, error)
	here  func(part, n int) bool // says that a block of a dictionary is in memory
}

// readHead reads what the notes of a segment begin with.
func (s *segment) readHead(b []byte) error {
	r := reader{b: b}
	next := uint64(0)
	for range s.Docs {
		if next += r.uvarint(); r.bad || next > 1<<32-1 {
			return errBroken
		}
		s.uids = append(s.uids, store.UID(next))
		next++
	}
	for p := range s.Parts {
		for range s.Parts[p].Dicts {
			s.heads[p] = append(s.heads[p], r.take(r.uvarint()))
			if r.bad {
				return errBroken
			}
		}
	}
	if len(r.b) > 0 {
		return errBroken
	}
	return nil
}

// reader takes octets apart.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) uvarint() uint64 {
	n, size := binary.Uvarint(r.b)
	if size <= 0 || n > 1<<62 {
		r.bad = true
		return 0
	}
	r.b = r.b[size:]
	return n
}

func (r *reader) take(n uint64) []byte {
	if n > uint64(len(r.b)) {
		r.bad = true
		return nil
	}
	out := r.b[:n:n]
	r.b = r.b[n:]
	return out
}

// list reads a list.
func (s *segment) list(ctx context.Context, part int, off, n int64, room []byte) ([]byte, error) {
	if off < 0 || n < 0 || off+n > s.Parts[part].Lists {
		return nil, errBroken
	}
	room = room[:0]
	for n > 0 {
		block, err := s.lists(ctx, part, int(off/listBlock))
		if err != nil {
			return nil, err
		}
		from := off % listBlock
		if from >= int64(len(block)) {
			return nil, errBroken
		}
		got := block[from:min(from+n, int64(len(block)))]
		if int64(len(got)) == n && len(room) == 0 {
			return got, nil // mostly it is in one block
		}
		room = append(room, got...)
		off, n = off+int64(len(got)), n-int64(len(got))
	}
	return room, nil
}

// errFull ends a look-up that has found every message.
var errFull = errors.New("all there are")

// with gives the messages that have a piece in some of the classes.
func (s *segment) with(ctx context.Context, p piece, want Class) (bitset, error) {
	out := newBitset(len(s.uids))
	pattern := p.text
	switch p.how {
	case atTail:
		pattern = append(slices.Clone(p.text), '\n')
	case atHead:
		pattern = append([]byte{'\n'}, p.text...)
	case whole:
		pattern = append(append([]byte{'\n'}, p.text...), '\n')
	}
	for part := range partsFor(want) {
		from, to := 0, s.Parts[part].Dicts
		if p.how == atHead || p.how == whole {
			from, to = s.around(part, p.text)
		}
		if err := s.inBlocks(ctx, part, from, to, pattern, want, out); err == errFull {
			break
		} else if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// alone is how many blocks one goroutine goes through; more are shared by two, if
// they have to be read and unpacked. Those in memory are left to one, so that a
// processor stays free for others: their connections are not looked at while none
// is.
const alone = 16

func (s *segment) inBlocks(ctx context.Context, part, from, to int, pattern []byte, want Class, out bitset) error {
	half := (from + to) / 2
	if to-from > alone && !s.here(part, to-1) {
		more := newBitset(len(s.uids))
		done := make(chan error, 1)
		go func() { done <- s.eachBlock(ctx, part, half, to, pattern, want, more) }()
		err := s.eachBlock(ctx, part, from, half, pattern, want, out)
		if other := <-done; err == nil {
			err = other
		}
		out.or(more)
		return err
	}
	return s.eachBlock(ctx, part, from, to, pattern, want, out)
}

func (s *segment) eachBlock(ctx context.Context, part, from, to int, pattern []byte, want Class, out bitset) error {
	for n := from; n < to; n++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := s.inBlock(ctx, part, n, pattern, want, out); err != nil {
			return err
		}
	}
	return nil
}

// inBlock adds the messages of the words in one block.
func (s *segment) inBlock(ctx context.Context, part, n int, pattern []byte, want Class, out bitset) error {
	d, err := s.dict(ctx, part, n)
	if err != nil {
		return err
	}
	visit := func(class Class) func(uint32) {
		if class&want == 0 {
			return nil
		}
		return out.add
	}
	var room []byte
	words := 0
	return d.find(pattern, func(off, n int64) error {
		list, err := s.list(ctx, part, off, n, room)
		if err != nil {
			return err
		}
		if err := eachGroup(list, len(s.uids), visit); err != nil {
			return err
		}
		if words++; words%256 == 0 && out.count() == len(s.uids) {
			return errFull
		}
		return nil
	})
}

// around gives the blocks in which words that begin with a text are.
func (s *segment) around(part int, head []byte) (from, to int) {
	heads := s.heads[part]
	from = sort.Search(len(heads), func(i int) bool { return bytes.Compare(heads[i], head) > 0 })
	to = from
	for to < len(heads) && bytes.HasPrefix(heads[to], head) {
		to++
	}
	return max(from-1, 0), to
}
