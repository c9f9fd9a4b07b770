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

// Segment names an index of a range of UIDs. It is kept as notes: blocks of the
// dictionary, each with some words in order and the lengths of their lists, and
// the lists themselves, cut into blocks of one size.
type Segment struct {
	ID    string    `json:"id"`
	Low   store.UID `json:"low"` // it knows of messages from here
	High  store.UID `json:"high"`
	Docs  int       `json:"docs"`
	Words int       `json:"words"`
	Dicts int       `json:"dicts"` // blocks of the dictionary
	Lists int64     `json:"lists"` // octets of all lists
	Bytes int64     `json:"bytes"` // altogether
}

const (
	dictBlock = 64 << 10
	listBlock = 64 << 10
)

func (s *Segment) prefix() string           { return notes + s.ID + "/" }
func (s *Segment) dictKey(n int) string     { return fmt.Sprintf("%sd%06x", s.prefix(), n) }
func (s *Segment) listKey(n int) string     { return fmt.Sprintf("%sl%06x", s.prefix(), n) }
func (s *Segment) uidsKey() string          { return s.prefix() + "u" }
func (s *Segment) listBlocks() int          { return int((s.Lists + listBlock - 1) / listBlock) }
func (s *Segment) holds(uid store.UID) bool { return s.Low <= uid && uid <= s.High }

// keys are those of all its notes.
func (s *Segment) keys() []string {
	keys := make([]string, 0, s.Dicts+s.listBlocks()+1)
	for n := range s.Dicts {
		keys = append(keys, s.dictKey(n))
	}
	for n := range s.listBlocks() {
		keys = append(keys, s.listKey(n))
	}
	return append(keys, s.uidsKey())
}

// segmentWriter writes a segment; words come in order.
type segmentWriter struct {
	seg   Segment
	put   func(key string, value []byte) error
	first int64 // where the lists of this dictionary block begin
	words int   // in this block
	lens  []byte
	text  []byte
	lists []byte // not written yet
	done  int    // blocks of lists written
}

// add takes a word and its list.
func (w *segmentWriter) add(word, list []byte) error {
	if w.words == 0 {
		w.first = w.seg.Lists
	}
	w.words++
	w.lens = binary.AppendUvarint(w.lens, uint64(len(list)))
	w.text = append(append(w.text, word...), '\n')
	w.lists = append(w.lists, list...)
	w.seg.Lists += int64(len(list))
	w.seg.Words++
	for len(w.lists) >= listBlock {
		if err := w.write(w.seg.listKey(w.done), w.lists[:listBlock]); err != nil {
			return err
		}
		w.done++
		w.lists = w.lists[:copy(w.lists, w.lists[listBlock:])]
	}
	if len(w.lens)+len(w.text) >= dictBlock {
		return w.endDict()
	}
	return nil
}

func (w *segmentWriter) write(key string, value []byte) error {
	w.seg.Bytes += int64(len(value))
	return w.put(key, bytes.Clone(value))
}

func (w *segmentWriter) endDict() error {
	if w.words == 0 {
		return nil
	}
	b := binary.AppendUvarint(nil, uint64(w.words))
	b = binary.AppendUvarint(b, uint64(w.first))
	b = append(append(b, w.lens...), w.text...)
	w.words, w.lens, w.text = 0, w.lens[:0], w.text[:0]
	w.seg.Dicts++
	return w.write(w.seg.dictKey(w.seg.Dicts-1), b)
}

// end writes the rest; uids are the segment's messages, which rise.
func (w *segmentWriter) end(uids []store.UID) (Segment, error) {
	if err := w.endDict(); err != nil {
		return w.seg, err
	}
	if len(w.lists) > 0 {
		if err := w.write(w.seg.listKey(w.done), w.lists); err != nil {
			return w.seg, err
		}
	}
	var b []byte
	next := store.UID(0)
	for _, uid := range uids {
		b = binary.AppendUvarint(b, uint64(uid-next))
		next = uid + 1
	}
	w.seg.Docs = len(uids)
	return w.seg, w.write(w.seg.uidsKey(), b)
}

func readUIDs(b []byte, docs int) ([]store.UID, error) {
	uids := make([]store.UID, 0, min(docs, len(b)))
	next := uint64(0)
	for len(b) > 0 {
		by, size := binary.Uvarint(b)
		if size <= 0 || by > 1<<32 {
			return nil, errBroken
		}
		b = b[size:]
		if next += by; next > 1<<32-1 {
			return nil, errBroken
		}
		uids = append(uids, store.UID(next))
		next++
	}
	if len(uids) != docs || docs > maxDocs {
		return nil, errBroken
	}
	return uids, nil
}

// dict is a block of a dictionary.
type dict struct {
	words int
	first int64  // where the list of the first word begins
	lens  []byte // of the words' lists
	text  []byte // "\nword\nword\n"
}

