package search

import (
	"bytes"
	"encoding/binary"
)

// dict is a block of a dictionary.
type dict struct {
	words int
	first int64  // where the list of the first word begins
	lone  int64  // octets of what stands in the place of a list of one message
	lens  []byte // of the words' lists, 0 for one message
	text  []byte // "\nword\nword\n"
}

// readDict reads a block of a segment of docs messages.
func readDict(b []byte, docs int) (*dict, error) {
	r := reader{b: b}
	words, first := r.uvarint(), r.uvarint()
	if r.bad || words == 0 || words > uint64(len(b)) {
		return nil, errBroken
	}
	lens := r.take(uint64(numbers(r.b, words)))
	shared := r.take(words)
	text := wordsOf(shared, r.b)
	if len(text) < 2 || bytes.Count(text, []byte{'\n'}) != int(words)+1 || text[0] != '\n' || text[len(text)-1] != '\n' {
		return nil, errBroken
	}
	return &dict{int(words), int64(first), loneSize(docs), bytes.Clone(lens), text}, nil
}

// wordsOf puts words together from how much each shares with the one before it, and
// what follows; nil if that makes no sense.
func wordsOf(shared, tails []byte) []byte {
	size := 1 + len(tails)
	for _, n := range shared {
		size += int(n)
	}
	if size > maxBlock {
		return nil
	}
	text := append(make([]byte, 0, size), '\n')
	before, from := 0, 0
	for _, n := range shared {
		end := from + bytes.IndexByte(tails[from:], '\n') + 1
		start := len(text)
		if end == from || before+int(n) >= start {
			return nil
		}
		text = append(text, text[before:before+int(n)]...)
		text = append(text, tails[from:end]...)
		before, from = start, end
	}
	if from < len(tails) {
		return nil
	}
	return text
}

// numbers gives the length of n numbers; of all octets, if those are fewer. One of
// more than nine octets counts as one that never ends.
func numbers(b []byte, n uint64) int {
	long := 0
	for i, octet := range b {
		if n == 0 {
			return i
		}
		if octet < 0x80 {
			n, long = n-1, 0
		} else if long++; long > 8 {
			return len(b)
		}
	}
	return len(b)
}

func (d *dict) bytes() int64 { return 128 + int64(len(d.lens)+cap(d.text)) }

// find visits the words that hold what is sought, by where their lists are.
// pattern holds the line ends that the way of matching asks for.
func (d *dict) find(pattern []byte, visit func(off, n int64, lone bool) error) error {
	at, word := 0, 0 // word is the index of the word that begins behind the line end at "at"
	lens, off := d.lens, d.first
	for word < d.words {
		i := bytes.Index(d.text[at:], pattern)
		if i < 0 {
			return nil
		}
		start := at + i
		if pattern[0] == '\n' {
			start++ // the first octet of the word
		}
		skip := bytes.Count(d.text[at+1:start], []byte{'\n'})
		if word += skip; word >= d.words {
			return errBroken
		}
		for range skip {
			n, size, _ := d.length(lens)
			lens, off = lens[size:], off+n
		}
		n, size, lone := d.length(lens)
		if err := visit(off, n, lone); err != nil {
			return err
		}
		end := bytes.IndexByte(d.text[start:], '\n')
		if end < 0 {
			return errBroken
		}
		at, word = start+end, word+1
		lens, off = lens[size:], off+n
	}
	return nil
}

// length is that of the next list, and how many octets say so.
func (d *dict) length(lens []byte) (n int64, size int, lone bool) {
	length, size := binary.Uvarint(lens)
	if length == 0 {
		return d.lone, size, true
	}
	return int64(length), size, false
}

// each visits all words in order.
func (d *dict) each(visit func(word []byte, off, n int64, lone bool) error) error {
	lens, off := d.lens, d.first
	for text := d.text[1:]; len(text) > 0; {
		end := bytes.IndexByte(text, '\n')
		n, size, lone := d.length(lens)
		if err := visit(text[:end], off, n, lone); err != nil {
			return err
		}
		text, lens, off = text[end+1:], lens[size:], off+n
	}
	return nil
}
