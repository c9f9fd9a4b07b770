package search

import (
	"encoding/binary"
	"errors"
	"math/bits"
)

// Class says in which parts of a message a word is; a set of them is their sum.
type Class uint8

// The parts of a message that are searched apart.
const (
	From Class = 1 << iota
	To
	Cc
	Bcc
	Subject
	Header // any field of the header
	Body
)

const (
	lastGroup = 1 << 7 // marks the last group of a list
	maxDocs   = 1 << 26
)

// errBroken says that an index cannot be read; it is made anew.
var errBroken = errors.New("broken search index")

// posting is a message, by its number in the segment, and where in it a word is.
type posting struct {
	doc   uint32
	class Class
}

// appendPostings writes a list, sorted by message: for each set of classes a
// group of its messages.
func appendPostings(b []byte, list []posting, docs int) []byte {
	var counts [lastGroup]int
	groups := 0
	for _, p := range list {
		if counts[p.class]++; counts[p.class] == 1 {
			groups++
		}
	}
	var room []uint32
	for class, n := range counts {
		if n == 0 {
			continue
		}
		mark := byte(class)
		if groups--; groups == 0 {
			mark |= lastGroup
		}
		room = room[:0]
		for _, p := range list {
			if p.class == Class(class) {
				room = append(room, p.doc)
			}
		}
		if b = appendGroup(append(b, mark), room, docs); groups == 0 {
			break
		}
	}
	return b
}

// appendGroup writes messages, which rise: one by its number, many as one bit for
// each message of the segment, others as steps from one to the next, each in some
// bits as they are and before them the rest in as many ones (Rice's code).
func appendGroup(b []byte, messages []uint32, docs int) []byte {
	n := len(messages)
	if n > docs/4 && n > 1 {
		b = binary.AppendUvarint(b, uint64(n)<<1|1)
		at := len(b)
		b = append(b, make([]byte, (docs+7)/8)...)
		for _, doc := range messages {
			b[at+int(doc/8)] |= 1 << (doc % 8)
		}
		return b
	}
	b = binary.AppendUvarint(b, uint64(n)<<1)
	if n == 1 {
		return binary.AppendUvarint(b, uint64(messages[0]))
	}
	k := plainBits(n, docs)
	w := bitWriter{b: b}
	next := uint32(0)
	for _, doc := range messages {
		w.step(doc-next, k)
		next = doc + 1
	}
	return w.end()
}

// plainBits is how many bits of a step are written as they are: what is best for
// n steps through docs messages.
func plainBits(n, docs int) uint {
	mean := uint(docs/n) * 11 / 16
	return uint(bits.Len(mean)) - min(1, uint(bits.Len(mean)))
}

// bitWriter writes bits, the lowest of an octet first.
type bitWriter struct {
	b    []byte
	word uint64
	n    uint
}

func (w *bitWriter) put(v uint64, n uint) {
	w.word |= v << w.n
	for w.n += n; w.n >= 8; w.n -= 8 {
		w.b = append(w.b, byte(w.word))
		w.word >>= 8
	}
}

// step writes a step: what is above its k lowest bits as ones and a zero, then
// those.
func (w *bitWriter) step(v uint32, k uint) {
	for q := v >> k; ; q -= 32 {
		if q < 32 {
			w.put(1<<q-1, uint(q)+1)
			break
		}
		w.put(1<<32-1, 32)
	}
	w.put(uint64(v)&(1<<k-1), k)
}

func (w *bitWriter) end() []byte {
	if w.n > 0 {
		w.b = append(w.b, byte(w.word))
	}
	return w.b
}

// bitReader reads what a bitWriter wrote.
type bitReader struct {
	b    []byte
	at   int
	word uint64
	n    uint
}

func (r *bitReader) fill() {
	for r.n <= 56 && r.at < len(r.b) {
		r.word |= uint64(r.b[r.at]) << r.n
		r.at++
		r.n += 8
	}
}