func readDict(b []byte) (*dict, error) {
	words, size := binary.Uvarint(b)
	if size <= 0 || words == 0 || words > uint64(len(b)) {
		return nil, errBroken
	}
	b = b[size:]
	first, size := binary.Uvarint(b)
	if size <= 0 || first > 1<<62 {
		return nil, errBroken
	}
	b = b[size:]
	at := 0
	for range words {
		n, size := binary.Uvarint(b[at:])
		if size <= 0 || n > 1<<40 {
			return nil, errBroken
		}
		at += size
	}
	text := b[at:]
	if bytes.Count(text, []byte{'\n'}) != int(words) || text[len(text)-1] != '\n' {
		return nil, errBroken
	}
	return &dict{int(words), int64(first), b[:at:at], append([]byte{'\n'}, text...)}, nil
}

// firstWord is the least word of the block.
func (d *dict) firstWord() []byte { return d.text[1 : 1+bytes.IndexByte(d.text[1:], '\n')] }

// find visits the words that hold what is sought, by where their lists are.
// pattern holds the line ends that the way of matching asks for.
func (d *dict) find(pattern []byte, visit func(off, n int64) error) error {
	at, word := 0, 0 // word is the index of the word that begins behind the line end at "at"
	lens, off := d.lens, d.first
	for {
		i := bytes.Index(d.text[at:], pattern)
		if i < 0 {
			return nil
		}
		start := at + i
		if pattern[0] == '\n' {
			start++ // the first octet of the word
		}
		skip := bytes.Count(d.text[at+1:start], []byte{'\n'})
		for range skip {
			n, size := binary.Uvarint(lens)
			lens, off = lens[size:], off+int64(n)
		}
		word += skip
		if word >= d.words {
			return errBroken
		}
		n, _ := binary.Uvarint(lens)
		if err := visit(off, int64(n)); err != nil {
			return err
		}
		end := bytes.IndexByte(d.text[start:], '\n')
		if end < 0 {
			return errBroken
		}
		at = start + end
		size := 0
		n, size = binary.Uvarint(lens)
		lens, off = lens[size:], off+int64(n)
		word++
		if word == d.words {
			return nil
		}
	}
}

// each visits all words in order.
func (d *dict) each(visit func(word []byte, off, n int64) error) error {
	lens, off := d.lens, d.first
	for text := d.text[1:]; len(text) > 0; {
		end := bytes.IndexByte(text, '\n')
		n, size := binary.Uvarint(lens)
		if err := visit(text[:end], off, int64(n)); err != nil {
			return err
		}
		text, lens, off = text[end+1:], lens[size:], off+int64(n)
	}
	return nil
}

// segment is one that is read.
type segment struct {
	Segment
	uids  []store.UID
	dicts []*dict
	lists func(ctx context.Context, n int) ([]byte, error)
}

func (s *segment) bytes() int64 {
	n := int64(512 + 4*len(s.uids))
	for _, d := range s.dicts {
		n += 128 + int64(cap(d.text)+cap(d.lens))
	}
	return n
}

// list reads a list.
func (s *segment) list(ctx context.Context, off, n int64, room []byte) ([]byte, error) {
	if off < 0 || n < 0 || off+n > s.Lists {
		return nil, errBroken
	}
	room = room[:0]
	for n > 0 {
		block, err := s.lists(ctx, int(off/listBlock))
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

// with gives the messages that have a piece in some of the classes.
func (s *segment) with(ctx context.Context, p piece, want Class) (bitset, error) {
	out := newBitset(len(s.uids))
	pattern, dicts := p.text, s.dicts
	switch p.how {
	case atTail:
		pattern = append(slices.Clone(p.text), '\n')
	case atHead, whole:
		pattern = append([]byte{'\n'}, p.text...)
		if p.how == whole {
			pattern = append(pattern, '\n')
		}
		dicts = s.around(p.text)
	}
	var room []byte
	words := 0
	visit := func(class Class) func(uint32) {
		if class&want == 0 {
			return nil
		}
		return out.add
	}
	for _, d := range dicts {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		err := d.find(pattern, func(off, n int64) (err error) {
			var list []byte
			if list, err = s.list(ctx, off, n, room); err != nil {
				return err
			}
			if err = eachGroup(list, len(s.uids), visit); err != nil {
				return err
			}
			if words++; words%512 == 0 && out.count() == len(s.uids) {
				return errFull
			}
			return nil
		})
		if err == errFull {
			break
		}
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// errFull ends a look-up that has found every message.
var errFull = errors.New("all there are")

// around gives the blocks in which words that begin with a text are.
func (s *segment) around(head []byte) []*dict {
	from := sort.Search(len(s.dicts), func(i int) bool { return bytes.Compare(s.dicts[i].firstWord(), head) > 0 })
	to := from
	for to < len(s.dicts) && bytes.HasPrefix(s.dicts[to].firstWord(), head) {
		to++
	}
	return s.dicts[max(from-1, 0):to]
}
