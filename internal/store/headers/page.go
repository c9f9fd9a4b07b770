package headers

import (
	"encoding/binary"
	"errors"
	"slices"

	"github.com/klauspost/compress/zstd"

	"plic/internal/store"
)

// page is what is kept of some messages.
type page struct {
	rows []row // by rising UID, if sorted
	text []byte
	old  int // rows that were read, the first ones
}

// row is a message: its header stands at text[from:to].
type row struct {
	uid      store.UID
	from, to int
}

var errPage = errors.New("the page of headers is damaged")

func (p *page) find(uid store.UID) ([]byte, bool) {
	// Those that were learnt last stand behind, and are not asked for again.
	i, ok := slices.BinarySearchFunc(p.rows[:p.old], uid, func(r row, uid store.UID) int { return int(int64(r.uid) - int64(uid)) })
	if !ok {
		return nil, false
	}
	return p.text[p.rows[i].from:p.rows[i].to:p.rows[i].to], true
}

// learn adds a message whose header is the end of the text.
func (p *page) learn(uid store.UID, from int) {
	p.rows = append(p.rows, row{uid, from, len(p.text)})
}

// keep leaves out messages that are gone, and those that are there twice.
func (p *page) keep(there func(store.UID) bool) {
	slices.SortStableFunc(p.rows, func(a, b row) int { return int(int64(a.uid) - int64(b.uid)) })
	p.rows = slices.CompactFunc(p.rows, func(a, b row) bool { return a.uid == b.uid })
	p.rows = slices.DeleteFunc(p.rows, func(r row) bool { return !there(r.uid) })
}

// append writes the page: how many messages, of each the step from the UID
// before and the size of its header, and then the headers.
func (p *page) append(enc *zstd.Encoder, dst []byte) []byte {
	raw := binary.AppendUvarint(make([]byte, 0, len(p.text)+6*len(p.rows)+8), uint64(len(p.rows)))
	last := store.UID(0)
	for _, r := range p.rows {
		raw = binary.AppendUvarint(raw, uint64(r.uid-last))
		raw = binary.AppendUvarint(raw, uint64(r.to-r.from))
		last = r.uid
	}
	for _, r := range p.rows {
		raw = append(raw, p.text[r.from:r.to]...)
	}
	return enc.EncodeAll(raw, dst)
}

// read reads a page that was written.
func (p *page) read(dec *zstd.Decoder, value []byte) error {
	raw, err := dec.DecodeAll(value, nil)
	if err != nil {
		return err
	}
	next := func() uint64 {
		v, n := binary.Uvarint(raw)
		if n <= 0 {
			err = errPage
			return 0
		}
		raw = raw[n:]
		return v
	}
	n := next()
	if err != nil || n > perPage {
		return errPage
	}
	at, uid := 0, store.UID(0)
	for range n {
		step, size := next(), next()
		if err != nil || step == 0 || step > 1<<32 || size > maxKept {
			return errPage
		}
		uid += store.UID(step)
		p.rows = append(p.rows, row{uid, at, at + int(size)})
		at += int(size)
	}
	if at != len(raw) {
		return errPage
	}
	p.text = raw
	return nil
}
