package embedded

import (
	"bytes"
	"context"
	"errors"
	"iter"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"plic/internal/mail"
)

// Bodies that are opened one after the other are looked up some at a time, with
// one iterator, and those that lie together in a segment are read at once.
const (
	openMany = 64        // bodies that are looked up together
	openGap  = 4 << 10   // octets between two bodies that are read all the same
	openRead = 128 << 10 // octets that are read at once
)

// OpenBodies opens bodies one after the other.
func (e *Engine) OpenBodies(ctx context.Context, ids []mail.ID) iter.Seq2[mail.Body, error] {
	return func(yield func(mail.Body, error) bool) {
		o := opener{e: e}
		defer o.end()
		for some := range slices.Chunk(ids, openMany) {
			o.locate(some)
			for i, id := range some {
				b, err := o.open(i, id)
				if err != nil { // it may have been moved; if not, this says what is wrong
					b, err = e.OpenBody(ctx, id)
				}
				if !yield(b, err) {
					return
				}
			}
		}
	}
}

// errUnplaced says that a body is not known to be in a segment.
var errUnplaced = errors.New("no place in a segment is known")

// lentBody is a body in a buffer that is used again once it is closed: bodies that
// are read one after the other would mostly be garbage.
type lentBody struct {
	e    *Engine
	room *[]byte // empty, with room for the body; nil when it is closed
	body []byte
}

// lent are the sizes of such buffers; a larger body has one of its own.
var lent = [lentSizes]int{2 << 10, 8 << 10, 32 << 10}

const lentSizes = 3

// lend gives a body with room for n octets.
func (e *Engine) lend(n int) *lentBody {
	for i, size := range lent {
		if n <= size {
			room, _ := e.lent[i].Get().(*[]byte)
			if room == nil {
				room = new(make([]byte, 0, size))
			}
			return &lentBody{e: e, room: room}
		}
	}
	return &lentBody{e: e, room: new(make([]byte, 0, n))}
}

func (b *lentBody) Size() int64 { return int64(len(b.body)) }

func (b *lentBody) ReadAt(p []byte, off int64) (int, error) {
	if b.room == nil {
		return 0, errLent
	}
	return memoryBody(b.body).ReadAt(p, off)
}

// Close gives the buffer back, once.
func (b *lentBody) Close() error {
	if b.room == nil {
		return nil
	}
	if i := slices.Index(lent[:], cap(*b.room)); i >= 0 {
		b.e.lent[i].Put(b.room)
	}
	b.room, b.body = nil, nil
	return nil
}

var errLent = errors.New("the body is closed")

// opener opens bodies one after the other. Between two of them the engine may be
// closed.
type opener struct {
	e     *Engine
	found []location // of those at hand; segment 0 is none
	page  *[]byte    // from the pool
	read  place      // where raw begins
	raw   []byte     // of a segment, what was read last
}

func (o *opener) end() {
	if o.page != nil {
		o.e.pages.Put(o.page)
	}
}

// locate finds the places of bodies, as far as they are in segments.
func (o *opener) locate(ids []mail.ID) {
	o.found = slices.Grow(o.found[:0], len(ids))[:len(ids)]
	clear(o.found)
	if o.e.enter() != nil {
		return
	}
	defer o.e.leave()
	order := make([]int, len(ids))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(i, j int) int { return bytes.Compare(ids[i][:], ids[j][:]) })
	first, last := idKey(kindLocation, ids[order[0]]), idKey(kindLocation, ids[order[len(order)-1]])
	it, err := o.e.db.NewIter(&pebble.IterOptions{LowerBound: first, UpperBound: append(last, 0)})
	if err != nil {
		return
	}
	defer it.Close()
	for _, i := range order {
		key := idKey(kindLocation, ids[i])
		if !nextOrSeek(it, key) {
			return
		}
		if !bytes.Equal(it.Key(), key) {
			continue
		}
		if l, err := decodeLocation(key, it.Value()); err == nil && !l.own() {
			o.found[i] = l
		}
	}
}

// open gives a body that is in a segment.
func (o *opener) open(i int, id mail.ID) (mail.Body, error) {
	l := &o.found[i]
	if l.segment == 0 {
		return nil, errUnplaced
	}
	if !o.has(l) {
		if err := o.fill(i); err != nil {
			return nil, err
		}
	}
	at := l.offset - o.read.offset
	stored, err := checkFrame(o.raw[at:at+frameHead+l.stored], id, l)
	if err != nil {
		return nil, err
	}
	b := o.e.lend(int(max(l.size, int64(len(stored)))))
	if !l.packed {
		b.body = append(*b.room, stored...)
		return b, nil
	}
	if b.body, err = o.e.packer.unpack(*b.room, stored, l.size); err != nil {
		b.Close()
		return nil, err
	}
	return b, nil
}

// has says that a body is in what was read.
func (o *opener) has(l *location) bool {
	from := l.offset - o.read.offset
	return l.segment == o.read.segment && from >= 0 && from+frameHead+l.stored <= int64(len(o.raw))
}

// fill reads a body and those after it that follow it in the segment.
func (o *opener) fill(i int) error {
	first := &o.found[i]
	end := first.offset + frameHead + first.stored
	for j := i + 1; j < len(o.found); j++ {
		l := &o.found[j]
		next := l.offset + frameHead + l.stored
		if l.segment != first.segment || l.offset < end || l.offset > end+openGap || next > first.offset+openRead {
			break
		}
		end = next
	}
	if err := o.e.enter(); err != nil {
		return err
	}
	defer o.e.leave()
	if o.page == nil {
		o.page = o.e.page()
	}
	n := int(end - first.offset)
	*o.page = slices.Grow((*o.page)[:0], n)
	raw := (*o.page)[:n]
	o.raw, o.read = nil, first.place
	if err := o.e.segments.handles.read(first.segment, raw, first.offset); err != nil {
		return err
	}
	o.raw = raw
	return nil
}
