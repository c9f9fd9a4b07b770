package search

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"slices"
	"sort"

	"plic/internal/pace"
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
	Words   int   `json:"words"`
	Dicts   int   `json:"dicts"`             // blocks of the dictionary
	Lists   int64 `json:"lists"`             // octets of all lists
	Filters int   `json:"filters,omitempty"` // notes of its filter
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

// loneClass is where a word of a dictionary is that has no list, only the number
// of the one message that it is in, as most have; 0 if all have lists.
func loneClass(part int) Class {
	return [parts]Class{0, Body, Header}[part]
}

// loneSize is how many octets such a number takes.
func loneSize(docs int) int64 { return int64(bits.Len(uint(max(docs-1, 1)))+7) / 8 }

const (
	dictBlock = 56 << 10
	listBlock = 64 << 10
)

func (s *Segment) prefix() string             { return notes + s.ID + "/" }
func (s *Segment) dictKey(part, n int) string { return fmt.Sprintf("%sd%d%06x", s.prefix(), part, n) }
func (s *Segment) listKey(part, n int) string { return fmt.Sprintf("%sl%d%06x", s.prefix(), part, n) }
func (s *Segment) filterKey(part, n int) string {
	return fmt.Sprintf("%sf%d%06x", s.prefix(), part, n)
}
func (s *Segment) headKey() string          { return s.prefix() + "head" }
func (s *Segment) holds(uid store.UID) bool { return s.Low <= uid && uid <= s.High }
func (v *volume) listBlocks() int           { return int((v.Lists + listBlock - 1) / listBlock) }

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
	docs  int // of the segment
	put   func(key string, value []byte) (kept int, err error)
	parts [parts]volumeWriter
	room  []byte
}

// volumeWriter is what of a dictionary is not written yet.
type volumeWriter struct {
	first  int64 // where the lists of this dictionary block begin
	words  int   // in this block
	lens   []byte
	shared []byte // octets that each word has in common with the one before
	tails  []byte // and what follows them
	text   []byte // all words in full, with their line ends
	lists  []byte
	done   int      // blocks of lists written
	heads  [][]byte // the first word of each block
	filter filterWriter
}

// add takes a word, the classes that it is in anywhere, and its list.
func (w *segmentWriter) add(word []byte, all Class, postings []posting) error {
	part := partOf(all)
	list, lone := w.pack(part, postings)
	p, v := &w.parts[part], &w.seg.Parts[part]
	if p.words == 0 {
		p.first = v.Lists
		p.heads = append(p.heads, bytes.Clone(word))
		p.text = append(p.text[:0], '\n')
	}
	p.words++
	if lone {
		p.lens = append(p.lens, 0)
	} else {
		p.lens = binary.AppendUvarint(p.lens, uint64(len(list)))
	}
	p.put(word)
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
	if len(p.text) >= w.block {
		return w.endDict(part)
	}
	return nil
}

// put takes a word into the block.
func (p *volumeWriter) put(word []byte) {
	shared := 0
	if p.words > 1 {
		before := p.text[bytes.LastIndexByte(p.text[:len(p.text)-1], '\n')+1:]
		for shared < min(len(word), len(before), 255) && word[shared] == before[shared] {
			shared++
		}
	}
	p.shared = append(p.shared, byte(shared))
	p.tails = append(append(p.tails, word[shared:]...), '\n')
	p.text = append(append(p.text, word...), '\n')
}

// pack gives a list as it is kept; lone says that it is one message's number.
func (w *segmentWriter) pack(part int, list []posting) (packed []byte, lone bool) {
	if len(list) == 1 && list[0].class == loneClass(part) {
		w.room = binary.LittleEndian.AppendUint32(w.room[:0], list[0].doc)
		return w.room[:loneSize(w.docs)], true
	}
	w.room = appendPostings(w.room[:0], list, w.docs)
	return w.room, false
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
	b = slices.Concat(b, p.lens, p.shared, p.tails)
	p.filter.add(p.text)
	p.words, p.lens, p.shared, p.tails = 0, p.lens[:0], p.shared[:0], p.tails[:0]
	v.Dicts++
	if err := w.write(w.seg.dictKey(part, v.Dicts-1), b); err != nil || v.Dicts%filterGroup != 0 {
		return err
	}
	return w.endFilter(part)
}

// endFilter writes the rows of a group.
func (w *segmentWriter) endFilter(part int) error {
	p, v := &w.parts[part], &w.seg.Parts[part]
	if p.filter.blocks == 0 || v.Dicts < filterLeast {
		return nil
	}
	filter := p.filter
	p.filter = filterWriter{}
	return filter.write(func(note []byte) error {
		v.Filters++
		return w.write(w.seg.filterKey(part, v.Filters-1), note)
	})
}

// end writes the rest; uids are the segment's messages, which rise.
func (w *segmentWriter) end(uids []store.UID) (Segment, error) {
	for part := range w.parts {
		if err := w.endDict(part); err != nil {
			return w.seg, err
		}
		if err := w.endFilter(part); err != nil {
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
	uids    []store.UID
	heads   [parts][][]byte // the first word of each block of the dictionaries
	dict    func(ctx context.Context, part, n int) (*dict, error)
	lists   func(ctx context.Context, part, n int) ([]byte, error)
	filters func(ctx context.Context, part, n int) ([]byte, error)
	here    func(part, n int) bool // says that a block of a dictionary is in memory
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
		blocks, err := s.blocks(ctx, part, from, to, pattern)
		if err != nil {
			return nil, err
		}
		if err := s.inBlocks(ctx, part, blocks, pattern, want, out); err == errFull {
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

func (s *segment) inBlocks(ctx context.Context, part int, blocks []int, pattern []byte, want Class, out bitset) error {
	if n := len(blocks); n > alone && !s.here(part, blocks[n-1]) {
		more := newBitset(len(s.uids))
		done := make(chan error, 1)
		go func() { done <- s.eachBlock(ctx, part, blocks[n/2:], pattern, want, more) }()
		err := s.eachBlock(ctx, part, blocks[:n/2], pattern, want, out)
		if other := <-done; err == nil {
			err = other
		}
		out.or(more)
		return err
	}
	return s.eachBlock(ctx, part, blocks, pattern, want, out)
}

func (s *segment) eachBlock(ctx context.Context, part int, blocks []int, pattern []byte, want Class, out bitset) error {
	for _, n := range blocks {
		if err := pace.Step(ctx); err != nil {
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
	return d.find(pattern, func(off, n int64, lone bool) error {
		list, err := s.list(ctx, part, off, n, room)
		if err != nil {
			return err
		}
		if lone {
			err = s.loneDoc(part, list, visit)
		} else {
			err = eachGroup(list, len(s.uids), visit)
		}
		if err != nil {
			return err
		}
		if words++; words%256 == 0 && out.count() == len(s.uids) {
			return errFull
		}
		return nil
	})
}

// loneDoc reads what stands in the place of a list of one message.
func (s *segment) loneDoc(part int, b []byte, visit func(Class) (add func(uint32))) error {
	var full [4]byte
	copy(full[:], b)
	doc := binary.LittleEndian.Uint32(full[:])
	if doc >= uint32(len(s.uids)) || loneClass(part) == 0 {
		return errBroken
	}
	if add := visit(loneClass(part)); add != nil {
		add(doc)
	}
	return nil
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
