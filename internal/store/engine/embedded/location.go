package embedded

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"plic/internal/mail"
	"plic/internal/store/engine"
)

// place is an offset in a segment.
type place struct {
	segment uint64
	offset  int64
}

// location says where a body is: in a segment, or, with blocks, in a file of
// its own.
type location struct {
	place
	size   int64
	stored int64  // octets in a segment, fewer than size if compressed
	sum    uint32 // of a body in a segment, as it is stored
	packed bool   // some of it is compressed
	blocks []block
}

// block is a part of a file, of blockSize octets but for the last.
type block struct {
	sum    uint32 // of what is stored
	stored uint32 // octets, fewer than those of the block if compressed
}

const (
	inSegment       = 1
	inFile          = 2
	packedInSegment = 3
	packedInFile    = 4
)

func (l *location) own() bool { return l.blocks != nil }

func encodeLocation(key []byte, l *location) []byte {
	b := make([]byte, 0, 32+7*len(l.blocks))
	b = append(b, recordVersion)
	if !l.own() {
		kind := byte(inSegment)
		if l.packed {
			kind = packedInSegment
		}
		b = append(b, kind)
		b = binary.AppendUvarint(b, l.segment)
		b = binary.AppendUvarint(b, uint64(l.offset))
		b = binary.AppendUvarint(b, uint64(l.size))
		if l.packed {
			b = binary.AppendUvarint(b, uint64(l.stored))
		}
		return seal(key, binary.BigEndian.AppendUint32(b, l.sum))
	}
	kind := byte(inFile)
	if l.packed {
		kind = packedInFile
	}
	b = append(b, kind)
	b = binary.AppendUvarint(b, uint64(l.size))
	for _, block := range l.blocks {
		b = binary.BigEndian.AppendUint32(b, block.sum)
		if l.packed {
			b = binary.AppendUvarint(b, uint64(block.stored))
		}
	}
	return seal(key, b)
}

func decodeLocation(key, record []byte) (location, error) {
	raw, err := unseal(key, record)
	if err != nil {
		return location{}, err
	}
	f := fields{rest: raw}
	kind := f.uint()
	l := location{packed: kind == packedInSegment || kind == packedInFile}
	switch kind {
	case inSegment, packedInSegment:
		l.segment = f.uint()
		l.offset = int64(f.uint())
		l.size = int64(f.uint())
		l.stored = l.size
		if l.packed {
			l.stored = int64(f.uint())
		}
		l.sum = f.u32()
		if l.size > bodyInMemory || l.offset < 0 || l.size < 0 || l.stored < 0 || l.stored > l.size {
			f.bad = true
		}
	case inFile, packedInFile:
		l.size = int64(f.uint())
		f.blocks(&l)
	default:
		f.bad = true
	}
	return l, f.end()
}

// blocks reads the blocks of a file, whose size is known.
func (f *fields) blocks(l *location) {
	n := (l.size + blockSize - 1) / blockSize
	if l.size < 0 || n > int64(len(f.rest)/4) {
		f.bad = true
		return
	}
	l.blocks = make([]block, n)
	for i := range l.blocks {
		whole := uint64(min(blockSize, l.size-int64(i)*blockSize))
		b := block{sum: f.u32(), stored: uint32(whole)}
		if l.packed {
			stored := f.uint()
			f.bad = f.bad || stored > whole
			b.stored = uint32(min(stored, whole))
		}
		l.blocks[i] = b
	}
}

// A segment holds frames: magic 4, body 16, length 4, checksum of the body 4,
// checksum of the frame's head 4, the body. So an index can be made from the
// segments alone. The magic says whether the body is compressed; then length
// and checksum are of what is stored.
const (
	frameMagic  = "plS1"
	packedMagic = "plS2"
	frameHead   = 32
)

func appendFrame(b []byte, id mail.ID, body []byte, packed bool) []byte {
	start := len(b)
	b = append(append(b, make([]byte, frameHead)...), body...)
	fillFrame(b[start:], id, packed)
	return b
}

// fillFrame writes the head of a frame that has its body.
func fillFrame(raw []byte, id mail.ID, packed bool) {
	magic, body := frameMagic, raw[frameHead:]
	if packed {
		magic = packedMagic
	}
	b := append(append(raw[:0], magic...), id[:]...)
	b = binary.BigEndian.AppendUint32(b, uint32(len(body)))
	b = binary.BigEndian.AppendUint32(b, crc32.Checksum(body, castagnoli))
	binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// frameSum is the checksum of a frame's body.
func frameSum(raw []byte) uint32 { return binary.BigEndian.Uint32(raw[24:]) }

// frame is the head of a frame.
type frame struct {
	id     mail.ID
	stored int64
	sum    uint32
	packed bool
}

func decodeFrame(head []byte) (frame, error) {
	if len(head) < frameHead || string(head[:4]) != frameMagic && string(head[:4]) != packedMagic {
		return frame{}, fmt.Errorf("%w: no frame", engine.ErrDamaged)
	}
	if crc32.Checksum(head[:28], castagnoli) != binary.BigEndian.Uint32(head[28:]) {
		return frame{}, fmt.Errorf("%w: frame's head: %w", engine.ErrDamaged, errChecksum)
	}
	f := frame{
		id:     mail.ID(head[4:20]),
		stored: int64(binary.BigEndian.Uint32(head[20:])),
		sum:    binary.BigEndian.Uint32(head[24:]),
		packed: string(head[:4]) == packedMagic,
	}
	if f.stored > bodyInMemory {
		return frame{}, fmt.Errorf("%w: frame of %d octets", engine.ErrDamaged, f.stored)
	}
	return f, nil
}

// openFrame checks a whole frame and gives its body as it is stored.
func openFrame(raw []byte) (frame, []byte, error) {
	f, err := decodeFrame(raw)
	if err != nil {
		return frame{}, nil, err
	}
	body := raw[frameHead:]
	if int64(len(body)) != f.stored || crc32.Checksum(body, castagnoli) != f.sum {
		return frame{}, nil, fmt.Errorf("%w: body %s: %w", engine.ErrDamaged, f.id, errChecksum)
	}
	return f, body, nil
}

// location is where the body of a frame is, once it has a place.
func (f *frame) location(stored []byte) (location, error) {
	l := location{size: f.stored, stored: f.stored, sum: f.sum, packed: f.packed}
	if !f.packed {
		return l, nil
	}
	var err error
	l.size, err = packedSize(stored)
	return l, err
}
