package moving

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"path"
)

// cyrusHead is the beginning of cyrus.index.
type cyrusHead struct {
	start, size, count uint32 // of the records
	validity, last     uint32
}

// cyrusIndex is what cyrus.index says.
type cyrusIndex struct {
	records map[uint32]cyrusRecord
	words   []string // user flags by number
}

type cyrusRecord struct {
	internal int64
	system   uint32
	user     [4]uint32
}

var errCyrusIndex = errors.New("cyrus.index is of a version that is not understood: flags and dates are not brought")

// The versions whose records begin alike.
const (
	cyrusLeast = 12
	cyrusMost  = 19
)

// Bits of system_flags.
const (
	cyrusAnswered = 1 << iota
	cyrusFlagged
	cyrusDeleted
	cyrusDraft
	cyrusSeen
	cyrusUnlinked = 1 << 30
	cyrusExpunged = 1 << 31
)

const cyrusHeadSize = 48

// readCyrusHead reads the beginning of an index; all its numbers are big-endian.
func readCyrusHead(in io.Reader) (h cyrusHead, err error) {
	text := make([]byte, cyrusHeadSize)
	if _, err := io.ReadFull(in, text); err != nil {
		return h, fmt.Errorf("cyrus.index: %w", err)
	}
	version := word(text, 8)
	h = cyrusHead{start: word(text, 12), size: word(text, 16), count: word(text, 20), last: word(text, 28), validity: word(text, 44)}
	if version < cyrusLeast || version > cyrusMost || h.start < cyrusHeadSize || h.start > 4096 || h.size < 52 || h.size > 4096 {
		return h, errCyrusIndex
	}
	return h, nil
}

func word(b []byte, at int) uint32 { return binary.BigEndian.Uint32(b[at:]) }

// head reads the beginning of cyrus.index.
func (b *cyrusBox) head() (cyrusHead, error) {
	f, err := b.root.Open(path.Join(b.dir, "cyrus.index"))
	if err != nil {
		return cyrusHead{}, err
	}
	defer f.Close()
	return readCyrusHead(f)
}

// index reads cyrus.index.
func (b *cyrusBox) index() (*cyrusIndex, error) {
	f, err := b.root.Open(path.Join(b.dir, "cyrus.index"))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	in := bufio.NewReader(f)
	h, err := readCyrusHead(in)
	if err != nil {
		return nil, err
	}
	x := &cyrusIndex{records: map[uint32]cyrusRecord{}}
	if _, err := in.Discard(int(h.start) - cyrusHeadSize); err != nil {
		return nil, fmt.Errorf("cyrus.index: %w", err)
	}
	record := make([]byte, h.size)
	for range h.count {
		if _, err := io.ReadFull(in, record); err != nil {
			return nil, fmt.Errorf("cyrus.index: %w", err)
		}
		r := cyrusRecord{internal: int64(word(record, 4)), system: word(record, 32)}
		for i := range r.user {
			r.user[i] = word(record, 36+4*i)
		}
		x.records[word(record, 0)] = r
	}
	names, err := readCyrusHeader(b.root, b.dir)
	x.words = names.words
	return x, err
}

func (x *cyrusIndex) flags(r *cyrusRecord) (flags []string) {
	for _, f := range []struct {
		bit  uint32
		name string
	}{{cyrusSeen, `\Seen`}, {cyrusAnswered, `\Answered`}, {cyrusFlagged, `\Flagged`}, {cyrusDeleted, `\Deleted`}, {cyrusDraft, `\Draft`}} {
		if r.system&f.bit != 0 {
			flags = append(flags, f.name)
		}
	}
	for n, w := range x.words {
		if n < 128 && w != "" && r.user[n/32]&(1<<(n%32)) != 0 {
			flags = append(flags, w)
		}
	}
	return flags
}
