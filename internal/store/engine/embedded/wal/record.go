package wal

import (
	"encoding/binary"
	"hash/crc32"
)

// A record is a head, of little-endian numbers, and its text:
//
//	0  checksum of the name of the file and of the rest of the head
//	4  checksum of the text
//	8  octets of the text
//	12 the first number it stands for: its own, or a lower one where records are lost
//	20 its number
//	28 the number up to which the log was synced before
const headSize = 36

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// head is what is before the text of a record.
type head struct {
	sum     uint32
	size    int
	from, n uint64
	synced  uint64
}

// appendRecord writes a record whose head is still to be sealed.
func appendRecord(out []byte, r Record) []byte {
	at := len(out)
	out = append(out, make([]byte, headSize)...)
	binary.LittleEndian.PutUint32(out[at+8:], uint32(len(r.Text)))
	binary.LittleEndian.PutUint64(out[at+12:], r.From)
	binary.LittleEndian.PutUint64(out[at+20:], r.N)
	return append(out, r.Text...)
}

func firstIn(text []byte) uint64 { return binary.LittleEndian.Uint64(text[12:]) }

// seal completes the heads of records that go to a file.
func seal(text []byte, file uint32, synced uint64) {
	for len(text) > 0 {
		size := headSize + int(binary.LittleEndian.Uint32(text[8:]))
		binary.LittleEndian.PutUint64(text[28:], synced)
		binary.LittleEndian.PutUint32(text[4:], crc32.Checksum(text[headSize:size], castagnoli))
		binary.LittleEndian.PutUint32(text, headSum(text, file))
		text = text[size:]
	}
}

// headSum is of a file too, so that what is left in one that is used again is nothing;
// nor is what looks like a record in a text, since nobody knows the name of a file to be.
func headSum(b []byte, file uint32) uint32 { return crc32.Update(file, castagnoli, b[4:headSize]) }

// sumOf is what the name of a file adds to checksums.
func sumOf(name string) uint32 { return crc32.Checksum([]byte(name), castagnoli) }

// mayBeHead says of most of what is no head of a record that is next, or not much
// later, that it is none.
func mayBeHead(b []byte, next uint64) bool {
	const later = 1 << 40
	from := binary.LittleEndian.Uint64(b[12:])
	return from-next < later && from <= binary.LittleEndian.Uint64(b[20:])
}

// parseHead reads a head, if it is one.
func parseHead(b []byte, file uint32) (h head, ok bool) {
	if binary.LittleEndian.Uint32(b) != headSum(b, file) {
		return h, false
	}
	return head{
		sum:    binary.LittleEndian.Uint32(b[4:]),
		size:   int(binary.LittleEndian.Uint32(b[8:])),
		from:   binary.LittleEndian.Uint64(b[12:]),
		n:      binary.LittleEndian.Uint64(b[20:]),
		synced: binary.LittleEndian.Uint64(b[28:]),
	}, true
}