// step reads a step; false where the bits end before it, or it is no step of ours.
func (r *bitReader) step(k uint) (v uint64, ok bool) {
	q := uint64(0)
	for {
		if r.n < 48 {
			r.fill()
		}
		ones := uint(bits.TrailingZeros64(^r.word))
		if ones < r.n {
			q += uint64(ones)
			r.word >>= ones + 1
			r.n -= ones + 1
			break
		}
		if q += uint64(r.n); r.n == 0 || q > maxDocs {
			return 0, false
		}
		r.word, r.n = 0, 0
	}
	if r.n < k {
		if r.fill(); r.n < k {
			return 0, false
		}
	}
	v = q<<k | r.word&(1<<k-1)
	r.word >>= k
	r.n -= k
	return v, true
}

// rest is what is behind the octet that was read last.
func (r *bitReader) rest() []byte { return r.b[r.at-int(r.n/8):] }

// eachGroup reads a list of a segment of docs messages: visit gets the set of
// classes of each group, and its messages one by one with add.
func eachGroup(b []byte, docs int, visit func(Class) (add func(doc uint32))) error {
	for {
		if len(b) == 0 {
			return errBroken
		}
		mark := b[0]
		add := visit(Class(mark &^ lastGroup))
		var err error
		if b, err = readGroup(b[1:], docs, add); err != nil {
			return err
		}
		if mark&lastGroup != 0 {
			if len(b) > 0 {
				return errBroken
			}
			return nil
		}
	}
}

// readGroup reads the messages of a group, to be passed over if add is nil, and
// gives what is behind it.
func readGroup(b []byte, docs int, add func(doc uint32)) ([]byte, error) {
	head, size := binary.Uvarint(b)
	if size <= 0 || head>>1 > uint64(docs) {
		return nil, errBroken
	}
	b = b[size:]
	if head&1 != 0 {
		n := (docs + 7) / 8
		if len(b) < n {
			return nil, errBroken
		}
		if add != nil {
			return b[n:], readBits(b[:n], docs, add)
		}
		return b[n:], nil
	}
	switch n := int(head >> 1); n {
	case 0:
		return nil, errBroken
	case 1:
		doc, size := binary.Uvarint(b)
		if size <= 0 || doc >= uint64(docs) {
			return nil, errBroken
		}
		if add != nil {
			add(uint32(doc))
		}
		return b[size:], nil
	default:
		return readSteps(b, n, docs, add)
	}
}

func readSteps(b []byte, n, docs int, add func(doc uint32)) ([]byte, error) {
	k := plainBits(n, docs)
	r := bitReader{b: b}
	doc := uint64(0)
	for range n {
		by, ok := r.step(k)
		if doc += by; !ok || doc >= uint64(docs) {
			return nil, errBroken
		}
		if add != nil {
			add(uint32(doc))
		}
		doc++
	}
	return r.rest(), nil
}

func readBits(b []byte, docs int, add func(doc uint32)) error {
	for i, octet := range b {
		for octet != 0 {
			doc := i*8 + bits.TrailingZeros8(octet)
			if doc >= docs {
				return errBroken
			}
			add(uint32(doc))
			octet &= octet - 1
		}
	}
	return nil
}

// bitset is a set of a segment's messages.
type bitset []uint64

func newBitset(docs int) bitset { return make(bitset, (docs+63)/64) }

func (s bitset) add(doc uint32)      { s[doc/64] |= 1 << (doc % 64) }
func (s bitset) has(doc uint32) bool { return s[doc/64]&(1<<(doc%64)) != 0 }

func (s bitset) and(other bitset) {
	for i := range s {
		s[i] &= other[i]
	}
}

func (s bitset) or(other bitset) {
	for i := range s {
		s[i] |= other[i]
	}
}

func (s bitset) count() (n int) {
	for _, w := range s {
		n += bits.OnesCount64(w)
	}
	return n
}

func (s bitset) empty() bool {
	for _, w := range s {
		if w != 0 {
			return false
		}
	}
	return true
}
